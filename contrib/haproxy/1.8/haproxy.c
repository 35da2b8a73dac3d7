/*
 * Appended to src/haproxy.c of HAProxy 1.8: the functions that haproxy.edits replaces,
 * and what needs the statics of that file.
 *
 * The master of this version has neither a process table nor a loop: the library keeps
 * the table, and its loop is the master's.
 */
#undef mworker_reload
#include "mworker.h"
#include "old_pids.h"

/* systemd.c uses it as well. */
struct mworker *shim_mworker;

/* Why this image has no worker. */
static const char *shim_refusal = "the new configuration can't be used";

static void shim_log(void *user, int level, const char *text)
{
	if (level == MWORKER_LOG_ALERT)
		ha_alert("%s\n", text);
	else
		ha_warning("%s\n", text);
}

__attribute__((constructor))
static void shim_init(void)
{
	struct mworker_host host = {
		.size = sizeof(host),
		.name = "HAProxy",
		.version = HAPROXY_VERSION,
		.haproxy = MWORKER_HAPROXY,
		.log = shim_log,
	};

	if (mworker_abi() != MWORKER_ABI || mworker_new(&host, &shim_mworker) != MWORKER_OK) {
		fprintf(stderr, "mworker %s doesn't fit this HAProxy\n", mworker_version());
		exit(EXIT_FAILURE);
	}
}

/*
 * An image that a reload executed is a master whatever its configuration says. Its
 * signals stay blocked until the library's loop reads them.
 */
static void shim_signals_begin(void)
{
	if (!getenv("HAPROXY_MWORKER_REEXEC"))
		return;
	global.mode |= MODE_MWORKER;
	mworker_hold_signals();
}

/* mworker.mk has HAProxy's own code call it instead of kill(). */
int shim_kill(pid_t pid, int signal)
{
	return mworker_signal_process(shim_mworker, pid, signal) == MWORKER_OK ? 0 : -1;
}

/* The old workers are those after -sf. */
static void shim_take_over(void)
{
	static int taken;

	if (taken++)
		return;
	mworker_read_settings(shim_mworker);
	if (mworker_take_over_pids(shim_mworker, oldpids, nb_oldpids) != MWORKER_OK) {
		ha_alert("%s\n", mworker_error(shim_mworker));
		exit(EXIT_FAILURE);
	}
}

static void shim_prepare_exec(void)
{
	const char *from = cur_unixsocket ? cur_unixsocket : old_unixsocket;
	int end;

	/* "-x /dev/null" of the user is for every later image, too. */
	if (old_unixsocket && strcmp(old_unixsocket, "/dev/null") == 0)
		from = old_unixsocket;
	mworker_set_exit_on_failure(shim_mworker, !(global.tune.options & GTUNE_NOEXIT_ONFAILURE));
	if (global.tune.options & GTUNE_USE_SYSTEMD)
		mworker_use_systemd(shim_mworker);
	mworker_set_argv(shim_mworker, (const char *const *)SHIM_OLD_ARGV, from);
	/* The pipe by which workers notice the end of the master. */
	for (end = 0; end < 2; end++) {
		if (mworker_pipe[end] > 0)
			mworker_keep_fd(shim_mworker, mworker_pipe[end]);
	}
}

/*
 * The command line is known and nothing is loaded. A load that takes too long is
 * treated as a failed load.
 */
static void shim_load_begins(void)
{
	if (!(global.mode & MODE_MWORKER) || (global.mode & MODE_CHECK))
		return;
	shim_take_over();
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

/* The configuration is read. SIGUSR2 waits until the master can reload. */
static void shim_block_reloads(void)
{
	if (global.mode & MODE_MWORKER) {
		/* The configuration may have made this a master. */
		shim_take_over();
		mworker_hold_signals();
	} else {
		signal_register_fct(SIGUSR2, NULL, 0);
	}
}

static struct task *shim_report(struct task *task)
{
	mworker_worker_set_connections(shim_mworker, actconn);
	mworker_worker_beat(shim_mworker);
	task->expire = tick_add(now_ms, MS_TO_TICKS(250));
	return task;
}

/* Runs in the first thread of a worker, when its loop begins. */
static int shim_start_timer(void)
{
	struct task *task;

	if (tid != 0 || !(global.mode & MODE_MWORKER))
		return 1;
	task = task_new(tid_bit);
	if (!task)
		return 0;
	task->process = shim_report;
	task_wakeup(task, TASK_WOKEN_INIT);
	return 1;
}

/* Forks a worker, or nothing: when one of several forks fails, the others end. */
static int shim_fork_worker(void)
{
	int pid;

	if (!(global.mode & MODE_MWORKER))
		return fork();
	shim_prepare_exec();
	pid = mworker_fork_new(shim_mworker, relative_pid);
	if (pid == 0) {
		/* A worker has nothing to reload. */
		signal_register_fct(SIGUSR2, NULL, 0);
		mworker_release_signals();
		hap_register_per_thread_init(shim_start_timer);
	} else if (pid < 0) {
		/* main() exits, and so calls reexec_on_failure() at a reload. */
		shim_refusal = "no worker can be forked";
		mworker_stop_new(shim_mworker);
	} else if (relative_pid == global.nbproc) {
		shim_signal_old_pids();
	}
	return pid;
}

/* The master's loop. */
static void mworker_wait()
{
	int status;

	shim_take_over();
	shim_prepare_exec();
	if (children)
		mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
	mworker_notify_ready(shim_mworker);
	status = mworker_run(shim_mworker);
	if (status < 0)
		ha_alert("%s\n", mworker_error(shim_mworker));
	atexit_flag = 0;
	exit(status < 0 ? EXIT_FAILURE : status);
}

/* Runs at exit when a reload failed: the old workers go on. */
void reexec_on_failure()
{
	if (!atexit_flag)
		return;
	shim_take_over();
	get_cur_unixsocket();
	shim_prepare_exec();
	mworker_notify_reloading(shim_mworker);
	mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILED, shim_refusal);
	/*
	 * The exec failed. HAProxy's part of this image is not fit for use, but the
	 * library looks after the workers until a reload succeeds.
	 */
	protocol_unbind_all();
	for (; xfer_sock_list; xfer_sock_list = xfer_sock_list->next)
		close(xfer_sock_list->fd);
	mworker_notify_ready(shim_mworker);
	_exit(mworker_run(shim_mworker));
}

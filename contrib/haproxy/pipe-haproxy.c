/*
 * Appended to src/haproxy.c of HAProxy 1.8: the functions whose definitions
 * pipe-haproxy.sed has renamed, and what needs that file's statics.
 *
 * This version's master has no table that its C would walk, and no loop: the
 * library keeps the table, and its loop is the master's.
 */
#include "mworker.h"

/* systemd.c uses it as well. */
struct mworker *shim_mworker;

/* Why this image can't have a worker. */
static const char *shim_refusal = "the new configuration can't be used";

static void shim_log(void *user, int level, const char *text)
{
	if (level == MWORKER_LOG_ALERT)
		Alert("%s\n", text);
	else
		Warning("%s\n", text);
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
 * A master that a reload has started is one whatever its configuration says, and
 * no signal is to meet a default action before it has another one.
 */
static void shim_hold_first(void)
{
	if (!getenv("HAPROXY_MWORKER_REEXEC"))
		return;
	global.mode |= MODE_MWORKER;
	mworker_hold_signals();
}

/* What HAProxy's own code calls for kill(), see mworker.mk. */
int shim_kill(pid_t pid, int signal)
{
	return mworker_signal_process(shim_mworker, pid, signal) == MWORKER_OK ? 0 : -1;
}

/* The workers of the former image are those after -sf. */
static void shim_take_over(void)
{
	static int taken;

	if (taken++)
		return;
	mworker_read_settings(shim_mworker);
	if (mworker_take_over_pids(shim_mworker, oldpids, nb_oldpids) != MWORKER_OK) {
		Alert("%s\n", mworker_error(shim_mworker));
		exit(EXIT_FAILURE);
	}
}

static void shim_prepare_exec(void)
{
	const char *from = cur_unixsocket ? cur_unixsocket : old_unixsocket;
	int end;

	/* What the user doesn't want isn't done later either. */
	if (old_unixsocket && strcmp(old_unixsocket, "/dev/null") == 0)
		from = old_unixsocket;
	mworker_set_exit_on_failure(shim_mworker, !!(global.tune.options & GTUNE_EXIT_ONFAILURE));
	if (global.tune.options & GTUNE_USE_SYSTEMD)
		mworker_use_systemd(shim_mworker);
	mworker_set_argv(shim_mworker, (const char *const *)next_argv, from);
	/* By it workers see that the master is gone. */
	for (end = 0; end < 2; end++) {
		if (mworker_pipe[end] > 0)
			mworker_keep_fd(shim_mworker, mworker_pipe[end]);
	}
}

/* The command line is known, and the load begins. One that hangs ends as one that failed. */
static void shim_load_begins(void)
{
	if (!(global.mode & MODE_MWORKER) || (global.mode & MODE_CHECK))
		return;
	shim_take_over();
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

/* The configuration is read. A master does on SIGUSR2 what it can do later only. */
static void shim_hold_reloads(void)
{
	if (global.mode & MODE_MWORKER) {
		/* It may be the configuration that says so. */
		shim_take_over();
		mworker_hold_signals();
	} else {
		signal_register_fct(SIGUSR2, NULL, 0);
	}
}

/* Those that a master replaces are told when there is who replaces them. */
static int shim_tell_old_pids(void)
{
	return global.mode & MODE_MWORKER ? nb_oldpids : tell_old_pids(oldpids_sig);
}

static struct task *shim_tell(struct task *task)
{
	mworker_worker_set_connections(shim_mworker, actconn);
	mworker_worker_beat(shim_mworker);
	task->expire = tick_add(now_ms, MS_TO_TICKS(250));
	return task;
}

/* In the first thread of a worker, when its loop begins. */
static int shim_loop_begins(void)
{
	struct task *task;

	if (tid != 0 || !(global.mode & MODE_MWORKER))
		return 1;
	task = task_new(tid_bit);
	if (!task)
		return 0;
	task->process = shim_tell;
	task_wakeup(task, TASK_WOKEN_INIT);
	return 1;
}

/* As fork(). There may be several workers: it's all of them or none. */
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
		hap_register_per_thread_init(shim_loop_begins);
	} else if (pid < 0) {
		/* main() leaves: at a reload to reexec_on_failure(). */
		shim_refusal = "no worker can be forked";
		mworker_stop_new(shim_mworker);
	} else if (relative_pid == global.nbproc && nb_oldpids) {
		nb_oldpids = tell_old_pids(oldpids_sig);
	}
	return pid;
}

/* The master's life. */
static void mworker_wait(void)
{
	int status;

	shim_take_over();
	shim_prepare_exec();
	if (children)
		mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
	mworker_notify_ready(shim_mworker);
	status = mworker_run(shim_mworker);
	if (status < 0)
		Alert("%s\n", mworker_error(shim_mworker));
	atexit_flag = 0;
	exit(status < 0 ? EXIT_FAILURE : status);
}

/* At the end of a start that failed: the old workers go on. */
void reexec_on_failure(void)
{
	if (!atexit_flag)
		return;
	shim_take_over();
	get_cur_unixsocket();
	shim_prepare_exec();
	mworker_notify_reloading(shim_mworker);
	mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILED, shim_refusal);
	/*
	 * It can't be executed any more, and of this image only the library is fit
	 * for use: it looks after the workers until a reload works again.
	 */
	protocol_unbind_all();
	for (; xfer_sock_list; xfer_sock_list = xfer_sock_list->next)
		close(xfer_sock_list->fd);
	mworker_notify_ready(shim_mworker);
	_exit(mworker_run(shim_mworker));
}

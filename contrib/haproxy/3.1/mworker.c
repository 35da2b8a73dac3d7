/*
 * src/mworker.c of HAProxy 3.1 to 3.5, as far as it is not in ../common: the worker
 * reports READY, and the master that forked it goes on.
 */
#include "shim.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include <haproxy/stick_table.h>

int max_reloads = SHIM_MAX_RELOADS;
/* 1: the last worker reported READY, 0: it failed. HAProxy's C writes it, too. */
int load_status;
/* The arguments of -S. */
struct list mworker_cli_conf = LIST_HEAD_INIT(mworker_cli_conf);

/* The worker whose READY HAProxy has not handled yet, or 0. */
static pid_t shim_unanswered;

/* Returns the worker that has not reported READY yet, or NULL. */
static struct mworker_proc *shim_starting(void)
{
	struct mworker_proc *proc;

	list_for_each_entry(proc, &proc_list, list) {
		if ((proc->options & PROC_O_TYPE_WORKER) && (proc->options & PROC_O_INIT))
			return proc;
	}
	return NULL;
}

enum shim_load shim_load_status(void)
{
	if (shim_starting())
		return SHIM_LOADING;
	return load_status ? SHIM_LOADED : SHIM_LOAD_FAILED;
}

void shim_prepare_exec(void)
{
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, old_unixsocket);
	/* The environment of boot: what the configuration set is not passed on. */
	mworker_set_environment(shim_mworker, (const char *const *)init_env);
}

/* A master can always be stopped, and always reaps its children. */
static void shim_register_first_signals(void)
{
	static int registered;

	if (registered++)
		return;
	shim_register_signal(SIGTERM, mworker_catch_sigterm);
	shim_register_signal(SIGINT, mworker_catch_sigterm);
	shim_register_signal(SIGCHLD, mworker_catch_sigchld);
}

/* The other signals wait until a worker is ready. */
static void shim_register_signals(void)
{
	static int registered;

	shim_register_first_signals();
	if (registered++)
		return;
	signal_unregister(SIGQUIT);
	shim_register_signal(SIGUSR1, mworker_catch_sigterm);
	shim_register_signal(SIGTTIN, mworker_broadcast_signal);
	shim_register_signal(SIGTTOU, mworker_broadcast_signal);
	shim_register_signal(SIGHUP, mworker_catch_sighup);
	shim_register_signal(SIGUSR2, mworker_catch_sighup);
}

void shim_load_failed(void)
{
	/* Sockets of the old worker that the new configuration did not use. */
	sock_drop_unused_old_sockets();
	usermsgs_clr(NULL);
	load_status = 0;
	shim_unanswered = 0;
	shim_register_signals();
}

void mworker_unblock_sigchld(void);
void mworker_unblock_sigchld(void)
{
	shim_register_first_signals();
	mworker_release_sigchld();
}

/* HAProxy's CLI calls it when it has handled a worker's READY, see cli.edits. */
void mworker_unblock_signals()
{
	shim_register_signals();
	if (load_status && !shim_starting()) {
		shim_unanswered = 0;
		mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
	}
	mworker_release_signals();
}

struct shim_deferred {
	void (*function)(void *argument);
	void *argument;
};

static struct task *shim_run_deferred(struct task *task, void *context, unsigned int state)
{
	struct shim_deferred *deferred = context;

	deferred->function(deferred->argument);
	free(deferred);
	task_destroy(task);
	return NULL;
}

/*
 * HAProxy blocks signals while it handles one, and restores its mask afterwards: what
 * changes the mask runs in a task. Without memory for that it runs at once.
 */
void shim_defer(void *user, void (*function)(void *argument), void *argument)
{
	struct shim_deferred *deferred = malloc(sizeof(*deferred));
	struct task *task = deferred ? task_new_here() : NULL;

	if (!task) {
		free(deferred);
		function(argument);
		return;
	}
	deferred->function = function;
	deferred->argument = argument;
	task->process = shim_run_deferred;
	task->context = deferred;
	task_wakeup(task, TASK_WOKEN_MSG);
}

/* The master CLI's sockets, and the one by which the client of a reload returns. */
void mworker_create_master_cli(void)
{
	struct wordlist *word, *next;
	char *path = NULL;

	if (LIST_ISEMPTY(&mworker_cli_conf))
		return;
	list_for_each_entry_safe(word, next, &mworker_cli_conf, list) {
		if (!mworker_cli_master_proxy_new_listener(word->s)) {
			ha_alert("Can't create the master's CLI.\n");
			exit(EXIT_FAILURE);
		}
		LIST_DELETE(&word->list);
		free(word->s);
		free(word);
	}
	if (proc_self->ipc_fd[1] == -1 &&
	    socketpair(AF_UNIX, SOCK_STREAM, 0, proc_self->ipc_fd) < 0) {
		ha_alert("Can't create the mcli_reload socketpair.\n");
		exit(EXIT_FAILURE);
	}
	memprintf(&path, "sockpair@%d", proc_self->ipc_fd[1]);
	mcli_reload_bind_conf = mworker_cli_master_proxy_new_listener(path);
	free(path);
	if (!mcli_reload_bind_conf) {
		ha_alert("Can't create the mcli_reload listener.\n");
		exit(EXIT_FAILURE);
	}
}

/* The rows of the master, at a first start, and of the worker to be. */
void mworker_prepare_master(void)
{
	setenv("HAPROXY_MWORKER", "1", 1);
	if (!getenv("HAPROXY_MWORKER_REEXEC") && mworker_env_to_proc_list() < 0)
		exit(EXIT_FAILURE);
	if (mworker_add_worker(shim_mworker) != MWORKER_OK) {
		ha_alert("%s\n", mworker_error(shim_mworker));
		exit(EXIT_FAILURE);
	}
}

static void shim_become_worker(void)
{
	struct mworker_proc *worker = shim_starting();
	int end;

	shim_close_daemon_fd();
	unsetenv("HAPROXY_MWORKER_REEXEC");
	ha_random_jump128(1);

	/* The client of a reload is parked in it, for the master. */
	for (end = 0; end < 2; end++) {
		if (proc_self->ipc_fd[end] >= 0)
			close(proc_self->ipc_fd[end]);
	}
	close(worker->ipc_fd[0]);
	worker->ipc_fd[0] = -1;
	proc_self = worker;
	if (mworker_cli_global_proxy_new_listener(worker) < 0)
		exit(EXIT_FAILURE);
}

/* Listens to the worker that starts, which reports READY there. */
static void shim_listen_to_worker(struct mworker_proc *worker)
{
	char *path = NULL;

	close(worker->ipc_fd[1]);
	worker->ipc_fd[1] = -1;
	memprintf(&path, "sockpair@%d", worker->ipc_fd[0]);
	if (!mworker_cli_master_proxy_new_listener(path))
		exit(EXIT_FAILURE);
	free(path);
}

static void shim_become_master(void)
{
	char *error = NULL;

	master = 1;
	global.nbtgroups = 1;
	global.nbthread = 1;
	if (mworker_cli_create_master_proxy(&error) < 0) {
		ha_alert("Can't create MASTER proxy: %s\n", error);
		exit(EXIT_FAILURE);
	}
	if (mworker_cli_attach_server(&error) < 0) {
		ha_alert("Can't attach servers needed for master CLI %s\n", error ? error : "");
		exit(EXIT_FAILURE);
	}
	mworker_create_master_cli();
	if (shim_starting())
		shim_listen_to_worker(shim_starting());
}

/*
 * Runs at exit. HAProxy's own code may end the master before it has answered the READY
 * of the new worker, which in 3.3 would wait for that answer without end.
 */
static void shim_end_unanswered(void)
{
	if (shim_unanswered > 0)
		mworker_signal_process(shim_mworker, shim_unanswered, SIGKILL);
}

/*
 * Forks; returns in the worker and in the master. From the fork on the master handles
 * SIGTERM instead of being ended by it: a worker that hangs before it watches the
 * master would be left behind.
 */
void mworker_apply_master_worker_mode(void)
{
	sigset_t stop;
	int forked;

	shim_configure();
	/* Becoming a daemon changed it. */
	proc_self->pid = getpid();
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	forked = mworker_fork(shim_mworker);
	if (forked != MWORKER_IN_WORKER) {
		shim_register_first_signals();
		atexit(shim_end_unanswered);
	}
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
	switch (forked) {
	case MWORKER_IN_WORKER:
		shim_become_worker();
		return;
	case MWORKER_IN_MASTER:
		break;
	default:
		mworker_stop_new(shim_mworker);
		mworker_release_unborn(shim_mworker);
	}
	shim_become_master();
	if (shim_starting())
		shim_unanswered = shim_starting()->pid;
}

/* The master's loop. */
void mworker_run_master(void)
{
	shim_prepare_exec();
	shim_close_devnull();
	/* Polling without a pause is of no use in a master. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	mworker_unblock_sigchld();
	/* No worker will report READY: there is nothing to wait for. */
	if (!shim_starting()) {
		/*
		 * After a refused configuration HAProxy has no pool for them, and
		 * would crash at the first client of the CLI.
		 */
		shim_drop_unusable_counters();
		mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILURE_REPORTED, NULL);
		shim_register_signals();
		mworker_release_signals();
	}
	mworker_cleantasks();
	/* Children may have ended while SIGCHLD had no handler. */
	mworker_catch_sigchld(NULL);

	/* Keeps the loop running without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(NULL);
	exit(EXIT_SUCCESS);
}

/*
 * Appended to src/haproxy.c of HAProxy 2.6 to 3.0: the functions whose definitions
 * wait-haproxy.sed has renamed, and what needs that file's statics.
 */
/* That file has HAProxy's declaration of this name. */
#define mworker_reload libmworker_reload
#include "mworker.h"
#undef mworker_reload
#include "shim.h"

/* Why this image can't have a worker. */
static const char *shim_refusal = "the new configuration can't be used";

/*
 * Called once the configuration is read. From now on a master is not told what
 * it could not do yet: that waits for mworker_loop(), over the exec. What came
 * before has waited since shim_init().
 */
static void shim_hold_reloads(void)
{
	sigset_t reload;

	if (global.mode & (MODE_MWORKER | MODE_MWORKER_WAIT)) {
		mworker_hold_signals();
		return;
	}
	signal_register_fct(SIGUSR2, NULL, 0);
	sigemptyset(&reload);
	sigaddset(&reload, SIGUSR2);
	ha_sigmask(SIG_UNBLOCK, &reload, NULL);
}

/* Those that a master replaces are told when there is who replaces them. */
static int shim_tell_old_pids(void)
{
	return global.mode & MODE_MWORKER ? nb_oldpids : tell_old_pids(oldpids_sig);
}

/* As fork(). */
static int shim_fork_worker(void)
{
	int pid;

	if (!(global.mode & MODE_MWORKER))
		return fork();
	pid = mworker_fork_process(shim_mworker);
	if (pid == 0) {
		/* A worker has nothing to reload. */
		signal_register_fct(SIGUSR2, NULL, 0);
	} else if (pid > 0) {
		if (nb_oldpids)
			nb_oldpids = tell_old_pids(oldpids_sig);
		if (shim_kill_max_reloads)
			mworker_kill_max_reloads(SIGTERM);
	} else {
		/* main() leaves: at a reload to reexec_on_failure(). */
		shim_refusal = "no worker can be forked";
		mworker_stop_new(shim_mworker);
	}
	return pid;
}

void shim_prepare_exec(void)
{
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, old_unixsocket);
}

/*
 * The worker's end of its socketpair is the worker's only. Up to 2.9 HAProxy's
 * C leaves it in the row, where it would be taken for one to keep.
 */
static void shim_forget_worker_ends(void)
{
	struct mworker_proc *proc;

	list_for_each_entry(proc, &proc_list, list) {
		if (proc->options & PROC_O_TYPE_WORKER)
			proc->ipc_fd[1] = -1;
	}
}

/* The worker is forked: wait for it with a small memory. */
void mworker_reexec_waitmode(void)
{
	shim_forget_worker_ends();
	shim_prepare_exec();
#if MWORKER_HAPROXY < 0x0207
	/* As that version does before every exec. */
	mworker_notify_reloading(shim_mworker);
#endif
	mworker_loaded(shim_mworker);
	/* It can't be executed any more: wait in this image, which has all it needs. */
	global.nbtgroups = 1;
	global.nbthread = 1;
	mworker_cleanlisteners();
	mworker_loop();
}

/* At the end of a start that failed: the old workers go on. */
void reexec_on_failure(void)
{
	if (!atexit_flag)
		return;
	if (mworker_env_to_proc_list() < 0)
		exit(EXIT_FAILURE);
	/* Listeners of the former worker that were not taken. */
	sock_drop_unused_old_sockets();
	usermsgs_clr(NULL);
	shim_prepare_exec();
#if MWORKER_HAPROXY < 0x0207
	mworker_notify_reloading(shim_mworker);
#endif
	mworker_refused(shim_mworker, shim_refusal);
	/*
	 * It can't be executed any more, and of this image only the library is fit
	 * for use: it looks after the workers until a reload works again.
	 */
#if MWORKER_HAPROXY < 0x0207
	mworker_notify_ready(shim_mworker);
#endif
	_exit(mworker_run(shim_mworker));
}

/* The master's life. */
void mworker_loop(void)
{
	static const struct {
		int signal;
		void (*handler)(struct sig_handler *sh);
	} handlers[] = {
		{ SIGTERM, mworker_catch_sigterm },
		{ SIGUSR1, mworker_catch_sigterm },
		{ SIGINT,  mworker_catch_sigterm },
		{ SIGTTIN, mworker_broadcast_signal },
		{ SIGTTOU, mworker_broadcast_signal },
		{ SIGHUP,  mworker_catch_sighup },
		{ SIGUSR2, mworker_catch_sighup },
		{ SIGCHLD, mworker_catch_sigchld },
	};
	size_t i;

	shim_configure();
	mworker_waits(shim_mworker);
	/* A master has nothing to hurry for. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	/* What workers do on it is not for a master. */
	signal_unregister(SIGQUIT);
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		shim_register_signal(handlers[i].signal, handlers[i].handler);

	mworker_unblock_signals();
	mworker_cleantasks();
	/* Some may have ended before anybody looked. */
	mworker_catch_sigchld(NULL);

	/* The loop has work even without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(NULL);
}

/* The command line is known, and the load begins. One that hangs ends as one that failed. */
static void shim_load_begins(void)
{
	if (!(arg_mode & MODE_MWORKER) || (arg_mode & (MODE_CHECK | MODE_CHECK_CONDITION)) ||
	    getenv("HAPROXY_MWORKER_WAIT_ONLY"))
		return;
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

INITCALL0(STG_POOL, shim_load_begins);

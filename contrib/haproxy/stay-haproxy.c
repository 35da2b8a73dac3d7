/*
 * Appended to src/haproxy.c of HAProxy 2.0 and 2.4: the functions whose definitions
 * stay-haproxy.sed has renamed, and what needs that file's statics.
 */
/* That file has HAProxy's declaration of this name. */
#define mworker_reload libmworker_reload
#include "mworker.h"
#undef mworker_reload
#define MWORKER_APPENDED
#include "shim.h"

#if MWORKER_HAPROXY < 0x0204
#define old_argv next_argv
#endif

/* Why this image can't have a worker. */
static const char *shim_refusal = "the new configuration can't be used";

/*
 * Called once the configuration is read. From now on a master is not told what
 * it could not do yet: that waits for mworker_loop(). What came before has waited
 * since the process began.
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

/* As fork(). There may be several workers: it's all of them or none. */
static int shim_fork_worker(void)
{
	int pid;

	if (!(global.mode & MODE_MWORKER))
		return fork();
	pid = mworker_fork_process(shim_mworker);
	if (pid == 0) {
		/* A worker has nothing to reload. */
		signal_register_fct(SIGUSR2, NULL, 0);
	} else if (pid < 0) {
		/* main() leaves: at a reload to reexec_on_failure(). */
		shim_refusal = "no worker can be forked";
		mworker_stop_new(shim_mworker);
	} else if (relative_pid == global.nbproc) {
		if (nb_oldpids)
			nb_oldpids = tell_old_pids(oldpids_sig);
		if (shim_kill_max_reloads)
			mworker_kill_max_reloads(SIGTERM);
	}
	return pid;
}

void shim_prepare_exec(void)
{
	const char *from = cur_unixsocket;

	/* What the user doesn't want isn't done later either. */
	if (old_unixsocket && strcmp(old_unixsocket, "/dev/null") == 0)
		from = old_unixsocket;
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, from);
}

/* At the end of a start that failed: the old workers go on. */
void reexec_on_failure(void)
{
	if (!atexit_flag)
		return;
	mworker_env_to_proc_list();
	get_cur_unixsocket();
	shim_prepare_exec();
	mworker_notify_reloading(shim_mworker);
	mworker_refused(shim_mworker, shim_refusal);
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

/*
 * The worker's end of its socketpair is the worker's only, and closed here with
 * its listener.
 */
static void shim_forget_worker_ends(void)
{
	struct mworker_proc *proc;

	list_for_each_entry(proc, &proc_list, list) {
		if (proc->options & PROC_O_TYPE_WORKER)
			proc->ipc_fd[1] = -1;
	}
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

	master = 1;
	shim_configure();
	shim_forget_worker_ends();
	if (!(global.mode & MODE_MWORKER_WAIT))
		mworker_loaded(shim_mworker);
	mworker_notify_ready(shim_mworker);
	/* A master has nothing to hurry for. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	/* What workers do on it is not for a master. */
	signal_unregister(SIGQUIT);
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		shim_register_signal(handlers[i].signal, handlers[i].handler);

	/* It has no listeners but its own, and one thread. */
	mworker_cleanlisteners();
	mworker_cleantasks();
	global.nbthread = 1;
	relative_pid = 1;
	pid_bit = 1;
	all_proc_mask = 1;
#ifdef USE_THREAD
	tid_bit = 1;
	all_threads_mask = 1;
#endif

	mworker_unblock_signals();
	/* Some may have ended before anybody looked. */
	mworker_catch_sigchld(NULL);

	/* The loop has work even without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(0);
}

/* One that hangs ends as one that failed. */
static void shim_load_begins(void)
{
	if (!(global.mode & MODE_MWORKER) || (global.mode & MODE_CHECK))
		return;
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

/*
 * What main() of HAProxy 2.0 to 3.0 calls instead of code of its own, and what the
 * master does when main() is done with it. Included by the files that are appended
 * to src/haproxy.c, whose statics it uses.
 */
#ifndef MWORKER_MAIN_CALLS_H
#define MWORKER_MAIN_CALLS_H

#define SHIM_APPENDED
#include "shim.h"
#include "old_pids.h"

/* Why this image has no worker. */
static const char *shim_refusal = "the new configuration can't be used";

/* Workers past the limit of reloads are ended when the new one is forked. */
static int shim_max_reloads_postponed;

/*
 * Called when the configuration has been read. From here on a master's signals stay
 * blocked until mworker_loop() has registered handlers, also across an exec. SIGUSR2
 * has been blocked since the process began.
 */
static void shim_block_reloads(void)
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

static void shim_postpone_max_reloads(void)
{
	shim_max_reloads_postponed = 1;
}

/* Forks a worker, or nothing: when one of several forks fails, the others end. */
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
		/* main() exits, and so calls reexec_on_failure() at a reload. */
		shim_refusal = "no worker can be forked";
		mworker_stop_new(shim_mworker);
	} else if (!shim_forks_more()) {
		shim_signal_old_pids();
		if (shim_max_reloads_postponed)
			mworker_kill_max_reloads(SIGTERM);
	}
	return pid;
}

/*
 * The worker's end of its socketpair is for the worker only. Up to 2.9 HAProxy leaves
 * its number in the row, where it would be taken for a descriptor to keep.
 */
static void shim_forget_worker_ends(void)
{
	struct mworker_proc *proc;

	list_for_each_entry(proc, &proc_list, list) {
		if (proc->options & PROC_O_TYPE_WORKER)
			proc->ipc_fd[1] = -1;
	}
}

/* Registers what a master does on signals. */
static void shim_register_signals(void)
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

	/* Polling without a pause is of no use in a master. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	/* Only workers act on it. */
	signal_unregister(SIGQUIT);
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		shim_register_signal(handlers[i].signal, handlers[i].handler);
}

#endif

/*
 * What the files have in common that are appended to src/haproxy.c of HAProxy 2.0
 * to 3.0, and see its statics.
 */
#ifndef MWORKER_APPENDED_H
#define MWORKER_APPENDED_H

/* That file has HAProxy's declaration of this name. */
#define mworker_reload libmworker_reload
#include "mworker.h"
#undef mworker_reload
#define MWORKER_APPENDED
#include "shim.h"

/* Why this image can't have a worker. */
static const char *shim_refusal = "the new configuration can't be used";

/*
 * Called once the configuration is read. From now on a master is not told what
 * it could not do yet: that waits for mworker_loop(), over the exec if there is
 * one. What came before has waited since the process began.
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

/*
 * As fork(). Up to 2.4 there may be several workers: it's all of them or none.
 */
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
#if MWORKER_HAPROXY < 0x0206
	} else if (relative_pid < global.nbproc) {
		/* The others are to come. */
#endif
	} else {
		if (nb_oldpids)
			nb_oldpids = tell_old_pids(oldpids_sig);
		if (shim_kill_max_reloads)
			mworker_kill_max_reloads(SIGTERM);
	}
	return pid;
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

/* What a master does on signals from now on. */
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

	/* A master has nothing to hurry for. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	/* What workers do on it is not for a master. */
	signal_unregister(SIGQUIT);
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		shim_register_signal(handlers[i].signal, handlers[i].handler);
}

#endif

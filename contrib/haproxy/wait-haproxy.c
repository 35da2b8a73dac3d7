/*
 * Appended to src/haproxy.c of HAProxy 3.0: the functions whose definitions
 * wait-haproxy.sed has renamed, and what needs that file's statics.
 */
/* That file has HAProxy's declaration of this name. */
#define mworker_reload libmworker_reload
#include "mworker.h"
#undef mworker_reload
#include "shim.h"

void shim_prepare_exec(void)
{
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, old_unixsocket);
}

/* The worker is forked: wait for it with a small memory. */
void mworker_reexec_waitmode(void)
{
	shim_prepare_exec();
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
	mworker_refused(shim_mworker, "the new configuration can't be used");
	/*
	 * It can't be executed any more, and of this image only the library is fit
	 * for use: it looks after the workers until a reload works again.
	 */
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

	/* A master has nothing to hurry for. */
	global.tune.options &= ~GTUNE_BUSY_POLLING;

	/* What workers do on these is not for a master. */
	signal_unregister(SIGTTIN);
	signal_unregister(SIGTTOU);
	signal_unregister(SIGUSR1);
	signal_unregister(SIGHUP);
	signal_unregister(SIGQUIT);
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		signal_register_fct(handlers[i].signal, handlers[i].handler, handlers[i].signal);

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

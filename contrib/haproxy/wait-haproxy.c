/*
 * Appended to src/haproxy.c of HAProxy 2.6 to 3.0: the functions whose definitions
 * wait-haproxy.sed has renamed, and what needs that file's statics.
 */
#include "appended.h"

void shim_prepare_exec(void)
{
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, old_unixsocket);
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
	mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
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
	mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILED, shim_refusal);
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
	shim_prepare_exec();
	mworker_waits(shim_mworker);
	shim_register_signals();

	mworker_unblock_signals();
	mworker_cleantasks();
	/* Some may have ended before anybody looked. */
	mworker_catch_sigchld(NULL);

	/* The loop has work even without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(NULL);
}

/*
 * The command line is known, and the load begins. One that hangs ends as one that
 * failed. HAProxy calls it because wait.c says so: here clang would warn of that.
 */
void shim_load_begins(void);
void shim_load_begins(void)
{
	if (!(arg_mode & MODE_MWORKER) || (arg_mode & (MODE_CHECK | MODE_CHECK_CONDITION)) ||
	    getenv("HAPROXY_MWORKER_WAIT_ONLY"))
		return;
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

/*
 * Appended to src/haproxy.c of HAProxy 2.6 to 3.0: the functions that haproxy.edits
 * replaces, and what needs the statics of that file.
 */
#include "main_calls.h"

void shim_prepare_exec(void)
{
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)old_argv, old_unixsocket);
}

/* The worker is forked: execute the image that waits, which needs little memory. */
static void mworker_reexec_waitmode()
{
	shim_forget_worker_ends();
	shim_prepare_exec();
	if (SHIM_ANNOUNCES_EXEC)
		mworker_notify_reloading(shim_mworker);
	mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
	/* The exec failed: this image waits, it has all that it needs. */
	global.nbtgroups = 1;
	global.nbthread = 1;
	mworker_cleanlisteners();
	mworker_loop();
}

/* Runs at exit when a reload failed: the old workers go on. */
void reexec_on_failure()
{
	if (!atexit_flag)
		return;
	if (shim_read_table() < 0)
		exit(EXIT_FAILURE);
	/* Sockets of the old worker that the new configuration did not use. */
	sock_drop_unused_old_sockets();
	usermsgs_clr(NULL);
	shim_prepare_exec();
	if (SHIM_ANNOUNCES_EXEC)
		mworker_notify_reloading(shim_mworker);
	mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILED, shim_refusal);
	/*
	 * The exec failed. HAProxy's part of this image is not fit for use, but the
	 * library looks after the workers until a reload succeeds.
	 */
	if (SHIM_ANNOUNCES_EXEC)
		mworker_notify_ready(shim_mworker);
	_exit(mworker_run(shim_mworker));
}

/* The master's loop. */
static void mworker_loop()
{
	shim_prepare_exec();
	mworker_waits(shim_mworker);
	shim_register_signals();

	mworker_unblock_signals();
	mworker_cleantasks();
	/* Children may have ended while SIGCHLD had no handler. */
	mworker_catch_sigchld(NULL);

	/* Keeps the loop running without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(NULL);
}

/*
 * The command line is known and nothing is loaded. A load that takes too long is
 * treated as a failed load.
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

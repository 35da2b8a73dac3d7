/*
 * Appended to src/haproxy.c of HAProxy 2.0 to 2.4: the functions that haproxy.edits
 * replaces, and what needs the statics of that file.
 */
#include "main_calls.h"

void shim_prepare_exec(void)
{
	const char *from = cur_unixsocket;

	/* "-x /dev/null" of the user is for every later image, too. */
	if (old_unixsocket && strcmp(old_unixsocket, "/dev/null") == 0)
		from = old_unixsocket;
	shim_configure();
	mworker_set_argv(shim_mworker, (const char *const *)SHIM_OLD_ARGV, from);
}

/* Closes sockets of the old worker that the new configuration did not use. */
static void shim_close_unused_sockets(void)
{
#ifdef SHIM_DROPS_OLD_SOCKETS
	sock_drop_unused_old_sockets();
#else
	for (; xfer_sock_list; xfer_sock_list = xfer_sock_list->next)
		close(xfer_sock_list->fd);
#endif
}

/* Runs at exit when a reload failed: the old workers go on. */
void reexec_on_failure()
{
	if (!atexit_flag)
		return;
	if (shim_read_table() < 0)
		exit(EXIT_FAILURE);
	get_cur_unixsocket();
	shim_prepare_exec();
	mworker_notify_reloading(shim_mworker);
	mworker_load_ended(shim_mworker, MWORKER_LOAD_FAILED, shim_refusal);
	/*
	 * The exec failed. HAProxy's part of this image is not fit for use, but the
	 * library looks after the workers until a reload succeeds.
	 */
	protocol_unbind_all();
	shim_close_unused_sockets();
	mworker_notify_ready(shim_mworker);
	_exit(mworker_run(shim_mworker));
}

/* The master's loop. */
static void mworker_loop()
{
	master = 1;
	shim_prepare_exec();
	shim_forget_worker_ends();
	if (!(global.mode & MODE_MWORKER_WAIT))
		mworker_load_ended(shim_mworker, MWORKER_LOAD_SUCCEEDED, NULL);
	mworker_notify_ready(shim_mworker);
	shim_register_signals();

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
	/* Children may have ended while SIGCHLD had no handler. */
	mworker_catch_sigchld(NULL);

	/* Keeps the loop running without a listener. */
	jobs++;
	fork_poller();
	run_thread_poll_loop(0);
}

/* A load that takes too long is treated as a failed load. */
static void shim_load_begins(void)
{
	if (!(global.mode & MODE_MWORKER) || (global.mode & MODE_CHECK))
		return;
	shim_prepare_exec();
	mworker_guard_load(shim_mworker);
}

/*
 * Appended to src/haproxy.c of HAProxy 2.0 and 2.4: the functions whose definitions
 * stay-haproxy.sed has renamed, and what needs that file's statics.
 */
#include "appended.h"

#if MWORKER_HAPROXY < 0x0204
#define old_argv next_argv
#endif

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

/* The master's life. */
void mworker_loop(void)
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

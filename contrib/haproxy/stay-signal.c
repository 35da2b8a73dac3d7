/*
 * Appended to src/signal.c of HAProxy 2.0 and 2.4. A signal that comes after the
 * loop has looked for signals, and before it waits for events, would be dealt with
 * up to a minute later: a reload, a stop, the end of a worker. Later versions look
 * once more.
 */
#include <errno.h>

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/fd.h>
#else
#include <proto/fd.h>
#endif

/* Signals are the first thread's. Once for each that is queued, so the pipe isn't filled. */
static void shim_wake_loop(void)
{
	int error = errno;

	/* What comes before there is a loop is the first that it looks at. */
	if (poller_wr_pipe[0] > 0)
		wake_thread(0);
	errno = error;
}

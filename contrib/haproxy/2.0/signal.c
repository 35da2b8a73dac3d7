/*
 * Appended to src/signal.c of HAProxy 2.0 to 2.4. A signal that comes after the loop
 * has looked for signals and before it waits for events would be handled up to a
 * minute later: a reload, a stop, the end of a worker. Later releases look once more.
 */
#include <errno.h>

#define SHIM_APPENDED
#include "compat.h"

/*
 * Runs in a signal handler. The first thread handles signals. It is woken once per
 * queued signal, so its pipe never fills up.
 */
static void shim_wake_loop(void)
{
	int error = errno;

	/* Without a loop yet, the first round of the loop looks at the queue. */
	if (poller_wr_pipe[0] > 0)
		wake_thread(0);
	errno = error;
}

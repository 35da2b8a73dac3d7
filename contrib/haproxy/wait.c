/*
 * HAProxy 2.0 to 3.0: the master re-executes itself to wait, once the configuration
 * is refused, and from 2.6 on once the worker is forked. What else it takes is in
 * stay-haproxy.c and wait-haproxy.c, which see the statics of src/haproxy.c.
 */
#include "shim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

int max_reloads = -1;

/*
 * A reload that is asked for before HAProxy knows that it is a master is done
 * once it can be: see shim_hold_reloads().
 */
static void shim_hold_first_reloads(void)
{
	sigset_t reload;

	sigemptyset(&reload);
	sigaddset(&reload, SIGUSR2);
	sigprocmask(SIG_BLOCK, &reload, NULL);
}

INITCALL0(STG_PREPARE, shim_hold_first_reloads);

#if MWORKER_HAPROXY >= 0x0206
/* Up to 2.4 main() calls it. */
void shim_load_begins(void);
INITCALL0(STG_POOL, shim_load_begins);
#endif

void mworker_unblock_signals()
{
	mworker_release_signals();
}

/* The former image has left it in the environment. */
enum shim_load shim_load_status(void)
{
	const char *success = getenv("HAPROXY_LOAD_SUCCESS");

	if (!success)
		return SHIM_NO_LOAD;
	return strcmp(success, "1") == 0 ? SHIM_LOADED : SHIM_LOAD_FAILED;
}

/* The next image finds out, and says so. */
void shim_load_failed(void)
{
}

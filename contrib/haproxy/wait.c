/*
 * HAProxy 3.0: the master re-executes itself to wait, once the worker is forked
 * or the configuration refused. What else it takes is in wait-haproxy.c, which
 * sees the statics of src/haproxy.c.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

int max_reloads = -1;

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

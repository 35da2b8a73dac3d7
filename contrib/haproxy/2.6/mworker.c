/*
 * src/mworker.c of HAProxy 2.6 to 3.0, as far as it is not in ../common: the master
 * re-executes itself to wait, whether the load succeeded or failed.
 */
#include "shim.h"

#include <string.h>

int max_reloads = -1;

/* haproxy.c defines it. Registered here because clang warns of it there. */
void shim_load_begins(void);
INITCALL0(STG_POOL, shim_load_begins);

void mworker_unblock_signals()
{
	mworker_release_signals();
}

/* The image that loaded the configuration left it in the environment. */
enum shim_load shim_load_status(void)
{
	const char *success = getenv("HAPROXY_LOAD_SUCCESS");

	if (!success)
		return SHIM_NO_LOAD;
	return strcmp(success, "1") == 0 ? SHIM_LOADED : SHIM_LOAD_FAILED;
}

/* The image that waits finds out, and logs it. */
void shim_load_failed(void)
{
}

/*
 * src/mworker.c of HAProxy 2.0 to 2.4, as far as it is not in ../common: the master
 * that forked the workers goes on, and re-executes itself only after a failed load.
 */
#include "shim.h"

int max_reloads = -1;

void mworker_unblock_signals()
{
	mworker_release_signals();
}

/* The image that waits finds out, and logs it. */
void shim_load_failed(void)
{
}

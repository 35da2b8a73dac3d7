/*
 * sd_notify() and sd_notifyf() for HAProxy's callers. They never wait.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#if MWORKER_HAPROXY >= 0x0200
#include "shim.h"
#else
#include <common/standard.h>

#include "mworker.h"

extern struct mworker *shim_mworker;
#endif

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/tools.h>
#endif
#if MWORKER_HAPROXY >= 0x0300
#include <haproxy/systemd.h>
#else
#include "sd-daemon.h"
#endif

static int shim_notify(int unset_environment, const char *message)
{
	if (!shim_mworker || unset_environment)
		return mworker_sd_notify(unset_environment, message);
	/* Sent later if nobody reads now. */
	return mworker_notify(shim_mworker, message);
}

int sd_notify(int unset_environment, const char *message)
{
	return shim_notify(unset_environment, message);
}

int sd_notifyf(int unset_environment, const char *format, ...)
{
	char *message = NULL;
	va_list arguments;
	int result;

	va_start(arguments, format);
	memvprintf(&message, format, arguments);
	va_end(arguments);
	if (!message)
		return -ENOMEM;
	result = shim_notify(unset_environment, message);
	free(message);
	return result;
}

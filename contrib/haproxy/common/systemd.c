/*
 * sd_notify() and sd_notifyf() for HAProxy's callers. They never wait.
 */
#include "shim.h"

#include <errno.h>
#include <stdarg.h>

static int shim_notify(int unset_environment, const char *message)
{
	if (!shim_mworker || unset_environment)
		return mworker_sd_notify(unset_environment, message);
	/* Kept and sent later when the socket is full. */
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

/*
 * sd_notify() and sd_notifyf() for HAProxy's callers. They never wait.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "shim.h"

#include <haproxy/systemd.h>
#include <haproxy/tools.h>

int sd_notify(int unset_environment, const char *message)
{
	return mworker_sd_notify(unset_environment, message);
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
	result = mworker_sd_notify(unset_environment, message);
	free(message);
	return result;
}

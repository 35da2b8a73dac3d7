/*
 * What Rust can't define: a function with a variable number of arguments.
 */
#include "mworker.h"

#include <stdarg.h>
#include <stdio.h>

int mworker_notify_statusf(struct mworker *mw, const char *format, ...)
{
    /* systemd cuts at a notify message's size, which this is well below. */
    char text[2048];
    va_list arguments;
    int length;

    if (format == NULL)
        return MWORKER_ERR_INVALID;
    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0)
        return MWORKER_ERR_INVALID;
    return mworker_notify_status(mw, text);
}

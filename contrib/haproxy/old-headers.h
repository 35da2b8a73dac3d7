/*
 * HAProxy 2.0's headers, of which later versions have others with other names.
 */
#ifndef MWORKER_OLD_HEADERS_H
#define MWORKER_OLD_HEADERS_H

#include <common/cfgparse.h>
#include <common/chunk.h>
#include <common/config.h>
#include <common/errors.h>
#include <common/hathreads.h>
#include <common/initcall.h>
#include <common/mini-clist.h>
#include <common/standard.h>
#include <common/ticks.h>
#include <common/time.h>
#include <common/version.h>

#include <types/applet.h>
#include <types/cli.h>
#include <types/global.h>
#include <types/peers.h>

#include <proto/applet.h>
#include <proto/channel.h>
#include <proto/cli.h>
#include <proto/fd.h>
#include <proto/listener.h>
#include <proto/log.h>
#include <proto/mworker.h>
#include <proto/proxy.h>
#include <proto/stream_interface.h>
#include <proto/task.h>

/* It can be included once only, and src/haproxy.c has done so. */
#ifndef MWORKER_APPENDED
#include <proto/signal.h>
#endif

#define LIST_APPEND LIST_ADDQ
#define LIST_DELETE LIST_DEL

/* Later versions have these themselves. */
static inline int cli_msg(struct appctx *appctx, int severity, const char *msg)
{
	appctx->ctx.cli.severity = severity;
	appctx->ctx.cli.msg = msg;
	appctx->st0 = CLI_ST_PRINT;
	return 1;
}

static inline int cli_err(struct appctx *appctx, const char *err)
{
	return cli_msg(appctx, LOG_ERR, err);
}

#endif

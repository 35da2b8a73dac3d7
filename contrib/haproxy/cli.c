/*
 * The master's commands and configuration keywords in HAProxy. What they print
 * is the library's.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/applet.h>
#include <haproxy/cfgparse.h>
#include <haproxy/chunk.h>
#include <haproxy/cli.h>
#include <haproxy/connection.h>
#include <haproxy/proto_sockpair.h>
#include <haproxy/ring.h>
#include <haproxy/stream.h>
#include <haproxy/ticks.h>
#include <haproxy/tools.h>
#endif
#if MWORKER_HAPROXY >= 0x0206
#include <haproxy/sc_strm.h>
#include <haproxy/stconn.h>
#elif MWORKER_HAPROXY >= 0x0204
#include <haproxy/channel.h>
#include <haproxy/stream_interface.h>
#endif

#if MWORKER_HAPROXY >= 0x0302
#define SHIM_IO_HANDLER(appctx) ((appctx)->cli_ctx.io_handler)
#else
#define SHIM_IO_HANDLER(appctx) ((appctx)->io_handler)
#endif

#if MWORKER_HAPROXY >= 0x0206
#define SHIM_TEXT(appctx) ((appctx)->svcctx)
#else
#define SHIM_TEXT(appctx) ((appctx)->ctx.cli.p0)
#endif

#if MWORKER_HAPROXY < 0x0300
#define ring_data(ring) b_data(&(ring)->buf)
#endif

/* The log of a start is kept: by that option, and from 3.2 on always. */
#if defined(USE_SHM_OPEN) || MWORKER_HAPROXY >= 0x0302
#define SHIM_START_LOG
#endif

/* Prints the chunk. -1: there is no room now, it is to be tried again. */
static int shim_print(struct appctx *appctx)
{
#if MWORKER_HAPROXY >= 0x0206
	return applet_putchk(appctx, &trash);
#else
	struct stream_interface *si = appctx->owner;

	if (ci_putchk(si_ic(si), &trash) != -1)
		return 0;
	si_rx_room_blk(si);
	return -1;
#endif
}

/* Prints the next piece of the text; 1 when there is no more. */
static int shim_io_show_proc(struct appctx *appctx)
{
	struct mworker_text *text = SHIM_TEXT(appctx);
	const char *piece;
	size_t length;

#if MWORKER_HAPROXY < 0x0206
	struct stream_interface *si = appctx->owner;

	if (si_ic(si)->flags & (CF_WRITE_ERROR | CF_SHUTW))
		return 1;
#endif

	/* A keyword without a parser shows the table as well. */
	if (!text) {
		if (mworker_show_proc(shim_mworker, 0, &text) != MWORKER_OK)
			return 1;
		SHIM_TEXT(appctx) = text;
	}
	/* Half a buffer always finds room in the end. */
	while (piece = mworker_text_peek(text, trash.size / 2, &length), length) {
		chunk_reset(&trash);
		chunk_memcat(&trash, piece, length);
		if (shim_print(appctx) == -1)
			return 0;
		mworker_text_advance(text, length);
	}
	return 1;
}

static void shim_release_show_proc(struct appctx *appctx)
{
	mworker_text_free(SHIM_TEXT(appctx));
	SHIM_TEXT(appctx) = NULL;
}

static int shim_parse_show_proc(char **args, char *payload, struct appctx *appctx, void *private)
{
	struct mworker_text *text = NULL;
	int debug = 0;

#if MWORKER_HAPROXY >= 0x0301
	if (!cli_has_level(appctx, ACCESS_LVL_OPER))
		return 1;
	if (*args[2]) {
		if (strcmp(args[2], "debug") != 0)
			return cli_err(appctx, "'show proc' only supports 'debug' as argument\n");
		debug = 1;
	}
#endif
	if (mworker_show_proc(shim_mworker, debug, &text) != MWORKER_OK)
		return cli_err(appctx, "The process table can't be shown.\n");
	SHIM_TEXT(appctx) = text;
	return 0;
}

#if MWORKER_HAPROXY >= 0x0207
/* The client that typed the command, and whether it waits for the next image. */
static struct appctx *shim_client;
static int shim_client_parked;
#endif

/*
 * The client's connection waits in the master's own socketpair, where the next
 * image finds and answers it. This process's copy closes itself with the exec,
 * and is still there when that fails. Up to 2.6 a client learns nothing, but that
 * its connection ends.
 */
void shim_park_client(void *user)
{
#if MWORKER_HAPROXY >= 0x0207
	struct stconn *sc = shim_client ? appctx_sc(shim_client) : NULL;
	struct stream *strm = sc ? sc_strm(sc) : NULL;
	struct connection *conn = strm && strm->scf ? sc_conn(strm->scf) : NULL;
	int fd = conn ? conn_fd(conn) : -1;

	shim_client_parked = fd >= 0 && send_fd_uxst(proc_self->ipc_fd[0], fd) == 0;
#endif
}

/* The exec failed: the client is answered here. */
void shim_take_client_back(void *user, int error)
{
#if MWORKER_HAPROXY >= 0x0207
	int fd = shim_client_parked ? recv_fd_uxst(proc_self->ipc_fd[1]) : -1;

	if (fd >= 0)
		close(fd);
	shim_client_parked = 0;
#endif
}

static int shim_answer_failure(struct appctx *appctx, const char *why)
{
	chunk_printf(&trash, "Success=0\n--\n%s\n", why);
	return cli_msg(appctx, LOG_INFO, trash.area);
}

/* "reload" and "hard-reload". */
static int shim_parse_reload(char **args, char *payload, struct appctx *appctx, void *private)
{
	if (!cli_has_level(appctx, ACCESS_LVL_OPER))
		return 1;

#if MWORKER_HAPROXY >= 0x0207
	shim_client = appctx;
#endif
	mworker_reload_for_client(shim_mworker, *args[0] == 'h');
	/* It failed. */
#if MWORKER_HAPROXY >= 0x0207
	shim_client = NULL;
#endif
	return shim_answer_failure(appctx, mworker_error(shim_mworker));
}

#if MWORKER_HAPROXY >= 0x0207
/* What the client of a reload gets, once it is known how the reload ended. */
static int shim_io_loadstatus(struct appctx *appctx)
{
	int status;

	if (!cli_has_level(appctx, ACCESS_LVL_OPER))
		return 1;

	status = shim_load_status();
	if (status == SHIM_LOADING) {
		appctx->t->expire = tick_add(now_ms, 50);
		return 0;
	}
	if (status == SHIM_NO_LOAD)
		return 1;
	chunk_printf(&trash, "Success=%d\n", status == SHIM_LOADED);
#ifdef SHIM_START_LOG
	if (startup_logs && ring_data(startup_logs) > 1)
		chunk_appendf(&trash, "--\n");
#endif
	if (applet_putchk(appctx, &trash) == -1)
		return 0;
#ifdef SHIM_START_LOG
	if (startup_logs) {
		SHIM_IO_HANDLER(appctx) = NULL;
		ring_attach_cli(startup_logs, appctx, 0);
		return 0;
	}
#endif
	return 1;
}

#endif

#if MWORKER_HAPROXY < 0x0204
static struct cli_kw_list shim_cli_keywords = {{ }, {
	{ { "@<relative pid>", NULL }, "@<relative pid> : send a command to the <relative pid> process", NULL, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
	{ { "@!<pid>", NULL },         "@!<pid>        : send a command to the <pid> process", cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "@master", NULL },         "@master        : send a command to the master process", cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "show", "proc", NULL },    "show proc      : show processes status", shim_parse_show_proc, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
	{ { "reload", NULL },          "reload         : reload haproxy", shim_parse_reload, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{{},}
}};
#else
static struct cli_kw_list shim_cli_keywords = {{ }, {
	{ { "@<relative pid>", NULL }, "@<relative pid>                         : send a command to the <relative pid> process", NULL, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
	{ { "@!<pid>", NULL },         "@!<pid>                                 : send a command to the <pid> process", cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "@master", NULL },         "@master                                 : send a command to the master process", cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "show", "proc", NULL },    "show proc                               : show processes status", shim_parse_show_proc, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
#if MWORKER_HAPROXY < 0x0209
	{ { "reload", NULL },          "reload                                  : reload haproxy", shim_parse_reload, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
#else
	{ { "reload", NULL },          "reload                                  : achieve a soft-reload (-sf) of haproxy", shim_parse_reload, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "hard-reload", NULL },     "hard-reload                             : achieve a hard-reload (-st) of haproxy", shim_parse_reload, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
#endif
#if MWORKER_HAPROXY >= 0x0207
	{ { "_loadstatus", NULL },     NULL, cli_parse_default, shim_io_loadstatus, NULL, NULL, ACCESS_MASTER_ONLY },
#endif
	{{},}
}};
#endif

INITCALL1(STG_REGISTER, cli_register_kw, &shim_cli_keywords);

#if MWORKER_HAPROXY < 0x0204
#define SHIM_DEFAULTS struct proxy
#else
#define SHIM_DEFAULTS const struct proxy
#endif

static int shim_parse_max_reloads(char **args, int section_type, struct proxy *curpx,
                                  SHIM_DEFAULTS *defpx, const char *file, int linenum,
                                  char **err)
{
#if MWORKER_HAPROXY >= 0x0301
	if (!(global.mode & MODE_DISCOVERY))
		return 0;
#endif
	if (too_many_args(1, args, err, NULL))
		return -1;
	if (!*args[1]) {
		memprintf(err, "'%s' expects an integer argument.", args[0]);
		return -1;
	}
	max_reloads = atol(args[1]);
	if (max_reloads < 0) {
		memprintf(err, "'%s' expects a positive value or zero.", args[0]);
		return -1;
	}
	return 0;
}

static struct cfg_kw_list shim_cfg_keywords = {{ }, {
#if MWORKER_HAPROXY >= 0x0301
	{ CFG_GLOBAL, "mworker-max-reloads", shim_parse_max_reloads, KWF_DISCOVERY },
#else
	{ CFG_GLOBAL, "mworker-max-reloads", shim_parse_max_reloads },
#endif
	{ 0, NULL, NULL },
}};

INITCALL1(STG_REGISTER, cfg_register_keywords, &shim_cfg_keywords);

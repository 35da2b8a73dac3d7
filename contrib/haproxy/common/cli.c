/*
 * The master's commands and configuration keywords in HAProxy. The library writes
 * what they print.
 */
#include "shim.h"

#include <string.h>
#include <syslog.h>

/* Prints the next piece of the text; 1 when there is no more. */
static int shim_io_show_proc(struct appctx *appctx)
{
	struct mworker_text *text = SHIM_TEXT(appctx);
	const char *piece;
	size_t length;

	if (shim_output_is_closed(appctx))
		return 1;
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

	if (SHIM_SHOW_PROC_DEBUG) {
		if (!cli_has_level(appctx, ACCESS_LVL_OPER))
			return 1;
		if (*args[2] && strcmp(args[2], "debug") != 0)
			return cli_err(appctx, "'show proc' only supports 'debug' as argument\n");
		debug = !!*args[2];
	}
	if (mworker_show_proc(shim_mworker, debug, &text) != MWORKER_OK)
		return cli_err(appctx, "The process table can't be shown.\n");
	SHIM_TEXT(appctx) = text;
	return 0;
}

/* The client whose reload is being decided, and whether it is parked. */
static struct appctx *shim_client;
static int shim_client_is_parked;

/*
 * Parks the connection of the client in the master's own socketpair, where the next
 * image finds and answers it. This process's copy closes with the exec, and is still
 * there when the exec fails. Up to 2.6 a client learns only that its connection ends.
 */
void shim_park_client(void *user)
{
	int fd = shim_client ? shim_client_fd(shim_client) : -1;

	shim_client_is_parked = fd >= 0 && send_fd_uxst(proc_self->ipc_fd[0], fd) == 0;
}

/* The exec failed: the client is answered here. */
void shim_take_client_back(void *user, int error)
{
	int fd = shim_client_is_parked ? recv_fd_uxst(proc_self->ipc_fd[1]) : -1;

	if (fd >= 0)
		close(fd);
	shim_client_is_parked = 0;
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

	shim_client = appctx;
	mworker_reload_for_client(shim_mworker, *args[0] == 'h');
	/* The reload was refused or failed: otherwise this image is gone. */
	shim_client = NULL;
	return shim_answer_failure(appctx, mworker_error(shim_mworker));
}

#ifdef SHIM_ANSWERS_RELOADS
/* Answers the client of a reload, when the reload has ended. */
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

static struct cli_kw_list shim_cli_keywords = {{ }, {
	{ { "@<relative pid>", NULL }, SHIM_HELP("@<relative pid>                         : send a command to the <relative pid> process",
	                                         "@<relative pid> : send a command to the <relative pid> process"),
	  NULL, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
	{ { "@!<pid>", NULL },         SHIM_HELP("@!<pid>                                 : send a command to the <pid> process",
	                                         "@!<pid>        : send a command to the <pid> process"),
	  cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "@master", NULL },         SHIM_HELP("@master                                 : send a command to the master process",
	                                         "@master        : send a command to the master process"),
	  cli_parse_default, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
	{ { "show", "proc", NULL },    SHIM_HELP("show proc                               : show processes status",
	                                         "show proc      : show processes status"),
	  shim_parse_show_proc, shim_io_show_proc, shim_release_show_proc, NULL, ACCESS_MASTER_ONLY },
	SHIM_RELOADS
	SHIM_LOAD_STATUS
	{{},}
}};

INITCALL1(STG_REGISTER, cli_register_kw, &shim_cli_keywords);

static int shim_parse_max_reloads(char **args, int section_type, struct proxy *curpx,
                                  SHIM_DEFAULTS *defpx, const char *file, int linenum,
                                  char **err)
{
	if (!shim_reads_for_master())
		return 0;
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
	SHIM_MASTER_KEYWORD("mworker-max-reloads", shim_parse_max_reloads),
	{ 0, NULL, NULL },
}};

INITCALL1(STG_REGISTER, cfg_register_keywords, &shim_cfg_keywords);

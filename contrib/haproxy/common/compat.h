/*
 * What differs between HAProxy's versions, for all shims: every condition on a
 * version is in this file.
 *
 * What differs between releases of one branch is looked up in the tree when it is
 * built, by mworker.mk (SHIM_OLD_ARGV, SHIM_DROPS_OLD_SOCKETS).
 */
#ifndef MWORKER_COMPAT_H
#define MWORKER_COMPAT_H

/* MWORKER_HAPROXY comes from mworker.mk. */
#define SHIM_SINCE(major, minor) (MWORKER_HAPROXY >= (major) * 256 + (minor))

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * HAProxy's headers. It declares a mworker_reload() of its own, which none of its
 * code may call: its name here is the one of mworker.mk.
 */
#if !SHIM_SINCE(2, 0)
#include <common/standard.h>
#elif !SHIM_SINCE(2, 2)
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
#include <proto/proto_sockpair.h>
#include <proto/proxy.h>
#include <proto/stream_interface.h>
#include <proto/task.h>
#else
#include <haproxy/api.h>
#include <haproxy/applet.h>
#include <haproxy/cfgparse.h>
#include <haproxy/chunk.h>
#include <haproxy/cli.h>
#include <haproxy/connection.h>
#include <haproxy/errors.h>
#include <haproxy/fd.h>
#include <haproxy/global.h>
#include <haproxy/list.h>
#include <haproxy/listener.h>
#include <haproxy/mworker.h>
#include <haproxy/peers.h>
#include <haproxy/proto_sockpair.h>
#include <haproxy/proxy.h>
#include <haproxy/ring.h>
#include <haproxy/server.h>
#include <haproxy/stream.h>
#include <haproxy/task.h>
#include <haproxy/thread.h>
#include <haproxy/ticks.h>
#include <haproxy/tools.h>
#include <haproxy/version.h>
#if SHIM_SINCE(2, 6)
#include <haproxy/init.h>
#include <haproxy/sc_strm.h>
#include <haproxy/stconn.h>
#else
#include <haproxy/channel.h>
#include <haproxy/stream_interface.h>
#endif
#if SHIM_SINCE(2, 3)
#include <haproxy/sock.h>
#endif
#if SHIM_SINCE(3, 1)
#include <haproxy/stick_table.h>
#endif
#if SHIM_SINCE(3, 0)
#include <haproxy/systemd.h>
#endif
#endif

/* These headers have had no include guard, and an edited file has included them. */
#if SHIM_SINCE(2, 2) && !defined(SHIM_APPENDED)
#include <haproxy/signal.h>
#elif SHIM_SINCE(2, 0) && !defined(SHIM_APPENDED)
#include <proto/signal.h>
#endif

/* Up to 2.9 the functions of libsystemd, which systemd.c has. */
#if !SHIM_SINCE(3, 0)
#include <systemd/sd-daemon.h>
#endif

#if SHIM_SINCE(2, 0)

/* ---- names ---- */

#if !SHIM_SINCE(2, 4)
#define LIST_APPEND LIST_ADDQ
#define LIST_DELETE LIST_DEL
#endif

/* A task of this thread only; and the type of a task's state. */
#if !SHIM_SINCE(2, 6)
#define task_new_here() task_new(tid_bit)
#endif
#if !SHIM_SINCE(2, 4)
#define SHIM_TASK_STATE unsigned short
#else
#define SHIM_TASK_STATE unsigned int
#endif

#if SHIM_SINCE(3, 5)
#define shim_for_each_proxy(px) list_for_each_entry(px, &main_proxies, el)
#else
#define shim_for_each_proxy(px) for (px = proxies_list; px; px = px->next)
#endif

#if !SHIM_SINCE(3, 4)
#define ha_random_jump128 ha_random_jump96
#endif

/* Functions of the module that HAProxy's headers do not declare. */
#if !SHIM_SINCE(2, 6)
struct mworker_proc *mworker_proc_new();
#endif
#if !SHIM_SINCE(2, 2)
void mworker_broadcast_signal(struct sig_handler *sh);
#endif

#if !SHIM_SINCE(2, 1)
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

/* ---- the process table ---- */

/* The row that the library knows for this version. */
#if SHIM_SINCE(2, 6)
#define SHIM_ROW struct mworker_row
#define SHIM_SAME_COUNTER(same) same(failedreloads, failedreloads)
#else
#define SHIM_ROW struct mworker_row_2_4
#define SHIM_SAME_COUNTER(same) same(relative_pid, relative_pid)
#endif
/* Programs have had a user since 2.1; 2.0's row is shorter. */
#if SHIM_SINCE(2, 1)
#define SHIM_SAME_USER(same) same(uid, uid); same(gid, gid)
#define SHIM_ROW_SIZE sizeof(SHIM_ROW)
#else
#define SHIM_SAME_USER(same) _Static_assert(1, "")
#define SHIM_ROW_SIZE offsetof(SHIM_ROW, uid)
#endif

/* Up to 2.3 src/haproxy.c defines it. */
#if SHIM_SINCE(2, 4)
#define SHIM_DEFINES_PROC_SELF
#endif

/* main() forks the worker, and re-executes the master to wait. */
#if SHIM_SINCE(3, 1)
#define SHIM_MAIN_FORKS 0
#else
#define SHIM_MAIN_FORKS 1
#endif

/* Takes what leads to a worker that will never serve out of HAProxy's hands. */
static inline void shim_drop_server(struct mworker_proc *proc)
{
#if SHIM_SINCE(2, 6)
	if (!proc->srv)
		return;
#if SHIM_SINCE(3, 3)
	srv_detach(proc->srv);
#endif
	srv_drop(proc->srv);
	proc->srv = NULL;
#endif
}

static inline void shim_show_version(void)
{
#if SHIM_SINCE(2, 9)
	display_version();
#endif
}

/* Runs a callback when HAProxy has put back its signal mask, or at once. */
#if SHIM_SINCE(3, 1)
void shim_defer(void *user, void (*function)(void *argument), void *argument);
#define SHIM_DEFER shim_defer
#else
#define SHIM_DEFER NULL
#endif

static inline void shim_run_last_deinit(void)
{
#if SHIM_SINCE(3, 3)
	struct post_deinit_fct *deinit;

	list_for_each_entry(deinit, &post_deinit_master_list, list)
		deinit->fct();
#endif
}

/* The descriptor of the start's log, which the next image gets, or -1. */
static inline int shim_start_log_fd(void)
{
#if SHIM_SINCE(2, 7) && !SHIM_SINCE(3, 1)
	const char *fd = getenv("HAPROXY_STARTUPLOGS_FD");

	return fd ? atoi(fd) : -1;
#else
	return -1;
#endif
}

/* ---- the master CLI ---- */

/* Where a command keeps what it prints. */
#if SHIM_SINCE(2, 6)
#define SHIM_TEXT(appctx) ((appctx)->svcctx)
#else
#define SHIM_TEXT(appctx) ((appctx)->ctx.cli.p0)
#endif

#if SHIM_SINCE(3, 2)
#define SHIM_IO_HANDLER(appctx) ((appctx)->cli_ctx.io_handler)
#else
#define SHIM_IO_HANDLER(appctx) ((appctx)->io_handler)
#endif

#if !SHIM_SINCE(3, 0)
#define ring_data(ring) b_data(&(ring)->buf)
#endif

/* The log of a start is kept: by that option, and always since 3.2. */
#if defined(USE_SHM_OPEN) || SHIM_SINCE(3, 2)
#define SHIM_START_LOG
#endif

/* Prints the chunk. -1: the output is full, print it again later. */
static inline int shim_print(struct appctx *appctx)
{
#if SHIM_SINCE(2, 6)
	return applet_putchk(appctx, &trash);
#else
	struct stream_interface *si = appctx->owner;

	if (ci_putchk(si_ic(si), &trash) != -1)
		return 0;
	si_rx_room_blk(si);
	return -1;
#endif
}

/* The client has gone. HAProxy notices by itself since 2.6. */
static inline int shim_output_is_closed(struct appctx *appctx)
{
#if SHIM_SINCE(2, 6)
	return 0;
#else
	struct stream_interface *si = appctx->owner;

	return !!(si_ic(si)->flags & (CF_WRITE_ERROR | CF_SHUTW));
#endif
}

/* "show proc" takes "debug", and is for operators. */
#if SHIM_SINCE(3, 1)
#define SHIM_SHOW_PROC_DEBUG 1
#else
#define SHIM_SHOW_PROC_DEBUG 0
#endif

/* The client of a reload gets its result from the next image. */
#if SHIM_SINCE(2, 7)
#define SHIM_ANSWERS_RELOADS
#endif

/* The connection of the client that sent the command, or -1. */
static inline int shim_client_fd(struct appctx *appctx)
{
#ifdef SHIM_ANSWERS_RELOADS
	struct stconn *sc = appctx_sc(appctx);
	struct stream *strm = sc ? sc_strm(sc) : NULL;
	struct connection *conn = strm && strm->scf ? sc_conn(strm->scf) : NULL;

	return conn ? conn_fd(conn) : -1;
#else
	return -1;
#endif
}

/* The keywords of the reloads, with the help of each version. */
#if !SHIM_SINCE(2, 4)
#define SHIM_HELP(wide, narrow) narrow
#else
#define SHIM_HELP(wide, narrow) wide
#endif
#define SHIM_RELOAD(words, help) \
	{ { words, NULL }, help, shim_parse_reload, NULL, NULL, NULL, ACCESS_MASTER_ONLY },
#if SHIM_SINCE(2, 9)
#define SHIM_RELOADS \
	SHIM_RELOAD("reload",      "reload                                  : achieve a soft-reload (-sf) of haproxy") \
	SHIM_RELOAD("hard-reload", "hard-reload                             : achieve a hard-reload (-st) of haproxy")
#else
#define SHIM_RELOADS \
	SHIM_RELOAD("reload", SHIM_HELP("reload                                  : reload haproxy", \
	                                "reload         : reload haproxy"))
#endif
#ifdef SHIM_ANSWERS_RELOADS
#define SHIM_LOAD_STATUS \
	{ { "_loadstatus", NULL }, NULL, cli_parse_default, shim_io_loadstatus, NULL, NULL, ACCESS_MASTER_ONLY },
#else
#define SHIM_LOAD_STATUS
#endif

/* ---- the configuration ---- */

#if !SHIM_SINCE(2, 4)
#define SHIM_DEFAULTS struct proxy
#else
#define SHIM_DEFAULTS const struct proxy
#endif

/* Since 3.1 the master reads only what is for it. */
#if SHIM_SINCE(3, 1)
#define SHIM_MASTER_KEYWORD(word, parse) { CFG_GLOBAL, word, parse, KWF_DISCOVERY }
static inline int shim_reads_for_master(void) { return global.mode & MODE_DISCOVERY; }
#else
#define SHIM_MASTER_KEYWORD(word, parse) { CFG_GLOBAL, word, parse }
static inline int shim_reads_for_master(void) { return 1; }
#endif

/* A hard reload was asked for. */
static inline int shim_is_hard_reload(void)
{
#if SHIM_SINCE(3, 1)
	return oldpids_sig == SIGTERM;
#else
	return 0;
#endif
}

/* "program" sections are an error. */
static inline int shim_refuses_programs(void)
{
#if SHIM_SINCE(3, 1)
	return !deprecated_directives_allowed;
#else
	return 0;
#endif
}

/* The user and the group of a program, or NULL before 2.1. */
static inline int *shim_program_uid(struct mworker_proc *proc)
{
#if SHIM_SINCE(2, 1)
	return &proc->uid;
#else
	return NULL;
#endif
}

static inline int *shim_program_gid(struct mworker_proc *proc)
{
#if SHIM_SINCE(2, 1)
	return &proc->gid;
#else
	return NULL;
#endif
}

/* Since 3.1 HAProxy checks the sections itself. */
#if !SHIM_SINCE(3, 1)
#define SHIM_CHECKS_PROGRAMS
#endif

/* ---- listeners ---- */

#if !SHIM_SINCE(2, 3)
#define shim_accept(fd)     listener_accept(fd)
#define shim_is_masters(l)  ((l)->options & LI_O_MWORKER)
#define shim_listener_fd(l) ((l)->fd)
#define shim_disable(px)    ((px)->state = PR_STSTOPPED)
#else
#define shim_accept(fd)     listener_accept(fdtab[fd].owner)
#define shim_is_masters(l)  ((l)->rx.flags & RX_F_MWORKER)
#define shim_listener_fd(l) ((l)->rx.fd)
#if !SHIM_SINCE(2, 6)
#define shim_disable(px)    ((px)->disabled = 1)
#else
#define shim_disable(px)    ((px)->flags |= PR_FL_DISABLED)
#endif
#endif

/* Stops a listener. What the master got by fd@ stays open for the next image. */
static inline void shim_unbind(struct listener *l)
{
#if !SHIM_SINCE(2, 3)
	if (l->options & LI_O_INHERITED)
		unbind_listener_no_close(l);
	else
#endif
		unbind_listener(l);
	delete_listener(l);
}

static inline void shim_stop_peers_task(struct peers *peers)
{
#if !SHIM_SINCE(2, 6)
	task_destroy(peers->peers_fe->task);
	peers->peers_fe->task = NULL;
#endif
}

/* Has `fd` call `accept` when it can be read. */
static inline void shim_watch(int fd, void (*accept)(int fd))
{
#if SHIM_SINCE(2, 6)
	fd_set_nonblock(fd);
	fdtab[fd].iocb = accept;
#else
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fd_insert(fd, fdtab[fd].owner, accept, tid_bit);
#endif
	fd_want_recv(fd);
}

/* ---- the master of 2.0 to 3.0 ---- */

#if !SHIM_SINCE(3, 1)

/* With "nbproc", up to 2.4, there are more workers to come. */
static inline int shim_forks_more(void)
{
#if SHIM_SINCE(2, 6)
	return 0;
#else
	return relative_pid < global.nbproc;
#endif
}

#endif

/* 2.6 announces a reload before each exec, and READY at the end of each. */
#if SHIM_SINCE(2, 7)
#define SHIM_ANNOUNCES_EXEC 0
#else
#define SHIM_ANNOUNCES_EXEC 1
#endif

/* ---- the master of 3.1 and later ---- */

/* How many reloads a worker may live through. */
#if SHIM_SINCE(3, 3)
#define SHIM_MAX_RELOADS 50
#else
#define SHIM_MAX_RELOADS INT_MAX
#endif

/* In a worker: closes what leads to the process that started a daemon. */
static inline void shim_close_daemon_fd(void)
{
#if SHIM_SINCE(3, 2)
	if (daemon_fd[1] >= 0) {
		close(daemon_fd[1]);
		daemon_fd[1] = -1;
	}
#endif
}

static inline void shim_drop_unusable_counters(void)
{
#if SHIM_SINCE(3, 3)
	if (!pool_head_stk_ctr)
		global.tune.nb_stk_ctr = 0;
#endif
}

static inline void shim_close_devnull(void)
{
#if SHIM_SINCE(3, 3)
	close(devnullfd);
	devnullfd = -1;
#endif
}

#endif /* 2.0 */

#endif

/*
 * The library in HAProxy: its handle, its callbacks, and the functions of
 * HAProxy's own module that are the same in every version.
 */
#include "shim.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/fd.h>
#include <haproxy/list.h>
#include <haproxy/proxy.h>
#include <haproxy/server.h>
#include <haproxy/signal.h>
#include <haproxy/task.h>
#include <haproxy/tools.h>
#include <haproxy/version.h>
#endif

/* Both sides have compiled the same rows in. */
#if MWORKER_HAPROXY >= 0x0206
#define SHIM_ROW struct mworker_row
#else
#define SHIM_ROW struct mworker_row_2_4
#endif
#define SAME(field, ours)                                                          \
	_Static_assert(offsetof(struct mworker_proc, field) ==                      \
	               offsetof(SHIM_ROW, ours), #field " is elsewhere")
SAME(pid, pid);
SAME(options, options);
SAME(id, id);
SAME(command, command);
SAME(path, path);
SAME(version, version);
SAME(ipc_fd, ipc_fd);
SAME(reloads, reloads);
#if MWORKER_HAPROXY >= 0x0206
SAME(failedreloads, failedreloads);
#else
SAME(relative_pid, relative_pid);
#endif
SAME(timestamp, timestamp);
SAME(srv, srv);
SAME(list, list);
#if MWORKER_HAPROXY >= 0x0204
SAME(uid, uid);
SAME(gid, gid);
_Static_assert(sizeof(struct mworker_proc) == sizeof(SHIM_ROW),
               "struct mworker_proc has another size");
#else
_Static_assert(sizeof(struct mworker_proc) == offsetof(SHIM_ROW, uid),
               "struct mworker_proc has another size");
#endif
_Static_assert(offsetof(struct list, n) == offsetof(struct mworker_list, n) &&
               offsetof(struct list, p) == offsetof(struct mworker_list, p) &&
               sizeof(struct list) == sizeof(struct mworker_list),
               "struct list is another");
_Static_assert(PROC_O_TYPE_MASTER == MWORKER_ROW_MASTER &&
               PROC_O_TYPE_WORKER == MWORKER_ROW_WORKER &&
               PROC_O_LEAVING == MWORKER_ROW_LEAVING &&
               PROC_O_START_RELOAD == MWORKER_ROW_START_RELOAD,
               "options have other bits");
#ifdef PROC_O_TYPE_PROG
_Static_assert(PROC_O_TYPE_PROG == MWORKER_ROW_PROGRAM, "options have other bits");
#endif
#ifdef PROC_O_INIT
_Static_assert(PROC_O_INIT == MWORKER_ROW_INIT, "options have other bits");
#endif

struct mworker *shim_mworker;

/* The row of this process. HAProxy's C reads it everywhere. */
#if MWORKER_HAPROXY >= 0x0204
struct mworker_proc *proc_self = NULL;
#endif

static void shim_log(void *user, int level, const char *text)
{
	switch (level) {
	case MWORKER_LOG_ALERT:
		ha_alert("%s\n", text);
		break;
	case MWORKER_LOG_WARNING:
		ha_warning("%s\n", text);
		break;
	default:
		ha_notice("%s\n", text);
	}
}

/*
 * The server that leads to a worker on the master CLI, and its descriptor.
 */
static void shim_gone(void *user, struct mworker_row *row, int kind)
{
	struct mworker_proc *proc = (struct mworker_proc *)row;
	/* Polled ones have to leave the poller, which closes them. */
	int polled = proc->ipc_fd[0] >= 0 && fdtab && fdtab[proc->ipc_fd[0]].owner;

	if (kind == MWORKER_GONE_FORMER)
		delete_oldpid(proc->pid);
#if MWORKER_HAPROXY >= 0x0206
	if (kind == MWORKER_GONE_STARTING)
		shim_load_failed();
	if (proc->srv && (kind == MWORKER_GONE_UNBORN || kind == MWORKER_GONE_STARTING)) {
		shim_forget_listeners_on(proc->ipc_fd[0]);
#if MWORKER_HAPROXY >= 0x0303
		srv_detach(proc->srv);
#endif
		srv_drop(proc->srv);
		proc->srv = NULL;
	}
#endif
	if (polled) {
		fd_delete(proc->ipc_fd[0]);
		proc->ipc_fd[0] = -1;
	}
}

static void shim_crashed(void *user, const struct mworker_row *row)
{
#if MWORKER_HAPROXY >= 0x0209
	display_version();
#endif
}

#if MWORKER_HAPROXY >= 0x0301
struct shim_deferred {
	void (*function)(void *argument);
	void *argument;
};

static struct task *shim_run_deferred(struct task *task, void *context, unsigned int state)
{
	struct shim_deferred *deferred = context;

	deferred->function(deferred->argument);
	free(deferred);
	task_destroy(task);
	return NULL;
}

/* Signals are processed with the mask held, and it is put back afterwards. */
static void shim_defer(void *user, void (*function)(void *argument), void *argument)
{
	struct shim_deferred *deferred = malloc(sizeof(*deferred));
	struct task *task = deferred ? task_new_here() : NULL;

	if (!task) {
		free(deferred);
		function(argument);
		return;
	}
	deferred->function = function;
	deferred->argument = argument;
	task->process = shim_run_deferred;
	task->context = deferred;
	task_wakeup(task, TASK_WOKEN_MSG);
}

#endif

static void shim_leave(void *user, int status)
{
#if MWORKER_HAPROXY >= 0x0303
	struct post_deinit_fct *deinit;

	list_for_each_entry(deinit, &post_deinit_master_list, list)
		deinit->fct();
#endif
	atexit_flag = 0;
	exit(status);
}

static void shim_init(void)
{
	struct mworker_host host = {
		.size = sizeof(host),
		.name = "HAProxy",
		.version = haproxy_version,
		.haproxy = MWORKER_HAPROXY,
		.table = (struct mworker_list *)&proc_list,
		.log = shim_log,
		.before_exec = shim_park_client,
		.after_failed_exec = shim_take_client_back,
		.gone = shim_gone,
		.crashed = shim_crashed,
#if MWORKER_HAPROXY >= 0x0301
		.defer = shim_defer,
#endif
		.leave = shim_leave,
	};

	if (mworker_abi() != MWORKER_ABI || mworker_new(&host, &shim_mworker) != MWORKER_OK) {
		fprintf(stderr, "mworker %s doesn't fit this HAProxy\n", mworker_version());
		exit(EXIT_FAILURE);
	}
}

INITCALL0(STG_PREPARE, shim_init);

void shim_configure(void)
{
	static int settings_read;
#if MWORKER_HAPROXY >= 0x0207 && MWORKER_HAPROXY < 0x0301
	char *logs = getenv("HAPROXY_STARTUPLOGS_FD");
#endif

	if (!settings_read++)
		mworker_read_settings(shim_mworker);
	mworker_set_exit_on_failure(shim_mworker, !(global.tune.options & GTUNE_NOEXIT_ONFAILURE));
	mworker_set_max_reloads(shim_mworker, max_reloads);
	if (global.tune.options & GTUNE_USE_SYSTEMD)
		mworker_use_systemd(shim_mworker);
	mworker_set_open_files(shim_mworker, rlim_fd_cur_at_boot, rlim_fd_max_at_boot);
#if MWORKER_HAPROXY >= 0x0207 && MWORKER_HAPROXY < 0x0301
	/* The start's log goes to the next image. */
	if (logs)
		mworker_keep_fd(shim_mworker, atoi(logs));
#endif
}

/*
 * What the master does on a signal, instead of what HAProxy has registered. In
 * no moment is the signal ignored: the system would forget one that is held back.
 */
void shim_register_signal(int number, void (*function)(struct sig_handler *sh))
{
	struct sig_handler *ours = signal_register_fct(number, function, number);
	struct sig_handler *other, *next;

	list_for_each_entry_safe(other, next, &signal_state[number].handlers, list) {
		if (other != ours)
			signal_unregister_handler(other);
	}
}

/* What HAProxy's own code calls for kill(), see mworker.mk. */
int shim_kill(pid_t pid, int signal)
{
	return mworker_signal_process(shim_mworker, pid, signal) == MWORKER_OK ? 0 : -1;
}

/* The functions that HAProxy's own module has under these names. */

void mworker_block_signals()
{
	mworker_hold_signals();
}

int mworker_current_child(int pid)
{
	return mworker_is_current(shim_mworker, pid);
}

int mworker_child_nb()
{
	return mworker_children(shim_mworker);
}

void mworker_proc_list_to_env()
{
	mworker_write_table(shim_mworker);
}

struct mworker_proc *mworker_proc_new()
{
	return (struct mworker_proc *)mworker_row_new();
}

void mworker_free_child(struct mworker_proc *child)
{
	mworker_row_free((struct mworker_row *)child);
}

void mworker_cleanup_proc()
{
	mworker_release_unborn(shim_mworker);
}

void mworker_broadcast_signal(struct sig_handler *sh)
{
	mworker_signal(shim_mworker, sh->arg);
}

void mworker_catch_sighup(struct sig_handler *sh)
{
	mworker_reload(shim_mworker);
	shim_look_at_clock();
}

void mworker_catch_sigterm(struct sig_handler *sh)
{
	mworker_signal(shim_mworker, sh->arg);
	shim_look_at_clock();
}

void mworker_catch_sigchld(struct sig_handler *sh)
{
	mworker_signal(shim_mworker, SIGCHLD);
	shim_look_at_clock();
}

void mworker_kill_max_reloads(int sig)
{
	shim_configure();
	mworker_enforce_max_reloads(shim_mworker);
}

/* Gives the number of descriptors room in maxsock. Below 0: can't go on. */
static int shim_read_table(void)
{
	const struct mworker_row *row = NULL;
	size_t descriptors = 0;

	if (mworker_read_table(shim_mworker, &descriptors) != MWORKER_OK)
		return -1;
	global.maxsock += descriptors;
	while ((row = mworker_row_next(shim_mworker, row)) != NULL) {
		if (row->options & MWORKER_ROW_MASTER)
			proc_self = (struct mworker_proc *)row;
	}
	return 0;
}

#if MWORKER_HAPROXY >= 0x0206
int mworker_env_to_proc_list()
{
	return shim_read_table();
}
#else
void mworker_env_to_proc_list()
{
	if (shim_read_table() < 0)
		exit(EXIT_FAILURE);
}
#endif

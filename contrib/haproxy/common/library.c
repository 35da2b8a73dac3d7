/*
 * The library in HAProxy: its handle, its callbacks, and the functions of
 * HAProxy's own module that are the same in every version.
 */
#include "shim.h"

#include <stdio.h>

/* The library was compiled with the same rows. */
#define SAME(field, ours)                                                          \
	_Static_assert(offsetof(struct mworker_proc, field) == offsetof(SHIM_ROW, ours) && \
	               sizeof(((struct mworker_proc *)0)->field) == sizeof(((SHIM_ROW *)0)->ours), \
	               "struct mworker_proc has another " #field)
SAME(pid, pid);
SAME(options, options);
SAME(id, id);
SAME(command, command);
SAME(path, path);
SAME(version, version);
SAME(ipc_fd, ipc_fd);
SAME(reloads, reloads);
SHIM_SAME_COUNTER(SAME);
SAME(timestamp, timestamp);
SAME(srv, srv);
SAME(list, list);
SHIM_SAME_USER(SAME);
_Static_assert(sizeof(struct mworker_proc) == SHIM_ROW_SIZE,
               "struct mworker_proc has another size");
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
#ifdef SHIM_DEFINES_PROC_SELF
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

/* Takes a row that is about to be freed out of HAProxy's hands. */
static void shim_gone(void *user, struct mworker_row *row, int kind)
{
	struct mworker_proc *proc = (struct mworker_proc *)row;
	/* A polled descriptor has to leave the poller, which closes it. */
	int polled = proc->ipc_fd[0] >= 0 && fdtab && fdtab[proc->ipc_fd[0]].owner;

	if (kind == MWORKER_GONE_FORMER)
		delete_oldpid(proc->pid);
	if (kind == MWORKER_GONE_STARTING)
		shim_load_failed();
	if (proc->srv && (kind == MWORKER_GONE_UNBORN || kind == MWORKER_GONE_STARTING)) {
		shim_stop_listeners_on(proc->ipc_fd[0]);
		shim_drop_server(proc);
	}
	if (polled) {
		fd_delete(proc->ipc_fd[0]);
		proc->ipc_fd[0] = -1;
	}
}

static void shim_crashed(void *user, const struct mworker_row *row)
{
	shim_show_version();
}

static void shim_leave(void *user, int status)
{
	shim_run_last_deinit();
	atexit_flag = 0;
	exit(status);
}

/*
 * Blocks SIGUSR2 where main() forks the worker: a reload that is asked for before
 * HAProxy knows that it is a master is done later, see main_calls.h.
 */
static void shim_block_first_reloads(void)
{
	sigset_t reload;

	if (!SHIM_MAIN_FORKS)
		return;
	sigemptyset(&reload);
	sigaddset(&reload, SIGUSR2);
	sigprocmask(SIG_BLOCK, &reload, NULL);
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
		.defer = SHIM_DEFER,
		.leave = shim_leave,
	};

	if (mworker_abi() != MWORKER_ABI || mworker_new(&host, &shim_mworker) != MWORKER_OK) {
		fprintf(stderr, "mworker %s doesn't fit this HAProxy\n", mworker_version());
		exit(EXIT_FAILURE);
	}
	shim_block_first_reloads();
}

INITCALL0(STG_PREPARE, shim_init);

void shim_configure(void)
{
	static int settings_read;

	if (!settings_read++)
		mworker_read_settings(shim_mworker);
	mworker_set_exit_on_failure(shim_mworker, !(global.tune.options & GTUNE_NOEXIT_ONFAILURE));
	mworker_set_max_reloads(shim_mworker, max_reloads);
	if (global.tune.options & GTUNE_USE_SYSTEMD)
		mworker_use_systemd(shim_mworker);
	mworker_set_open_files(shim_mworker, rlim_fd_cur_at_boot, rlim_fd_max_at_boot);
	if (shim_start_log_fd() >= 0)
		mworker_keep_fd(shim_mworker, shim_start_log_fd());
}

/*
 * Adds ours before it removes HAProxy's: while a signal had no handler it would be
 * ignored, and the system forgets an ignored signal even when it is blocked.
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

/* mworker.mk has HAProxy's own code call it instead of kill(). */
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
	shim_update_timer();
}

void mworker_catch_sigterm(struct sig_handler *sh)
{
	mworker_signal(shim_mworker, sh->arg);
	shim_update_timer();
}

void mworker_catch_sigchld(struct sig_handler *sh)
{
	mworker_signal(shim_mworker, SIGCHLD);
	shim_update_timer();
}

void mworker_kill_max_reloads(int sig)
{
	shim_configure();
	mworker_enforce_max_reloads(shim_mworker);
}

/* Adds the table's descriptors to maxsock, so that HAProxy has room for them. */
int shim_read_table(void)
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

/*
 * HAProxy's mworker_env_to_proc_list(). It returns nothing or an int, depending on
 * the release: its type is the one of the tree's own header.
 */
#define RETURNS(type) \
	__builtin_types_compatible_p(__typeof__(mworker_env_to_proc_list()), type)
_Static_assert(RETURNS(int) || RETURNS(void), "mworker_env_to_proc_list() returns something else");

int shim_env_to_proc_list(void) __asm__("mworker_env_to_proc_list");
int shim_env_to_proc_list(void)
{
	int result = shim_read_table();

	if (result < 0 && RETURNS(void))
		exit(EXIT_FAILURE);
	return result;
}

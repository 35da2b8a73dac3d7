/*
 * mworker: HAProxy's master-worker module, for any C proxy.
 *
 * A master forks a worker, re-executes itself on a reload without dropping a
 * connection, reaps, and tells systemd the truth. What applies to every
 * function:
 *
 * - A process has one handle, used by one thread. The master must have no other
 *   thread; a worker may, once mworker_start_worker() has returned, and any of
 *   them may tell its figures (mworker_worker_set_connections() and so on).
 * - Functions that return int give 0 or more on success, or one of
 *   MWORKER_ERR_, and leave everything as it was then. mworker_strerror() names
 *   it, mworker_error() says what was met. NULL where it isn't allowed gives
 *   MWORKER_ERR_INVALID, and so does a NULL handle.
 * - Strings handed in are copied; strings handed out are the library's, unless
 *   it is said otherwise. Descriptors are handed over or lent as is said.
 * - Unless it is said otherwise a function is not safe in a signal handler.
 * - Nothing unwinds or jumps out of the library: a bug in it gives
 *   MWORKER_ERR_INTERNAL.
 *
 * A master without HAProxy calls, in this order: mworker_new(),
 * mworker_take_args(), mworker_take_over(), mworker_cli_listen(),
 * mworker_daemonize(), mworker_set_pidfile(), mworker_start_worker(),
 * mworker_run(). examples/proxy shows it.
 *
 * Generated from src/capi by `make header`. Don't edit.
 */

#ifndef MWORKER_H
#define MWORKER_H

#include <stddef.h>
#include <stdint.h>

/* Success, where a function has nothing else to say. */
#define MWORKER_OK 0
/* An argument is NULL or makes no sense. */
#define MWORKER_ERR_INVALID (-1)
/* A system call failed; errno is set. */
#define MWORKER_ERR_SYSTEM (-2)
/* A worker is starting, or the library was called back from a callback. */
#define MWORKER_ERR_BUSY (-3)
/* The master has been told to leave. */
#define MWORKER_ERR_LEAVING (-4)
/* This library was built without USE_SYSTEMD. */
#define MWORKER_ERR_SYSTEMD (-5)
/* The process table of the former master can't be used. */
#define MWORKER_ERR_HANDOVER (-6)
/* Out of memory. */
#define MWORKER_ERR_MEMORY (-7)
/* The function isn't for this process: it is for masters, or for workers. */
#define MWORKER_ERR_ROLE (-8)
/* A bug in the library, which was contained. */
#define MWORKER_ERR_INTERNAL (-9)
/* What was asked for isn't there. */
#define MWORKER_ERR_ABSENT (-10)
/* For the record. */
#define MWORKER_LOG_NOTICE 0
/* Something to look at. */
#define MWORKER_LOG_WARNING 1
/* Something is broken. */
#define MWORKER_LOG_ALERT 2
/* It was never forked. */
#define MWORKER_GONE_UNBORN 0
/* It ended before it was READY. */
#define MWORKER_GONE_STARTING 1
/* It was in service. */
#define MWORKER_GONE_CURRENT 2
/* It had been replaced. */
#define MWORKER_GONE_FORMER 3
/* The master itself. */
#define MWORKER_ROW_MASTER 1
/* A worker. */
#define MWORKER_ROW_WORKER 2
/* A program that the master looks after (HAProxy up to 3.2). */
#define MWORKER_ROW_PROGRAM 4
/* Replaced by a newer worker, and expected to leave. */
#define MWORKER_ROW_LEAVING 16
/* Forked, but not READY yet. */
#define MWORKER_ROW_INIT 32
/* A program that is started anew at each reload. */
#define MWORKER_ROW_START_RELOAD 256

/*
 * What a version of the library promises. A host compares it with
 * MWORKER_ABI, which it was compiled with.
 */
#define MWORKER_ABI 1
/* mworker_start_worker() returned in the master. */
#define MWORKER_IN_MASTER 0
/* mworker_start_worker() returned in the new worker. */
#define MWORKER_IN_WORKER 1
/* The new worker serves, and the caller has reported that. */
#define MWORKER_LOAD_SUCCEEDED 0
/* There is none: the configuration was refused, or the fork failed. */
#define MWORKER_LOAD_FAILED 1
/* There is none, and the caller has counted and reported that. */
#define MWORKER_LOAD_FAILURE_REPORTED 2
/* Bytes of a counter's name, with the NUL at its end. */
#define MWORKER_COUNTER_NAME 33

/* A master or a worker. One process, one handle, one thread. */
struct mworker;

/* A text that is read in pieces, as there is room for them. */
struct mworker_text;

/*
 * Links rows into a circle; HAProxy's `struct list`. A list that is empty
 * points to itself.
 */
struct mworker_list {
    /* The next one. */
    struct mworker_list *n;
    /* The one before. */
    struct mworker_list *p;
};

/*
 * A process: HAProxy's `struct mworker_proc`, from 2.6 to 3.5. With an earlier
 * one it is struct mworker_row_2_4 behind the same pointers.
 *
 * Rows are allocated with calloc(), and their strings with malloc(): they may
 * be freed with mworker_row_free() only, the strings replaced with strdup()'s.
 */
struct mworker_row {
    /* -1 before it is forked. */
    int pid;
    /* MWORKER_ROW_ bits. */
    int options;
    /* The name of a program; may be NULL. */
    char *id;
    /* The command of a program, ends with NULL; may be NULL. */
    char **command;
    /* Unused here. */
    char *path;
    /* The version of the binary that it runs; may be NULL. */
    char *version;
    /*
     * Its socketpair, -1 where there is none: the master's end, the worker's.
     */
    int ipc_fd[2];
    /* How many reloads it has lived through. */
    int reloads;
    /* Failed reloads since the last that succeeded. */
    int failedreloads;
    /* When it was started, in seconds since 1970. */
    int timestamp;
    /* The host's. */
    void *srv;
    /* Its place in the table. */
    struct mworker_list list;
    /* The user of a program, -1 for the master's. */
    int uid;
    /* The group of a program, -1 for the master's. */
    int gid;
};

/*
 * The proxy around the library. To be zeroed before it is filled in, so that
 * what a newer header adds is NULL: `struct mworker_host host = {0};`
 *
 * Any callback may be NULL. None may call the library with the same handle
 * (that gives MWORKER_ERR_BUSY), none may longjmp() out or throw, and strings
 * and rows are the library's, only good until the callback returns. They are
 * called by the thread that called the library, never by a signal handler.
 */
struct mworker_host {
    /* sizeof(struct mworker_host), in bytes. */
    size_t size;
    /* The proxy's name in messages; NULL: "proxy". Copied. */
    const char *name;
    /* The proxy's version; NULL: "". Copied. */
    const char *version;
    /*
     * 0, or in HAProxy its branch, `major << 8 | minor`: which generation's
     * messages, process table and rules are used.
     */
    unsigned int haproxy;
    /*
     * NULL: the library keeps the process table. In HAProxy: its `proc_list`,
     * which then is the table; it has to outlive the handle. Its rows are
     * struct mworker_row, up to 2.4 struct mworker_row_2_4.
     */
    struct mworker_list *table;
    /* Handed to every callback. */
    void *user;
    /*
     * Tell people: `level` is one of MWORKER_LOG_, `text` has no newline at
     * its end. NULL: to stderr.
     */
    void (*log)(void *user, int level, const char *text);
    /*
     * The process is about to be replaced: flush what has to be. It may not
     * be, so nothing may be closed or given up; descriptors close themselves.
     */
    void (*before_exec)(void *user);
    /* It was not, with errno `error`. Everything goes on. */
    void (*after_failed_exec)(void *user, int error);
    /*
     * A process is gone, and its row is out of the table; `kind` is one of
     * MWORKER_GONE_. The library frees the row afterwards and closes the
     * descriptors that are left in `ipc_fd`: who closes one sets it to -1.
     */
    void (*gone)(void *user, struct mworker_row *row, int kind);
    /* A worker in service died by itself. */
    void (*crashed)(void *user, const struct mworker_row *row);
    /* A worker has said READY and is in service. */
    void (*in_service)(void *user, const struct mworker_row *row);
    /*
     * Call `function(argument)` soon, but not from a signal's processing, where
     * the host puts the signal mask back afterwards. NULL: it is called at
     * once.
     */
    void (*defer)(void *user, void (*function)(void *argument), void *argument);
    /*
     * Leave the process with `status`. NULL: exit(). With mworker_run() and
     * mworker_dispatch() it isn't called: they return.
     */
    void (*leave)(void *user, int status);
};

/* A counter of a worker, as its master reads it. */
struct mworker_counter {
    /* The name that the worker gave, ends with a NUL. */
    char name[MWORKER_COUNTER_NAME];
    /* Its value. */
    uint64_t value;
};

/*
 * The same from 2.0 to 2.4, whose start may have several workers, and which
 * counts no failed reloads. Up to `ipc_fd` and from `timestamp` on it is the
 * other. In 2.0 programs have neither `uid` nor `gid`, and HAProxy's rows end
 * before them.
 */
struct mworker_row_2_4 {
    /* -1 before it is forked. */
    int pid;
    /* MWORKER_ROW_ bits. */
    int options;
    /* The name of a program; may be NULL. */
    char *id;
    /* The command of a program, ends with NULL; may be NULL. */
    char **command;
    /* Unused here. */
    char *path;
    /* The version of the binary that it runs; may be NULL. */
    char *version;
    /*
     * Its socketpair, -1 where there is none: the master's end, the worker's.
     */
    int ipc_fd[2];
    /* Which of the workers of one start it is, from 1 on; else 0. */
    int relative_pid;
    /* How many reloads it has lived through. */
    int reloads;
    /* When it was started, in seconds since 1970. */
    int timestamp;
    /* The host's. */
    void *srv;
    /* Its place in the table. */
    struct mworker_list list;
    /* The user of a program, -1 for the master's. */
    int uid;
    /* The group of a program, -1 for the master's. */
    int gid;
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Names a result. Any process; safe in a signal handler.
 *
 * Returns a constant string, never NULL, whatever `result` is.
 */
const char *mworker_strerror(int result);

/*
 * Returns the row after `row` in the process table, or the first for NULL; NULL
 * after the last. Rows are the library's, and good until the next call that
 * may reap or reload. Masters.
 */
const struct mworker_row *mworker_row_next(const struct mworker *mw,
                                           const struct mworker_row *row);

/*
 * Returns a row of a process that isn't there yet, in no table: the caller's,
 * to be freed with mworker_row_free(). NULL when out of memory. For HAProxy,
 * whose C puts it into its table. Any process.
 */
struct mworker_row *mworker_row_new(void);

/*
 * Frees a row that is in no table, and its strings; nothing for NULL. Its
 * descriptors stay open. Any process.
 */
void mworker_row_free(struct mworker_row *row);

/*
 * Returns how many workers and programs the table has, old ones included.
 * Masters.
 */
int mworker_children(const struct mworker *mw);

/*
 * Returns 1 if `pid` is a worker or program that has not been replaced, else 0.
 * Masters.
 */
int mworker_is_current(const struct mworker *mw, int pid);

/*
 * Returns the MWORKER_ABI that the library was built with. Any process; safe
 * in a signal handler.
 */
int mworker_abi(void);

/*
 * Returns the library's version, a constant string. Any process; safe in a
 * signal handler.
 */
const char *mworker_version(void);

/*
 * Returns 1 if the library was built with USE_SYSTEMD, else 0. Any process;
 * safe in a signal handler.
 */
int mworker_has_systemd(void);

/*
 * Makes a handle for this process and stores it in `*out`; it is the caller's,
 * to be freed with mworker_free(). To be called as early as possible: what is
 * open at that moment counts as inherited, and stays open over every reload.
 *
 * `host` is copied, what it points to is not, except its strings. Returns
 * MWORKER_OK, or MWORKER_ERR_INVALID (then `*out` is NULL). Not safe in a
 * signal handler.
 */
int mworker_new(const struct mworker_host *host, struct mworker **out);

/*
 * Frees a handle; nothing for NULL. Processes and HAProxy's own table are left
 * as they are. Not safe in a signal handler.
 */
void mworker_free(struct mworker *mw);

/*
 * Returns what the last call that failed on `mw` met, for people: a string of
 * the library's, good until the next call. "" for NULL, or if none failed.
 */
const char *mworker_error(const struct mworker *mw);

/*
 * Tells people by the host's log; `level` is one of MWORKER_LOG_. While a
 * start isn't done, `text` (not NULL, without a newline at its end) is also
 * part of the answer to `reload`, whether the master logs it or the worker
 * that starts. Masters and workers.
 */
int mworker_log(struct mworker *mw, int level, const char *text);

/*
 * Takes out of the command line what a former master put there (`-sf` or `-st`
 * with PIDs, `-x` with an address) and remembers it and what is left, which
 * the next image will be started with. `*argc` and `argv` are changed in place.
 * Masters, before anything else.
 */
int mworker_take_args(struct mworker *mw, int *argc, char **argv);

/*
 * Returns 1 if a former master re-executed itself into this process, else 0.
 * Masters.
 */
int mworker_is_reload(const struct mworker *mw);

/*
 * Tells systemd from now on (`-Ws`): RELOADING, READY, STOPPING, STATUS.
 * Returns MWORKER_ERR_SYSTEMD if the library was built without. Masters.
 */
int mworker_use_systemd(struct mworker *mw);

/*
 * Reads what an operator may set in the environment, for every proxy the same:
 * `MWORKER_START_TIMEOUT` as mworker_set_start_timeout(), in seconds or like
 * `5min`, and `MWORKER_RESTART` as mworker_set_restart(). A value that makes no
 * sense is logged and ignored. Masters, before the loop.
 */
int mworker_read_settings(struct mworker *mw);

/*
 * How many milliseconds a worker may take to be READY: then it is killed, and
 * the start has failed like others. 5 minutes if it isn't called; 0: any time.
 * Masters, at any time.
 */
int mworker_set_start_timeout(struct mworker *mw, unsigned int milliseconds);

/*
 * A reload executes the program by its name, which may be another binary by
 * now. Nothing would come back from one that can't run, so such a one is tried
 * first: in a child, with `arguments` (ends with NULL; copied; NULL: no trial,
 * the default) after its name instead of those of the master. They should have
 * it check what it needs and do nothing. The reload has failed unless it exits
 * with status 0 within 10 seconds, for which the master waits. Nothing is tried
 * while the binary is the same. HAProxy's masters know what to try. Masters, at
 * any time.
 */
int mworker_set_trial(struct mworker *mw, const char *const *arguments);

/*
 * Has a new worker started for one in service that dies, instead of what
 * mworker_set_exit_on_failure() says: at once, and if it dies too after 1, 2,
 * 4 seconds up to 60, and `limit` times in a row; one that has served for a
 * minute begins a new row. It comes by a reload. 0, the default: none. Masters,
 * at any time.
 */
int mworker_set_restart(struct mworker *mw, unsigned int limit);

/*
 * Whether a worker in service that dies takes the service with it: then the
 * others are told to leave, and the master leaves with the dead one's status.
 * 1, the default, or 0. Masters, at any time.
 */
int mworker_set_exit_on_failure(struct mworker *mw, int on);

/*
 * How many reloads a worker may live through; older ones are sent SIGTERM.
 * -1, the default: any number. Masters, at any time.
 */
int mworker_set_max_reloads(struct mworker *mw, int max);

/*
 * Takes over from a former master: reads its process table out of the
 * environment, or begins a new one. From now on a master's signals are held
 * back (TERM and INT are not) until the loop reads them. Rows that make no
 * sense are logged and left out.
 *
 * Returns MWORKER_ERR_HANDOVER when there is no row of the master in it: then
 * nothing can be known of the old workers, and the process should leave.
 * Masters, after mworker_take_args().
 */
int mworker_take_over(struct mworker *mw);

/*
 * Opens the master CLI on the unix socket `path` (not NULL; copied), for the
 * same user only. It answers `show proc`, `reload`, `help` and more, and leads
 * to workers with `@1` and `@!<pid>`. Served by the loop. Masters, after
 * mworker_take_over().
 */
int mworker_cli_listen(struct mworker *mw, const char *path);

/*
 * Goes into the background (`-D`): returns there, as a new process in a
 * session of its own. The launching process stays until a worker is READY and
 * ends with 0 then, or with 1 if none will be. The terminal is let go when a
 * worker is READY. After a reload it does nothing. Masters, before
 * mworker_start_worker(); what was printed but not flushed would come twice.
 */
int mworker_daemonize(struct mworker *mw);

/*
 * Names a file (not NULL; copied) that gets the master's PID once a worker is
 * READY, at each start and reload (`-p`). Masters.
 */
int mworker_set_pidfile(struct mworker *mw, const char *path);

/*
 * Forks the worker. Returns MWORKER_IN_MASTER, or in the new process
 * MWORKER_IN_WORKER: there the handle is a worker's, no signal is held back,
 * and no descriptor of the master is open. A worker has to handle SIGUSR1
 * (leave when the connections have ended), SIGTTOU and SIGTTIN (stop listening
 * for a while) by the time that it calls mworker_ready().
 *
 * A fork that fails at a reload is a failed reload: it is logged and told, and
 * MWORKER_IN_MASTER is returned, for the old workers go on. At the first start
 * it is MWORKER_ERR_SYSTEM.
 */
int mworker_start_worker(struct mworker *mw);

/*
 * Says how the load of the configuration ended: `result` is one of
 * MWORKER_LOAD_. `reason` says for people why it failed; only a failure that
 * isn't reported yet needs it, else it may be NULL. Masters.
 *
 * At a reload MWORKER_LOAD_FAILED is counted, logged and notified. Go on with
 * the loop then: the old workers serve. At the first start there is nothing to
 * go on with: it returns MWORKER_ERR_ABSENT, and the process should leave.
 * Nothing is logged then, except in HAProxy, where it also leaves.
 *
 * A worker that mworker_start_worker() has forked reports for itself: by
 * mworker_ready(), or by its end. The other results are for HAProxy, whose own
 * code reports. Up to 3.0 the process re-executes itself to wait, so the
 * function returns only when that failed.
 */
int mworker_load_ended(struct mworker *mw, int result, const char *reason);

/*
 * Runs the master's loop until the master has to leave; returns the status to
 * leave with (0 to 255). The process's last call but for cleaning up: reloads
 * re-execute it from here. Masters.
 */
int mworker_run(struct mworker *mw);

/*
 * Returns a descriptor to poll for reading: when it is ready, and when
 * mworker_timeout() has passed, mworker_dispatch() has something to do. For
 * hosts with a loop of their own. It is the library's. Masters.
 */
int mworker_fd(struct mworker *mw);

/*
 * Returns in how many milliseconds mworker_dispatch() has to be called even if
 * nothing is ready; -1: not at all. Masters.
 */
int mworker_timeout(const struct mworker *mw);

/*
 * Does what is due because time has passed; for hosts that have a loop of
 * their own and don't call mworker_dispatch(). To be called when
 * mworker_timeout() says so; too early does no harm. Masters.
 */
int mworker_tick(struct mworker *mw);

/*
 * Does what is due, without waiting. Returns 1 to go on, or 0 when the master
 * has to leave, with mworker_exit_status(). Masters.
 */
int mworker_dispatch(struct mworker *mw);

/*
 * Returns the status to leave with, or MWORKER_ERR_ABSENT while the master
 * doesn't have to. Masters.
 */
int mworker_exit_status(const struct mworker *mw);

/*
 * Reloads: re-executes the process, whose next image starts a new worker and
 * tells the old ones to leave when their connections have ended. Does not
 * return when it works.
 *
 * Returns MWORKER_ERR_BUSY while a worker is starting (the reload is done after
 * it), MWORKER_ERR_LEAVING, or MWORKER_ERR_SYSTEM when the exec failed; then
 * everything goes on as before, and the failure has been logged, counted and
 * told. Masters. Not safe in a signal handler.
 */
int mworker_reload(struct mworker *mw);

/* The same, and the old workers are told to leave at once. */
int mworker_hard_reload(struct mworker *mw);

/*
 * The same for a client of the master CLI that waits for the answer: while a
 * worker is starting the reload is refused instead of done later. The old
 * workers leave at once if `hard` isn't 0. When `before_exec` is called, the
 * client's connection has to go where the next image answers it.
 */
int mworker_reload_for_client(struct mworker *mw, int hard);

/*
 * Returns MWORKER_OK if mworker_reload() could begin now, else what it would
 * return. For those who show it: a reload answers by itself. Masters.
 */
int mworker_may_reload(const struct mworker *mw);

/*
 * Does what signal `signo` asks of a master: TERM, INT, USR1 (leave), USR2, HUP
 * (reload), TTIN, TTOU (passed on to the workers), CHLD (children are reaped).
 * For hosts that catch signals themselves; to be called from their loop, never
 * from the handler. Returns MWORKER_ERR_INVALID for another signal. Masters.
 */
int mworker_signal(struct mworker *mw, int signo);

/*
 * Returns the listening socket that the former worker published as `name` (not
 * NULL, at most 255 bytes); it is the caller's from now on, closed by an exec.
 * Both workers then listen on one queue, so no connection is lost.
 *
 * Returns MWORKER_ERR_ABSENT if there is none, or MWORKER_ERR_SYSTEM if the
 * former worker doesn't answer (a worker needs a spare descriptor to): then
 * bind. Workers, before mworker_ready(); may
 * wait up to 2 seconds.
 */
int mworker_inherit_listener(struct mworker *mw, const char *name);

/*
 * Offers the listening socket `fd` to the next worker, as `name` (not NULL, at
 * most 255 bytes; copied). `fd` stays the caller's and has to stay open until
 * it is taken back with -1. Workers.
 */
int mworker_publish_listener(struct mworker *mw, const char *name, int fd);

/*
 * Tells the master that this worker serves: the old ones are told to leave,
 * and whoever asked for the reload is answered. Listeners that were not
 * inherited are closed. Workers, once.
 */
int mworker_ready(struct mworker *mw);

/*
 * Returns a descriptor to poll for reading, for mworker_worker_dispatch(). It
 * is the library's. Workers.
 */
int mworker_worker_fd(const struct mworker *mw);

/*
 * Does what the master asks for, without waiting; hands published listeners
 * to a new worker (which may wait, 2 seconds at most, if that one is slow).
 *
 * Returns 1 to go on; then `*cli_fd` (not NULL) is -1, or a stream connection
 * of the master CLI: the caller's, to read one line from, to answer (the master
 * adds the empty line that ends an answer) and to close. The master has had it
 * open as well, so it should leave an epoll set before it is closed.
 *
 * Returns 0 when the master is gone, and with it everybody who could tell this
 * worker to leave: it should leave. Workers.
 */
int mworker_worker_dispatch(struct mworker *mw, int *cli_fd);

/*
 * Tells the master how many connections there are; `systemctl status` shows
 * the sum of all workers'. One store into memory: no lock and no system call.
 * Workers, any thread, safe in a signal handler.
 *
 * Returns MWORKER_ERR_ABSENT if there is no such memory: in a master, or where
 * it couldn't be had, which the master has logged.
 */
int mworker_worker_set_connections(const struct mworker *mw, uint64_t count);

/*
 * A sign of life, for systemd's watchdog (`WatchdogSec=`): a worker that has
 * given one is expected to give the next within half of that time. To be called
 * from its loop, by a timer if nothing else happens. Else as
 * mworker_worker_set_connections().
 */
int mworker_worker_beat(const struct mworker *mw);

/*
 * Names the worker's counters: `count` C strings of at most 32 bytes, copied,
 * at most 32 of them. Their sums over all workers are part of STATUS, in this
 * order. Workers, once; else MWORKER_ERR_INVALID. MWORKER_ERR_ABSENT as
 * mworker_worker_set_connections().
 */
int mworker_worker_name_counters(const struct mworker *mw,
                                 const char *const *names,
                                 size_t count);

/*
 * Sets the first `count` counters, which have names. Else as
 * mworker_worker_set_connections(), with one store for each.
 */
int mworker_worker_set_counters(const struct mworker *mw,
                                const uint64_t *values,
                                size_t count);

/*
 * Stores in `*connections` (not NULL) how many worker `pid` has. Returns
 * MWORKER_ERR_ABSENT if it doesn't tell. Masters.
 */
int mworker_connections(const struct mworker *mw,
                        int pid,
                        uint64_t *connections);

/*
 * Copies up to `room` counters of worker `pid` into `counters`, and returns how
 * many it has: 0 if it has named none. Masters.
 */
int mworker_counters(const struct mworker *mw,
                     int pid,
                     struct mworker_counter *counters,
                     size_t room);

/*
 * Tells systemd that the service is up, or that a reload has ended: READY=1
 * with MAINPID. The library does so itself when a worker is READY; this is for
 * hosts that know better. Never waits; nothing happens without
 * mworker_use_systemd(). Returns MWORKER_ERR_SYSTEMD if built without. Masters.
 */
int mworker_notify_ready(struct mworker *mw);

/*
 * Tells systemd that a reload begins: RELOADING=1 with MONOTONIC_USEC. Else as
 * mworker_notify_ready(); mworker_reload() does so itself.
 */
int mworker_notify_reloading(struct mworker *mw);

/*
 * Tells systemd that the service leaves: STOPPING=1. Else as
 * mworker_notify_ready(); SIGTERM, SIGINT and SIGUSR1 do so by themselves.
 */
int mworker_notify_stopping(struct mworker *mw);

/*
 * Sets the line that `systemctl status` shows: STATUS=`text` (not NULL;
 * newlines become spaces). Else as mworker_notify_ready().
 */
int mworker_notify_status(struct mworker *mw, const char *text);

/*
 * The same, with a text made of `format` (not NULL) as printf() makes it.
 */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int mworker_notify_statusf(struct mworker *mw, const char *format, ...);

/*
 * Sends `message` (fields, one a line; not NULL) to systemd as it is. If nobody
 * reads from the socket it is sent when there is room, unless a later message
 * makes it pointless. Never waits, and needs no mworker_use_systemd().
 *
 * Returns above 0 when it was sent or waits, 0 when there is no NOTIFY_SOCKET,
 * below 0 an errno, negated. Built without USE_SYSTEMD: always 0. Masters.
 */
int mworker_notify(struct mworker *mw, const char *message);

/*
 * sd_notify(3) for those who call it: sends `message` (fields, one a line) to
 * the socket in NOTIFY_SOCKET, which is unset afterwards if
 * `unset_environment` isn't 0. Never waits.
 *
 * Returns above 0 when it was sent, 0 when there is no such variable, below 0
 * an errno, negated: -EAGAIN when nobody reads from the socket. Any process;
 * not safe in a signal handler. Built without USE_SYSTEMD: always 0.
 */
int mworker_sd_notify(int unset_environment, const char *message);

/*
 * Stores in `*out` the text of `show proc`, with each row's descriptors if
 * `debug` isn't 0. It is the caller's, to be freed with mworker_text_free(),
 * and stays as it is whatever happens to the processes. Masters.
 */
int mworker_show_proc(const struct mworker *mw,
                      int debug,
                      struct mworker_text **out);

/*
 * Returns the next whole lines that fit into `room` bytes, and how many bytes
 * they are in `*length` (not NULL); part of a line if it is longer than that.
 * They end with no NUL, and are the library's until mworker_text_advance() or
 * mworker_text_free(). `*length` is 0 when all has been read, or for NULL.
 */
const char *mworker_text_peek(const struct mworker_text *text,
                              size_t room,
                              size_t *length);

/* Consumes `taken` bytes. */
int mworker_text_advance(struct mworker_text *text, size_t taken);

/* Frees a text; nothing for NULL. */
void mworker_text_free(struct mworker_text *text);

/*
 * Sets the command line that next images are started with: `argv` (not NULL,
 * ends with NULL; copied) as the first start got it, without what masters add
 * to it, and where listeners are to be asked for, or NULL: up to 2.4 the path
 * of a stats socket, later "/dev/null" if `-x` named that, as all else is
 * known. Masters.
 */
int mworker_set_argv(struct mworker *mw,
                     const char *const *argv,
                     const char *listeners_from);

/*
 * Sets the environment that next images are started with (ends with NULL;
 * copied), or for NULL: the one that there is at the time. Masters.
 */
int mworker_set_environment(struct mworker *mw,
                            const char *const *environment);

/*
 * Sets the RLIMIT_NOFILE that next images are started with; without it the one
 * at mworker_new(). What an image got on top of it for the descriptors of old
 * workers doesn't count. Masters.
 */
int mworker_set_open_files(struct mworker *mw, uint64_t soft, uint64_t hard);

/*
 * `fd` stays open over reloads. It stays the caller's. Those of the process
 * table and what was open at mworker_new() do so anyway. Masters.
 */
int mworker_keep_fd(struct mworker *mw, int fd);

/*
 * Reads the process table that a former master left in the environment, adds
 * its rows to the table, and makes sure that there is one of the master.
 * Stores in `*descriptors` (unless NULL) how many descriptors came with them.
 * Returns MWORKER_ERR_HANDOVER when the master's is missing. Masters.
 */
int mworker_read_table(struct mworker *mw, size_t *descriptors);

/*
 * Takes over from a former master of HAProxy 1.8, which hands over the `count`
 * PIDs after `-sf` only (`pids`: not NULL unless `count` is 0): makes rows of
 * those that are children, and of the master. From now on a master's signals
 * are held back (TERM and INT are not). For hosts whose table the library
 * keeps. Masters.
 */
int mworker_take_over_pids(struct mworker *mw, const int *pids, size_t count);

/*
 * Writes the process table into this process's environment. Masters; reloads
 * do so by themselves.
 */
int mworker_write_table(struct mworker *mw);

/*
 * The image that waits, up to 3.0, is ready to: tells systemd so, where the
 * former image has left that to it. Masters, after mworker_read_table().
 */
int mworker_waits(struct mworker *mw);

/*
 * Returns 1 if the last load succeeded, 0 if it failed, MWORKER_ERR_ABSENT
 * while that isn't known. Masters.
 */
int mworker_load_status(const struct mworker *mw);

/*
 * Sends SIGTERM to the workers that have lived through more reloads than
 * mworker_set_max_reloads() allows. Masters.
 */
int mworker_enforce_max_reloads(struct mworker *mw);

/*
 * kill(), but for a process of the table that is no child of this master any
 * more: its PID may be somebody else's by now, so that is logged instead.
 * Returns MWORKER_ERR_SYSTEM with errno as of kill(), ESRCH for such a one.
 * Masters, and workers that mworker_fork_process() made.
 */
int mworker_signal_process(struct mworker *mw, int pid, int signal);

/* Releases the rows whose process was never forked. Masters. */
int mworker_release_unborn(struct mworker *mw);

/*
 * Starts the programs whose rows have no PID, but not those that go on over a
 * reload. A row's `command` is executed under its `uid` and `gid`, with what
 * was open at mworker_new() and without the variables that masters tell each
 * other. From 3.1 on those of the last configuration are then told to leave, at
 * once if `hard` isn't 0 (`-st`); up to 3.0 `-sf` tells them. Returns
 * MWORKER_ERR_SYSTEM when one can't be forked. Masters.
 */
int mworker_start_programs(struct mworker *mw, int hard);

/*
 * Looks after the load of the configuration from now on, which masters of
 * HAProxy up to 3.0 do themselves. systemd is told that it goes on. One that
 * takes longer than mworker_set_start_timeout() allows has failed: at a reload
 * the image comes that waits, at a first start the process ends. Uses a timer
 * and the signal SIGRTMAX-1, until the worker is forked or the process
 * re-executed. Masters, after mworker_set_argv() and before
 * mworker_read_table().
 */
int mworker_guard_load(struct mworker *mw);

/*
 * fork(), for hosts whose own code keeps the worker's row. Returns the PID in
 * the master, 0 in the worker (see mworker_fork()), or MWORKER_ERR_SYSTEM.
 * Masters.
 */
int mworker_fork_process(struct mworker *mw);

/*
 * Forks a worker of HAProxy 1.8, number `relative_pid` (from 1 on) of this
 * start, and makes its row. Returns the PID in the master, 0 in the worker (see
 * mworker_fork()), or MWORKER_ERR_SYSTEM; then mworker_load_ended() is due.
 * Masters.
 */
int mworker_fork_new(struct mworker *mw, int relative_pid);

/*
 * Ends the workers and programs that this image has forked, and waits for their
 * end: not all that belong together could be. They count as never forked;
 * mworker_load_ended() or mworker_release_unborn() is due. Masters.
 */
int mworker_stop_new(struct mworker *mw);

/*
 * Adds the row of the worker that mworker_fork() is to fork, with both ends of
 * a socketpair. Masters.
 */
int mworker_add_worker(struct mworker *mw);

/*
 * Forks the process of the worker's row that has none yet. Returns
 * MWORKER_IN_MASTER or MWORKER_IN_WORKER; the worker may only use the handle to
 * tell its figures, and has to forget it otherwise. Returns MWORKER_ERR_SYSTEM
 * when the fork failed: after a reload that has been counted, logged and told,
 * the row has been released, and the old workers go on. Masters.
 */
int mworker_fork(struct mworker *mw);

/*
 * Holds back what is held back over a reload: USR1, USR2, HUP, TTIN, TTOU and
 * CHLD, and nothing else. Any process; safe in a signal handler.
 */
void mworker_hold_signals(void);

/* Lets every signal through. Any process; safe in a signal handler. */
void mworker_release_signals(void);

/* Lets SIGCHLD through. Any process; safe in a signal handler. */
void mworker_release_sigchld(void);

#ifdef __cplusplus
}
#endif

#endif  /* MWORKER_H */

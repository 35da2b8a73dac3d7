/*
 * What the shims share. They are compiled against HAProxy's own headers.
 */
#ifndef MWORKER_SHIM_H
#define MWORKER_SHIM_H

#include <stddef.h>
#include <sys/types.h>

#include "compat.h"

/*
 * HAProxy declares a mworker_reload() of its own. mworker.mk renames it to
 * haproxy_mworker_reload, which is defined nowhere: code of HAProxy that calls it
 * does not link. The library's function keeps its name.
 */
#undef mworker_reload
#include "mworker.h"

struct sig_handler;

/* The library's handle. It exists before anything else runs. */
extern struct mworker *shim_mworker;

/*
 * Passes HAProxy's command line and configuration to the library. Call it before
 * anything that decides.
 */
void shim_configure(void);

/*
 * The same, and what the next image is started with. Call it before an exec; once
 * is enough for all execs from a master's loop, because none of it changes there.
 */
void shim_prepare_exec(void);

/* Something has happened that may change when the library's timer is due. */
void shim_update_timer(void);

/* Registers what the master does on a signal, instead of HAProxy's handlers. */
void shim_register_signal(int number, void (*function)(struct sig_handler *sh));

/* Stops the listeners that use descriptor `fd`. */
void shim_stop_listeners_on(int fd);

/* Parks the client of a reload before an exec, and takes it back when the exec failed. */
void shim_park_client(void *user);
void shim_take_client_back(void *user, int error);

/* kill(), but not for a PID whose process this one has reaped: it may be another. */
int shim_kill(pid_t pid, int signal);

/* The process table of the former image. Returns -1 when it cannot be used. */
int shim_read_table(void);

/* The new worker ended before it was ready. */
void shim_load_failed(void);

/* How the last load ended. */
enum shim_load { SHIM_NO_LOAD, SHIM_LOADING, SHIM_LOADED, SHIM_LOAD_FAILED };
enum shim_load shim_load_status(void);

/* How many reloads a worker may live through, -1: any number. */
extern int max_reloads;

#endif

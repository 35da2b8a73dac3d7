/*
 * What the shims share. Compiled against HAProxy's own headers.
 */
#ifndef MWORKER_SHIM_H
#define MWORKER_SHIM_H

#include <sys/types.h>

/* HAProxy declares a function of this name, which none of its code calls. */
#define mworker_reload haproxy_mworker_reload
#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/api.h>
#include <haproxy/errors.h>
#include <haproxy/global.h>
#include <haproxy/mworker.h>
#else
#include "old-headers.h"
#endif
#undef mworker_reload

#include "mworker.h"

/* The library's handle, made before anything else runs. */
extern struct mworker *shim_mworker;

/*
 * Tells the library what HAProxy's command line and configuration say. To be
 * called before anything that decides.
 */
void shim_configure(void);

/*
 * The same, and what the next image is started with. Before an exec, and once
 * for all that come out of a master's loop: none of it changes.
 */
void shim_prepare_exec(void);

/* Something has happened that may change what is due when. */
void shim_look_at_clock(void);

/* What the master does on a signal, instead of what HAProxy does; none is lost. */
void shim_register_signal(int number, void (*function)(struct sig_handler *sh));

/* Takes the listeners that use descriptor `fd` out of service. */
void shim_forget_listeners_on(int fd);

/* The client of a reload, before an exec and when it failed. */
void shim_park_client(void *user);
void shim_take_client_back(void *user, int error);

/* kill(), but for who isn't a child any more. */
int shim_kill(pid_t pid, int signal);

/* The new worker ended before it served. */
void shim_load_failed(void);

/* How the last load ended. */
enum shim_load { SHIM_NO_LOAD, SHIM_LOADING, SHIM_LOADED, SHIM_LOAD_FAILED };
enum shim_load shim_load_status(void);

/* Reloads that a worker may live through, -1: any number. */
extern int max_reloads;

/* What HAProxy's headers don't declare up to 2.4. */
#if MWORKER_HAPROXY < 0x0206
struct mworker_proc *mworker_proc_new();
#endif
#if MWORKER_HAPROXY < 0x0204
void mworker_broadcast_signal(struct sig_handler *sh);
#endif

/* A task of this thread only; and the type of a task's state. */
#if MWORKER_HAPROXY < 0x0206
#define task_new_here() task_new(tid_bit)
#endif
#if MWORKER_HAPROXY < 0x0204
#define SHIM_TASK_STATE unsigned short
#else
#define SHIM_TASK_STATE unsigned int
#endif

#endif

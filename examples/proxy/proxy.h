/*
 * A small TCP proxy, and what it takes to give it HAProxy's master and workers: everything
 * of mworker.h is used in
 *
 *   main.c       the options, and the master from its start to its end
 *   listeners.c  listening sockets, from one worker to the next
 *   worker.c     the worker: READY, its loop, signals, what the master says
 *   figures.c    what the worker tells of itself: connections, counters, signs of life
 *
 * and the other files know nothing of it:
 *
 *   config.c     reads the configuration
 *   relay.c      one connection of a client, relayed to its backend
 *   cli.c        one command of an operator, come through the master's CLI
 *
 * Linux only, for epoll, signalfd and accept4.
 */
#ifndef PROXY_H
#define PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "mworker.h"

#define PROXY_NAME    "proxy"
#define PROXY_VERSION "1.0"

/* ---- config.c ---- */

struct address {
    struct sockaddr_storage sockaddr;
    socklen_t size;
    char name[64]; /* always the same for the same address */
};

/* Who connects to `listen` is relayed to `backend`. */
struct rule {
    struct address listen, backend;
    unsigned int line;
};

struct config {
    struct rule *rules;
    size_t count;
};

#define WHY_SIZE 512

/* Returns 0, or -1 and says why not. Whatever it returns, config_free() frees the rest. */
int config_load(struct config *config, const char *path, char why[WHY_SIZE]);
void config_free(struct config *config);

/* ---- worker.c ---- */

/* A descriptor the worker's loop watches, level-triggered. */
struct source {
    int fd;
    uint32_t events; /* what it is watched for; 0: not at all */
    void (*ready)(void *owner, uint32_t events);
    void *owner;
};

/*
 * What a worker has to finish: the relays and the operators' commands. One that has ended is
 * kept until the loop has been through the events it got with epoll_wait(), since there may
 * be one more for it among them.
 */
struct session {
    struct session *previous, *next;
    bool ended;
    void (*destroy)(struct session *session);
};

struct worker {
    struct mworker *mw;
    bool supervised; /* by a master; otherwise this is a plain process */
    int epoll;
    struct source master, signals, timer, pulse;
    struct listener *listeners;
    size_t listeners_count;
    struct session *sessions, *ended;

    bool paused;   /* by SIGTTOU, until SIGTTIN */
    bool starved;  /* of descriptors or memory, when it last accepted */
    bool held;     /* for that reason, until the timer goes off */
    bool stopping; /* by SIGUSR1: ends with its last relay */
    bool leaving;  /* ends now */

    time_t started;
    size_t relays, relays_limit;
    unsigned long long relays_total, bytes_in, bytes_out;
};

/* Serves until it is told to end, and returns the exit status. */
int worker_run(const struct config *config, struct mworker *mw, bool supervised);

/* Watches for other events than before. Returns 0, or -1 with errno set. */
int worker_watch(struct worker *worker, struct source *source, uint32_t events);

/* Closes a source; nothing for one that is closed. */
void worker_close(struct worker *worker, struct source *source);

/* Tells people; while the worker starts, also the operator who asked for the reload. */
__attribute__((format(printf, 3, 4)))
void worker_say(struct worker *worker, int level, const char *format, ...);

void worker_begin(struct worker *worker, struct session *session);
void worker_end(struct worker *worker, struct session *session);

/* ---- listeners.c ---- */

/* Returns 0, or -1 having said why. Whatever it returns, listeners_free() frees the rest. */
int listeners_open(struct worker *worker, const struct config *config);

/* To be called when a round is over, for what happened in it may have changed whether the
 * worker accepts. */
void listeners_watch(struct worker *worker);

/* Listens no more. */
void listeners_close(struct worker *worker);

void listeners_free(struct worker *worker);

/* ---- figures.c ---- */

/* Begins to tell the master, if there is one. Returns 0, or -1 having said why. */
int figures_begin(struct worker *worker);

/* To be called when the number of relays has changed. */
void figures_relays(const struct worker *worker);

/* ---- relay.c ---- */

/* Accepts one client. Returns 0, or -1 with accept()'s or socket()'s errno. */
int relay_accept(struct worker *worker, int listener, const struct address *backend);

/* ---- cli.c ---- */

/* Reads a command from `fd`, answers it and closes. */
void cli_answer(struct worker *worker, int fd);

#endif

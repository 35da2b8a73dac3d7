/*
 * The worker: its loop, its signals, what the master says, and its start and end.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

void worker_say(struct worker *worker, int level, const char *format, ...)
{
    char text[WHY_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mworker_log(worker->mw, level, text);
}

/* ---- the loop's parts ---- */

int worker_watch(struct worker *worker, struct source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data = { .ptr = source } };
    int operation = EPOLL_CTL_MOD;

    if (source->events == events)
        return 0;
    /* Out of the set rather than in it for nothing: errors would be told all the same, again
     * and again. */
    if (events == 0)
        operation = EPOLL_CTL_DEL;
    else if (source->events == 0)
        operation = EPOLL_CTL_ADD;
    if (epoll_ctl(worker->epoll, operation, source->fd, &event) < 0)
        return -1;
    source->events = events;
    return 0;
}

void worker_close(struct worker *worker, struct source *source)
{
    if (source->fd < 0)
        return;
    /* close() alone would leave it in the set as long as another process has it open too: a
     * listening socket, or a connection that came from the master. */
    worker_watch(worker, source, 0);
    close(source->fd);
    source->fd = -1;
}

void worker_begin(struct worker *worker, struct session *session)
{
    session->ended = false;
    session->previous = NULL;
    session->next = worker->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    worker->sessions = session;
}

void worker_end(struct worker *worker, struct session *session)
{
    if (session->ended)
        return;
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        worker->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    session->ended = true;
    session->next = worker->ended;
    worker->ended = session;
}

static void destroy_ended(struct worker *worker)
{
    struct session *session;

    while ((session = worker->ended) != NULL) {
        worker->ended = session->next;
        session->destroy(session);
    }
}

/* ---- what others say ---- */

static void signals_ready(void *owner, uint32_t events)
{
    struct worker *worker = owner;
    struct signalfd_siginfo info;

    (void)events;
    if (read(worker->signals.fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGUSR1:
        worker->stopping = true;
        listeners_close(worker);
        break;
    case SIGTTOU:
    case SIGTTIN:
        worker->paused = info.ssi_signo == SIGTTOU;
        break;
    default:
        worker->leaving = true;
    }
}

static void master_ready(void *owner, uint32_t events)
{
    struct worker *worker = owner;
    int client = -1;

    (void)events;
    switch (mworker_worker_dispatch(worker->mw, &client)) {
    case 1:
        break;
    case 0:
        worker_say(worker, MWORKER_LOG_ALERT, "the master is gone, leaving");
        worker->leaving = true;
        break;
    default:
        worker_say(worker, MWORKER_LOG_ALERT, "leaving: %s", mworker_error(worker->mw));
        worker->leaving = true;
    }
    if (client >= 0)
        cli_answer(worker, client);
}

static int watch_signals(struct worker *worker)
{
    const int signals[] = { SIGUSR1, SIGTTOU, SIGTTIN, SIGTERM, SIGINT };
    sigset_t set;
    size_t i;

    signal(SIGPIPE, SIG_IGN);
    if (worker->supervised) {
        /* Meant for the master, and deadly for a worker that gets them too. */
        signal(SIGHUP, SIG_IGN);
        signal(SIGUSR2, SIG_IGN);
    }
    sigemptyset(&set);
    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    worker->signals = (struct source){
        .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
        .ready = signals_ready,
        .owner = worker,
    };
    return worker->signals.fd < 0 ? -1 : worker_watch(worker, &worker->signals, EPOLLIN);
}

static int watch_master(struct worker *worker)
{
    worker->master = (struct source){
        .fd = mworker_worker_fd(worker->mw),
        .ready = master_ready,
        .owner = worker,
    };
    return worker_watch(worker, &worker->master, EPOLLIN);
}

/* ---- from start to end ---- */

static int worker_start(struct worker *worker, const struct config *config)
{
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0 || watch_signals(worker) < 0 ||
        (worker->supervised && watch_master(worker) < 0)) {
        worker_say(worker, MWORKER_LOG_ALERT, "cannot set up the event loop: %s",
                   strerror(errno));
        return -1;
    }
    if (listeners_open(worker, config) < 0 || figures_begin(worker) < 0)
        return -1;
    /* From here on the workers before this one are told to stop. */
    if (worker->supervised && mworker_ready(worker->mw) < 0) {
        worker_say(worker, MWORKER_LOG_ALERT, "cannot tell the master: %s",
                   mworker_error(worker->mw));
        return -1;
    }
    return 0;
}

static int worker_loop(struct worker *worker)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int i, count;

    while (!worker->leaving && !(worker->stopping && worker->relays == 0)) {
        count = epoll_wait(worker->epoll, events, EVENTS_AT_ONCE, -1);
        if (count < 0 && errno != EINTR) {
            worker_say(worker, MWORKER_LOG_ALERT, "epoll_wait: %s", strerror(errno));
            return -1;
        }
        for (i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;

            source->ready(source->owner, events[i].events);
        }
        destroy_ended(worker);
        listeners_watch(worker);
    }
    return 0;
}

static void worker_clean_up(struct worker *worker)
{
    while (worker->sessions != NULL)
        worker_end(worker, worker->sessions);
    destroy_ended(worker);
    listeners_free(worker);
    worker_close(worker, &worker->signals);
    worker_close(worker, &worker->pulse);
    if (worker->epoll >= 0)
        close(worker->epoll);
}

int worker_run(const struct config *config, struct mworker *mw, bool supervised)
{
    struct worker worker = {
        .mw = mw,
        .supervised = supervised,
        .epoll = -1,
        .signals = { .fd = -1 },
        .timer = { .fd = -1 },
        .pulse = { .fd = -1 },
        .started = time(NULL),
    };
    int result = worker_start(&worker, config);

    if (result == 0)
        result = worker_loop(&worker);
    worker_clean_up(&worker);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

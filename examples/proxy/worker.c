/*
 * The worker: listening sockets, signals, what the master says, and the loop around it all.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define HOLD_MS        100 /* without accepting, for want of descriptors or memory */

struct listener {
    struct worker *worker;
    const struct rule *rule;
    struct source source;
};

/* In a worker that is still starting this reaches the operator who asked for the reload. */
__attribute__((format(printf, 3, 4)))
static void say(struct worker *worker, int level, const char *format, ...)
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

/* ---- listening ---- */

/* Otherwise clients wait in the queue, where another worker may find them. */
static bool may_accept(const struct worker *worker)
{
    return !worker->paused && !worker->held && worker->relays < worker->relays_limit;
}

/* After each round: what happened in it may have changed the answer. */
static void watch_listeners(struct worker *worker)
{
    uint32_t events = may_accept(worker) ? EPOLLIN : 0;
    size_t i;

    for (i = 0; i < worker->listeners_count; i++)
        if (worker_watch(worker, &worker->listeners[i].source, events) < 0)
            say(worker, MWORKER_LOG_ALERT, "cannot watch %s: %s",
                worker->listeners[i].rule->listen.name, strerror(errno));
}

/* Stops accepting for a moment: what there is too little of may be there again then. */
static void hold(struct worker *worker)
{
    const struct itimerspec moment = { .it_value = { .tv_nsec = HOLD_MS * 1000000L } };

    worker->held = timerfd_settime(worker->timer.fd, 0, &moment, NULL) == 0;
}

static void timer_ready(void *owner, uint32_t events)
{
    struct worker *worker = owner;
    uint64_t times;

    (void)events;
    if (read(worker->timer.fd, &times, sizeof(times)) == sizeof(times))
        worker->held = false;
}

static void listener_ready(void *owner, uint32_t events)
{
    struct listener *listener = owner;
    struct worker *worker = listener->worker;

    (void)events;
    if (listener->source.fd < 0 || !may_accept(worker)) /* since this round began */
        return;
    if (relay_accept(worker, listener->source.fd, &listener->rule->backend) == 0) {
        worker->starved = false;
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return; /* another worker took it, or the client has gone */

    if (!worker->starved)
        say(worker, MWORKER_LOG_WARNING, "cannot accept on %s, will try again: %s",
            listener->rule->listen.name, strerror(errno));
    worker->starved = true;
    hold(worker);
}

static int open_socket(const struct address *address)
{
    const int on = 1;
    const int family = address->sockaddr.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&address->sockaddr, address->size) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The socket of the worker before this one, if it has it: with the clients in its queue. */
static int open_listener(struct worker *worker, struct listener *listener)
{
    const char *name = listener->rule->listen.name;
    int fd = -1;

    if (worker->supervised)
        fd = mworker_inherit_listener(worker->mw, name);
    if (fd < 0)
        fd = open_socket(&listener->rule->listen);
    if (fd < 0) {
        say(worker, MWORKER_LOG_ALERT, "cannot listen on %s: %s", name, strerror(errno));
        return -1;
    }
    listener->source.fd = fd;
    if (worker->supervised && mworker_publish_listener(worker->mw, name, fd) < 0) {
        say(worker, MWORKER_LOG_ALERT, "cannot publish %s: %s", name,
            mworker_error(worker->mw));
        return -1;
    }
    return 0;
}

static int open_listeners(struct worker *worker, const struct config *config)
{
    size_t i;

    worker->listeners = calloc(config->count, sizeof(*worker->listeners));
    if (worker->listeners == NULL) {
        say(worker, MWORKER_LOG_ALERT, "out of memory");
        return -1;
    }
    for (i = 0; i < config->count; i++) {
        struct listener *listener = &worker->listeners[i];

        listener->worker = worker;
        listener->rule = &config->rules[i];
        listener->source =
            (struct source){ .fd = -1, .ready = listener_ready, .owner = listener };
        worker->listeners_count++;
        if (open_listener(worker, listener) < 0)
            return -1;
    }
    return 0;
}

/* Two descriptors a relay, and some left for the rest: with none, a worker could not even
 * hand its listening sockets on. */
static void limit_relays(struct worker *worker)
{
    const rlim_t rest = 32 + worker->listeners_count;
    struct rlimit limit;

    worker->relays_limit = 1;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > rest + 2)
        worker->relays_limit = (limit.rlim_cur - rest) / 2;
}

static void close_listeners(struct worker *worker)
{
    size_t i;

    for (i = 0; i < worker->listeners_count; i++) {
        struct listener *listener = &worker->listeners[i];

        if (worker->supervised)
            mworker_publish_listener(worker->mw, listener->rule->listen.name, -1);
        worker_close(worker, &listener->source);
    }
    worker->listeners_count = 0;
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
        close_listeners(worker);
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
        say(worker, MWORKER_LOG_ALERT, "the master is gone, leaving");
        worker->leaving = true;
        break;
    default:
        say(worker, MWORKER_LOG_ALERT, "leaving: %s", mworker_error(worker->mw));
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

static int watch_timer(struct worker *worker)
{
    worker->timer = (struct source){
        .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
        .ready = timer_ready,
        .owner = worker,
    };
    return worker->timer.fd < 0 ? -1 : worker_watch(worker, &worker->timer, EPOLLIN);
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
    if (worker->epoll < 0 || watch_signals(worker) < 0 || watch_timer(worker) < 0 ||
        (worker->supervised && watch_master(worker) < 0)) {
        say(worker, MWORKER_LOG_ALERT, "cannot set up the event loop: %s", strerror(errno));
        return -1;
    }
    if (open_listeners(worker, config) < 0)
        return -1;
    limit_relays(worker);
    watch_listeners(worker);
    /* From here on the workers before this one are told to stop. */
    if (worker->supervised && mworker_ready(worker->mw) < 0) {
        say(worker, MWORKER_LOG_ALERT, "cannot tell the master: %s", mworker_error(worker->mw));
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
            say(worker, MWORKER_LOG_ALERT, "epoll_wait: %s", strerror(errno));
            return -1;
        }
        for (i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;

            source->ready(source->owner, events[i].events);
        }
        destroy_ended(worker);
        watch_listeners(worker);
    }
    return 0;
}

static void worker_clean_up(struct worker *worker)
{
    while (worker->sessions != NULL)
        worker_end(worker, worker->sessions);
    destroy_ended(worker);
    close_listeners(worker);
    free(worker->listeners);
    worker_close(worker, &worker->timer);
    worker_close(worker, &worker->signals);
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
        .started = time(NULL),
    };
    int result = worker_start(&worker, config);

    if (result == 0)
        result = worker_loop(&worker);
    worker_clean_up(&worker);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

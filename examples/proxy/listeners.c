/*
 * The listening sockets. A worker takes them over from the one before it, queue and all, and
 * offers them to the one after it.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define HOLD_MS 100 /* without accepting, for want of descriptors or memory */

struct listener {
    struct worker *worker;
    const struct rule *rule;
    struct source source;
};

/* Otherwise clients wait in the queue, where another worker may find them. */
static bool may_accept(const struct worker *worker)
{
    return !worker->paused && !worker->held && worker->relays < worker->relays_limit;
}

void listeners_watch(struct worker *worker)
{
    uint32_t events = may_accept(worker) ? EPOLLIN : 0;
    size_t i;

    for (i = 0; i < worker->listeners_count; i++)
        if (worker_watch(worker, &worker->listeners[i].source, events) < 0)
            worker_say(worker, MWORKER_LOG_ALERT, "cannot watch %s: %s",
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
        worker_say(worker, MWORKER_LOG_WARNING, "cannot accept on %s, will try again: %s",
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
        worker_say(worker, MWORKER_LOG_ALERT, "cannot listen on %s: %s", name, strerror(errno));
        return -1;
    }
    listener->source.fd = fd;
    if (worker->supervised && mworker_publish_listener(worker->mw, name, fd) < 0) {
        worker_say(worker, MWORKER_LOG_ALERT, "cannot publish %s: %s", name,
                   mworker_error(worker->mw));
        return -1;
    }
    return 0;
}

static int set_up_timer(struct worker *worker)
{
    worker->timer = (struct source){
        .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
        .ready = timer_ready,
        .owner = worker,
    };
    return worker->timer.fd < 0 ? -1 : worker_watch(worker, &worker->timer, EPOLLIN);
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

int listeners_open(struct worker *worker, const struct config *config)
{
    size_t i;

    worker->listeners = calloc(config->count, sizeof(*worker->listeners));
    if (worker->listeners == NULL || set_up_timer(worker) < 0) {
        worker_say(worker, MWORKER_LOG_ALERT, "cannot listen: %s", strerror(errno));
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
    limit_relays(worker);
    listeners_watch(worker);
    return 0;
}

void listeners_close(struct worker *worker)
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

void listeners_free(struct worker *worker)
{
    listeners_close(worker);
    worker_close(worker, &worker->timer);
    free(worker->listeners);
}

/*
 * One client relayed to its backend.
 *
 * Each direction is a flow with one buffer. It is read into only once it is empty, so a slow
 * reader slows the writer down, and nothing needs more room than it was given. The end of
 * what one side sends is passed on as such (a half-close); the relay has ended when both
 * directions have.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct flow {
    struct source *from, *to;
    unsigned long long *bytes; /* the worker's counter */
    size_t start, end;         /* what of the buffer is still to be written */
    bool eof;                  /* nothing more will be read */
    bool shut;                 /* ... and the other side knows */
    char buffer[16 * 1024];
};

struct relay {
    struct session session; /* first, so that a session can be turned into its relay */
    struct worker *worker;
    struct source client, backend;
    bool connecting;
    struct flow request, response;
};

static bool is_empty(const struct flow *flow)
{
    return flow->start == flow->end;
}

static void relay_destroy(struct session *session)
{
    struct relay *relay = (struct relay *)session;

    relay->worker->relays--;
    figures_relays(relay->worker);
    worker_close(relay->worker, &relay->client);
    worker_close(relay->worker, &relay->backend);
    free(relay);
}

/* Ends the relay with a reset to both sides, lest they take what they got for the whole. */
static void relay_abort(struct relay *relay)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(relay->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    setsockopt(relay->backend.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    worker_end(relay->worker, &relay->session);
}

static void flow_write(struct flow *flow)
{
    ssize_t sent;

    while (!is_empty(flow)) {
        sent = send(flow->to->fd, flow->buffer + flow->start, flow->end - flow->start,
                    MSG_NOSIGNAL);
        if (sent >= 0) {
            flow->start += sent;
            *flow->bytes += sent;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            /* Nobody reads any more. What comes the other way may still be of use: a server
             * that refuses a request halfway has sent its answer by now. */
            flow->start = flow->end;
            flow->eof = flow->shut = true;
        }
    }
}

/* Returns whether the other side is still there, or left in good order. */
static bool flow_read(struct flow *flow)
{
    ssize_t got = recv(flow->from->fd, flow->buffer, sizeof(flow->buffer), 0);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        flow->eof = true;
        return true;
    }
    flow->start = 0;
    flow->end = got;
    flow_write(flow);
    return true;
}

static void pass_eof_on(struct flow *flow)
{
    if (flow->eof && is_empty(flow) && !flow->shut) {
        shutdown(flow->to->fd, SHUT_WR);
        flow->shut = true;
    }
}

/* What a side is to be watched for, given the flow it feeds and the one it takes. */
static uint32_t wanted(const struct flow *feeds, const struct flow *takes)
{
    return (is_empty(feeds) && !feeds->eof ? EPOLLIN : 0) | (is_empty(takes) ? 0 : EPOLLOUT);
}

/* After anything has happened: ends the relay, or waits for what can happen next. */
static void relay_settle(struct relay *relay)
{
    struct flow *request = &relay->request, *response = &relay->response;

    pass_eof_on(request);
    pass_eof_on(response);
    if (request->shut && response->shut)
        worker_end(relay->worker, &relay->session);
    else if (worker_watch(relay->worker, &relay->client, wanted(request, response)) < 0 ||
             worker_watch(relay->worker, &relay->backend, wanted(response, request)) < 0)
        relay_abort(relay);
}

/* `feeds` comes from the side that has something to tell, `takes` goes there. */
static void side_ready(struct relay *relay, struct flow *feeds, struct flow *takes,
                       uint32_t events)
{
    /* An error is told by the call that would have been made anyway. */
    if (events & (EPOLLERR | EPOLLHUP))
        events |= wanted(feeds, takes);
    if (events & EPOLLOUT)
        flow_write(takes);
    if ((events & EPOLLIN) && is_empty(feeds) && !feeds->eof && !flow_read(feeds))
        relay_abort(relay);
    else
        relay_settle(relay);
}

static void client_ready(void *owner, uint32_t events)
{
    struct relay *relay = owner;

    if (!relay->session.ended)
        side_ready(relay, &relay->request, &relay->response, events);
}

static void backend_ready(void *owner, uint32_t events)
{
    struct relay *relay = owner;
    int error = 0;
    socklen_t size = sizeof(error);

    if (relay->session.ended)
        return;
    if (!relay->connecting) {
        side_ready(relay, &relay->response, &relay->request, events);
        return;
    }
    if (getsockopt(relay->backend.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        relay_abort(relay);
        return;
    }
    relay->connecting = false;
    relay_settle(relay);
}

/* Small writes go out at once, and a peer that vanished is noticed in the end. */
static void set_options(int fd)
{
    const int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void flow_init(struct flow *flow, struct source *from, struct source *to,
                      unsigned long long *bytes)
{
    flow->from = from;
    flow->to = to;
    flow->bytes = bytes;
    flow->start = flow->end = 0;
    flow->eof = flow->shut = false;
}

static void relay_start(struct relay *relay, struct worker *worker, int client, int backend,
                        const struct address *address)
{
    relay->worker = worker;
    relay->session.destroy = relay_destroy;
    relay->client = (struct source){ .fd = client, .ready = client_ready, .owner = relay };
    relay->backend = (struct source){ .fd = backend, .ready = backend_ready, .owner = relay };
    flow_init(&relay->request, &relay->client, &relay->backend, &worker->bytes_in);
    flow_init(&relay->response, &relay->backend, &relay->client, &worker->bytes_out);
    worker->relays++;
    worker->relays_total++;
    figures_relays(worker);
    worker_begin(worker, &relay->session);

    set_options(client);
    set_options(backend);
    relay->connecting = true;
    if ((connect(backend, (const struct sockaddr *)&address->sockaddr, address->size) < 0 &&
         errno != EINPROGRESS) ||
        worker_watch(worker, &relay->backend, EPOLLOUT) < 0)
        relay_abort(relay);
}

int relay_accept(struct worker *worker, int listener, const struct address *address)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    struct relay *relay = malloc(sizeof(*relay));
    int client = -1, backend = -1, error;

    /* The client comes last: without the rest it had better wait in the queue, where another
     * worker may find it. */
    if (relay != NULL)
        backend = socket(address->sockaddr.ss_family, type, 0);
    if (backend >= 0)
        client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        error = errno;
        if (backend >= 0)
            close(backend);
        free(relay);
        errno = error;
        return -1;
    }
    relay_start(relay, worker, client, backend, address);
    return 0;
}

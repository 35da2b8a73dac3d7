/*
 * One command of an operator, passed on by the master: `@1 show info` of the master's CLI
 * arrives here as "show info\n" on a connection of its own, which ends with the answer.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct client {
    struct session session; /* first, so that a session can be turned into its client */
    struct worker *worker;
    struct source source;
    char command[128];
    size_t read;
    char answer[512];
    size_t written, size;
};

static void client_destroy(struct session *session)
{
    struct client *client = (struct client *)session;

    worker_close(client->worker, &client->source);
    free(client);
}

/*
 * In HAProxy's words, so that mworkerctl and other tools can read it. mworkerctl asks this of
 * every worker after a reload: "Stopping: 0" says that this one takes new connections, and
 * "Stopping: 1" with "Listeners: 0" that it takes no more, whatever it still has.
 */
static void show_info(struct client *client)
{
    const struct worker *worker = client->worker;

    client->size = snprintf(client->answer, sizeof(client->answer),
                            "Name: " PROXY_NAME "\n"
                            "Version: " PROXY_VERSION "\n"
                            "Pid: %ld\n"
                            "Uptime_sec: %ld\n"
                            "CurrConns: %zu\n"
                            "CumConns: %llu\n"
                            "BytesIn: %llu\n"
                            "BytesOut: %llu\n"
                            "Stopping: %d\n"
                            "Listeners: %zu\n",
                            (long)getpid(), (long)(time(NULL) - worker->started),
                            worker->relays, worker->relays_total, worker->bytes_in,
                            worker->bytes_out, worker->stopping, worker->listeners_count);
}

static void execute(struct client *client)
{
    client->command[strcspn(client->command, "\r\n")] = '\0';
    if (strcmp(client->command, "show info") == 0)
        show_info(client);
    else
        client->size = snprintf(client->answer, sizeof(client->answer),
                                "Unknown command '%s', known are: show info\n",
                                client->command);
}

static void read_command(struct client *client)
{
    /* The last byte stays free for the end of the string. */
    size_t room = sizeof(client->command) - 1 - client->read;
    ssize_t got = recv(client->source.fd, client->command + client->read, room, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0 || (got == 0 && client->read == 0)) {
        worker_end(client->worker, &client->session);
        return;
    }
    client->read += got;
    client->command[client->read] = '\0';
    if (strchr(client->command, '\n') != NULL || got == 0 ||
        client->read == sizeof(client->command) - 1) {
        execute(client);
        if (worker_watch(client->worker, &client->source, EPOLLOUT) < 0)
            worker_end(client->worker, &client->session);
    }
}

static void write_answer(struct client *client)
{
    ssize_t sent = send(client->source.fd, client->answer + client->written,
                        client->size - client->written, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            worker_end(client->worker, &client->session);
        return;
    }
    client->written += sent;
    if (client->written == client->size)
        worker_end(client->worker, &client->session);
}

static void client_ready(void *owner, uint32_t events)
{
    struct client *client = owner;

    (void)events; /* errors are told by recv() or send() */
    if (client->session.ended)
        return;
    if (client->size == 0)
        read_command(client);
    else
        write_answer(client);
}

void cli_answer(struct worker *worker, int fd)
{
    struct client *client = calloc(1, sizeof(*client));
    int flags = fcntl(fd, F_GETFL);

    if (client == NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        free(client);
        close(fd);
        return;
    }
    client->worker = worker;
    client->session.destroy = client_destroy;
    client->source = (struct source){ .fd = fd, .ready = client_ready, .owner = client };
    worker_begin(worker, &client->session);
    if (worker_watch(worker, &client->source, EPOLLIN) < 0)
        worker_end(worker, &client->session);
}

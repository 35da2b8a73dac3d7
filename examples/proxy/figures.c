/*
 * What a worker tells of itself, for `systemctl status` and systemd's watchdog: how many
 * connections it has, at the moment that this changes; its counters and a sign of life by a
 * timer. A master that can't be told has said so in its log.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A sign of life is expected within half of the unit's WatchdogSec=, which is seconds. */
#define BEAT_MS 250

static const char *const names[] = { "relays", "bytes_in", "bytes_out" };

#define COUNT (sizeof(names) / sizeof(names[0]))

static void beat(struct worker *worker)
{
    const uint64_t values[COUNT] = { worker->relays_total, worker->bytes_in, worker->bytes_out };

    mworker_worker_set_counters(worker->mw, values, COUNT);
    mworker_worker_beat(worker->mw);
}

static void pulse_ready(void *owner, uint32_t events)
{
    struct worker *worker = owner;
    uint64_t times;

    (void)events;
    if (read(worker->pulse.fd, &times, sizeof(times)) == sizeof(times))
        beat(worker);
}

int figures_begin(struct worker *worker)
{
    const struct timespec interval = { .tv_nsec = BEAT_MS * 1000000L };
    const struct itimerspec timer = { .it_interval = interval, .it_value = interval };

    if (!worker->supervised)
        return 0;
    worker->pulse = (struct source){
        .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
        .ready = pulse_ready,
        .owner = worker,
    };
    if (worker->pulse.fd < 0 || timerfd_settime(worker->pulse.fd, 0, &timer, NULL) < 0 ||
        worker_watch(worker, &worker->pulse, EPOLLIN) < 0) {
        worker_say(worker, MWORKER_LOG_ALERT, "cannot set up the timer: %s", strerror(errno));
        return -1;
    }
    mworker_worker_name_counters(worker->mw, names, COUNT);
    figures_relays(worker);
    beat(worker);
    return 0;
}

void figures_relays(const struct worker *worker)
{
    if (worker->supervised)
        mworker_worker_set_connections(worker->mw, worker->relays);
}

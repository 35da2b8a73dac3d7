/*
 * What a worker tells of itself and its master reads; and what a master does
 * because time has passed.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INVALID(call) CHECK_INT(call, MWORKER_ERR_INVALID)
#define ABSENT(call)  CHECK_INT(call, MWORKER_ERR_ABSENT)
#define ROLE(call)    CHECK_INT(call, MWORKER_ERR_ROLE)

/* As long as a name may be, and one byte longer. */
#define LONGEST "abcdefghijklmnopqrstuvwxyz012345"
#define LONGER  LONGEST "6"

#define ROUNDS 20000

static int report[2];

static void host_start(struct host *host)
{
    char word[] = "figures", *argv[] = {word, NULL};
    int argc = 1;

    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    host_new(host);
    host_take(host, &argc, argv);
}

/* A worker does `tells`, and serves. Gives its PID. */
static int worker_that(struct host *host, void (*tells)(struct mworker *mw))
{
    int result;

    host_start(host);
    result = mworker_start_worker(host->mw);
    if (result == MWORKER_IN_WORKER) {
        worker_catch();
        tells(host->mw);
        CHECK_INT(mworker_ready(host->mw), MWORKER_OK);
        worker_serve(host->mw, report[1]);
        mworker_free(host->mw);
        exit(0);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    UNTIL(host, host->in_service == 1);
    return host_worker(host)->pid;
}

static void leaves(struct host *host)
{
    CHECK_INT(mworker_signal(host->mw, SIGTERM), MWORKER_OK);
    CHECK_INT(host_leaves(host), 0);
}

static uint64_t connections(struct host *host, int pid)
{
    uint64_t count = 0;

    CHECK_INT(mworker_connections(host->mw, pid, &count), MWORKER_OK);
    return count;
}

/* ---- edges ---- */

static void in_a_master(void)
{
    static struct host host;
    struct mworker_counter counter = {{0}, 7};
    const char *names[] = {"one"};
    uint64_t number = 7;

    host_start(&host);
    ABSENT(mworker_worker_set_connections(host.mw, 1));
    ABSENT(mworker_worker_beat(host.mw));
    ABSENT(mworker_worker_name_counters(host.mw, names, 1));
    ABSENT(mworker_worker_set_counters(host.mw, &number, 1));
    INVALID(mworker_connections(host.mw, 1, NULL));
    ABSENT(mworker_connections(host.mw, 1, &number));
    ABSENT(mworker_connections(host.mw, -1, &number));
    CHECK(strstr(mworker_error(host.mw), "-1") != NULL);
    INVALID(mworker_counters(host.mw, 1, NULL, 1));
    CHECK_INT(mworker_counters(host.mw, 1, NULL, 0), 0);
    CHECK_INT(mworker_counters(host.mw, 1, &counter, 1), 0);
    CHECK(number == 7 && counter.value == 7);
    mworker_free(host.mw);
}

static void in_a_worker(struct mworker *mw)
{
    struct mworker_counter counter;
    uint64_t number = 0;

    ROLE(mworker_tick(mw));
    ROLE(mworker_guard_load(mw));
    ROLE(mworker_fork_process(mw));
    ROLE(mworker_read_settings(mw));
    ROLE(mworker_set_start_timeout(mw, 1));
    ROLE(mworker_set_trial(mw, NULL));
    ROLE(mworker_set_restart(mw, 1));
    ROLE(mworker_connections(mw, getpid(), &number));
    ROLE(mworker_counters(mw, getpid(), &counter, 1));
    CHECK_INT(mworker_timeout(mw), -1);
}

static void tells_nothing(void)
{
    static struct host host;
    struct mworker_counter counter;
    uint64_t number;
    int pid = worker_that(&host, in_a_worker);

    ABSENT(mworker_connections(host.mw, pid, &number));
    CHECK_INT(mworker_counters(host.mw, pid, &counter, 1), 0);
    leaves(&host);
}

static void beyond_the_edges(struct mworker *mw)
{
    static const char *const too_long[] = {"short", LONGER};
    static const char *const with_a_hole[] = {"short", NULL};
    static const char *const good[] = {LONGEST, "", "a b\n\x7f"};
    const char *too_many[33];
    uint64_t values[33] = {0};
    size_t i;

    for (i = 0; i < COUNT(too_many); i++)
        too_many[i] = "x";
    INVALID(mworker_worker_name_counters(mw, NULL, 1));
    INVALID(mworker_worker_name_counters(mw, NULL, 0));
    INVALID(mworker_worker_name_counters(mw, too_many, COUNT(too_many)));
    INVALID(mworker_worker_name_counters(mw, too_many, (size_t)-1));
    INVALID(mworker_worker_name_counters(mw, too_long, 2));
    INVALID(mworker_worker_name_counters(mw, with_a_hole, 2));
    /* None has a name yet. */
    INVALID(mworker_worker_set_counters(mw, values, 1));
    CHECK_INT(mworker_worker_name_counters(mw, good, 3), MWORKER_OK);
    INVALID(mworker_worker_name_counters(mw, good, 3));
    values[0] = UINT64_MAX;
    values[1] = 1;
    CHECK_INT(mworker_worker_set_counters(mw, values, 2), MWORKER_OK);
    values[0] = 5;
    INVALID(mworker_worker_set_counters(mw, values, 4));
    INVALID(mworker_worker_set_counters(mw, values, (size_t)-1));
    INVALID(mworker_worker_set_counters(mw, NULL, 1));
    CHECK_INT(mworker_worker_set_counters(mw, values, 0), MWORKER_OK);
    CHECK_INT(mworker_worker_set_connections(mw, UINT64_MAX - 1), MWORKER_OK);
    CHECK_INT(mworker_worker_beat(mw), MWORKER_OK);
}

static void edges(void)
{
    static struct host host;
    struct mworker_counter counters[4];
    int pid = worker_that(&host, beyond_the_edges);

    memset(counters, 0x55, sizeof(counters));
    CHECK(connections(&host, pid) == UINT64_MAX - 1);
    CHECK_INT(mworker_counters(host.mw, pid, NULL, 0), 3);
    /* No more than there is room for. */
    CHECK_INT(mworker_counters(host.mw, pid, counters, 1), 3);
    CHECK(counters[1].value == 0x5555555555555555u);
    CHECK_INT(mworker_counters(host.mw, pid, counters, 4), 3);
    CHECK_TEXT(counters[0].name, LONGEST);
    CHECK_TEXT(counters[1].name, "");
    /* A name is shown to people. */
    CHECK_TEXT(counters[2].name, "a?b??");
    CHECK(counters[0].value == UINT64_MAX && counters[1].value == 1 && counters[2].value == 0);
    CHECK(counters[3].value == 0x5555555555555555u);
    leaves(&host);
}

static void all_of_them(struct mworker *mw)
{
    static char texts[32][MWORKER_COUNTER_NAME];
    const char *names[32];
    uint64_t values[32];
    size_t i;

    for (i = 0; i < COUNT(names); i++) {
        snprintf(texts[i], sizeof(texts[i]), "counter_%02d", (int)i);
        names[i] = texts[i];
        values[i] = i * i;
    }
    CHECK_INT(mworker_worker_name_counters(mw, names, COUNT(names)), MWORKER_OK);
    CHECK_INT(mworker_worker_set_counters(mw, values, COUNT(values)), MWORKER_OK);
    CHECK_INT(mworker_worker_set_connections(mw, 0), MWORKER_OK);
}

static void thirty_two_counters(void)
{
    static struct host host;
    struct mworker_counter counters[32];
    int pid = worker_that(&host, all_of_them);

    CHECK(connections(&host, pid) == 0);
    CHECK_INT(mworker_counters(host.mw, pid, counters, 32), 32);
    CHECK_TEXT(counters[31].name, "counter_31");
    CHECK(counters[31].value == 31 * 31);
    leaves(&host);
}

/* Forked by a host that keeps its own table. */
static void forked_by_its_host(void)
{
    static struct host host;
    struct mworker_counter counter;
    int pid;

    host_start(&host);
    /* Without a limit there is nothing to guard. With one, what the guard is made
     * of stays allocated, for the sake of its signal handler: a leak to checkers. */
    CHECK_INT(mworker_set_start_timeout(host.mw, 0), MWORKER_OK);
    CHECK_INT(mworker_guard_load(host.mw), MWORKER_OK);
    pid = mworker_fork_process(host.mw);
    CHECK(pid >= 0);
    if (pid == 0) {
        static const char *const names[] = {"one"};
        const uint64_t value = 1;

        CHECK_INT(mworker_worker_name_counters(host.mw, names, 1), MWORKER_OK);
        CHECK_INT(mworker_worker_set_counters(host.mw, &value, 1), MWORKER_OK);
        CHECK_INT(mworker_worker_set_connections(host.mw, 12), MWORKER_OK);
        _exit(5);
    }
    CHECK_INT(ended(pid), 5);
    /* Until the master learns that it is gone. */
    CHECK(connections(&host, pid) == 12);
    CHECK_INT(mworker_counters(host.mw, pid, &counter, 1), 1);
    CHECK_TEXT(counter.name, "one");
    CHECK_INT(mworker_children(host.mw), 0);
    mworker_free(host.mw);
}

/* ---- threads ---- */

static void *tell(void *handle)
{
    const struct mworker *mw = handle;
    uint64_t values[2], i;

    for (i = 0; i < ROUNDS; i++) {
        values[0] = values[1] = i;
        CHECK_INT(mworker_worker_set_connections(mw, i), MWORKER_OK);
        CHECK_INT(mworker_worker_set_counters(mw, values, 2), MWORKER_OK);
        CHECK_INT(mworker_worker_beat(mw), MWORKER_OK);
    }
    return NULL;
}

/* Two threads tell, while this one does what the master asks for. */
static void with_threads(void)
{
    static struct host host;
    struct mworker_counter counters[2];
    static const char *const names[] = {"one", "two"};
    int result, pid;

    host_start(&host);
    result = mworker_start_worker(host.mw);
    if (result == MWORKER_IN_WORKER) {
        pthread_t threads[2];

        worker_catch();
        CHECK_INT(mworker_worker_name_counters(host.mw, names, 2), MWORKER_OK);
        CHECK_INT(pthread_create(&threads[0], NULL, tell, host.mw), 0);
        CHECK_INT(pthread_create(&threads[1], NULL, tell, host.mw), 0);
        CHECK_INT(mworker_ready(host.mw), MWORKER_OK);
        CHECK_INT(worker_serve(host.mw, report[1]), SIGUSR1);
        CHECK_INT(pthread_join(threads[0], NULL), 0);
        CHECK_INT(pthread_join(threads[1], NULL), 0);
        dprintf(report[1], "told\n");
        CHECK_INT(worker_serve(host.mw, report[1]), SIGTERM);
        mworker_free(host.mw);
        exit(0);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    UNTIL(&host, host.in_service == 1);
    pid = host_worker(&host)->pid;
    CHECK_INT(mworker_signal(host.mw, SIGTTIN), MWORKER_OK);
    CHECK_INT(expect_number(report[0], "signal"), SIGTTIN);
    CHECK_INT(kill(pid, SIGUSR1), 0);
    /* Read while it is written. */
    CHECK_INT(mworker_counters(host.mw, pid, counters, 2), 2);
    CHECK(counters[0].value < ROUNDS && counters[1].value < ROUNDS);
    expect_line(report[0], "told");
    CHECK(connections(&host, pid) == ROUNDS - 1);
    CHECK_INT(mworker_counters(host.mw, pid, counters, 2), 2);
    CHECK(counters[0].value == ROUNDS - 1 && counters[1].value == ROUNDS - 1);
    leaves(&host);
}

/* ---- time ---- */

static void hang(struct host *host)
{
    int result = mworker_start_worker(host->mw);

    if (result == MWORKER_IN_WORKER) {
        alarm(PATIENCE);
        for (;;)
            pause();
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
}

static void hangs_while_starting(void)
{
    static struct host host;

    host_start(&host);
    CHECK_INT(mworker_timeout(host.mw), -1);
    CHECK_INT(mworker_set_start_timeout(host.mw, 50), MWORKER_OK);
    hang(&host);
    CHECK(mworker_timeout(host.mw) >= 0 && mworker_timeout(host.mw) <= 50);
    CHECK_INT(host_leaves(&host), 128 + SIGKILL);
    CHECK(strstr(host.log, "is not ready after 50 ms") != NULL);
    CHECK_INT(host.gone[MWORKER_GONE_STARTING], 1);
}

/* The same by a host that looks at the clock itself. */
static void is_told_the_time(void)
{
    static struct host host;

    host_start(&host);
    /* Nothing is due. */
    CHECK_INT(mworker_tick(host.mw), MWORKER_OK);
    CHECK_INT(mworker_set_start_timeout(host.mw, 0), MWORKER_OK);
    hang(&host);
    CHECK_INT(mworker_timeout(host.mw), -1);
    CHECK_INT(mworker_set_start_timeout(host.mw, 1), MWORKER_OK);
    while (strstr(host.log, "is not ready after 1 ms") == NULL) {
        int timeout = mworker_timeout(host.mw);

        CHECK(timeout >= 0);
        poll(NULL, 0, timeout);
        CHECK_INT(mworker_tick(host.mw), MWORKER_OK);
    }
    CHECK_INT(host_leaves(&host), 128 + SIGKILL);
}

static void settings(void)
{
    static struct host host;

    setenv("MWORKER_START_TIMEOUT", "40ms", 1);
    setenv("MWORKER_RESTART", "often", 1);
    host_start(&host);
    CHECK_INT(mworker_set_restart(host.mw, 0), MWORKER_OK);
    CHECK_INT(mworker_set_restart(host.mw, (unsigned int)-1), MWORKER_OK);
    CHECK_INT(mworker_set_start_timeout(host.mw, (unsigned int)-1), MWORKER_OK);
    CHECK_INT(mworker_read_settings(host.mw), MWORKER_OK);
    CHECK(strstr(host.log, "1 MWORKER_RESTART=often: ") != NULL);
    CHECK(strstr(host.log, "MWORKER_START_TIMEOUT") == NULL);
    hang(&host);
    CHECK(mworker_timeout(host.mw) <= 40);
    CHECK_INT(host_leaves(&host), 128 + SIGKILL);
}

int main(void)
{
    static const struct scenario scenarios[] = {
        {"in a master", in_a_master},
        {"tells nothing", tells_nothing},
        {"edges", edges},
        {"thirty-two counters", thirty_two_counters},
        {"forked by its host", forked_by_its_host},
        {"with threads", with_threads},
        {"hangs while starting", hangs_while_starting},
        {"is told the time", is_told_the_time},
        {"settings", settings},
    };

    return run_scenarios(scenarios, COUNT(scenarios));
}

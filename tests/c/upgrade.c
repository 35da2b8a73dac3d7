/*
 * From one generation of HAProxy to another, where HAProxy's own code goes
 * wrong: what the former image left is written by hand, its children are real.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct host host;
static int report[2];

/* ---- what the former image left ---- */

struct former {
    pid_t pid;
    int fd; /* the master's end of its socketpair */
};

/* Says what it is told, and leaves when that is `last`. */
static void serve_until(const sigset_t *wanted, int last)
{
    int told = 0;

    alarm(PATIENCE);
    while (told != last) {
        CHECK_INT(sigwait(wanted, &told), 0);
        dprintf(report[1], "former %d\n", told);
    }
    exit(0);
}

static struct former former(int last)
{
    struct former child;
    sigset_t wanted, held;
    int ends[2];

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGTERM);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_INT(sigprocmask(SIG_BLOCK, &wanted, &held), 0);
    child.pid = fork();
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        close(ends[0]);
        serve_until(&wanted, last);
    }
    CHECK_INT(sigprocmask(SIG_SETMASK, &held, NULL), 0);
    close(ends[1]);
    child.fd = ends[0];
    return child;
}

static void left(const char *name, const char *value)
{
    CHECK_INT(setenv(name, value, 1), 0);
}

static void left_number(const char *name, int value)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", value);
    left(name, text);
}

/* Takes over as a HAProxy of that branch, told to replace `pid`, if not 0. */
static void take_over(unsigned haproxy, int pid)
{
    char word[] = "haproxy", sf[] = "-sf", number[16], *argv[] = {word, sf, number, NULL};
    int argc = pid == 0 ? 1 : 3;

    snprintf(number, sizeof(number), "%d", pid);
    if (pid == 0)
        argv[1] = NULL;
    left("HAPROXY_MWORKER_REEXEC", "1");
    host_new_as(&host, haproxy);
    CHECK_INT(mworker_is_reload(host.mw), 1);
    host_take(&host, &argc, argv);
    CHECK_INT(argc, 1);
    CHECK(getenv("HAPROXY_PROCESSES") == NULL);
}

static const struct mworker_row *row_of(pid_t pid)
{
    const struct mworker_row *row = NULL;

    while ((row = mworker_row_next(host.mw, row)) != NULL) {
        if (row->pid == pid)
            return row;
    }
    CHECK(row != NULL);
    return NULL;
}

/* ---- what comes of it ---- */

static void start(void)
{
    int result = mworker_start_worker(host.mw);

    if (result == MWORKER_IN_WORKER) {
        worker_catch();
        CHECK_INT(mworker_ready(host.mw), MWORKER_OK);
        dprintf(report[1], "new %d\n", worker_serve(host.mw, -1));
        mworker_free(host.mw);
        exit(0);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    UNTIL(&host, host.in_service == 1);
}

static void stop(void)
{
    CHECK_INT(kill(getpid(), SIGTERM), 0);
    CHECK_INT(host_leaves(&host), 0);
}

/*
 * Up to 2.4 it is the reader who counts the reload: the worker in service comes
 * with reloads=0. It is the former one all the same.
 */
static void from_2_4(void)
{
    struct former worker;
    char table[256];

    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    worker = former(SIGUSR1);
    snprintf(table, sizeof(table),
             "|type=m;fd=-1;pid=%d;rpid=0;reloads=0;timestamp=1;id=;version=2.4.0"
             "|type=w;fd=%d;pid=%d;rpid=1;reloads=0;timestamp=1;id=;version=2.4.0",
             getpid(), worker.fd, worker.pid);
    left("HAPROXY_PROCESSES", table);
    take_over(0x301, worker.pid);
    CHECK_INT(host_master(&host)->reloads, 1);
    CHECK_INT(row_of(worker.pid)->reloads, 1);
    CHECK_INT(row_of(worker.pid)->options, MWORKER_ROW_WORKER | MWORKER_ROW_LEAVING);
    start();
    CHECK_INT(expect_number(report[0], "former"), SIGUSR1);
    UNTIL(&host, host.gone[MWORKER_GONE_FORMER] == 1);
    CHECK_INT(host.gone[MWORKER_GONE_CURRENT], 0);
    CHECK_INT(mworker_children(host.mw), 1);
    CHECK_INT(mworker_is_current(host.mw, host_worker(&host)->pid), 1);
    stop();
}

/*
 * The binary was replaced while a master of 2.7 to 3.0 loaded: the image that
 * was to wait for its new worker is one that knows no waiting.
 */
static void take_the_place_of_one_that_waits(int log)
{
    struct former worker = former(SIGUSR1);
    char table[256];

    left("HAPROXY_MWORKER_WAIT_ONLY", "1");
    left("HAPROXY_LOAD_SUCCESS", "1");
    left_number("HAPROXY_STARTUPLOGS_FD", log);
    snprintf(table, sizeof(table),
             "|type=m;fd=-1;cfd=-1;pid=%d;reloads=3;failedreloads=0;timestamp=1;id=;version=3.0"
             "|type=w;fd=%d;cfd=-1;pid=%d;reloads=0;failedreloads=0;timestamp=1;id=;version=3.0",
             getpid(), worker.fd, worker.pid);
    left("HAPROXY_PROCESSES", table);
    take_over(0x301, 0);
    CHECK(getenv("HAPROXY_MWORKER_WAIT_ONLY") == NULL);
    CHECK(getenv("HAPROXY_LOAD_SUCCESS") == NULL);
    CHECK(getenv("HAPROXY_STARTUPLOGS_FD") == NULL);
    CHECK_INT(mworker_is_current(host.mw, worker.pid), 1);
    start();
    CHECK_INT(expect_number(report[0], "former"), SIGUSR1);
    UNTIL(&host, host.gone[MWORKER_GONE_FORMER] == 1);
    CHECK_INT(mworker_children(host.mw), 1);
}

static void from_3_0(void)
{
    int log = memfd_create("log", 0);
    struct stat was, is;

    CHECK(log >= 0);
    CHECK_INT(fstat(log, &was), 0);
    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    take_the_place_of_one_that_waits(log);
    /* Its number may have been used again. */
    CHECK(fstat(log, &is) != 0 || is.st_ino != was.st_ino || is.st_dev != was.st_dev);
    stop();
}

/* The number is anybody's by now. */
static void from_3_0_with_a_stale_number(void)
{
    struct stat was, is;
    int ends[2];

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_INT(fstat(ends[0], &was), 0);
    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    take_the_place_of_one_that_waits(ends[0]);
    CHECK_INT(fstat(ends[0], &is), 0);
    CHECK(is.st_ino == was.st_ino && is.st_dev == was.st_dev);
    stop();
}

/* From 3.3 on there are no programs, but those that are there want to be told. */
static void from_3_2(void)
{
    struct former worker, program;
    char table[512];

    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    worker = former(SIGUSR1);
    program = former(SIGTERM);
    snprintf(table, sizeof(table),
             "|type=m;fd=-1;cfd=-1;pid=%d;reloads=1;failedreloads=0;timestamp=1;id=;version=3.2"
             "|type=e;fd=-1;cfd=-1;pid=%d;reloads=1;failedreloads=0;timestamp=1;id=echo;version=3.2"
             "|type=w;fd=%d;cfd=-1;pid=%d;reloads=1;failedreloads=0;timestamp=1;id=;version=3.2",
             getpid(), program.pid, worker.fd, worker.pid);
    left("HAPROXY_PROCESSES", table);
    take_over(0x303, worker.pid);
    CHECK_INT(row_of(program.pid)->options, MWORKER_ROW_PROGRAM | MWORKER_ROW_LEAVING);
    start();
    /* Both are told, and one of them doesn't mind. */
    CHECK_INT(expect_number(report[0], "former"), SIGUSR1);
    CHECK_INT(expect_number(report[0], "former"), SIGUSR1);
    UNTIL(&host, host.gone[MWORKER_GONE_FORMER] == 1);
    CHECK_INT(mworker_children(host.mw), 2);
    CHECK_INT(mworker_is_current(host.mw, program.pid), 0);
    /* It is waited for, and so has to be told now. */
    stop();
    CHECK_INT(host.gone[MWORKER_GONE_FORMER], 2);
    expect_lines(report[0], "former 15", "new 15");
}

static const struct scenario scenarios[] = {
    {"from_2_4", from_2_4},
    {"from_3_0", from_3_0},
    {"from_3_0_with_a_stale_number", from_3_0_with_a_stale_number},
    {"from_3_2", from_3_2},
};

int main(void)
{
    return run_scenarios(scenarios, COUNT(scenarios));
}

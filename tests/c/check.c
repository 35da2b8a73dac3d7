#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *scenario = "-";

void check_name(const char *name)
{
    scenario = name;
}

void check_that(int holds, const char *what, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: in %s: expected: %s\n", file, line, scenario, what);
        exit(98);
    }
}

void check_int(long actual, long expected, const char *what, const char *file, int line)
{
    if (actual != expected) {
        fprintf(stderr, "%s:%d: in %s: %s is %ld, expected %ld\n", file, line, scenario, what,
                actual, expected);
        exit(98);
    }
}

void check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line)
{
    if (actual == NULL || strcmp(actual, expected) != 0) {
        fprintf(stderr, "%s:%d: in %s: %s is \"%s\", expected \"%s\"\n", file, line, scenario, what,
                actual == NULL ? "(NULL)" : actual, expected);
        exit(98);
    }
}

int run_scenarios(const struct scenario *scenarios, size_t count)
{
    size_t i;
    int failed = 0;

    for (i = 0; i < count; i++) {
        pid_t pid;
        int status;

        fflush(NULL);
        pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            check_name(scenarios[i].name);
            alarm(PATIENCE);
            scenarios[i].run();
            exit(0);
        }
        status = ended(pid);
        printf("%s %s\n", status == 0 ? "ok    " : "FAILED", scenarios[i].name);
        if (status != 0) {
            fprintf(stderr, "%s ended with %d\n", scenarios[i].name, status);
            failed = 1;
        }
    }
    return failed;
}

int under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int ended(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void read_line(int fd, char *line, size_t size)
{
    size_t length = 0;

    for (;;) {
        struct pollfd input = {0};
        char byte;

        input.fd = fd;
        input.events = POLLIN;
        if (poll(&input, 1, PATIENCE * 1000) != 1 || read(fd, &byte, 1) != 1) {
            line[length] = '\0';
            fprintf(stderr, "%s: the line ended with \"%s\"\n", scenario, line);
            exit(98);
        }
        if (byte == '\n')
            break;
        CHECK(length + 1 < size);
        line[length++] = byte;
    }
    line[length] = '\0';
}

void expect_line(int fd, const char *expected)
{
    char line[512];

    read_line(fd, line, sizeof(line));
    CHECK_TEXT(line, expected);
}

void expect_lines(int fd, const char *one, const char *other)
{
    char line[512];

    read_line(fd, line, sizeof(line));
    if (strcmp(line, one) == 0) {
        expect_line(fd, other);
    } else {
        CHECK_TEXT(line, other);
        expect_line(fd, one);
    }
}

int expect_number(int fd, const char *word)
{
    char line[512];
    size_t length = strlen(word);

    read_line(fd, line, sizeof(line));
    if (strncmp(line, word, length) != 0 || line[length] != ' ')
        CHECK_TEXT(line, word);
    return atoi(line + length + 1);
}

/* ---- a host ---- */

static void on_log(void *user, int level, const char *text)
{
    struct host *host = user;
    size_t length = strlen(host->log);

    CHECK(level >= MWORKER_LOG_NOTICE && level <= MWORKER_LOG_ALERT);
    CHECK(text[0] != '\0' && text[strlen(text) - 1] != '\n');
    snprintf(host->log + length, sizeof(host->log) - length, "%d %s\n", level, text);
}

static void on_before_exec(void *user)
{
    ((struct host *)user)->before_exec++;
}

static void on_failed_exec(void *user, int error)
{
    struct host *host = user;

    host->failed_exec++;
    host->failed_exec_errno = error;
}

static void on_gone(void *user, struct mworker_row *row, int kind)
{
    struct host *host = user;

    CHECK(kind >= MWORKER_GONE_UNBORN && kind <= MWORKER_GONE_FORMER);
    CHECK((kind == MWORKER_GONE_UNBORN) == (row->pid == -1));
    /* Out of the table: linked to itself. */
    CHECK(row->list.n == &row->list && row->list.p == &row->list);
    host->gone[kind]++;
}

static void on_crashed(void *user, const struct mworker_row *row)
{
    CHECK(row->options & MWORKER_ROW_WORKER);
    ((struct host *)user)->crashed++;
}

static void on_in_service(void *user, const struct mworker_row *row)
{
    CHECK_INT(row->options, MWORKER_ROW_WORKER);
    ((struct host *)user)->in_service++;
}

static void on_leave(void *user, int status)
{
    (void)status;
    ((struct host *)user)->leave++;
}

/* What would let signals through. */
static void on_defer(void *user, void (*function)(void *argument), void *argument)
{
    (void)user;
    (void)function;
    (void)argument;
}

void host_new(struct host *host)
{
    host_new_as(host, 0);
}

void host_new_as(struct host *host, unsigned haproxy)
{
    memset(host, 0, sizeof(*host));
    host->table.size = sizeof(host->table);
    host->table.name = "checked";
    host->table.version = "1.2.3";
    host->table.user = host;
    host->table.log = on_log;
    host->table.before_exec = on_before_exec;
    host->table.after_failed_exec = on_failed_exec;
    host->table.gone = on_gone;
    host->table.crashed = on_crashed;
    host->table.in_service = on_in_service;
    host->table.leave = on_leave;
    host->table.haproxy = haproxy;
    if (haproxy != 0)
        host->table.defer = on_defer;
    CHECK_INT(mworker_new(&host->table, &host->mw), MWORKER_OK);
    CHECK(host->mw != NULL);
}

void host_take(struct host *host, int *argc, char **argv)
{
    CHECK_INT(mworker_take_args(host->mw, argc, argv), MWORKER_OK);
    CHECK_INT(mworker_take_over(host->mw), MWORKER_OK);
}

void host_turn(struct host *host)
{
    struct pollfd input = {0};
    int timeout, result;

    input.fd = mworker_fd(host->mw);
    input.events = POLLIN;
    CHECK(input.fd >= 0);
    timeout = mworker_timeout(host->mw);
    if (timeout < 0 || timeout > 100)
        timeout = 100;
    poll(&input, 1, timeout);
    result = mworker_dispatch(host->mw);
    CHECK(result == 0 || result == 1);
    if (result == 0) {
        host->left = 1;
        host->status = mworker_exit_status(host->mw);
        CHECK(host->status >= 0 && host->status <= 255);
        /* For good. */
        CHECK_INT(mworker_dispatch(host->mw), 0);
    } else {
        CHECK_INT(mworker_exit_status(host->mw), MWORKER_ERR_ABSENT);
    }
}

int host_leaves(struct host *host)
{
    long end = now_ms() + PATIENCE * 1000L;

    while (!host->left) {
        CHECK(now_ms() < end);
        host_turn(host);
    }
    CHECK_INT(host->leave, 0);
    mworker_free(host->mw);
    host->mw = NULL;
    return host->status;
}

static const struct mworker_row *find(struct host *host, int option)
{
    const struct mworker_row *row = NULL, *found = NULL;

    while ((row = mworker_row_next(host->mw, row)) != NULL) {
        if (row->options & option) {
            CHECK(found == NULL);
            found = row;
        }
    }
    CHECK(found != NULL);
    return found;
}

const struct mworker_row *host_master(struct host *host)
{
    return find(host, MWORKER_ROW_MASTER);
}

const struct mworker_row *host_worker(struct host *host)
{
    return find(host, MWORKER_ROW_WORKER);
}

/* ---- a worker ---- */

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGTTIN, SIGTTOU, SIGUSR2, SIGHUP};
static volatile sig_atomic_t arrived[65];

static void on_signal(int signo)
{
    arrived[signo] = 1;
}

void worker_catch(void)
{
    struct sigaction action;
    sigset_t held;
    size_t i;

    alarm(PATIENCE);
    /* Nothing is held back in a new worker. */
    CHECK_INT(sigprocmask(SIG_BLOCK, NULL, &held), 0);
    for (i = 1; i < 32; i++)
        CHECK_INT(sigismember(&held, (int)i), 0);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigemptyset(&held);
    for (i = 0; i < COUNT(signals); i++) {
        sigaddset(&held, signals[i]);
        CHECK_INT(sigaction(signals[i], &action, NULL), 0);
    }
    CHECK_INT(sigprocmask(SIG_BLOCK, &held, NULL), 0);
}

/* One line of the master CLI: says it back. */
static void answer(int cli)
{
    char line[256];
    ssize_t length = 0, got;

    do {
        got = read(cli, line + length, sizeof(line) - (size_t)length);
        CHECK(got >= 0);
        length += got;
    } while (got > 0 && memchr(line, '\n', (size_t)length) == NULL);
    CHECK_INT(write(cli, "you said: ", 10), 10);
    CHECK_INT(write(cli, line, (size_t)length), length);
    close(cli);
}

int worker_serve(struct mworker *mw, int report)
{
    int fd = mworker_worker_fd(mw);

    CHECK(fd >= 0);
    for (;;) {
        sigset_t none;
        fd_set input;
        size_t i;
        int cli = 12345;

        FD_ZERO(&input);
        FD_SET(fd, &input);
        sigemptyset(&none);
        if (pselect(fd + 1, &input, NULL, NULL, NULL, &none) < 0)
            CHECK_INT(errno, EINTR);
        for (i = 0; i < COUNT(signals); i++) {
            if (!arrived[signals[i]])
                continue;
            arrived[signals[i]] = 0;
            if (i < 3)
                return signals[i];
            if (report >= 0)
                dprintf(report, "signal %d\n", signals[i]);
        }
        switch (mworker_worker_dispatch(mw, &cli)) {
        case 0:
            CHECK_INT(cli, -1);
            return 0;
        case 1:
            if (cli != -1)
                answer(cli);
            break;
        default:
            CHECK_TEXT(mworker_error(mw), "no error");
        }
    }
}

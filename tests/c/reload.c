/*
 * Reloads: the program executes itself anew, with what one master hands to the
 * next, and goes on when that fails. A scenario has a function for its masters
 * and one for who looks at them from outside.
 */
#define _GNU_SOURCE
#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IMAGE "MWORKER_CHECK_IMAGE"

static const char *self;

/* What the masters of a scenario know. */
static struct host host;
static const char *name;
static int image;  /* 1 is the first start, 2 the first reload's */
static int report; /* to the outside */
static int listening = -1;

/* ---- workers ---- */

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

static int bound(void)
{
    struct sockaddr_in address = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_INT(listen(fd, 16), 0);
    return fd;
}

/* The listener of the former worker, or a new one. */
static void take_listener(void)
{
    listening = mworker_inherit_listener(host.mw, "web");
    if (listening < 0) {
        CHECK_INT(listening, MWORKER_ERR_ABSENT);
        listening = bound();
        dprintf(report, "bound %d\n", port_of(listening));
    } else {
        CHECK_INT(fcntl(listening, F_GETFD), FD_CLOEXEC);
        dprintf(report, "inherited %d\n", port_of(listening));
    }
    CHECK_INT(mworker_publish_listener(host.mw, "web", listening), MWORKER_OK);
}

static void serve(void)
{
    int told;

    CHECK_INT(mworker_ready(host.mw), MWORKER_OK);
    told = worker_serve(host.mw, -1);
    dprintf(report, "worker %d told %d\n", image, told);
    mworker_free(host.mw);
    exit(0);
}

/* Starts a worker that serves, and waits until it does. */
static void start(void)
{
    int result = mworker_start_worker(host.mw);

    if (result == MWORKER_IN_WORKER) {
        worker_catch();
        take_listener();
        serve();
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    UNTIL(&host, host.in_service == 1);
    dprintf(report, "serving %d\n", image);
}

/* ---- from outside ---- */

static int inbox;

/* Starts the first image, as a shell would. */
static pid_t launch(void)
{
    char number[16];
    pid_t pid;
    int ends[2];

    CHECK_INT(pipe(ends), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        snprintf(number, sizeof(number), "%d", ends[1]);
        execl(self, self, name, number, (char *)NULL);
        perror(self);
        exit(97);
    }
    close(ends[1]);
    inbox = ends[0];
    return pid;
}

static void stop(pid_t master, int last_image)
{
    char line[64];

    CHECK_INT(kill(master, SIGTERM), 0);
    snprintf(line, sizeof(line), "worker %d told %d", last_image, SIGTERM);
    expect_line(inbox, line);
    CHECK_INT(ended(master), 0);
}

static int connected(int port)
{
    struct sockaddr_in address = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)port);
    CHECK_INT(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* ---- a listener goes over ---- */

static void hand_over(void)
{
    int result = mworker_start_worker(host.mw);

    if (result == MWORKER_IN_WORKER) {
        worker_catch();
        CHECK_INT(mworker_inherit_listener(host.mw, "other"), MWORKER_ERR_ABSENT);
        take_listener();
        /* Once. */
        CHECK_INT(mworker_inherit_listener(host.mw, "web"), MWORKER_ERR_ABSENT);
        if (image == 2) {
            /* It came before this worker was there, and nobody took it. */
            int client = accept(listening, NULL, NULL);

            CHECK(client >= 0);
            CHECK_INT(write(client, "served\n", 7), 7);
            close(client);
        }
        serve();
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    UNTIL(&host, host.in_service == 1);
    if (image == 2) {
        UNTIL(&host, host.gone[MWORKER_GONE_FORMER] == 1);
        CHECK_INT(mworker_children(host.mw), 1);
        CHECK_INT(host_master(&host)->reloads, 1);
        CHECK_INT(host_master(&host)->pid, getpid());
        CHECK_INT(host_worker(&host)->reloads, 0);
        dprintf(report, "alone\n");
    }
}

static void hand_over_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound"), client = connected(port);

    CHECK_INT(kill(master, SIGUSR2), 0);
    CHECK_INT(expect_number(inbox, "inherited"), port);
    expect_line(client, "served");
    expect_lines(inbox, "worker 1 told 10", "alone");
    close(connected(port));
    stop(master, 2);
}

/* ---- the exec fails ---- */

/* Everything that a failed exec might leave behind. */
struct state {
    char descriptors[4096];
    char environment[65536];
    sigset_t held;
    struct rlimit limit;
    struct sigaction profiling;
};

static void state_of(struct state *state)
{
    extern char **environ;
    char **variable;
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t length = 0;

    memset(state, 0, sizeof(*state));
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        if (atoi(entry->d_name) == dirfd(folder) || entry->d_name[0] == '.')
            continue;
        length += (size_t)snprintf(state->descriptors + length, sizeof(state->descriptors) - length,
                                   "%s ", entry->d_name);
        CHECK(length < sizeof(state->descriptors));
    }
    closedir(folder);
    for (length = 0, variable = environ; *variable != NULL; variable++) {
        length += (size_t)snprintf(state->environment + length, sizeof(state->environment) - length,
                                   "%s\n", *variable);
        CHECK(length < sizeof(state->environment));
    }
    CHECK_INT(sigprocmask(SIG_BLOCK, NULL, &state->held), 0);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &state->limit), 0);
    CHECK_INT(sigaction(SIGPROF, NULL, &state->profiling), 0);
}

static void fail_reload(int call(struct mworker *mw), int error, int times)
{
    static struct state before, after;
    int worker = host_worker(&host)->pid, signo;

    state_of(&before);
    CHECK_INT(call(host.mw), MWORKER_ERR_SYSTEM);
    CHECK(strlen(mworker_error(host.mw)) > 0);
    state_of(&after);
    CHECK_TEXT(after.descriptors, before.descriptors);
    CHECK_TEXT(after.environment, before.environment);
    for (signo = 1; signo < 32; signo++)
        CHECK_INT(sigismember(&after.held, signo), sigismember(&before.held, signo));
    CHECK(after.limit.rlim_cur == before.limit.rlim_cur);
    CHECK(after.limit.rlim_max == before.limit.rlim_max);
    CHECK(after.profiling.sa_handler == before.profiling.sa_handler);
    CHECK_INT(host.before_exec, times);
    CHECK_INT(host.failed_exec, times);
    CHECK_INT(host.failed_exec_errno, error);

    /* Counted, told, and the worker serves on. */
    CHECK_INT(host_master(&host)->failedreloads, times);
    CHECK_INT(host_master(&host)->reloads, 0);
    CHECK_INT(mworker_load_status(host.mw), 0);
    CHECK_INT(mworker_may_reload(host.mw), MWORKER_OK);
    host_turn(&host);
    CHECK_INT(host_worker(&host)->pid, worker);
    CHECK_INT(host_worker(&host)->reloads, 0);
    CHECK_INT(mworker_is_current(host.mw, worker), 1);
    close(connected(atoi(getenv("MWORKER_CHECK_PORT"))));
}

static void fail_exec(void)
{
    static const char *const missing[] = {"/nonexistent/proxy", "-f", "file", NULL};
    static const char *const no_program[] = {"/proc/self/environ", NULL};
    char number[16], port[16];
    const char *again[4];
    struct rlimit limit;

    if (image == 1) {
        int fd = bound(), result;

        snprintf(port, sizeof(port), "%d", port_of(fd));
        CHECK_INT(setenv("MWORKER_CHECK_PORT", port, 1), 0);
        CHECK_INT(mworker_keep_fd(host.mw, fd), MWORKER_OK);
        result = mworker_start_worker(host.mw);
        if (result == MWORKER_IN_WORKER) {
            worker_catch();
            serve();
        }
        UNTIL(&host, host.in_service == 1);
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
        CHECK_INT(mworker_set_open_files(host.mw, 100, limit.rlim_max), MWORKER_OK);
        CHECK_INT(mworker_set_argv(host.mw, missing, NULL), MWORKER_OK);
        fail_reload(mworker_reload, ENOENT, 1);
        fail_reload(mworker_hard_reload, ENOENT, 2);
        CHECK_INT(mworker_set_argv(host.mw, no_program, NULL), MWORKER_OK);
        fail_reload(mworker_reload, EACCES, 3);

        snprintf(number, sizeof(number), "%d", report);
        again[0] = self;
        again[1] = name;
        again[2] = number;
        again[3] = NULL;
        CHECK_INT(mworker_set_argv(host.mw, again, NULL), MWORKER_OK);
        mworker_reload(host.mw);
        CHECK_TEXT(mworker_error(host.mw), "no return");
    } else {
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (!under_valgrind())
            CHECK_INT(limit.rlim_cur, 100);
        CHECK_INT(host_master(&host)->failedreloads, 3);
        CHECK_INT(host_master(&host)->reloads, 1);
        start();
        CHECK_INT(host_master(&host)->failedreloads, 0);
        CHECK_INT(mworker_load_status(host.mw), 1);
    }
}

static void fail_exec_outside(void)
{
    pid_t master = launch();

    expect_number(inbox, "bound");
    expect_lines(inbox, "serving 2", "worker 1 told 10");
    stop(master, 2);
}

/* ---- a new configuration that is refused ---- */

static void refuse(void)
{
    if (image != 2) {
        start();
        return;
    }
    CHECK_INT(mworker_load_ended(host.mw, MWORKER_LOAD_FAILED, "line 7 is nonsense"), MWORKER_OK);
    CHECK(strstr(host.log, "line 7 is nonsense") != NULL);
    CHECK_INT(mworker_load_status(host.mw), 0);
    CHECK_INT(host_master(&host)->failedreloads, 1);
    CHECK_INT(mworker_is_current(host.mw, host_worker(&host)->pid), 1);
    host_turn(&host);
    dprintf(report, "refused\n");
}

static void refuse_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound");

    CHECK_INT(expect_number(inbox, "serving"), 1);
    CHECK_INT(kill(master, SIGHUP), 0);
    expect_line(inbox, "refused");
    close(connected(port));
    CHECK_INT(kill(master, SIGUSR2), 0);
    CHECK_INT(expect_number(inbox, "inherited"), port);
    expect_lines(inbox, "serving 3", "worker 1 told 10");
    stop(master, 3);
}

/* ---- a new worker that can't start ---- */

static void die(void)
{
    int result;

    if (image == 1) {
        start();
        return;
    }
    result = mworker_start_worker(host.mw);
    if (result == MWORKER_IN_WORKER) {
        mworker_free(host.mw);
        exit(9);
    }
    UNTIL(&host, host.gone[MWORKER_GONE_STARTING] == 1);
    CHECK_INT(host.in_service, 0);
    CHECK_INT(host.crashed, 0);
    CHECK_INT(mworker_load_status(host.mw), 0);
    CHECK_INT(host_master(&host)->failedreloads, image - 1);
    CHECK_INT(host_worker(&host)->options, MWORKER_ROW_WORKER);
    dprintf(report, "died\n");
}

static void die_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound");

    CHECK_INT(expect_number(inbox, "serving"), 1);
    CHECK_INT(kill(master, SIGUSR2), 0);
    expect_line(inbox, "died");
    close(connected(port));
    CHECK_INT(kill(master, SIGUSR2), 0);
    expect_line(inbox, "died");
    close(connected(port));
    stop(master, 1);
}

/* ---- a reload while a worker is starting ---- */

static void ask_early(void)
{
    int result, go[2];
    char byte;

    if (image == 2) {
        start();
        return;
    }
    CHECK_INT(pipe2(go, O_CLOEXEC), 0);
    result = mworker_start_worker(host.mw);
    if (result == MWORKER_IN_WORKER) {
        worker_catch();
        CHECK_INT(read(go[0], &byte, 1), 1);
        take_listener();
        serve();
    }
    CHECK_INT(mworker_may_reload(host.mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_reload_for_client(host.mw, 0), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_reload(host.mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_reload(host.mw), MWORKER_ERR_BUSY);
    CHECK_INT(host.before_exec, 0);
    CHECK_INT(write(go[1], "", 1), 1);
    /* It is not forgotten, and two are one: this executes the next image. */
    UNTIL(&host, 0);
}

static void ask_early_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound");

    CHECK_INT(expect_number(inbox, "inherited"), port);
    expect_lines(inbox, "serving 2", "worker 1 told 10");
    stop(master, 2);
}

/* ---- a hard reload, and the most reloads that a worker may live through ---- */

static void reload_hard(void)
{
    start();
    if (image == 1)
        mworker_hard_reload(host.mw);
}

static void reload_old(void)
{
    CHECK_INT(mworker_set_max_reloads(host.mw, 0), MWORKER_OK);
    start();
    if (image == 1)
        mworker_reload(host.mw);
}

static void told_at_once_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound");

    CHECK_INT(expect_number(inbox, "serving"), 1);
    CHECK_INT(expect_number(inbox, "inherited"), port);
    expect_lines(inbox, "serving 2", "worker 1 told 15");
    stop(master, 2);
}

/* ---- what goes over, and what doesn't ---- */

/* Whether it is the file that image 1 opened under this number. */
static int is_open(int fd, const char *path)
{
    char link[64], target[512] = "";

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, target, sizeof(target) - 1) > 0 && strcmp(target, path) == 0;
}

static void go_over(void)
{
    if (image == 1) {
        char text[64];
        const char *environment[5], *last;
        char marker[256] = "MWORKER_TEST_ID=";
        int kept = open("/proc/version", O_RDONLY | O_CLOEXEC);
        int other = open("/proc/uptime", O_RDONLY);

        CHECK_INT(mworker_keep_fd(host.mw, kept), MWORKER_OK);
        CHECK_INT(mworker_keep_fd(host.mw, kept), MWORKER_OK);
        last = getenv("MWORKER_TEST_ID");
        if (last != NULL)
            strncat(marker, last, sizeof(marker) - strlen(marker) - 1);
        snprintf(text, sizeof(text), "FDS=%d %d", kept, other);
        environment[0] = text;
        environment[1] = IMAGE "=1";
        environment[2] = "PATH=/usr/bin:/bin";
        environment[3] = marker;
        environment[4] = NULL;
        CHECK_INT(mworker_set_environment(host.mw, environment), MWORKER_OK);
        CHECK_INT(setenv("NOT_OVER", "1", 1), 0);
        start();
        mworker_reload(host.mw);
        CHECK_TEXT(mworker_error(host.mw), "no return");
    } else {
        int kept, other;

        CHECK_INT(sscanf(getenv("FDS"), "%d %d", &kept, &other), 2);
        CHECK(is_open(kept, "/proc/version"));
        CHECK(!is_open(other, "/proc/uptime"));
        CHECK(getenv("NOT_OVER") == NULL);
        CHECK_TEXT(getenv("PATH"), "/usr/bin:/bin");
        start();
    }
}

static void told_softly_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound");

    CHECK_INT(expect_number(inbox, "serving"), 1);
    CHECK_INT(expect_number(inbox, "inherited"), port);
    expect_lines(inbox, "serving 2", "worker 1 told 10");
    stop(master, 2);
}

/* ---- again and again ---- */

#define LAST 8

static void repeat(void)
{
    start();
    if (image > 1 && image < LAST) {
        static struct state state;
        char number[16];
        int i, open = 0;

        /* There are as many as before, in the environment too. */
        UNTIL(&host, host.gone[MWORKER_GONE_FORMER] == 1);
        state_of(&state);
        for (i = 0; state.descriptors[i] != '\0'; i++)
            open += state.descriptors[i] == ' ';
        if (image > 2 && !under_valgrind())
            CHECK_INT(open, atoi(getenv("MWORKER_CHECK_OPEN")));
        snprintf(number, sizeof(number), "%d", open);
        CHECK_INT(setenv("MWORKER_CHECK_OPEN", number, 1), 0);
        for (open = i = 0; state.environment[i] != '\0'; i++)
            open += state.environment[i] == '\n';
        if (image > 2)
            CHECK_INT(open, atoi(getenv("MWORKER_CHECK_VARIABLES")) + 2 * (image == 3));
        snprintf(number, sizeof(number), "%d", open);
        CHECK_INT(setenv("MWORKER_CHECK_VARIABLES", number, 1), 0);
    }
    if (image < LAST)
        mworker_reload(host.mw);
}

static void repeat_outside(void)
{
    pid_t master = launch();
    int port = expect_number(inbox, "bound"), i;
    char serving[64], told[64];

    CHECK_INT(expect_number(inbox, "serving"), 1);
    for (i = 2; i <= LAST; i++) {
        CHECK_INT(expect_number(inbox, "inherited"), port);
        snprintf(serving, sizeof(serving), "serving %d", i);
        snprintf(told, sizeof(told), "worker %d told 10", i - 1);
        expect_lines(inbox, serving, told);
    }
    stop(master, LAST);
}

/* ---- */

static const struct {
    const char *name;
    void (*inside)(void);
    void (*outside)(void);
} all[] = {
    {"hand-over", hand_over, hand_over_outside},
    {"exec-fails", fail_exec, fail_exec_outside},
    {"refused", refuse, refuse_outside},
    {"new-worker-dies", die, die_outside},
    {"asked-early", ask_early, ask_early_outside},
    {"hard", reload_hard, told_at_once_outside},
    {"max-reloads", reload_old, told_at_once_outside},
    {"what-goes-over", go_over, told_softly_outside},
    {"again-and-again", repeat, repeat_outside},
};

static size_t current;

static void outside(void)
{
    name = all[current].name;
    all[current].outside();
}

/* An image of a master, whichever. */
static int master(int argc, char **argv)
{
    char number[16];
    size_t i;
    int was_reload;

    alarm(PATIENCE);
    host_new(&host);
    image = getenv(IMAGE) != NULL ? atoi(getenv(IMAGE)) + 1 : 1;
    was_reload = mworker_is_reload(host.mw);
    CHECK_INT(was_reload, image > 1);
    /* What the former master added is gone. */
    host_take(&host, &argc, argv);
    CHECK_INT(argc, 3);
    CHECK(argv[3] == NULL);
    snprintf(number, sizeof(number), "%d", image);
    CHECK_INT(setenv(IMAGE, number, 1), 0);
    name = argv[1];
    check_name(name);
    report = atoi(argv[2]);
    for (i = 0; i < COUNT(all); i++) {
        if (strcmp(all[i].name, name) == 0)
            all[i].inside();
    }
    return host_leaves(&host);
}

int main(int argc, char **argv)
{
    int status = 0;

    self = argv[0];
    if (argc > 1)
        return master(argc, argv);
    for (current = 0; current < COUNT(all); current++) {
        struct scenario scenario;

        scenario.name = all[current].name;
        scenario.run = outside;
        status |= run_scenarios(&scenario, 1);
    }
    return status;
}

/*
 * A tiny host with a loop of its own, from its worker's fork to the end.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int report[2], go[2];

static void host_start(struct host *host)
{
    char word[] = "lifecycle", *argv[] = {word, NULL};
    int argc = 1;

    CHECK_INT(pipe2(report, O_CLOEXEC), 0);
    CHECK_INT(pipe2(go, O_CLOEXEC), 0);
    host_new(host);
    CHECK_INT(mworker_is_reload(host->mw), 0);
    host_take(host, &argc, argv);
}

/* A worker that serves until it's told to leave, and leaves with `status`. */
static void serving_worker(struct host *host, int status)
{
    int result = mworker_start_worker(host->mw);

    if (result == MWORKER_IN_WORKER) {
        int told;

        worker_catch();
        CHECK_INT(mworker_ready(host->mw), MWORKER_OK);
        CHECK_INT(mworker_ready(host->mw), MWORKER_OK);
        told = worker_serve(host->mw, report[1]);
        dprintf(report[1], "told %d\n", told);
        mworker_free(host->mw);
        exit(status);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    CHECK_INT(mworker_children(host->mw), 1);
    CHECK_INT(host_worker(host)->options, MWORKER_ROW_WORKER | MWORKER_ROW_INIT);
    CHECK_INT(mworker_exit_status(host->mw), MWORKER_ERR_ABSENT);
}

/*
 * A worker that leaves with `status`, killed if that is above 128: before it is
 * READY, or afterwards when it may go.
 */
static void failing_worker(struct host *host, int ready, int status)
{
    int result = mworker_start_worker(host->mw);

    if (result == MWORKER_IN_WORKER) {
        alarm(PATIENCE);
        if (ready) {
            char byte;

            CHECK_INT(mworker_ready(host->mw), MWORKER_OK);
            CHECK_INT(read(go[0], &byte, 1), 1);
        }
        mworker_free(host->mw);
        if (status > 128)
            raise(status - 128);
        exit(status);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    if (ready) {
        UNTIL(host, host->in_service == 1);
        CHECK_INT(write(go[1], "", 1), 1);
    }
}

static void told_to_leave(int signo, int worker_status, int status)
{
    static struct host host;

    host_start(&host);
    serving_worker(&host, worker_status);
    UNTIL(&host, host.in_service == 1);
    CHECK_INT(host_worker(&host)->options, MWORKER_ROW_WORKER);
    CHECK_INT(host_worker(&host)->reloads, 0);
    CHECK_TEXT(host_worker(&host)->version, "1.2.3");
    CHECK_INT(mworker_is_current(host.mw, host_worker(&host)->pid), 1);
    CHECK_INT(mworker_is_current(host.mw, getpid()), 0);
    CHECK_INT(host_master(&host)->pid, getpid());
    CHECK_INT(mworker_load_status(host.mw), 1);
    CHECK_INT(mworker_may_reload(host.mw), MWORKER_OK);
    CHECK_INT(kill(getpid(), signo), 0);
    UNTIL(&host, mworker_may_reload(host.mw) == MWORKER_ERR_LEAVING);
    CHECK_INT(mworker_reload(host.mw), MWORKER_ERR_LEAVING);
    CHECK_INT(mworker_hard_reload(host.mw), MWORKER_ERR_LEAVING);
    CHECK_INT(mworker_reload_for_client(host.mw, 1), MWORKER_ERR_LEAVING);
    CHECK_INT(host_leaves(&host), status);
    CHECK_INT(expect_number(report[0], "told"), signo);
    CHECK_INT(host.gone[MWORKER_GONE_CURRENT], 1);
    CHECK_INT(host.before_exec, 0);
}

static void stopped(void)
{
    told_to_leave(SIGTERM, 0, 0);
}

static void stopped_softly(void)
{
    told_to_leave(SIGUSR1, 0, 0);
}

static void interrupted(void)
{
    told_to_leave(SIGINT, 0, 0);
}

static void stopped_with_the_status_of_sigterm(void)
{
    told_to_leave(SIGTERM, 143, 0);
}

static void stopped_with_the_workers_status(void)
{
    told_to_leave(SIGTERM, 7, 7);
}

static void exits_on_failure(void)
{
    static struct host host;

    host_start(&host);
    failing_worker(&host, 1, 3);
    CHECK_INT(host_leaves(&host), 3);
    CHECK_INT(host.in_service, 1);
    CHECK_INT(host.crashed, 1);
    CHECK_INT(host.gone[MWORKER_GONE_CURRENT], 1);
}

static void exits_on_a_crash(void)
{
    static struct host host;

    host_start(&host);
    failing_worker(&host, 1, 128 + SIGKILL);
    CHECK_INT(host_leaves(&host), 128 + SIGKILL);
    CHECK_INT(host.crashed, 1);
    CHECK(strstr(host.log, "Killed") != NULL);
}

static void dies_while_starting(void)
{
    static struct host host;

    host_start(&host);
    failing_worker(&host, 0, 5);
    CHECK_INT(host_leaves(&host), 5);
    CHECK_INT(host.in_service, 0);
    CHECK_INT(host.crashed, 0);
    CHECK_INT(host.gone[MWORKER_GONE_STARTING], 1);
}

static void is_killed_while_starting(void)
{
    static struct host host;

    host_start(&host);
    failing_worker(&host, 0, 128 + SIGKILL);
    CHECK_INT(host_leaves(&host), 128 + SIGKILL);
    CHECK_INT(host.gone[MWORKER_GONE_STARTING], 1);
}

static void refuses_its_first_configuration(void)
{
    static struct host host;

    host_start(&host);
    CHECK_INT(mworker_load_ended(host.mw, MWORKER_LOAD_FAILED, "line 1 is nonsense"), MWORKER_ERR_ABSENT);
    CHECK_TEXT(mworker_error(host.mw), "line 1 is nonsense");
    CHECK_INT(mworker_children(host.mw), 0);
    mworker_free(host.mw);
}

static void in_a_worker_a_master_is_none(void)
{
    static struct host host;
    int result;

    host_start(&host);
    result = mworker_start_worker(host.mw);
    if (result == MWORKER_IN_WORKER) {
        struct mworker_text *text = NULL;

        alarm(PATIENCE);
        CHECK_INT(mworker_start_worker(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_run(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_dispatch(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_fd(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_exit_status(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_reload(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_may_reload(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_signal(host.mw, SIGTERM), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_take_over(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_cli_listen(host.mw, "path"), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_daemonize(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_children(host.mw), MWORKER_ERR_ROLE);
        CHECK_INT(mworker_show_proc(host.mw, 0, &text), MWORKER_ERR_ROLE);
        CHECK(text == NULL);
        CHECK(mworker_row_next(host.mw, NULL) == NULL);
        CHECK(strstr(mworker_error(host.mw), "master") != NULL);
        /* Names of listeners. */
        CHECK_INT(mworker_inherit_listener(host.mw, "none"), MWORKER_ERR_ABSENT);
        CHECK_INT(mworker_inherit_listener(host.mw, ""), MWORKER_ERR_INVALID);
        CHECK_INT(mworker_inherit_listener(host.mw, NULL), MWORKER_ERR_INVALID);
        CHECK_INT(mworker_publish_listener(host.mw, NULL, 0), MWORKER_ERR_INVALID);
        CHECK_INT(mworker_worker_dispatch(host.mw, NULL), MWORKER_ERR_INVALID);
        mworker_free(host.mw);
        exit(6);
    }
    CHECK_INT(result, MWORKER_IN_MASTER);
    CHECK_INT(host_leaves(&host), 6);
}

static void goes_on_after_a_failure(void)
{
    static struct host host;

    host_start(&host);
    CHECK_INT(mworker_set_exit_on_failure(host.mw, 0), MWORKER_OK);
    failing_worker(&host, 1, 143);
    CHECK_INT(host_leaves(&host), 0);
    CHECK_INT(host.crashed, 0);
    CHECK_INT(host.gone[MWORKER_GONE_CURRENT], 1);
}

static void passes_signals_on(void)
{
    static struct host host;

    host_start(&host);
    serving_worker(&host, 0);
    UNTIL(&host, host.in_service == 1);
    CHECK_INT(mworker_signal(host.mw, SIGTTIN), MWORKER_OK);
    CHECK_INT(expect_number(report[0], "signal"), SIGTTIN);
    CHECK_INT(kill(getpid(), SIGTTOU), 0);
    host_turn(&host);
    CHECK_INT(expect_number(report[0], "signal"), SIGTTOU);
    CHECK_INT(mworker_signal(host.mw, SIGCHLD), MWORKER_OK);
    CHECK_INT(mworker_signal(host.mw, SIGTERM), MWORKER_OK);
    CHECK_INT(host_leaves(&host), 0);
}

/* A master in a process of its own, for those who look at it from outside. */
static pid_t host_apart(struct host *host, void (*prepare)(struct host *))
{
    pid_t pid;

    CHECK_INT(pipe(report), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int result, told;

        alarm(PATIENCE);
        host_new(host);
        CHECK_INT(mworker_take_over(host->mw), MWORKER_OK);
        if (prepare != NULL)
            prepare(host);
        result = mworker_start_worker(host->mw);
        if (result == MWORKER_IN_WORKER) {
            worker_catch();
            dprintf(report[1], "worker %d\n", getpid());
            CHECK_INT(mworker_log(host->mw, MWORKER_LOG_NOTICE, "starting"), MWORKER_OK);
            CHECK_INT(mworker_ready(host->mw), MWORKER_OK);
            told = worker_serve(host->mw, -1);
            dprintf(report[1], "told %d\n", told);
            mworker_free(host->mw);
            exit(0);
        }
        CHECK_INT(result, MWORKER_IN_MASTER);
        UNTIL(host, host->in_service == 1);
        dprintf(report[1], "serving %d\n", getpid());
        result = mworker_run(host->mw);
        mworker_free(host->mw);
        exit(result);
    }
    close(report[1]);
    return pid;
}

static void is_left_alone(void)
{
    static struct host host;
    pid_t master = host_apart(&host, NULL);

    expect_number(report[0], "worker");
    CHECK_INT(expect_number(report[0], "serving"), master);
    CHECK_INT(kill(master, SIGKILL), 0);
    CHECK_INT(ended(master), 128 + SIGKILL);
    CHECK_INT(expect_number(report[0], "told"), 0);
}

static void with_a_cli(struct host *host)
{
    CHECK_INT(mworker_cli_listen(host->mw, "lifecycle.sock"), MWORKER_OK);
}

static void ask(const char *command, char *answer, size_t size)
{
    struct sockaddr_un address = {0};
    size_t length = 0;
    ssize_t got;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, "lifecycle.sock");
    CHECK(fd >= 0);
    CHECK_INT(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_INT(write(fd, command, strlen(command)), strlen(command));
    while ((got = read(fd, answer + length, size - 1 - length)) > 0)
        length += (size_t)got;
    answer[length] = '\0';
    close(fd);
}

static void serves_a_cli(void)
{
    static struct host host;
    pid_t master = host_apart(&host, with_a_cli);
    char answer[4096], row[64];
    int worker = expect_number(report[0], "worker");

    expect_number(report[0], "serving");
    ask("show proc\n", answer, sizeof(answer));
    snprintf(row, sizeof(row), "\n%d ", worker);
    CHECK(strncmp(answer, "#<PID>", 6) == 0);
    CHECK(strstr(answer, row) != NULL);
    ask("@1 hello\n", answer, sizeof(answer));
    CHECK(strncmp(answer, "you said: hello\n", 16) == 0);
    CHECK_INT(kill(master, SIGTERM), 0);
    CHECK_INT(ended(master), 0);
    CHECK_INT(expect_number(report[0], "told"), SIGTERM);
    CHECK_INT(access("lifecycle.sock", F_OK), -1);
}

static void in_the_background(struct host *host)
{
    CHECK_INT(mworker_set_pidfile(host->mw, "lifecycle.pid"), MWORKER_OK);
    CHECK_INT(mworker_daemonize(host->mw), MWORKER_OK);
    alarm(PATIENCE);
}

static void goes_into_the_background(void)
{
    static struct host host;
    pid_t launcher = host_apart(&host, in_the_background);
    char text[32] = "";
    FILE *file;
    int master, worker = expect_number(report[0], "worker");

    CHECK_INT(ended(launcher), 0);
    master = expect_number(report[0], "serving");
    CHECK(master != launcher && worker != launcher);
    file = fopen("lifecycle.pid", "r");
    CHECK(file != NULL && fgets(text, sizeof(text), file) != NULL);
    fclose(file);
    CHECK_INT(atoi(text), master);
    CHECK_INT(getsid(master), master);
    CHECK_INT(kill(master, SIGTERM), 0);
    CHECK_INT(expect_number(report[0], "told"), SIGTERM);
    /* The last who has it open is gone. */
    CHECK_INT(read(report[0], text, 1), 0);
}

/* HAProxy 1.8 after a reload: PIDs are all that it is told. */
static void takes_pids_over(void)
{
    static struct host host;
    int pids[3];
    pid_t child, forked;

    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pause();
        _exit(1);
    }
    CHECK_INT(setenv("HAPROXY_MWORKER_REEXEC", "1", 1), 0);
    host_new(&host);
    mworker_free(host.mw);
    host.table.haproxy = 1 << 8 | 8;
    CHECK_INT(mworker_new(&host.table, &host.mw), MWORKER_OK);
    pids[0] = child;
    /* These are no children, nor processes. */
    pids[1] = getpid();
    pids[2] = -1;
    CHECK_INT(mworker_take_over_pids(host.mw, NULL, 1), MWORKER_ERR_INVALID);
    CHECK_INT(mworker_take_over_pids(host.mw, pids, 3), MWORKER_OK);
    CHECK_INT(mworker_children(host.mw), 1);
    CHECK_INT(host_worker(&host)->pid, child);
    CHECK_INT(mworker_is_current(host.mw, child), 0);

    forked = mworker_fork_new(host.mw, 1);
    CHECK(forked >= 0);
    if (forked == 0) {
        pause();
        _exit(1);
    }
    CHECK_INT(mworker_is_current(host.mw, forked), 1);
    /* The next one can't be forked: then this one isn't to stay. */
    CHECK_INT(mworker_stop_new(host.mw), MWORKER_OK);
    CHECK_INT(kill(forked, 0), -1);
    CHECK_INT(errno, ESRCH);
    CHECK_INT(mworker_release_unborn(host.mw), MWORKER_OK);
    CHECK_INT(mworker_children(host.mw), 1);
    CHECK_INT(kill(child, SIGKILL), 0);
    CHECK_INT(ended(child), 128 + SIGKILL);
    mworker_free(host.mw);
}

static void refuse(struct host *host)
{
    CHECK_INT(mworker_daemonize(host->mw), MWORKER_OK);
    CHECK_INT(mworker_load_ended(host->mw, MWORKER_LOAD_FAILED, "no"), MWORKER_ERR_ABSENT);
    exit(0);
}

static void fails_in_the_background(void)
{
    static struct host host;

    CHECK_INT(ended(host_apart(&host, refuse)), 1);
}

int main(void)
{
    static const struct scenario scenarios[] = {
        {"stopped", stopped},
        {"stopped softly", stopped_softly},
        {"interrupted", interrupted},
        {"stopped with the status of SIGTERM", stopped_with_the_status_of_sigterm},
        {"stopped with the worker's status", stopped_with_the_workers_status},
        {"exits on failure", exits_on_failure},
        {"exits on a crash", exits_on_a_crash},
        {"dies while starting", dies_while_starting},
        {"is killed while starting", is_killed_while_starting},
        {"refuses its first configuration", refuses_its_first_configuration},
        {"in a worker a master is none", in_a_worker_a_master_is_none},
        {"goes on after a failure", goes_on_after_a_failure},
        {"passes signals on", passes_signals_on},
        {"is left alone", is_left_alone},
        {"serves a CLI", serves_a_cli},
        {"goes into the background", goes_into_the_background},
        {"fails in the background", fails_in_the_background},
        {"takes PIDs over", takes_pids_over},
    };

    return run_scenarios(scenarios, COUNT(scenarios));
}

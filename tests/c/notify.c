/*
 * What systemd gets to read, byte for byte, and the contract of sd_notify(3).
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_PATH "notify.sock"

/* The two kinds of sockets; the name in the variable, and the address. */
static int listen_at(const char *name)
{
    struct sockaddr_un address = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    size_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name);

    CHECK(fd >= 0);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, name);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    else
        unlink(name);
    CHECK_INT(bind(fd, (const struct sockaddr *)&address, (socklen_t)length), 0);
    CHECK_INT(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static int listen_at_path(void)
{
    char *here = getcwd(NULL, 0), path[100];
    int fd;

    CHECK(here != NULL && strlen(here) + sizeof(SOCKET_PATH) < sizeof(path));
    snprintf(path, sizeof(path), "%s/%s", here, SOCKET_PATH);
    free(here);
    fd = listen_at(path);
    return fd;
}

static int listen_abstract(void)
{
    char name[64];

    snprintf(name, sizeof(name), "@mworker-check-%d", getpid());
    return listen_at(name);
}

/* What has come; "" for nothing. */
static const char *got(int fd)
{
    static char text[65536];
    ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (length < 0) {
        CHECK_INT(errno, EAGAIN);
        length = 0;
    }
    text[length] = '\0';
    CHECK_INT(strlen(text), length);
    return text;
}

static long long monotonic_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void byte_for_byte(int fd)
{
    static struct host host;
    char expected[128], text[8192], field[] = "RELOADING=1\nSTATUS=Reloading Configuration.\n"
                                              "MONOTONIC_USEC=";
    const char *message;
    long long before, said;
    char *end;

    host_new(&host);
    /* Not before it is asked for. */
    CHECK_INT(mworker_notify_ready(host.mw), MWORKER_OK);
    CHECK_TEXT(got(fd), "");
    CHECK_INT(mworker_use_systemd(host.mw), MWORKER_OK);

    CHECK_INT(mworker_notify_ready(host.mw), MWORKER_OK);
    snprintf(expected, sizeof(expected), "READY=1\nMAINPID=%d\nSTATUS=Ready.\n", getpid());
    CHECK_TEXT(got(fd), expected);

    before = monotonic_usec();
    CHECK_INT(mworker_notify_reloading(host.mw), MWORKER_OK);
    message = got(fd);
    CHECK(strncmp(message, field, sizeof(field) - 1) == 0);
    said = strtoll(message + sizeof(field) - 1, &end, 10);
    CHECK_TEXT(end, "\n");
    CHECK(said >= before && said <= monotonic_usec());

    CHECK_INT(mworker_notify_stopping(host.mw), MWORKER_OK);
    CHECK_TEXT(got(fd), "STOPPING=1");

    CHECK_INT(mworker_notify_status(host.mw, "12 connections"), MWORKER_OK);
    CHECK_TEXT(got(fd), "STATUS=12 connections");
    /* No field can be smuggled in. */
    CHECK_INT(mworker_notify_status(host.mw, "two\nREADY=1\r\nMAINPID=1"), MWORKER_OK);
    CHECK_TEXT(got(fd), "STATUS=two READY=1  MAINPID=1");
    CHECK_INT(mworker_notify_status(host.mw, ""), MWORKER_OK);
    CHECK_TEXT(got(fd), "STATUS=");
    CHECK_INT(mworker_notify_statusf(host.mw, "%d of %s: %5.1f%%", 3, "ten", 30.0), MWORKER_OK);
    CHECK_TEXT(got(fd), "STATUS=3 of ten:  30.0%");
    /* Cut, not overrun. */
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CHECK_INT(mworker_notify_statusf(host.mw, "%s", text), MWORKER_OK);
    message = got(fd);
    CHECK(strncmp(message, "STATUS=xxxx", 11) == 0);
    CHECK(strlen(message) > 1000 && strlen(message) < sizeof(text));
    CHECK_TEXT(got(fd), "");
    mworker_free(host.mw);
    close(fd);
}

static void byte_for_byte_at_a_path(void)
{
    byte_for_byte(listen_at_path());
}

static void byte_for_byte_abstract(void)
{
    byte_for_byte(listen_abstract());
}

/* What the library says by itself, from start to end. */
static void a_life(void)
{
    static struct host host;
    char expected[128];
    int fd = listen_abstract(), result;

    host_new(&host);
    CHECK_INT(mworker_use_systemd(host.mw), MWORKER_OK);
    CHECK_INT(mworker_take_over(host.mw), MWORKER_OK);
    result = mworker_start_worker(host.mw);
    if (result == MWORKER_IN_WORKER) {
        int told;

        worker_catch();
        CHECK_INT(mworker_ready(host.mw), MWORKER_OK);
        told = worker_serve(host.mw, -1);
        mworker_free(host.mw);
        exit(told != SIGTERM);
    }
    CHECK_TEXT(got(fd), "");
    UNTIL(&host, host.in_service == 1);
    snprintf(expected, sizeof(expected), "READY=1\nMAINPID=%d\nSTATUS=Ready.\n", getpid());
    CHECK_TEXT(got(fd), expected);
    CHECK_INT(kill(getpid(), SIGTERM), 0);
    CHECK_INT(host_leaves(&host), 0);
    CHECK_TEXT(got(fd), "STOPPING=1");
    CHECK_TEXT(got(fd), "");
}

static void sd_notify_sends(void)
{
    static const char whole[] = "READY=1\nSTATUS=as it is\n\nX_OWN=1";
    int fd = listen_at_path();

    CHECK(mworker_sd_notify(0, whole) > 0);
    CHECK_TEXT(got(fd), whole);
    CHECK(getenv("NOTIFY_SOCKET") != NULL);
    CHECK(mworker_sd_notify(1, "READY=1") > 0);
    CHECK_TEXT(got(fd), "READY=1");
    CHECK(getenv("NOTIFY_SOCKET") == NULL);
    CHECK_INT(mworker_sd_notify(1, "READY=1"), 0);
    CHECK_TEXT(got(fd), "");
}

static void sd_notify_refuses(void)
{
    static const char *volatile none = NULL;
    char longest[300] = "/";
    int fd = listen_at_path();

    CHECK_INT(mworker_sd_notify(0, none), -EINVAL);
    CHECK_INT(mworker_sd_notify(0, ""), -EINVAL);
    CHECK_TEXT(got(fd), "");
    /* The variable goes whatever came of it. */
    CHECK_INT(mworker_sd_notify(1, ""), -EINVAL);
    CHECK(getenv("NOTIFY_SOCKET") == NULL);

    setenv("NOTIFY_SOCKET", "relative/path", 1);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -EAFNOSUPPORT);
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -EAFNOSUPPORT);
    memset(longest + 1, 'x', sizeof(longest) - 2);
    setenv("NOTIFY_SOCKET", longest, 1);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -E2BIG);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -ENOENT);
    unsetenv("NOTIFY_SOCKET");
    CHECK_INT(mworker_sd_notify(0, "READY=1"), 0);
}

static void nobody_is_there(void)
{
    static struct host host;
    int fd = listen_at_path();

    close(fd);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -ECONNREFUSED);
    /* A master says so, and goes on. */
    host_new(&host);
    CHECK_INT(mworker_use_systemd(host.mw), MWORKER_OK);
    CHECK_INT(mworker_notify_ready(host.mw), MWORKER_OK);
    CHECK(strstr(host.log, SOCKET_PATH) != NULL);
    mworker_free(host.mw);
}

static void nobody_reads(void)
{
    static struct host host;
    char text[1000];
    int fd = listen_abstract(), sent = 0, result;
    long before;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    before = now_ms();
    while ((result = mworker_sd_notify(0, text)) > 0 && sent < 100000)
        sent++;
    CHECK_INT(result, -EAGAIN);
    host_new(&host);
    CHECK_INT(mworker_use_systemd(host.mw), MWORKER_OK);
    CHECK_INT(mworker_notify_stopping(host.mw), MWORKER_OK);
    CHECK(strstr(host.log, "nobody reads") != NULL);
    CHECK(now_ms() - before < 10000);
    while (sent-- > 0)
        CHECK_INT(strlen(got(fd)), sizeof(text) - 1);
    CHECK(mworker_sd_notify(0, "READY=1") > 0);
    CHECK_TEXT(got(fd), "READY=1");
    mworker_free(host.mw);
}

static void descriptors_are_left_alone(void)
{
    int fd = listen_abstract(), next = dup(fd), after;

    CHECK(mworker_sd_notify(0, "READY=1") > 0);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), -ENOENT);
    after = dup(fd);
    CHECK_INT(after, next + 1);
}

/* A host's own words, which wait where nobody reads. */
static void in_the_hosts_words(void)
{
    static struct host host;
    const char *volatile no_text = NULL;
    int fd = listen_abstract(), clog = 0;

    host_new(&host);
    CHECK_INT(mworker_notify(host.mw, no_text), -EINVAL);
    CHECK_INT(mworker_notify(host.mw, "READY=1\nX_OWN=1"), 1);
    CHECK_TEXT(got(fd), "READY=1\nX_OWN=1");
    while (mworker_sd_notify(0, "X_CLOG=1") > 0)
        clog++;
    CHECK(clog > 0);
    CHECK_INT(mworker_notify(host.mw, "RELOADING=1"), 1);
    CHECK_INT(mworker_notify(host.mw, "READY=1\nSTATUS=new"), 1);
    CHECK_INT(mworker_notify(host.mw, "RELOADING=1\nSTATUS=newer"), 1);
    CHECK(mworker_timeout(host.mw) > 0);
    while (clog-- > 0)
        CHECK_TEXT(got(fd), "X_CLOG=1");
    CHECK_TEXT(got(fd), "");
    /* There is room now. */
    CHECK_INT(mworker_tick(host.mw), MWORKER_OK);
    CHECK_TEXT(got(fd), "RELOADING=1\nSTATUS=newer");
    CHECK_TEXT(got(fd), "");
    CHECK_INT(mworker_timeout(host.mw), -1);
    unsetenv("NOTIFY_SOCKET");
    CHECK_INT(mworker_notify(host.mw, "READY=1"), 0);
    mworker_free(host.mw);
    close(fd);
}

static void built_without(void)
{
    static struct host host;
    int fd = listen_abstract();

    host_new(&host);
    CHECK_INT(mworker_notify(host.mw, "READY=1"), 0);
    mworker_free(host.mw);
    CHECK_INT(mworker_sd_notify(1, "READY=1"), 0);
    CHECK_TEXT(got(fd), "");
}

int main(void)
{
    static const struct scenario with[] = {
        {"byte for byte, at a path", byte_for_byte_at_a_path},
        {"byte for byte, abstract", byte_for_byte_abstract},
        {"a life", a_life},
        {"sd_notify sends", sd_notify_sends},
        {"sd_notify refuses", sd_notify_refuses},
        {"nobody is there", nobody_is_there},
        {"nobody reads", nobody_reads},
        {"in the host's words", in_the_hosts_words},
        {"descriptors are left alone", descriptors_are_left_alone},
    };
    static const struct scenario without[] = {
        {"built without", built_without},
    };

    if (mworker_has_systemd())
        return run_scenarios(with, COUNT(with));
    return run_scenarios(without, COUNT(without));
}

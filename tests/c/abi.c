/*
 * The ABI's edges: layouts, NULL everywhere, wrong roles, tables of older and
 * newer headers, calls out of callbacks, texts of errors.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Not known to the compiler, so that it has nothing to say. */
static const char *volatile no_text = NULL;
static struct mworker *volatile no_handle = NULL;

/* HAProxy's struct mworker_proc, from 2.6 to 3.5. */
struct haproxy_list {
    struct haproxy_list *n, *p;
};

struct haproxy_proc {
    int pid;
    int options;
    char *id;
    char **command;
    char *path;
    char *version;
    int ipc_fd[2];
    int reloads;
    int failedreloads;
    int timestamp;
    struct server *srv;
    struct haproxy_list list;
    int uid;
    int gid;
};

#define SAME_PLACE(member) \
    CHECK_INT(offsetof(struct mworker_row, member), offsetof(struct haproxy_proc, member))

static void layouts(void)
{
    SAME_PLACE(pid);
    SAME_PLACE(options);
    SAME_PLACE(id);
    SAME_PLACE(command);
    SAME_PLACE(path);
    SAME_PLACE(version);
    SAME_PLACE(ipc_fd);
    SAME_PLACE(reloads);
    SAME_PLACE(failedreloads);
    SAME_PLACE(timestamp);
    SAME_PLACE(srv);
    SAME_PLACE(list);
    SAME_PLACE(uid);
    SAME_PLACE(gid);
    CHECK_INT(sizeof(struct mworker_row), sizeof(struct haproxy_proc));
    CHECK_INT(sizeof(struct mworker_list), 2 * sizeof(void *));
    CHECK_INT(offsetof(struct mworker_list, p), sizeof(void *));
    if (sizeof(void *) == 8) {
        CHECK_INT(sizeof(struct mworker_row), 96);
        CHECK_INT(sizeof(struct mworker_counter), 48);
        CHECK_INT(offsetof(struct mworker_counter, value), 40);
        CHECK_INT(sizeof(struct mworker_host), 112);
        CHECK_INT(offsetof(struct mworker_host, size), 0);
        CHECK_INT(offsetof(struct mworker_host, name), 8);
        CHECK_INT(offsetof(struct mworker_host, version), 16);
        CHECK_INT(offsetof(struct mworker_host, haproxy), 24);
        CHECK_INT(offsetof(struct mworker_host, table), 32);
        CHECK_INT(offsetof(struct mworker_host, user), 40);
        CHECK_INT(offsetof(struct mworker_host, log), 48);
        CHECK_INT(offsetof(struct mworker_host, before_exec), 56);
        CHECK_INT(offsetof(struct mworker_host, after_failed_exec), 64);
        CHECK_INT(offsetof(struct mworker_host, gone), 72);
        CHECK_INT(offsetof(struct mworker_host, crashed), 80);
        CHECK_INT(offsetof(struct mworker_host, in_service), 88);
        CHECK_INT(offsetof(struct mworker_host, defer), 96);
        CHECK_INT(offsetof(struct mworker_host, leave), 104);
    }
    CHECK_INT(mworker_abi(), MWORKER_ABI);
    CHECK_INT(mworker_has_systemd() & ~1, 0);
    CHECK(strchr(mworker_version(), '.') != NULL);
}

/* Numbers are part of the ABI: they never change. */
static void numbers(void)
{
    static const int codes[] = {
        MWORKER_OK, MWORKER_ERR_INVALID, MWORKER_ERR_SYSTEM, MWORKER_ERR_BUSY, MWORKER_ERR_LEAVING,
        MWORKER_ERR_SYSTEMD, MWORKER_ERR_HANDOVER, MWORKER_ERR_MEMORY, MWORKER_ERR_ROLE,
        MWORKER_ERR_INTERNAL, MWORKER_ERR_ABSENT,
    };
    size_t i, j;

    for (i = 0; i < COUNT(codes); i++) {
        const char *text = mworker_strerror(codes[i]);

        CHECK_INT(codes[i], -(int)i);
        CHECK(text != NULL && text[0] != '\0');
        CHECK(strcmp(text, "unknown result") != 0);
        for (j = 0; j < i; j++)
            CHECK(strcmp(text, mworker_strerror(codes[j])) != 0);
    }
    CHECK_TEXT(mworker_strerror(1), mworker_strerror(MWORKER_OK));
    CHECK_TEXT(mworker_strerror(-11), "unknown result");
    CHECK_TEXT(mworker_strerror(-2147483647 - 1), "unknown result");
    CHECK_INT(MWORKER_COUNTER_NAME, 33);
    CHECK_INT(MWORKER_LOG_NOTICE, 0);
    CHECK_INT(MWORKER_LOG_WARNING, 1);
    CHECK_INT(MWORKER_LOG_ALERT, 2);
    CHECK_INT(MWORKER_GONE_UNBORN, 0);
    CHECK_INT(MWORKER_GONE_STARTING, 1);
    CHECK_INT(MWORKER_GONE_CURRENT, 2);
    CHECK_INT(MWORKER_GONE_FORMER, 3);
    CHECK_INT(MWORKER_ROW_MASTER, 0x1);
    CHECK_INT(MWORKER_ROW_WORKER, 0x2);
    CHECK_INT(MWORKER_ROW_PROGRAM, 0x4);
    CHECK_INT(MWORKER_ROW_LEAVING, 0x10);
    CHECK_INT(MWORKER_ROW_INIT, 0x20);
    CHECK_INT(MWORKER_ROW_START_RELOAD, 0x100);
    CHECK_INT(MWORKER_IN_MASTER, 0);
    CHECK_INT(MWORKER_IN_WORKER, 1);
}

#define INVALID(call) CHECK_INT(call, MWORKER_ERR_INVALID)

static void null_handles(void)
{
    struct mworker_host host = {0};
    struct mworker *mw = (struct mworker *)&host;
    struct mworker_text *text = (struct mworker_text *)&host;
    const char *arguments[] = {"a", NULL};
    char word[] = "a", *argv[] = {word, NULL};
    struct mworker_counter counter = {{0}, 7};
    int argc = 1, cli = 7;
    size_t count = 7;
    uint64_t number = 7;

    host.size = sizeof(host);
    INVALID(mworker_new(NULL, &mw));
    CHECK(mw == NULL);
    INVALID(mworker_new(&host, NULL));
    INVALID(mworker_new(NULL, NULL));
    mw = no_handle;
    mworker_free(mw);
    CHECK_TEXT(mworker_error(mw), "");

    INVALID(mworker_log(mw, MWORKER_LOG_NOTICE, "text"));
    INVALID(mworker_take_args(mw, &argc, argv));
    INVALID(mworker_is_reload(mw));
    INVALID(mworker_use_systemd(mw));
    INVALID(mworker_set_exit_on_failure(mw, 1));
    INVALID(mworker_set_max_reloads(mw, 1));
    INVALID(mworker_read_settings(mw));
    INVALID(mworker_set_start_timeout(mw, 1));
    INVALID(mworker_set_trial(mw, NULL));
    INVALID(mworker_set_restart(mw, 1));
    INVALID(mworker_tick(mw));
    INVALID(mworker_worker_set_connections(mw, 1));
    INVALID(mworker_worker_beat(mw));
    INVALID(mworker_worker_name_counters(mw, arguments, 1));
    INVALID(mworker_worker_set_counters(mw, &number, 1));
    INVALID(mworker_connections(mw, 1, &number));
    INVALID(mworker_counters(mw, 1, &counter, 1));
    CHECK(number == 7 && counter.value == 7);
    INVALID(mworker_take_over(mw));
    INVALID(mworker_cli_listen(mw, "path"));
    INVALID(mworker_daemonize(mw));
    INVALID(mworker_set_pidfile(mw, "path"));
    INVALID(mworker_start_worker(mw));
    INVALID(mworker_load_ended(mw, MWORKER_LOAD_FAILED, "why"));
    INVALID(mworker_run(mw));
    INVALID(mworker_fd(mw));
    CHECK_INT(mworker_timeout(mw), -1);
    INVALID(mworker_dispatch(mw));
    INVALID(mworker_exit_status(mw));
    INVALID(mworker_reload(mw));
    INVALID(mworker_hard_reload(mw));
    INVALID(mworker_reload_for_client(mw, 0));
    INVALID(mworker_may_reload(mw));
    INVALID(mworker_signal(mw, SIGTERM));
    INVALID(mworker_inherit_listener(mw, "name"));
    INVALID(mworker_publish_listener(mw, "name", 0));
    INVALID(mworker_ready(mw));
    INVALID(mworker_worker_fd(mw));
    INVALID(mworker_worker_dispatch(mw, &cli));
    INVALID(mworker_notify_ready(mw));
    INVALID(mworker_notify_reloading(mw));
    INVALID(mworker_notify_stopping(mw));
    INVALID(mworker_notify_status(mw, "text"));
    INVALID(mworker_notify_statusf(mw, "%d", 1));
    INVALID(mworker_show_proc(mw, 0, &text));
    CHECK(text == NULL);
    INVALID(mworker_set_argv(mw, arguments, NULL));
    INVALID(mworker_set_environment(mw, arguments));
    INVALID(mworker_set_open_files(mw, 1024, 1024));
    INVALID(mworker_keep_fd(mw, 0));
    INVALID(mworker_read_table(mw, &count));
    INVALID(mworker_write_table(mw));
    INVALID(mworker_load_ended(mw, MWORKER_LOAD_SUCCEEDED, NULL));
    INVALID(mworker_load_ended(mw, MWORKER_LOAD_FAILURE_REPORTED, NULL));
    INVALID(mworker_add_worker(mw));
    INVALID(mworker_fork(mw));
    INVALID(mworker_fork_process(mw));
    INVALID(mworker_fork_new(mw, 1));
    INVALID(mworker_stop_new(mw));
    INVALID(mworker_take_over_pids(mw, NULL, 0));
    INVALID(mworker_guard_load(mw));
    CHECK_INT(mworker_notify(mw, "READY=1"), -EINVAL);
    INVALID(mworker_load_status(mw));
    INVALID(mworker_waits(mw));
    INVALID(mworker_enforce_max_reloads(mw));
    INVALID(mworker_signal_process(mw, getpid(), 0));
    INVALID(mworker_release_unborn(mw));
    INVALID(mworker_start_programs(mw, 0));
    CHECK(mworker_row_next(mw, NULL) == NULL);
    INVALID(mworker_children(mw));
    INVALID(mworker_is_current(mw, 1));
    CHECK(argc == 1 && cli == 7 && count == 7);

    mworker_row_free(NULL);
    mworker_text_free(NULL);
    INVALID(mworker_text_advance(NULL, 1));
    CHECK_TEXT(mworker_text_peek(NULL, 10, &count), "");
    CHECK_INT(count, 0);
    CHECK(mworker_text_peek(NULL, 10, NULL) != NULL);
    CHECK_INT(mworker_sd_notify(0, no_text), mworker_has_systemd() ? -EINVAL : 0);
}

static void null_arguments(void)
{
    static struct host host;
    char word[] = "a", *argv[] = {word, NULL, NULL}, *none[] = {NULL};
    const char *no_arguments[] = {NULL};
    struct mworker_text *text = NULL;
    int argc = 1, none_at_all = 0, too_many = 2;

    host_new(&host);
    CHECK_TEXT(mworker_error(host.mw), "");
    INVALID(mworker_log(host.mw, MWORKER_LOG_NOTICE, no_text));
    CHECK(strlen(mworker_error(host.mw)) > 0);
    INVALID(mworker_log(host.mw, 3, "text"));
    INVALID(mworker_log(host.mw, -1, "text"));
    INVALID(mworker_take_args(host.mw, NULL, argv));
    INVALID(mworker_take_args(host.mw, &argc, NULL));
    INVALID(mworker_take_args(host.mw, &none_at_all, none));
    INVALID(mworker_take_args(host.mw, &too_many, argv));
    CHECK(too_many == 2 && argv[0] == word);
    /* Before the process table is there. */
    CHECK_INT(mworker_cli_listen(host.mw, "abi.sock"), MWORKER_ERR_HANDOVER);
    host_take(&host, &argc, argv);
    INVALID(mworker_cli_listen(host.mw, no_text));
    INVALID(mworker_set_pidfile(host.mw, no_text));
    INVALID(mworker_load_ended(host.mw, MWORKER_LOAD_FAILED, no_text));
    INVALID(mworker_load_ended(host.mw, 3, "why"));
    INVALID(mworker_set_argv(host.mw, NULL, NULL));
    INVALID(mworker_set_argv(host.mw, no_arguments, NULL));
    INVALID(mworker_show_proc(host.mw, 0, NULL));
    INVALID(mworker_notify_status(host.mw, no_text));
    INVALID(mworker_notify_statusf(host.mw, no_text, 1));
    INVALID(mworker_keep_fd(host.mw, -1));
    INVALID(mworker_signal(host.mw, SIGWINCH));
    INVALID(mworker_signal(host.mw, 0));
    INVALID(mworker_signal(host.mw, -1));
    /* What is no process of the table is the host's own matter. */
    CHECK_INT(mworker_signal_process(host.mw, getpid(), 0), MWORKER_OK);
    CHECK_INT(mworker_signal_process(host.mw, 5000001, 0), MWORKER_ERR_SYSTEM);
    CHECK_INT(errno, ESRCH);
    CHECK_INT(mworker_set_environment(host.mw, NULL), MWORKER_OK);
    CHECK_INT(mworker_read_table(host.mw, NULL), MWORKER_OK);
    CHECK_INT(mworker_show_proc(host.mw, 1, &text), MWORKER_OK);
    CHECK(mworker_text_peek(text, 10, NULL) != NULL);
    mworker_text_free(text);
    CHECK_INT(mworker_cli_listen(host.mw, "/nonexistent/folder/socket"), MWORKER_ERR_SYSTEM);
    CHECK_INT(errno, ENOENT);
    CHECK(strstr(mworker_error(host.mw), "/nonexistent/folder/socket") != NULL);
    mworker_free(host.mw);
}

static void worker_functions_of_a_master(void)
{
    static struct host host;
    int cli = 7;

    host_new(&host);
    CHECK_INT(mworker_inherit_listener(host.mw, "name"), MWORKER_ERR_ROLE);
    CHECK_INT(mworker_publish_listener(host.mw, "name", 0), MWORKER_ERR_ROLE);
    CHECK_INT(mworker_ready(host.mw), MWORKER_ERR_ROLE);
    CHECK_INT(mworker_worker_fd(host.mw), MWORKER_ERR_ROLE);
    CHECK_INT(mworker_worker_dispatch(host.mw, &cli), MWORKER_ERR_ROLE);
    CHECK_INT(cli, 7);
    CHECK(strstr(mworker_error(host.mw), "worker") != NULL);
    mworker_free(host.mw);
}

static void without_systemd(void)
{
    static struct host host;
    int expected = mworker_has_systemd() ? MWORKER_OK : MWORKER_ERR_SYSTEMD;

    unsetenv("NOTIFY_SOCKET");
    host_new(&host);
    CHECK_INT(mworker_use_systemd(host.mw), expected);
    if (expected != MWORKER_OK)
        CHECK(strstr(mworker_error(host.mw), "USE_SYSTEMD=1") != NULL);
    CHECK_INT(mworker_notify_ready(host.mw), expected);
    CHECK_INT(mworker_notify_reloading(host.mw), expected);
    CHECK_INT(mworker_notify_stopping(host.mw), expected);
    CHECK_INT(mworker_notify_status(host.mw, "text"), expected);
    CHECK_INT(mworker_notify_statusf(host.mw, "%s", "text"), expected);
    CHECK_INT(mworker_sd_notify(0, "READY=1"), 0);
    mworker_free(host.mw);
}

/* A host's table of `size` bytes and no more, for sanitizers to see. */
static int table_of(size_t size, size_t claimed, int last)
{
    struct mworker_host whole = {0};
    struct mworker *mw = NULL;
    char *bytes = calloc(1, size);
    int result;

    CHECK(bytes != NULL);
    whole.size = claimed;
    whole.name = "sized";
    memcpy(bytes, &whole, size < sizeof(whole) ? size : sizeof(whole));
    if (last)
        bytes[size - 1] = (char)last;
    result = mworker_new((const struct mworker_host *)(void *)bytes, &mw);
    CHECK((result == MWORKER_OK) == (mw != NULL));
    mworker_free(mw);
    free(bytes);
    return result;
}

static void older_and_newer_tables(void)
{
    const size_t now = sizeof(struct mworker_host);
    size_t size;

    CHECK_INT(table_of(now, now, 0), MWORKER_OK);
    for (size = offsetof(struct mworker_host, log); size < now; size += sizeof(void *))
        CHECK_INT(table_of(size, size, 0), MWORKER_OK);
    /* Of a newer header, which doesn't use what is new. */
    CHECK_INT(table_of(now + 8, now + 8, 0), MWORKER_OK);
    CHECK_INT(table_of(now + 800, now + 800, 0), MWORKER_OK);
    /* Which does. */
    INVALID(table_of(now + 8, now + 8, 1));
    INVALID(table_of(now + 1, now + 1, 1));
    INVALID(table_of(now + 800, now + 800, 1));
    /* No table at all. */
    INVALID(table_of(now, 0, 0));
    INVALID(table_of(sizeof(size_t), sizeof(size_t), 0));
    INVALID(table_of(now, offsetof(struct mworker_host, log) - 1, 0));
}

static void branches(void)
{
    static const struct {
        unsigned int branch;
        int result;
    } cases[] = {
        {0, MWORKER_OK},           {2 << 8 | 6, MWORKER_OK},           {3 << 8, MWORKER_OK},
        {3 << 8 | 5, MWORKER_OK},  {255 << 8 | 255, MWORKER_OK},       {5, MWORKER_ERR_INVALID},
        {0x10000, MWORKER_ERR_INVALID}, {0xffffffff, MWORKER_ERR_INVALID},
    };
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        struct mworker_host host = {0};
        struct mworker *mw = NULL;

        host.size = sizeof(host);
        host.haproxy = cases[i].branch;
        CHECK_INT(mworker_new(&host, &mw), cases[i].result);
        mworker_free(mw);
    }
}

static int called_back;

static void calls_back(void *user, int level, const char *text)
{
    struct host *host = user;
    struct mworker_text *out = NULL;

    CHECK_INT(level, MWORKER_LOG_ALERT);
    CHECK_TEXT(text, "now");
    CHECK_INT(mworker_log(host->mw, MWORKER_LOG_NOTICE, "again"), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_children(host->mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_is_current(host->mw, 1), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_reload(host->mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_start_worker(host->mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_ready(host->mw), MWORKER_ERR_BUSY);
    CHECK_INT(mworker_show_proc(host->mw, 0, &out), MWORKER_ERR_BUSY);
    CHECK(mworker_row_next(host->mw, NULL) == NULL);
    CHECK(mworker_error(host->mw) != NULL);
    called_back++;
}

static void calls_out_of_callbacks(void)
{
    static struct host host;

    host_new(&host);
    mworker_free(host.mw);
    host.table.log = calls_back;
    CHECK_INT(mworker_new(&host.table, &host.mw), MWORKER_OK);
    CHECK_INT(mworker_log(host.mw, MWORKER_LOG_ALERT, "now"), MWORKER_OK);
    CHECK_INT(called_back, 1);
    /* And afterwards it is free again. */
    CHECK_INT(mworker_children(host.mw), 0);
    mworker_free(host.mw);
}

static void strings_are_copied(void)
{
    static struct host host;
    char name[] = "name", version[] = "9.8", text[4096] = "";
    const char *piece;
    struct mworker_text *rows = NULL;
    size_t length = 0;

    host_new(&host);
    mworker_free(host.mw);
    host.table.name = name;
    host.table.version = version;
    CHECK_INT(mworker_new(&host.table, &host.mw), MWORKER_OK);
    memset(name, 'x', sizeof(name));
    memset(version, 'x', sizeof(version));
    memset(&host.table, 0xff, sizeof(host.table));
    CHECK_INT(mworker_take_over(host.mw), MWORKER_OK);
    CHECK_INT(mworker_show_proc(host.mw, 0, &rows), MWORKER_OK);
    piece = mworker_text_peek(rows, sizeof(text) - 1, &length);
    memcpy(text, piece, length);
    CHECK(strstr(text, "9.8") != NULL);
    mworker_text_free(rows);
    mworker_free(host.mw);
}

static void command_lines(void)
{
    static struct host host;
    char a[] = "proxy", b[] = "-sf", c[] = "12", d[] = "34", e[] = "-f", f[] = "file",
         g[] = "-x", h[] = "sockpair@9", i[] = "last";
    char *argv[] = {a, b, c, d, e, f, g, h, i, NULL};
    int argc = 9;

    host_new(&host);
    host_take(&host, &argc, argv);
    CHECK_INT(argc, 4);
    CHECK(argv[0] == a && argv[1] == e && argv[2] == f && argv[3] == i && argv[4] == NULL);
    mworker_free(host.mw);
}

static void texts_in_pieces(void)
{
    static struct host host;
    struct mworker_text *text = NULL;
    char whole[4096] = "", pieces[4096] = "";
    size_t length, room;

    host_new(&host);
    CHECK_INT(mworker_take_over(host.mw), MWORKER_OK);
    CHECK_INT(mworker_show_proc(host.mw, 1, &text), MWORKER_OK);
    CHECK(mworker_text_peek(text, sizeof(whole), &length) != NULL);
    CHECK(length > 0 && length < sizeof(whole));
    memcpy(whole, mworker_text_peek(text, sizeof(whole), &length), length);
    CHECK_INT(whole[length - 1], '\n');
    mworker_text_peek(text, 0, &length);
    CHECK_INT(length, 0);
    for (room = 1;; room = room % 90 + 1) {
        const char *piece = mworker_text_peek(text, room, &length);

        CHECK(length <= room);
        if (length == 0)
            break;
        strncat(pieces, piece, length);
        CHECK_INT(mworker_text_advance(text, length), MWORKER_OK);
    }
    CHECK_TEXT(pieces, whole);
    /* Past its end there is nothing. */
    CHECK_INT(mworker_text_advance(text, 1000), MWORKER_OK);
    mworker_text_peek(text, 100, &length);
    CHECK_INT(length, 0);
    mworker_text_free(text);
    mworker_free(host.mw);
}

static char *copy(const char *text)
{
    char *copied = strdup(text);

    CHECK(copied != NULL);
    return copied;
}

static void rows(void)
{
    struct mworker_row *row = mworker_row_new();

    CHECK(row != NULL);
    CHECK(row->pid == -1 && row->ipc_fd[0] == -1 && row->ipc_fd[1] == -1 && row->options == 0);
    CHECK(row->id == NULL && row->command == NULL && row->version == NULL && row->srv == NULL);
    CHECK(row->list.n == &row->list && row->list.p == &row->list);
    row->id = copy("program");
    row->version = copy("1.0");
    row->command = calloc(3, sizeof(*row->command));
    CHECK(row->command != NULL);
    row->command[0] = copy("sleep");
    row->command[1] = copy("1");
    mworker_row_free(row);
}

static void a_table_of_the_hosts(void)
{
    static struct host host;
    struct mworker_list head, *at;
    int seen = 0;
    size_t descriptors = 0;

    head.n = head.p = &head;
    setenv("HAPROXY_PROCESSES",
           "|type=m;fd=-1;cfd=-1;pid=11;reloads=1;failedreloads=2;timestamp=3;id=;version=3.0.1"
           "|type=w;fd=-1;cfd=-1;pid=12;reloads=0;failedreloads=0;timestamp=4;id=;version=3.0.2",
           1);
    host_new(&host);
    mworker_free(host.mw);
    host.table.table = &head;
    host.table.haproxy = 3 << 8;
    CHECK_INT(mworker_new(&host.table, &host.mw), MWORKER_OK);
    CHECK_INT(mworker_read_table(host.mw, &descriptors), MWORKER_OK);
    CHECK(getenv("HAPROXY_PROCESSES") == NULL);
    CHECK_INT(mworker_children(host.mw), 1);
    CHECK_INT(mworker_is_current(host.mw, 12), 1);
    CHECK_INT(mworker_is_current(host.mw, 11), 0);
    CHECK_INT(mworker_write_table(host.mw), MWORKER_OK);
    CHECK(strstr(getenv("HAPROXY_PROCESSES"), "pid=12;") != NULL);
    mworker_free(host.mw);

    /* It is the host's, and still there. */
    for (at = head.n; at != &head;) {
        struct mworker_row *row =
            (struct mworker_row *)(void *)((char *)at - offsetof(struct mworker_row, list));

        at = at->n;
        seen += row->pid;
        mworker_row_free(row);
    }
    CHECK_INT(seen, 11 + 12);
}

static void no_master_in_the_table(void)
{
    static struct host host;
    static const char row[] =
        "|type=w;fd=-1;cfd=-1;pid=12;reloads=0;failedreloads=0;timestamp=4;id=;version=3.0.2";

    setenv("HAPROXY_MWORKER_REEXEC", "1", 1);
    setenv("HAPROXY_PROCESSES", row, 1);
    host_new(&host);
    CHECK_INT(mworker_is_reload(host.mw), 1);
    CHECK_INT(mworker_take_over(host.mw), MWORKER_ERR_HANDOVER);
    CHECK(strstr(mworker_error(host.mw), "master") != NULL);
    mworker_free(host.mw);
}

static void held_signals(void)
{
    static const int held[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTTIN, SIGTTOU, SIGCHLD};
    sigset_t mask;
    size_t i;

    mworker_hold_signals();
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (i = 0; i < COUNT(held); i++)
        CHECK_INT(sigismember(&mask, held[i]), 1);
    CHECK_INT(sigismember(&mask, SIGTERM), 0);
    CHECK_INT(sigismember(&mask, SIGINT), 0);
    mworker_release_sigchld();
    sigprocmask(SIG_BLOCK, NULL, &mask);
    CHECK_INT(sigismember(&mask, SIGCHLD), 0);
    CHECK_INT(sigismember(&mask, SIGUSR2), 1);
    mworker_release_signals();
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (i = 0; i < COUNT(held); i++)
        CHECK_INT(sigismember(&mask, held[i]), 0);
}

int main(void)
{
    static const struct scenario scenarios[] = {
        {"layouts", layouts},
        {"numbers", numbers},
        {"null handles", null_handles},
        {"null arguments", null_arguments},
        {"worker functions of a master", worker_functions_of_a_master},
        {"without systemd", without_systemd},
        {"older and newer tables", older_and_newer_tables},
        {"branches", branches},
        {"calls out of callbacks", calls_out_of_callbacks},
        {"strings are copied", strings_are_copied},
        {"command lines", command_lines},
        {"texts in pieces", texts_in_pieces},
        {"rows", rows},
        {"a table of the host's", a_table_of_the_hosts},
        {"no master in the table", no_master_in_the_table},
        {"held signals", held_signals},
    };

    return run_scenarios(scenarios, COUNT(scenarios));
}

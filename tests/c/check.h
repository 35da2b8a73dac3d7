/*
 * What the C programs share: checks that say where they failed, scenarios with
 * a process and a deadline each, and a host that writes down what it is told.
 */
#ifndef CHECK_H
#define CHECK_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#include "mworker.h"

/* Seconds for anything; valgrind is slow. */
#define PATIENCE 60

#define CHECK(condition) check_that((condition) != 0, #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) \
    check_int((long)(actual), (long)(expected), #actual, __FILE__, __LINE__)
#define CHECK_TEXT(actual, expected) check_text(actual, expected, #actual, __FILE__, __LINE__)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void check_that(int holds, const char *what, const char *file, int line);
void check_int(long actual, long expected, const char *what, const char *file, int line);
void check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line);

struct scenario {
    const char *name;
    void (*run)(void);
};

/* What failures say they are in. */
void check_name(const char *name);

/* Runs each in a process of its own; gives main()'s status. */
int run_scenarios(const struct scenario *scenarios, size_t count);

/* It has limits and descriptors of its own, and more of those after each exec. */
int under_valgrind(void);

/* Milliseconds on a clock of its own. */
long now_ms(void);

/* Waits for a child; gives its exit code, or 128 and the signal. */
int ended(pid_t pid);

/* Reads a line from a descriptor, without its newline. */
void expect_line(int fd, const char *line);

/* Reads two lines, in whichever order. */
void expect_lines(int fd, const char *one, const char *other);

/* Reads a line that is a word and a number; gives the number. */
int expect_number(int fd, const char *word);

/* ---- a host ---- */

struct host {
    struct mworker_host table;
    struct mworker *mw;
    int left;   /* the master has to leave, */
    int status; /* with this */
    int in_service, crashed, gone[4], before_exec, failed_exec, failed_exec_errno, leave;
    char log[65536];
};

/* Makes the handle. */
void host_new(struct host *host);

/* The same, as a HAProxy of that branch, whose signals the library reads all the same. */
void host_new_as(struct host *host, unsigned haproxy);

/* A worker that only has to be started, after mworker_new(). */
void host_take(struct host *host, int *argc, char **argv);

/* One turn of a master's loop. */
void host_turn(struct host *host);

/* Turns until the condition holds. */
#define UNTIL(host, condition)                                                        \
    do {                                                                              \
        long until_end = now_ms() + PATIENCE * 1000L;                                 \
        while (!(condition)) {                                                        \
            check_that(now_ms() < until_end, #condition " in time", __FILE__, __LINE__); \
            check_that(!(host)->left, #condition " before it left", __FILE__, __LINE__); \
            host_turn(host);                                                          \
        }                                                                             \
    } while (0)

/* Turns until the master has to leave, frees the handle, gives the status. */
int host_leaves(struct host *host);

/* The row of the master, and of the only worker. */
const struct mworker_row *host_master(struct host *host);
const struct mworker_row *host_worker(struct host *host);

/* ---- a worker ---- */

/* Signals are held back and written down from now on, until worker_serve(). */
void worker_catch(void);

/*
 * Serves: does what the master asks for and answers CLI lines. Gives the signal
 * that told it to leave (TERM, INT, USR1), or 0 when the master is gone. Other
 * signals go to `report` as "signal N", unless that is -1.
 */
int worker_serve(struct mworker *mw, int report);

#endif

/*
 * Options, and what the process started from the command line becomes: the master (-W), or
 * a plain process that serves on its own.
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *config, *cli, *pidfile;
    bool master, systemd, background, check, version;
};

static void usage(FILE *out)
{
    fprintf(out, "usage: proxy -f FILE [-c | -W[s] [-S PATH] [-D] [-p FILE]] | -v\n"
                 "  -f FILE  the configuration\n"
                 "  -c       check it and exit\n"
                 "  -W       run as a master with a worker; SIGUSR2 reloads\n"
                 "  -Ws      the same, and tell systemd\n"
                 "  -S PATH  the master's CLI, a unix socket\n"
                 "  -D       go to the background\n"
                 "  -p FILE  write the master's PID to FILE\n"
                 "  -v       show the version\n");
}

static int complain(const char *what)
{
    fprintf(stderr, "proxy: %s\n", what);
    return -1;
}

static int parse_options(struct options *options, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "cDf:p:S:vW::")) != -1) {
        switch (option) {
        case 'c': options->check = true; break;
        case 'D': options->background = true; break;
        case 'f': options->config = optarg; break;
        case 'p': options->pidfile = optarg; break;
        case 'S': options->cli = optarg; break;
        case 'v': options->version = true; break;
        case 'W':
            if (optarg != NULL && strcmp(optarg, "s") != 0)
                return complain("unknown option -W..., known are -W and -Ws");
            options->master = true;
            options->systemd = optarg != NULL;
            break;
        default:
            usage(stderr);
            return -1;
        }
    }
    if (options->version)
        return 0;
    if (optind < argc || options->config == NULL) {
        usage(stderr);
        return -1;
    }
    if (!options->master &&
        (options->cli != NULL || options->background || options->pidfile != NULL))
        return complain("-S, -D and -p are the master's, they need -W or -Ws");
    if (options->systemd && !mworker_has_systemd())
        return complain("-Ws needs a libmworker built with USE_SYSTEMD");
    return 0;
}

static int check(const struct options *options)
{
    struct config config;
    char why[WHY_SIZE];
    int result = config_load(&config, options->config, why);

    config_free(&config);
    if (result < 0) {
        complain(why);
        return EXIT_FAILURE;
    }
    printf("Configuration file is valid\n");
    return EXIT_SUCCESS;
}

static int run_plain(const struct options *options, struct mworker *mw)
{
    struct config config;
    char why[WHY_SIZE];
    int status = EXIT_FAILURE;

    if (config_load(&config, options->config, why) == 0)
        status = worker_run(&config, mw, false);
    else
        complain(why);
    config_free(&config);
    return status;
}

/* What a call of the library met. */
static int explain(char why[WHY_SIZE], const char *what, const struct mworker *mw)
{
    snprintf(why, WHY_SIZE, "%s: %s", what, mworker_error(mw));
    return -1;
}

/* What comes under our name must be able to read our configuration, before a reload executes it. */
static int tell_trial(const struct options *options, struct mworker *mw)
{
    const char *const trial[] = { "-c", "-f", options->config, NULL };

    return mworker_set_trial(mw, trial);
}

static int prepare(const struct options *options, struct mworker *mw, struct config *config,
                   char why[WHY_SIZE])
{
    if (options->cli != NULL && mworker_cli_listen(mw, options->cli) < 0)
        return explain(why, "-S", mw);
    if (config_load(config, options->config, why) < 0)
        return -1;
    if (options->background && mworker_daemonize(mw) < 0)
        return explain(why, "-D", mw);
    if (options->pidfile != NULL && mworker_set_pidfile(mw, options->pidfile) < 0)
        return explain(why, "-p", mw);
    return 0;
}

/*
 * The master. Every reload executes the program anew and comes through here again; whatever
 * is refused then leaves the master with the workers it has.
 */
static int run_master(const struct options *options, struct mworker *mw)
{
    struct config config = { .rules = NULL };
    char why[WHY_SIZE];
    int result = EXIT_FAILURE;

    if ((options->systemd && mworker_use_systemd(mw) < 0) || mworker_take_over(mw) < 0 ||
        mworker_read_settings(mw) < 0 || tell_trial(options, mw) < 0) {
        explain(why, "cannot become a master", mw);
        complain(why);
        return EXIT_FAILURE;
    }
    if (prepare(options, mw, &config, why) < 0) {
        if (mworker_load_ended(mw, MWORKER_LOAD_FAILED, why) == MWORKER_OK)
            result = mworker_run(mw);
        else
            complain(why);
    } else {
        switch (mworker_start_worker(mw)) {
        case MWORKER_IN_MASTER:
            result = mworker_run(mw);
            break;
        case MWORKER_IN_WORKER:
            result = worker_run(&config, mw, true);
            break;
        default:
            explain(why, "cannot start a worker", mw);
            complain(why);
        }
    }
    config_free(&config);
    return result;
}

int main(int argc, char **argv)
{
    const struct mworker_host host = {
        .size = sizeof(host),
        .name = PROXY_NAME,
        .version = PROXY_VERSION,
    };
    struct options options = { .config = NULL };
    struct mworker *mw;
    int status = EXIT_FAILURE;

    if (mworker_new(&host, &mw) < 0) {
        complain("out of memory");
        return EXIT_FAILURE;
    }
    /* First the options that a master hands to the next one, which are no business of ours. */
    if (mworker_take_args(mw, &argc, argv) < 0)
        complain(mworker_error(mw));
    else if (parse_options(&options, argc, argv) == 0) {
        if (options.version) {
            printf(PROXY_NAME " " PROXY_VERSION ", libmworker %s\n", mworker_version());
            status = EXIT_SUCCESS;
        } else if (options.check)
            status = check(&options);
        else if (options.master)
            status = run_master(&options, mw);
        else
            status = run_plain(&options, mw);
    }
    mworker_free(mw);
    return status;
}

# The definitions that mworker takes the place of, in src/haproxy.c of HAProxy
# 1.8: each gets another name, and its own name is declared before it.
s/^static void mworker_reload()$/static __attribute__((unused)) void own_mworker_reload()/
s/^static void mworker_wait()$/static void mworker_wait(void); static void shim_hold_first(void); static void shim_load_begins(void); static void shim_hold_reloads(void); static int shim_tell_old_pids(void); static int shim_fork_worker(void); static __attribute__((unused)) void own_mworker_wait()/
s/^void reexec_on_failure()$/void reexec_on_failure(void); static __attribute__((unused)) void own_reexec_on_failure()/
# What they call of each other.
s/^\(\t*\)mworker_reload();$/\1own_mworker_reload();/
# libsystemd isn't needed.
s/^#include <systemd\/sd-daemon.h>$/#include "sd-daemon.h"/
# init(): signals of a master that loads wait.
s/^\tsignal_init();$/\tsignal_init(); shim_hold_first();/
s/^\tglobal.maxsock = 10; /\tshim_load_begins(); global.maxsock = 10; /
# main(): nothing that can't be undone comes before the last fork, as each may
# fail.
s/^\tsignal_register_fct(SIGUSR2, NULL, 0);$/\tshim_hold_reloads();/
s/^\t\tnb_oldpids = tell_old_pids(oldpids_sig);$/\t\tnb_oldpids = shim_tell_old_pids();/
# Whom the user gave are still to be told.
s/^\tif ((getenv("HAPROXY_MWORKER_REEXEC") == NULL)) {$/\tif (!(global.mode \& MODE_MWORKER) \&\& !getenv("HAPROXY_MWORKER_REEXEC")) {/
/the father launches the required number/,/ret = fork();/s/ret = fork();/ret = shim_fork_worker();/

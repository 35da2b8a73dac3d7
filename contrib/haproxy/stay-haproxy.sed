# The definitions that mworker takes the place of, in src/haproxy.c of HAProxy
# 2.0 and 2.4: each gets another name, and its own name is declared before it.
s/^void mworker_reload()$/static __maybe_unused void own_mworker_reload()/
s/^static void mworker_loop()$/void mworker_loop(void); static void shim_hold_reloads(void); static int shim_tell_old_pids(void); static int shim_fork_worker(void); static int shim_kill_max_reloads; static void shim_load_begins(void); static __maybe_unused void own_mworker_loop()/
s/^void reexec_on_failure()$/void reexec_on_failure(void); static __maybe_unused void own_reexec_on_failure()/
# What they call of each other.
s/^\tmworker_reload();$/\town_mworker_reload();/
# libsystemd isn't needed.
s/^#include <systemd\/sd-daemon.h>$/#include "sd-daemon.h"/
# main(): a master does on SIGUSR2 what it can do later only, and nothing that
# can't be undone comes before the last fork, as each may fail.
s/^\tsignal_register_fct(SIGUSR2, NULL, 0);$/\tshim_hold_reloads();/
s/^\t\tnb_oldpids = tell_old_pids(oldpids_sig);$/\t\tnb_oldpids = shim_tell_old_pids();/
s/^\t\tmworker_kill_max_reloads(SIGTERM);$/\t\tshim_kill_max_reloads = 1;/
# 2.0 forgets whom the user gave, who are still to be told.
s/^\tif ((getenv("HAPROXY_MWORKER_REEXEC") == NULL)) {$/\tif (!(global.mode \& MODE_MWORKER) \&\& !getenv("HAPROXY_MWORKER_REEXEC")) {/
/mworker_ext_launch_all();/,/ret = fork();/s/ret = fork();/ret = shim_fork_worker();/
# The command line is known, and the load begins.
s/^\tglobal.maxsock = 10; /\tshim_load_begins(); global.maxsock = 10; /
# Who only waits listens to nothing, and isn't to leave because nobody is there who
# hands listeners over.
s/^\t\tif (strcmp("\/dev\/null", old_unixsocket) != 0) {$/\t\tif (strcmp("\/dev\/null", old_unixsocket) != 0 \&\& !(global.mode \& MODE_MWORKER_WAIT)) {/

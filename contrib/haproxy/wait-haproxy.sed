# The definitions that mworker takes the place of, in src/haproxy.c of HAProxy
# 2.6 to 3.0: each gets another name, and its own name is declared before it.
s/^static void mworker_reexec(\(int hardreload\|\))$/static __maybe_unused void own_mworker_reexec(\1)/
s/^static void mworker_reexec_waitmode()$/void mworker_reexec_waitmode(void); static __maybe_unused void own_mworker_reexec_waitmode()/
s/^void mworker_reload(\(int hardreload\|\))$/static __maybe_unused void own_mworker_reload(\1)/
s/^static void mworker_loop()$/void mworker_loop(void); static void shim_hold_reloads(void); static int shim_tell_old_pids(void); static int shim_fork_worker(void); static int shim_kill_max_reloads; static __maybe_unused void own_mworker_loop()/
s/^void reexec_on_failure()$/void reexec_on_failure(void); static __maybe_unused void own_reexec_on_failure()/
# What they call of each other.
s/^\tmworker_reexec(\(hardreload\|0\|\));$/\town_mworker_reexec(\1);/
# libsystemd isn't needed.
s/^#include <systemd\/sd-daemon.h>$/#include "sd-daemon.h"/
# main(): a master does on SIGUSR2 what it can do later only, and nothing that
# can't be undone comes before the fork, which may fail.
s/^\tsignal_register_fct(SIGUSR2, NULL, 0);$/\tshim_hold_reloads();/
s/^\t\tnb_oldpids = tell_old_pids(oldpids_sig);$/\t\tnb_oldpids = shim_tell_old_pids();/
s/^\t\tmworker_kill_max_reloads(SIGTERM);$/\t\tshim_kill_max_reloads = 1;/
/mworker_ext_launch_all();/,/ret = fork();/s/ret = fork();/ret = shim_fork_worker();/

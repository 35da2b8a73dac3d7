# The definitions that mworker takes the place of, in src/haproxy.c of HAProxy
# up to 3.0: each gets another name, and its own name is declared before it.
s/^static void mworker_reexec(int hardreload)$/static __maybe_unused void own_mworker_reexec(int hardreload)/
s/^static void mworker_reexec_waitmode()$/void mworker_reexec_waitmode(void); static __maybe_unused void own_mworker_reexec_waitmode()/
s/^void mworker_reload(int hardreload)$/static __maybe_unused void own_mworker_reload(int hardreload)/
s/^static void mworker_loop()$/void mworker_loop(void); static __maybe_unused void own_mworker_loop()/
s/^void reexec_on_failure()$/void reexec_on_failure(void); static __maybe_unused void own_reexec_on_failure()/
# What they call of each other.
s/^\tmworker_reexec(\(hardreload\|0\));$/\town_mworker_reexec(\1);/

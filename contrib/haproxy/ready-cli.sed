# src/cli.c of HAProxy 3.1 and 3.2: later ones say themselves that a worker's
# READY has been dealt with.
/^static int _send_status(/,/^}/s/^\treturn 1;$/\tmworker_unblock_signals(); return 1;/

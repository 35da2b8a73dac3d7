# src/signal.c of HAProxy 2.0 and 2.4: a signal that is queued wakes the loop.
s/^void signal_handler(int sig)$/static void shim_wake_loop(void); void signal_handler(int sig)/
s/^\t\t\tsignal_queue\[signal_queue_len++\] = sig;$/\t\t\t{ signal_queue[signal_queue_len++] = sig; shim_wake_loop(); }/

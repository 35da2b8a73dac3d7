# src/cli.c of HAProxy 2.0 and 2.4: a prompt whose worker has gone leads to nobody. Later
# versions look.
s/^\t\t\ts->target = pcli_pid_to_server(target_pid);$/&  if (!s->target) { pcli_reply_and_close(s, "Can't connect to the target CLI!\\n"); return 0; }/

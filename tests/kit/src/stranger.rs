//! A PID that was a worker's, and is a stranger's now.

use std::ffi::OsStr;

use crate::{Host, Launch, compile};

/// Forks a worker and reaps it, and has a stranger forked, by somebody else, under the very same
/// PID, where the system lets it choose; under any other one else. Then it becomes the program,
/// as the next image of a master whose process table has that PID. Says who the stranger is.
const SOURCE: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <linux/sched.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <unistd.h>

    static pid_t fork_as(pid_t pid)
    {
        struct clone_args how = { .exit_signal = SIGCHLD };
        pid_t forked;

        how.set_tid = (uint64_t)(uintptr_t)&pid;
        how.set_tid_size = 1;
        forked = syscall(SYS_clone3, &how, sizeof(how));
        return forked < 0 ? fork() : forked;
    }

    int main(int argc, char **argv)
    {
        int told[2], pair[2];
        pid_t worker, between, stranger = 0;
        char table[256];

        if (argc < 2 || pipe2(told, O_CLOEXEC) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
            return 2;
        worker = fork();
        if (worker == 0)
            _exit(0);
        waitpid(worker, NULL, 0);
        between = fork();
        if (between == 0) {
            stranger = fork_as(worker);
            if (stranger == 0) {
                execlp("sleep", "sleep", "1000", NULL);
                _exit(1);
            }
            _exit(write(told[1], &stranger, sizeof(stranger)) < 0);
        }
        waitpid(between, NULL, 0);
        if (read(told[0], &stranger, sizeof(stranger)) != sizeof(stranger) || stranger < 1)
            return 2;
        dprintf(1, "%d\n", stranger);
        snprintf(table, sizeof(table),
                 "|type=m;pid=%d;reloads=1|type=w;fd=%d;pid=%d;reloads=1", getpid(), pair[0],
                 stranger);
        setenv("HAPROXY_MWORKER_REEXEC", "1", 1);
        setenv("HAPROXY_PROCESSES", table, 1);
        execv(argv[1], argv + 1);
        perror(argv[1]);
        return 1;
    }
"#;

impl Host {
    /// Starts to describe a process that becomes `program` as the next image of a master which
    /// takes a stranger for its worker. The stranger's PID is the first thing on stdout.
    #[track_caller]
    pub fn launch_with_stranger(&self, program: impl AsRef<OsStr>) -> Launch {
        self.launch(compile::program(self, "stranger", SOURCE)).arg(program)
    }
}

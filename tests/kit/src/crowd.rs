//! Very many old workers, without the reloads that it takes to get them.
//!
//! A small program forks them and becomes the proxy, as if a former master had re-executed
//! itself. They are no proxies: each waits for its master to go or to tell it to leave at
//! once, and lets everything else pass, as workers do that never get rid of a connection.

use std::ffi::OsStr;

use crate::{Host, Launch, compile};

/// Rows are handed over as briefly as they may be: who reads has to make up for what isn't
/// there. A table too long for a string goes over as mworker's masters hand it over.
const SOURCE: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #define LONGEST (126 * 1024)

    static void be_old_worker(int fd)
    {
        char byte;

        syscall(SYS_close_range, 0, fd - 1, 0);
        syscall(SYS_close_range, fd + 1, ~0u, 0);
        while (read(fd, &byte, 1) > 0)
            ;
        _exit(0);
    }

    /* Before they are forked: they may be told to leave before they do anything. */
    static void ignore_all_but_the_end(void (*handler)(int))
    {
        signal(SIGUSR1, handler);
        signal(SIGTTIN, handler);
        signal(SIGTTOU, handler);
    }

    static void hand_over_by_descriptor(const char *table, const char *master)
    {
        char state[64];
        uint64_t mark = 0xcbf29ce484222325;
        int fd = memfd_create("crowd", MFD_ALLOW_SEALING);

        if (fd < 0 || write(fd, table, strlen(table)) != (ssize_t)strlen(table) ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
            abort();
        for (const char *byte = master; *byte; byte++)
            mark = (mark ^ (unsigned char)*byte) * 0x100000001b3;
        snprintf(state, sizeof(state), "beside=%llx;table=%d", (unsigned long long)mark, fd);
        setenv("MWORKER_STATE", state, 1);
        setenv("HAPROXY_PROCESSES", master, 1);
    }

    int main(int argc, char **argv)
    {
        int count = argc > 2 ? atoi(argv[1]) : 0;
        char *table = malloc(64 * (count + 1)), *end = table, master[64];
        struct rlimit before, limit;

        if (count < 1 || !table)
            return 2;
        getrlimit(RLIMIT_NOFILE, &before);
        limit = before;
        if (limit.rlim_cur < (rlim_t)count + 64)
            limit.rlim_cur = count + 64;
        if (limit.rlim_max < limit.rlim_cur)
            limit.rlim_max = limit.rlim_cur;
        setrlimit(RLIMIT_NOFILE, &limit);
        ignore_all_but_the_end(SIG_IGN);
        snprintf(master, sizeof(master), "|type=m;pid=%d;reloads=%d", getpid(), count);
        end = stpcpy(end, master);
        for (int left = count; left > 0; left--) {
            int pair[2], pid;

            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || (pid = fork()) < 0) {
                perror("crowd");
                return 1;
            }
            if (pid == 0)
                be_old_worker(pair[1]);
            close(pair[1]);
            end += sprintf(end, "|type=w;fd=%d;pid=%d;reloads=%d", pair[0], pid, left);
        }
        ignore_all_but_the_end(SIG_DFL);
        setrlimit(RLIMIT_NOFILE, &before);
        setenv("HAPROXY_MWORKER_REEXEC", "1", 1);
        if (strlen(table) > LONGEST)
            hand_over_by_descriptor(table, master);
        else
            setenv("HAPROXY_PROCESSES", table, 1);
        execv(argv[2], argv + 2);
        perror(argv[2]);
        return 1;
    }
"#;

impl Host {
    /// Starts to describe a process that becomes `program` as the next image of a master with
    /// `count` old workers. Arguments are the program's.
    #[track_caller]
    pub fn launch_with_crowd(&self, count: usize, program: impl AsRef<OsStr>) -> Launch {
        let crowd = compile::program(self, "crowd", SOURCE);
        self.launch(crowd).arg(count.to_string()).arg(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PATIENCE, procfs, wait_until};

    #[test]
    fn the_program_has_them_for_children() {
        for count in [3, 4_000] {
            let host = Host::new();
            let proxy = host.launch_with_crowd(count, "/bin/sleep").arg("1000").spawn();
            wait_until(PATIENCE, "sleep to be executed", || {
                procfs::cmdline(proxy.pid()).is_ok_and(|cmdline| cmdline[0] == "/bin/sleep")
            });
            assert_eq!(proxy.children().len(), count);
            let environ = procfs::environ(proxy.pid()).unwrap();
            let state = environ.iter().any(|(name, _)| name == "MWORKER_STATE");
            assert_eq!(state, count > 1_000, "{count}");
        }
    }
}

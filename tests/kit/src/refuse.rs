//! Execs that fail for a reason of one's choice.

use std::path::PathBuf;

use crate::{Host, Launch, compile};

/// What the system may say to an exec, said without a cause.
const SOURCE: &str = r#"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    static int refused(void)
    {
        FILE *file = fopen(getenv("REFUSE"), "re");
        int why = 0;

        if (file) {
            if (fscanf(file, "%d", &why) != 1)
                why = 0;
            fclose(file);
        }
        errno = why;
        return why;
    }

    int execve(const char *path, char *const argv[], char *const envp[])
    {
        return refused() ? -1 : syscall(SYS_execve, path, argv, envp);
    }

    int execvpe(const char *file, char *const argv[], char *const envp[])
    {
        return execve(file, argv, envp);
    }

    int execvp(const char *file, char *const argv[])
    {
        return execve(file, argv, environ);
    }
"#;

/// Where a process is told why its execs fail.
#[derive(Debug)]
pub struct Refusal {
    host: Host,
    library: PathBuf,
}

impl Refusal {
    /// Lets everything be executed at first. Programs have to be given by their paths.
    #[track_caller]
    pub fn new(host: &Host) -> Refusal {
        Refusal { host: host.clone(), library: compile::library(host, "refuses", SOURCE) }
    }

    /// A process that can be refused.
    pub fn launch(&self, launch: Launch) -> Launch {
        launch.env("LD_PRELOAD", &self.library).env("REFUSE", self.host.path("refuse"))
    }

    /// From now on every exec fails with this errno. Gives what people are told.
    pub fn refuse(&self, errno: i32) -> String {
        self.host.write("refuse", &errno.to_string());
        let why = std::io::Error::from_raw_os_error(errno).to_string();
        why.split(" (os error").next().unwrap_or_default().to_owned()
    }

    /// No more.
    pub fn allow(&self) {
        self.host.write("refuse", "0");
    }
}

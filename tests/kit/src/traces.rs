//! What an operation that came to nothing could leave behind in a process.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use crate::{Pid, procfs};

/// Everything of a process that is to be as before: equal only if no descriptor was closed,
/// opened or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Number, what it leads to and whether an exec closes it.
    descriptors: BTreeMap<i32, (String, bool)>,
    signals: procfs::Signals,
    limits: String,
}

impl Traces {
    /// Those of a process.
    #[track_caller]
    pub fn of(pid: Pid) -> Traces {
        Traces::read(pid).unwrap_or_else(|err| panic!("process {pid}: {err}"))
    }

    fn read(pid: Pid) -> io::Result<Traces> {
        let mut descriptors = BTreeMap::new();
        for found in procfs::descriptors(pid)? {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", found.fd))?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok());
            let closes = flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0);
            descriptors.insert(found.fd, (found.target, closes));
        }
        let mut signals = procfs::signals(pid)?;
        signals.pending = Default::default();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        Ok(Traces { descriptors, signals, limits })
    }
}

/// How much memory of its own and of others it has in use, in kB.
pub fn memory_kb(pid: Pid) -> u64 {
    let status = procfs::status(pid).unwrap_or_default();
    let rss = status.get("VmRSS").and_then(|text| text.split_whitespace().next()?.parse().ok());
    rss.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fifo;
    use crate::{PATIENCE, Signal, wait_until};

    #[test]
    fn what_changes_is_a_trace() {
        let host = crate::Host::new();
        // Another pipe for the end: the writer of the first may not have closed it yet.
        let script = "trap '' USR1; read go <pipe; exec 7</dev/null; trap '' USR2; read go <end";
        fifo(&host.path("pipe"));
        fifo(&host.path("end"));
        let shell = host.launch("/bin/sh").args(["-c", script]).spawn();
        let asleep = || procfs::signals(shell.pid()).is_ok_and(|s| s.ignored.has(Signal::USR1));
        wait_until(PATIENCE, "the shell to begin", asleep);
        let before = Traces::of(shell.pid());
        assert!(memory_kb(shell.pid()) > 0);
        fs::write(host.path("pipe"), "\n").expect("somebody reads");
        wait_until(PATIENCE, "a descriptor more", || {
            Traces::read(shell.pid())
                .is_ok_and(|now| now.descriptors.contains_key(&7) && now.signals != before.signals)
        });
        assert_ne!(Traces::of(shell.pid()), before);
    }
}

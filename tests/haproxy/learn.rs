//! The names that processes have in a transcript, by the order in which they turn up.

use std::time::Duration;

use mworker_kit::{Pid, procfs, try_wait_for};

use super::Run;
use crate::text::log_lines;

/// How long a master may take from a fork to the message about it, on a busy machine. Only a child
/// without a message, which is rare, takes that long to get a name.
const MOMENT: Duration = Duration::from_secs(2);

impl Run {
    /// Gives names to children as they turn up: workers and programs as the master's
    /// messages name them, others in the order of their start.
    pub fn learn(&mut self) {
        if self.master.started().is_none() {
            return;
        }
        self.learn_from_messages();
        // One may be there before the message.
        let _ = try_wait_for(MOMENT, || {
            let all_known = self.strangers().is_empty();
            self.learn_from_messages();
            all_known.then_some(())
        });
        for pid in self.strangers() {
            self.children += 1;
            self.names.number(pid as u64, &format!("child{}", self.children));
        }
    }

    fn learn_from_messages(&mut self) {
        let Some(proxy) = self.master.started() else { return };
        for line in log_lines(&proxy.stderr()) {
            let Some((what, pid)) = forked(&line.text) else { continue };
            if self.names.knows(pid) {
                continue;
            }
            if what == "worker" {
                self.workers += 1;
                self.names.number(pid as u64, &format!("w{}", self.workers));
            } else {
                self.children += 1;
                self.names.number(pid as u64, &format!("p{}", self.children));
            }
        }
    }

    fn strangers(&self) -> Vec<Pid> {
        let children = procfs::children(self.pid());
        children.into_iter().filter(|pid| !self.names.knows(*pid)).collect()
    }

    /// What a process is called.
    pub fn called(&mut self, pid: Pid) -> String {
        self.learn();
        self.names.pid(pid)
    }
}

/// What was forked, and its PID, if a message is about a fork.
fn forked(text: &str) -> Option<(&str, Pid)> {
    let (what, pid) = if let Some(rest) = text.strip_prefix("Initializing new ") {
        rest.rsplit_once('(')?
    } else if let Some(rest) = text.strip_prefix("Process ") {
        // The one in the background, as its parent calls it.
        return Some(("process", rest.split_once(" exited")?.0.parse().ok()?));
    } else {
        text.strip_prefix("New ")?.strip_suffix(" forked")?.rsplit_once('(')?
    };
    Some((what.split_whitespace().next()?, pid.strip_suffix(')')?.parse().ok()?))
}

mod tests {
    use super::*;

    #[test]
    fn reads_who_was_forked() {
        assert_eq!(forked("New worker (12) forked"), Some(("worker", 12)));
        assert_eq!(forked("New program 'a (b)' (13) forked"), Some(("program", 13)));
        assert_eq!(forked("Initializing new worker (14)"), Some(("worker", 14)));
        assert_eq!(forked("Process 15 exited with code 1 (Exit)"), Some(("process", 15)));
        assert_eq!(forked("Loading success."), None);
    }
}

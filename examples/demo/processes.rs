//! What `show proc` of the master CLI says.

use mworker_kit::Pid;

/// The process table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Failed reloads since the last good one.
    pub failed: u32,
    /// The workers in service.
    pub workers: Vec<Pid>,
    /// Those that finish what they have.
    pub old: Vec<Pid>,
}

impl Processes {
    /// Reads an answer; none, if it has no row of a master.
    pub fn parse(text: &str) -> Option<Processes> {
        let mut found = Processes::default();
        let mut master = false;
        let mut section = "";
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("# ") {
                section = title.trim();
            }
            let mut words = line.split_whitespace();
            let (Some(Ok(pid)), Some(kind)) = (words.next().map(str::parse), words.next()) else {
                continue;
            };
            match (kind, section) {
                ("master", _) => {
                    master = true;
                    // HAProxy up to 2.4 doesn't count them.
                    if let Some((_, rest)) = line.split_once("[failed: ") {
                        found.failed = rest.split_once(']')?.0.parse().ok()?;
                    }
                }
                ("worker", "old workers") => found.old.push(pid),
                ("worker", _) => found.workers.push(pid),
                _ => {}
            }
        }
        master.then_some(found)
    }
}

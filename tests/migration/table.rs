//! What `show proc` says.

use mworker_kit::Pid;

/// A row of a worker or program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub pid: Pid,
    pub reloads: u32,
    pub version: String,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShowProc {
    pub master: Pid,
    pub reloads: u32,
    pub failed: u32,
    pub current: Vec<Row>,
    pub old: Vec<Row>,
    pub programs: Vec<Row>,
}

impl ShowProc {
    /// Reads an answer; none if it is no whole one.
    pub fn read(answer: &str) -> Option<ShowProc> {
        let mut table = ShowProc::default();
        let mut section = "";
        for line in answer.lines().filter(|line| !line.starts_with("#<")) {
            if let Some(name) = line.strip_prefix("# ") {
                section = name;
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [pid, kind, reloads, rest @ ..] = &words[..] else { continue };
            let (pid, reloads) = (pid.parse().ok()?, reloads.parse().ok()?);
            let version = rest.last()?.to_string();
            if *kind == "master" {
                (table.master, table.reloads) = (pid, reloads);
                let failed = rest.iter().position(|word| *word == "[failed:");
                let failed = failed.and_then(|at| rest.get(at + 1));
                table.failed = failed.map_or(Some(0), |n| n.trim_end_matches(']').parse().ok())?;
                continue;
            }
            let row = Row { pid, reloads, version };
            match section {
                "workers" => table.current.push(row),
                "old workers" => table.old.push(row),
                _ => table.programs.push(row),
            }
        }
        (table.master > 0).then_some(table)
    }

    /// The PIDs of all children, in order.
    pub fn children(&self) -> Vec<Pid> {
        let rows = self.current.iter().chain(&self.old).chain(&self.programs);
        let mut pids: Vec<Pid> = rows.map(|row| row.pid).collect();
        pids.sort_unstable();
        pids
    }
}

mod tests {
    use super::*;

    #[test]
    fn reads_all_sections() {
        let answer = "#<PID>          <type>          <reloads>       <uptime>        <version>\n\
            12   master  3 [failed: 1]   0d00h00m01s     3.0.11-1\n\
            # workers\n13              worker          0  0d  3.0\n\
            # old workers\n14              worker          2  0d  2.6.12\n# programs\n\n";
        let row = |pid, reloads, version: &str| Row { pid, reloads, version: version.to_owned() };
        let expected = ShowProc {
            master: 12,
            reloads: 3,
            failed: 1,
            current: vec![row(13, 0, "3.0")],
            old: vec![row(14, 2, "2.6.12")],
            programs: Vec::new(),
        };
        assert_eq!(ShowProc::read(answer), Some(expected));
        assert_eq!(ShowProc::read(""), None);
    }
}

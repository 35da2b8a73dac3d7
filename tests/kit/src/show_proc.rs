//! What `show proc` of a master CLI answers, in the format of any HAProxy and of the library.

use crate::Pid;

/// Where in the answer a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Above all headings.
    Master,
    /// `# workers`.
    Workers,
    /// `# old workers`.
    OldWorkers,
    /// `# programs`.
    Programs,
    /// `# old programs`.
    OldPrograms,
    /// Below another heading.
    Other,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub section: Section,
    /// Of the process.
    pub pid: Pid,
    /// `master`, `worker` or the name of a program.
    pub kind: String,
    /// Reloads that it has lived through, or that the master has done.
    pub reloads: u32,
    /// Empty if the row ends before it.
    pub version: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShowProc {
    /// In order, the master's first.
    pub rows: Vec<Row>,
    /// Of the master.
    pub reloads: u32,
    /// Failed reloads since the last that did not fail; 0 where HAProxy doesn't count them.
    pub failed: u32,
    /// The current workers.
    pub workers: Vec<Pid>,
    /// Workers that finish what they have.
    pub old: Vec<Pid>,
    /// Lines that are neither headings nor whole rows.
    pub odd: Vec<String>,
}

impl ShowProc {
    /// Reads an answer, as far as it can be read.
    pub fn read(answer: &str) -> ShowProc {
        let mut read = ShowProc::default();
        let mut section = Section::Master;
        // Up to 2.4 there is a column more.
        let mut relative = false;
        for line in answer.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(heading) = line.strip_prefix("# ") {
                section = section_of(heading.trim());
            } else if line.starts_with('#') {
                relative |= line.contains("<relative PID>");
            } else {
                read.add(line, section, relative);
            }
        }
        read
    }

    fn add(&mut self, line: &str, section: Section, relative: bool) {
        let row = row(line, section, relative);
        if row.as_ref().is_none_or(|row| row.version.is_empty()) {
            self.odd.push(line.to_owned());
        }
        let Some(row) = row else { return };
        match section {
            Section::Master => {
                self.reloads = row.reloads;
                match failed(line) {
                    Some(count) => self.failed = count,
                    None => self.odd.push(line.to_owned()),
                }
            }
            Section::Workers => self.workers.push(row.pid),
            Section::OldWorkers => self.old.push(row.pid),
            _ => {}
        }
        self.rows.push(row);
    }

    /// The master's row, if there is one.
    pub fn master(&self) -> Option<&Row> {
        self.of(Section::Master).next()
    }

    /// The rows of a section.
    pub fn of(&self, section: Section) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.section == section)
    }

    /// Whether it has a row of the master, and nothing in it is cut off or not understood.
    pub fn is_whole(&self) -> bool {
        self.master().is_some() && self.odd.is_empty()
    }

    /// The PIDs of all but the master, in ascending order.
    pub fn children(&self) -> Vec<Pid> {
        let children = self.rows.iter().filter(|row| row.section != Section::Master);
        let mut pids: Vec<Pid> = children.map(|row| row.pid).collect();
        pids.sort_unstable();
        pids
    }
}

/// The PID in an answer to `show info`.
pub fn pid_of_info(answer: &str) -> Option<Pid> {
    answer.lines().find_map(|line| line.strip_prefix("Pid: ")?.trim().parse().ok())
}

fn section_of(heading: &str) -> Section {
    match heading {
        "workers" => Section::Workers,
        "old workers" => Section::OldWorkers,
        "programs" => Section::Programs,
        "old programs" => Section::OldPrograms,
        _ => Section::Other,
    }
}

fn row(line: &str, section: Section, relative: bool) -> Option<Row> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    // `1`, `[was: 1]` or `-`.
    if relative && words.len() > 2 && words.remove(2) == "[was:" && words.len() > 2 {
        words.remove(2);
    }
    let [pid, kind, reloads, rest @ ..] = &words[..] else { return None };
    let (pid, reloads) = (pid.parse().ok()?, reloads.parse().ok()?);
    let version = rest.last().copied().unwrap_or_default().to_owned();
    Some(Row { section, pid, kind: (*kind).to_owned(), reloads, version })
}

/// `[failed: 1]`; none if it is no number.
fn failed(line: &str) -> Option<u32> {
    let Some((_, rest)) = line.split_once("[failed: ") else { return Some(0) };
    rest.split_once(']')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(section: Section, pid: Pid, kind: &str, reloads: u32, version: &str) -> Row {
        Row { section, pid, kind: kind.to_owned(), reloads, version: version.to_owned() }
    }

    #[test]
    fn reads_all_sections() {
        let answer = "#<PID>          <type>          <reloads>       <uptime>        <version>\n\
            12   master  3 [failed: 1]   0d00h00m01s     3.0.11-1\n\
            # workers\n13              worker          0  0d  3.0\n\
            # old workers\n14              worker          2  0d  2.6.12\n\
            # programs\n15              sleep           0  0d  -\n# old programs\n\n";
        let read = ShowProc::read(answer);
        let rows = [
            row(Section::Master, 12, "master", 3, "3.0.11-1"),
            row(Section::Workers, 13, "worker", 0, "3.0"),
            row(Section::OldWorkers, 14, "worker", 2, "2.6.12"),
            row(Section::Programs, 15, "sleep", 0, "-"),
        ];
        assert_eq!(read.rows, rows);
        assert_eq!((read.reloads, read.failed), (3, 1));
        assert_eq!((&read.workers[..], &read.old[..]), (&[13][..], &[14][..]));
        assert_eq!(read.children(), [13, 14, 15]);
        assert!(read.is_whole());
    }

    #[test]
    fn reads_the_column_of_2_4() {
        let answer = "#<PID>   <type>   <relative PID>  <reloads>  <uptime>  <version>\n\
            12   master   0   2   0d   2.4.0\n# workers\n13   worker   1   0   0d   2.4.0\n\
            # old workers\n14   worker   [was: 1]   1   0d   2.4.0\n";
        let read = ShowProc::read(answer);
        let reloads: Vec<u32> = read.rows.iter().map(|row| row.reloads).collect();
        assert_eq!((reloads, read.is_whole()), (vec![2, 0, 1], true));
    }

    #[test]
    fn an_answer_that_is_cut_off_or_none_is_not_whole() {
        assert!(!ShowProc::read("").is_whole());
        let cut = ShowProc::read("12   master  3   0d  3.0\n# workers\n13   worker  0\n14  wor");
        assert_eq!((cut.workers.len(), cut.odd.len(), cut.is_whole()), (1, 2, false));
        let refused = ShowProc::read("Permission denied\n");
        assert!(refused.rows.is_empty() && !refused.is_whole());
    }

    #[test]
    fn reads_the_pid_of_a_worker() {
        assert_eq!(pid_of_info("Name: HAProxy\nPid: 12\n"), Some(12));
        assert_eq!(pid_of_info("Unknown command\n"), None);
    }
}

//! The answer to `show proc`, of all generations.

use std::time::Duration;

/// What a row is listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Master,
    Workers,
    OldWorkers,
    Programs,
    OldPrograms,
}

impl Section {
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Workers => "workers",
            Self::OldWorkers => "old workers",
            Self::Programs => "programs",
            Self::OldPrograms => "old programs",
        }
    }

    fn of(title: &str) -> Option<Self> {
        [Self::Workers, Self::OldWorkers, Self::Programs, Self::OldPrograms]
            .into_iter()
            .find(|section| section.name() == title)
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub section: Section,
    pub pid: i32,
    /// `master`, `worker` or the name of a program.
    pub kind: String,
    pub reloads: u64,
    /// The master's alone.
    pub failed: Option<u64>,
    pub uptime: Option<Duration>,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads it; none without a master.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let columns = lines.by_ref().find_map(|line| line.strip_prefix("#<PID>"))?;
        let columns: Vec<&str> =
            columns.split('<').filter_map(|c| Some(c.split_once('>')?.0)).collect();
        let mut section = Section::Master;
        let mut table = Self::default();
        for line in lines {
            if let Some(title) = line.strip_prefix("# ") {
                section = Section::of(title.trim())?;
            } else if !line.trim().is_empty() {
                table.rows.push(row(section, &columns, line)?);
            }
        }
        table.master().is_some().then_some(table)
    }

    pub fn master(&self) -> Option<&Row> {
        self.rows.first().filter(|row| row.section == Section::Master)
    }

    /// All workers, the current ones first.
    pub fn workers(&self) -> impl Iterator<Item = &Row> {
        let of = |section| self.rows.iter().filter(move |row| row.section == section);
        of(Section::Workers).chain(of(Section::OldWorkers))
    }

    /// Reloads that the master counts, and how many failed.
    pub fn reloads(&self) -> (u64, Option<u64>) {
        self.master().map_or((0, None), |master| (master.reloads, master.failed))
    }
}

fn row(section: Section, columns: &[&str], line: &str) -> Option<Row> {
    let mut cells = cells(line).into_iter();
    let pid = cells.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let mut row = Row {
        section,
        pid,
        kind: String::new(),
        reloads: 0,
        failed: None,
        uptime: None,
        version: None,
    };
    for (column, cell) in columns.iter().zip(cells) {
        match *column {
            "type" => row.kind = cell,
            "reloads" => {
                let (reloads, failed) = cell.split_once(" [failed: ").unwrap_or((&cell, ""));
                row.reloads = reloads.parse().ok()?;
                row.failed = failed.trim_end_matches(']').parse().ok();
            }
            "uptime" => row.uptime = uptime(&cell),
            "version" => row.version = Some(cell).filter(|version| version != "-"),
            _ => {}
        }
    }
    Some(row)
}

/// The cells of a line: words, and what is in brackets belongs to the number before it.
fn cells(line: &str) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    let mut open = false;
    for word in line.split_whitespace() {
        match cells.last_mut() {
            Some(cell) if open || word == "[failed:" => {
                cell.push(' ');
                cell.push_str(word);
            }
            _ => cells.push(word.to_owned()),
        }
        open = (open || word.starts_with('[')) && !word.ends_with(']');
    }
    cells
}

/// `1d02h03m04s`.
fn uptime(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0_u64, text);
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let (number, after) = rest.split_once(unit)?;
        let number: u64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(length)?)?;
        rest = after;
    }
    rest.is_empty().then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mworker::core::generation::Generation;
    use mworker::core::process::{Process, options};
    use mworker::core::showproc;
    use mworker::core::table::{PlainTable, Table as _};

    fn made_by(generation: Generation, debug: bool) -> String {
        let mut table = PlainTable::default();
        let row = |pid, options, reloads| Process {
            pid,
            options,
            reloads,
            timestamp: 1_000,
            ..Process::default()
        };
        let master = Process { failed_reloads: 2, ..row(1, options::MASTER, 7) };
        let rows = [
            (master, "", ""),
            (row(50, options::WORKER, 0), "", "2.9"),
            (row(40, options::WORKER | options::LEAVING, 3), "", "2.8-x"),
            (row(60, options::PROGRAM, 0), "spoa", ""),
            (row(61, options::PROGRAM | options::LEAVING, 1), "spoa", ""),
        ];
        for (process, id, version) in rows {
            table.append(process, id.as_bytes(), version.as_bytes()).expect("memory");
        }
        let request = showproc::Request { now: 91_061, own_pid: 1, version: "3.0", debug };
        showproc::text(&table, generation, &request)
    }

    #[test]
    fn all_generations() {
        for (generation, failed) in [
            (Generation::haproxy(2, 0), None),
            (Generation::haproxy(2, 4), None),
            (Generation::haproxy(2, 6), Some(2)),
            (Generation::haproxy(3, 0), Some(2)),
            (Generation::haproxy(3, 5), Some(2)),
            (Generation::NATIVE, Some(2)),
        ] {
            for debug in [false, true] {
                let text = made_by(generation, debug);
                let table = Table::parse(&text).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(table.reloads(), (7, failed), "{text}");
                let found: Vec<_> = table
                    .rows
                    .iter()
                    .map(|row| (row.section, row.pid, row.kind.as_str(), row.version.as_deref()))
                    .collect();
                let expected = [
                    (Section::Master, 1, "master", Some("3.0")),
                    (Section::Workers, 50, "worker", Some("2.9")),
                    (Section::OldWorkers, 40, "worker", Some("2.8-x")),
                    (Section::Programs, 60, "spoa", None),
                    (Section::OldPrograms, 61, "spoa", None),
                ];
                assert_eq!(found, expected, "{text}");
                let uptime = Some(Duration::from_secs(90_061));
                assert!(table.rows.iter().all(|row| row.uptime == uptime), "{text}");
                assert_eq!(table.workers().map(|row| row.reloads).collect::<Vec<_>>(), [0, 3]);
            }
        }
    }

    #[test]
    fn no_table() {
        for text in [
            "",
            "Unknown command: 'show proc'\n",
            "#<PID> <type>\n",
            "#<PID> <type>\n# workers\n1 worker\n",
        ] {
            assert_eq!(Table::parse(text), None, "{text}");
        }
    }

    #[test]
    fn uptimes() {
        assert_eq!(uptime("0d00h00m01s"), Some(Duration::from_secs(1)));
        assert_eq!(uptime("400d23h59m59s"), Some(Duration::from_secs(34_646_399)));
        for text in ["", "1d", "0d00h00m01", "0d00h00m01s!", "xd00h00m01s", "-1d00h00m01s"] {
            assert_eq!(uptime(text), None, "{text}");
        }
    }
}

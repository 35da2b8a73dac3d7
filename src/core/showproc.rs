//! The text of `show proc`.
//!
//! It is made whole, at one moment, and handed out in pieces of whole lines:
//! however slowly a client reads, and whatever ends meanwhile, it sees one
//! consistent table and nothing is cut.

use super::generation::Generation;
use super::process::{Process, options};
use super::table::Table;
use std::fmt::Write;

/// What the text needs besides the table.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// The master's PID.
    pub own_pid: i32,
    /// The master's version.
    pub version: &'a str,
    /// With the descriptors of each row.
    pub debug: bool,
}

/// A text that is handed out in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    text: Vec<u8>,
    done: usize,
}

impl Pieces {
    /// All of `text`, from its start.
    pub fn new(text: String) -> Self {
        Self { text: text.into_bytes(), done: 0 }
    }

    /// The next whole lines that fit into `room` bytes. A line that is longer
    /// than that comes in parts. Empty once all has been handed out.
    pub fn peek(&self, room: usize) -> &[u8] {
        let rest = self.text.get(self.done..).unwrap_or_default();
        let Some(fitting) = rest.get(..room).filter(|_| room < rest.len()) else {
            return rest;
        };
        match fitting.iter().rposition(|b| *b == b'\n') {
            Some(newline) => fitting.get(..=newline).unwrap_or(fitting),
            None => fitting,
        }
    }

    /// The next `bytes` bytes have been taken.
    pub fn advance(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes).min(self.text.len());
    }

    /// Whether all has been handed out.
    pub fn is_done(&self) -> bool {
        self.done >= self.text.len()
    }
}

/// The whole text.
pub fn text<T: Table>(table: &T, generation: Generation, request: &Request<'_>) -> String {
    let mut page = Page { out: String::new(), generation, request };
    let master = table.master().map(|row| table.load(row)).unwrap_or_default();
    page.head(&master);

    let children = |wanted: i32, leaving: bool| {
        table.rows().filter(move |(_, p)| p.is(wanted) && p.is(options::LEAVING) == leaving)
    };
    let has_old = |wanted| children(wanted, true).next().is_some();

    page.title("workers");
    for (row, p) in children(options::WORKER, false) {
        page.child(&p, "worker", table.version(row));
    }
    if has_old(options::WORKER) {
        page.title("old workers");
        for (row, p) in children(options::WORKER, true) {
            page.child(&p, "worker", table.version(row));
        }
    }
    // From 3.1 on there is a title only where something stands below it. A newer master may
    // have taken programs over from an older one.
    let always = generation.programs && !generation.ready_handshake;
    if always || children(options::PROGRAM, false).next().is_some() {
        page.title("programs");
        for (row, p) in children(options::PROGRAM, false) {
            page.child(&p, &String::from_utf8_lossy(table.id(row)), b"-");
        }
    }
    if has_old(options::PROGRAM) {
        page.title("old programs");
        for (row, p) in children(options::PROGRAM, true) {
            page.child(&p, &String::from_utf8_lossy(table.id(row)), b"-");
        }
    }
    page.out
}

struct Page<'a> {
    out: String,
    generation: Generation,
    request: &'a Request<'a>,
}

impl Page<'_> {
    fn title(&mut self, title: &str) {
        let _ = writeln!(self.out, "# {title}");
    }

    fn head(&mut self, master: &Process) {
        let descriptors =
            self.request.debug.then(|| ("<ipc_fd[0]>".to_owned(), "<ipc_fd[1]>".to_owned()));
        let relative = "<relative PID>";
        let columns = ["<type>", relative, "<reloads>", "<uptime>", "<version>"];
        self.line("#", 14, "<PID>", columns, descriptors);

        let reloads = if self.generation.shows_failed_reloads {
            format!("{} [failed: {}]", master.reloads, master.failed_reloads)
        } else {
            master.reloads.to_string()
        };
        let pid = self.request.own_pid.to_string();
        let uptime = self.uptime(master);
        let columns = ["master", "0", &reloads, &uptime, self.request.version];
        self.line("", 15, &pid, columns, self.descriptors(master));
    }

    fn child(&mut self, p: &Process, kind: &str, version: &[u8]) {
        let relative = match (p.is(options::PROGRAM), p.is(options::LEAVING)) {
            (true, _) => "-".into(),
            (false, true) => format!("[was: {}]", p.relative_pid),
            (false, false) => p.relative_pid.to_string(),
        };
        let version = String::from_utf8_lossy(version);
        let reloads = p.reloads.to_string();
        let uptime = self.uptime(p);
        let columns = [kind, &relative, &reloads, &uptime, &version];
        let pid = p.pid.to_string();
        self.line("", 15, &pid, columns, self.descriptors(p));
    }

    fn descriptors(&self, p: &Process) -> Option<(String, String)> {
        self.request.debug.then(|| (p.ipc_fd[0].to_string(), p.ipc_fd[1].to_string()))
    }

    fn line(
        &mut self,
        mark: &str,
        width: usize,
        pid: &str,
        [kind, relative, reloads, uptime, version]: [&str; 5],
        descriptors: Option<(String, String)>,
    ) {
        // Writing into a String can't fail.
        let out = &mut self.out;
        let _ = write!(out, "{mark}{pid:<width$} {kind:<15} ");
        if self.generation.relative_pids {
            let _ = write!(out, "{relative:<15} ");
        }
        let _ = write!(out, "{reloads:<15} {uptime:<15} {version:<15}");
        if let Some((master, worker)) = descriptors {
            let _ = write!(out, "\t\t {master:<15} {worker:<15}");
        }
        out.push('\n');
    }

    /// Never below 0, whatever the clock did.
    fn uptime(&self, p: &Process) -> String {
        let seconds = self.request.now.saturating_sub(i64::from(p.timestamp));
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        let (days, hours) = (hours / 24, hours % 24);
        format!("{days}d{hours:02}h{minutes:02}m{seconds:02}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::PlainTable;

    fn table(old: i32) -> PlainTable {
        let mut table = PlainTable::default();
        let base = Process { timestamp: 1_000, ..Process::default() };
        let master = Process {
            pid: 1,
            options: options::MASTER,
            reloads: 7,
            failed_reloads: 2,
            ipc_fd: [3, 4],
            ..base
        };
        table.append(master, b"", b"").expect("memory");
        for pid in 0..old {
            let options = options::WORKER | options::LEAVING;
            let worker = Process { pid: 100 + pid, options, reloads: old - pid, ..base };
            table.append(worker, b"", b"3.0").expect("memory");
        }
        let worker = Process { pid: 50, options: options::WORKER, relative_pid: 1, ..base };
        table.append(worker, b"", b"3.0").expect("memory");
        table
    }

    fn request(debug: bool) -> Request<'static> {
        Request { now: 1_000 + 90_061, own_pid: 1, version: "3.0", debug }
    }

    #[test]
    fn as_haproxy_3_0_prints_it() {
        let text = text(&table(1), Generation::haproxy(3, 0), &request(false));
        let expected = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
1               master          7 [failed: 2]   1d01h01m01s     3.0            \n\
# workers\n\
50              worker          0               1d01h01m01s     3.0            \n\
# old workers\n\
100             worker          1               1d01h01m01s     3.0            \n\
# programs\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn from_3_1_on_no_title_is_alone() {
        let titles = |options: &[i32]| {
            let mut table = table(0);
            for (options, pid) in options.iter().zip(60..) {
                let options = options::PROGRAM | options;
                let row = Process { pid, options, ..Process::default() };
                table.append(row, b"a", b"").expect("memory");
            }
            let text = text(&table, Generation::haproxy(3, 1), &request(false));
            let title = |line: &&str| line.starts_with("# ");
            text.lines().filter(title).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(titles(&[]), ["# workers"]);
        assert_eq!(titles(&[0]), ["# workers", "# programs"]);
        assert_eq!(titles(&[options::LEAVING]), ["# workers", "# old programs"]);
    }

    #[test]
    fn as_haproxy_2_4_prints_it() {
        let mut table = table(0);
        for (pid, options, relative_pid, reloads) in
            [(51, options::WORKER, 2, 0), (40, options::WORKER | options::LEAVING, 2, 1)]
        {
            let process = Process {
                pid,
                options,
                relative_pid,
                reloads,
                timestamp: 1_000,
                ..Process::default()
            };
            table.append(process, b"", b"2.4").expect("memory");
        }
        let text = text(&table, Generation::haproxy(2, 4), &request(false));
        let expected = "\
#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version>      \n\
1               master          0               7               1d01h01m01s     3.0            \n\
# workers\n\
50              worker          1               0               1d01h01m01s     3.0            \n\
51              worker          2               0               1d01h01m01s     2.4            \n\
# old workers\n\
40              worker          [was: 2]        1               1d01h01m01s     2.4            \n\
# programs\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn debug_adds_descriptors() {
        let text = text(&table(0), Generation::haproxy(3, 5), &request(true));
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.iter().any(|l| l.ends_with("\t\t <ipc_fd[0]>     <ipc_fd[1]>    ")),
            "{text}"
        );
        assert!(
            lines.iter().any(|l| l.ends_with("\t\t 3               4              ")),
            "{text}"
        );
        assert_eq!(lines.last().map(|l| l.starts_with("50 ")), Some(true));
    }

    #[test]
    fn ten_thousand_rows_in_pieces_lose_nothing() {
        let mut table = PlainTable::default();
        for pid in 1..=10_000 {
            let process = Process { pid, options: options::WORKER, ..Process::default() };
            table.append(process, b"", b"x").expect("memory");
        }
        let whole = text(&table, Generation::NATIVE, &request(false));
        let mut pieces = Pieces::new(whole.clone());
        let mut got = Vec::new();
        while !pieces.is_done() {
            let piece = pieces.peek(1000);
            assert!(piece.ends_with(b"\n") && piece.len() <= 1000);
            got.extend_from_slice(piece);
            let taken = piece.len();
            pieces.advance(taken);
        }
        assert_eq!(String::from_utf8_lossy(&got), whole);
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        let mut pieces = Pieces::new("abcdef\n".into());
        assert_eq!(pieces.peek(4), b"abcd");
        pieces.advance(4);
        assert_eq!(pieces.peek(4), b"ef\n");
    }
}

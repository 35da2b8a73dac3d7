//! The master: finding it, and asking it.

use crate::address::Address;
use crate::args::{Command, Options, Target};
use crate::exit;
use crate::info::{self, Reply};
use crate::process::{self, Process};
use crate::progress::Progress;
use crate::stream::Stream;
use crate::table::{Section, Table};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long nobody may listen before that counts as an answer: a master that re-executes
/// itself needs some milliseconds, or as long as the configuration takes to load.
const NOBODY_FOR: Duration = Duration::from_secs(5);
/// After an answer that is whole but for its end.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks at a master that doesn't answer.
const LOOK_AFTER: Duration = Duration::from_secs(2);
const GLANCE_WITHIN: Duration = Duration::from_secs(1);
/// When systemd stops a service during its reload, it ends the master and then us, which is in
/// order if we end by its signal, and a failure of the service if we end by ourselves.
const AFTER_THE_MASTER: Duration = Duration::from_millis(500);
/// How often the line on the terminal moves.
const TICK: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_millis(10);

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Usage(String),
    Failed(String),
    Unreachable(String),
    Late(String),
}

impl Failure {
    pub fn why(&self) -> &str {
        let (Self::Usage(why) | Self::Failed(why) | Self::Unreachable(why) | Self::Late(why)) =
            self;
        why
    }

    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Failed(_) => exit::FAILED,
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Late(_) => exit::LATE,
        }
    }
}

/// What came of one line, sent once.
enum Attempt {
    /// The answer up to its end, which may be empty.
    Answered(String),
    /// The line was not read: nothing was done.
    Unread(io::Error),
    /// No answer in time.
    Late,
}

pub struct Master {
    address: Address,
    /// For people.
    name: String,
    /// Where `/proc` shows it.
    process: Option<Process>,
    /// The PID that it has to have.
    wanted: Option<i32>,
    reached: bool,
    /// Why it could not be asked, as long as it can't.
    last_error: Option<String>,
    /// A start is waited for.
    starting: bool,
    started: Instant,
    end: Instant,
    limit: Duration,
    progress: Progress,
}

impl Master {
    pub fn find(options: &Options) -> Result<Self, Failure> {
        let (address, process) = match &options.target {
            Target::Socket(socket) => (Address::parse(socket).map_err(Failure::Usage)?, None),
            Target::Pid(pid) => {
                let (address, process) = by_pid(*pid)?;
                (address, Some(process))
            }
        };
        let started = Instant::now();
        Ok(Self {
            name: format!("the master's CLI at {address}"),
            address,
            wanted: process.as_ref().map(Process::own_pid),
            process,
            reached: false,
            last_error: None,
            starting: options.command == Command::WaitReady,
            started,
            end: started.checked_add(options.timeout).unwrap_or(started),
            limit: options.timeout,
            progress: Progress::new(options.quiet, started),
        })
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The process, where it is known for sure.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub fn waiting_for(&mut self, what: &str) {
        self.progress.waiting_for(what);
    }

    /// Nothing is waited for any more.
    pub fn done(&mut self) {
        self.progress.end();
    }

    /// Waits a moment; an error when there is no time left.
    pub fn pause(&mut self, moment: Duration) -> Result<(), Failure> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.late());
        }
        thread::sleep(moment.min(left));
        self.progress.tick();
        Ok(())
    }

    /// There is no time left.
    fn late(&self) -> Failure {
        // Unless it is known to live, or waited for, what can't be reached at the end is that.
        let lives = self.process.as_ref().is_some_and(Process::lives);
        let unreachable = self.last_error.as_ref().filter(|_| !lives && !self.starting);
        if let Some(why) = unreachable {
            return Failure::Unreachable(format!("{} can't be reached: {why}", self.name));
        }
        let what = match self.progress.what() {
            "" => "an answer",
            what => what,
        };
        let last = self.last_error.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        Failure::Late(format!("not done after {:?}, waiting for {what}{last}", self.limit))
    }

    /// Its table.
    pub fn table(&mut self) -> Result<Table, Failure> {
        Ok(self.show_proc()?.1)
    }

    /// Its table, and the text of it.
    pub fn show_proc(&mut self) -> Result<(String, Table), Failure> {
        let text = self.ask("show proc")?;
        let Some(table) = Table::parse(&text) else {
            return Err(Failure::Unreachable(format!(
                "{} doesn't answer 'show proc' as a master does: {}",
                self.name,
                text.lines().next().unwrap_or_default()
            )));
        };
        self.recognise(&table)?;
        Ok((text, table))
    }

    /// Whether the one that answers is the one that was meant, and where `/proc` has it.
    fn recognise(&mut self, table: &Table) -> Result<(), Failure> {
        let pid = table.master().map_or(0, |master| master.pid);
        if let Some(wanted) = self.wanted {
            if wanted != pid {
                return Err(Failure::Unreachable(format!(
                    "PID {wanted} is not the master: {} is that of PID {pid}",
                    self.name
                )));
            }
        } else if self.process.is_none() {
            // It may have another PID here, if it is in a namespace of its own.
            let found = by_pid(pid).ok().filter(|(address, _)| same(address, &self.address));
            self.process = found.map(|(_, process)| process);
        }
        Ok(())
    }

    /// Asks until there is an answer.
    fn ask(&mut self, line: &str) -> Result<String, Failure> {
        let mut since = Instant::now();
        loop {
            match self.attempt(line, self.end) {
                Attempt::Answered(text) if !text.trim().is_empty() => return Ok(text),
                Attempt::Answered(_) => self.retry(&mut since, None)?,
                Attempt::Unread(error) => self.retry(&mut since, Some(&error))?,
                Attempt::Late => return Err(self.late()),
            }
        }
    }

    /// Asks for a reload until it has been read. Nothing was answered where the text is empty.
    ///
    /// HAProxy 3.0, asked by several at once, forgets one of them now and then, with its
    /// connection open. So once that may be, the table is looked at as well.
    pub fn reload(&mut self, line: &str, before: &Table) -> Result<String, Failure> {
        let mut since = Instant::now();
        let mut vigil = Vigil::new(before);
        loop {
            match self.attempt_with(line, self.end, Some(&mut vigil)) {
                Attempt::Answered(text) => return Ok(text),
                Attempt::Unread(error) => self.retry(&mut since, Some(&error))?,
                Attempt::Late => return Err(self.late()),
            }
        }
    }

    /// Asks a worker once; none when it doesn't answer within `limit`.
    pub fn ask_worker(&mut self, pid: i32, limit: Duration) -> Result<Option<Reply>, Failure> {
        let mut since = Instant::now();
        loop {
            let now = Instant::now();
            let end = now.checked_add(limit).unwrap_or(now).min(self.end);
            match self.attempt(&show_info(pid), end) {
                Attempt::Answered(text) => return Ok(Some(info::parse(&text))),
                Attempt::Unread(error) => self.retry(&mut since, Some(&error))?,
                Attempt::Late => return Ok(None),
            }
        }
    }

    /// Waits before the next attempt, if it makes sense to have one.
    fn retry(&mut self, since: &mut Instant, error: Option<&io::Error>) -> Result<(), Failure> {
        let lives = self.process.as_ref().map(Process::lives);
        let situation = Situation {
            error: error.map(io::Error::kind),
            lives,
            reached: self.reached,
            starting: self.starting,
            silent_for: since.elapsed(),
        };
        let why = match error {
            Some(error) => error.to_string(),
            None => "it closes the connection without an answer".into(),
        };
        if lives == Some(false) {
            thread::sleep(AFTER_THE_MASTER);
            let pid = self.process.as_ref().map_or(0, Process::pid);
            return Err(Failure::Unreachable(format!("the master, PID {pid}, is gone")));
        }
        if !situation.is_worth_a_retry() {
            return Err(Failure::Unreachable(format!("{} can't be reached: {why}", self.name)));
        }
        self.last_error = Some(why);
        self.pause(RETRY)
    }

    /// Asks once, and takes what comes within a second.
    fn glance(&mut self, line: &str) -> Option<String> {
        let now = Instant::now();
        let end = now.checked_add(GLANCE_WITHIN).unwrap_or(now).min(self.end);
        match self.attempt(line, end) {
            Attempt::Answered(text) => Some(text),
            _ => None,
        }
    }

    fn attempt(&mut self, line: &str, end: Instant) -> Attempt {
        self.attempt_with(line, end, None)
    }

    fn attempt_with(&mut self, line: &str, end: Instant, mut vigil: Option<&mut Vigil>) -> Attempt {
        let left = end.saturating_duration_since(Instant::now());
        let mut stream = match Stream::open(&self.address, left) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Attempt::Late,
            Err(error) => return Attempt::Unread(error),
        };
        let mut text = Vec::new();
        if let Err(error) = stream.send(line) {
            return Attempt::Unread(error);
        }
        self.last_error = None;
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            if now >= end {
                return Attempt::Late;
            }
            let tick = now.checked_add(TICK).unwrap_or(end).min(end);
            match stream.read(&mut text, tick) {
                Ok(0) => break,
                Ok(_) => last = Instant::now(),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                        self.progress.tick();
                        let whole = crate::answer::tells_result(&text);
                        if whole && last.elapsed() >= END_WITHIN {
                            break;
                        }
                        let forgotten = |vigil: &mut &mut Vigil| vigil.is_over(self);
                        if text.is_empty() && vigil.as_mut().is_some_and(forgotten) {
                            break;
                        }
                    }
                    // A socket that is closed with something unread in it, or before it was
                    // accepted, is reset: the line was never seen.
                    _ if text.is_empty() => return Attempt::Unread(error),
                    _ => break,
                },
            }
        }
        self.reached |= !text.is_empty();
        Attempt::Answered(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Tells a reload that takes long from one whose answer will never come.
struct Vigil {
    reloads: u64,
    next_look: Option<Instant>,
    /// What was seen the last time, if all was settled then.
    seen: Option<Vec<(i32, u64)>>,
}

impl Vigil {
    fn new(before: &Table) -> Self {
        Self { reloads: before.reloads().0, next_look: None, seen: None }
    }

    /// Whether the reload is over, twice in a row. It isn't while the master can't be reached,
    /// as with HAProxy up to 3.0, or has a worker that it sends no commands to, as later.
    fn is_over(&mut self, master: &mut Master) -> bool {
        let now = Instant::now();
        let next =
            *self.next_look.get_or_insert_with(|| now.checked_add(LOOK_AFTER).unwrap_or(now));
        if now < next {
            return false;
        }
        self.next_look = None;
        let seen = self.look(master);
        let over = seen.is_some() && seen == self.seen;
        self.seen = seen;
        over
    }

    fn look(&self, master: &mut Master) -> Option<Vec<(i32, u64)>> {
        let table = Table::parse(&master.glance("show proc")?)?;
        if table.reloads().0 == self.reloads {
            return None;
        }
        for row in table.rows.iter().filter(|row| row.section == Section::Workers) {
            let reply = info::parse(&master.glance(&show_info(row.pid))?);
            if !matches!(reply, Reply::Worker(_)) {
                return None;
            }
        }
        Some(table.rows.iter().map(|row| (row.pid, row.reloads)).collect())
    }
}

fn show_info(pid: i32) -> String {
    format!("@!{pid} show info")
}

/// What is known when the master could not be asked.
struct Situation {
    /// None: it was reached, and said nothing.
    error: Option<io::ErrorKind>,
    lives: Option<bool>,
    reached: bool,
    starting: bool,
    silent_for: Duration,
}

impl Situation {
    fn is_worth_a_retry(&self) -> bool {
        match self.error {
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => false,
            _ if self.lives == Some(false) => false,
            _ if self.starting => true,
            // A name that was never there. One that was may be back soon.
            Some(io::ErrorKind::NotFound) if !self.reached => {
                self.lives == Some(true) && self.silent_for < NOBODY_FOR
            }
            // A master that lives loads its configuration, however long that takes.
            _ => self.reached || self.lives == Some(true) || self.silent_for < NOBODY_FOR,
        }
    }
}

fn by_pid(pid: i32) -> Result<(Address, Process), Failure> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Unreachable(format!("there is no process {pid}")),
        _ => Failure::Unreachable(format!("process {pid} can't be looked at: {error}")),
    };
    let process = Process::of(pid).map_err(cannot)?;
    let arguments = process.arguments().map_err(cannot)?;
    let Some(cli) = process::cli_of(&arguments) else {
        return Err(Failure::Unreachable(format!(
            "process {pid} has no -S on its command line: it is no master with a CLI"
        )));
    };
    let mut address = Address::parse(&cli).map_err(Failure::Unreachable)?;
    if let Address::Path(path) = &address {
        // Only then is its folder needed, which not everybody may see.
        if path.is_relative() {
            address = address.within(&process.folder().map_err(cannot)?);
        }
    }
    Ok((address, process))
}

fn same(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Path(a), Address::Path(b)) => {
            a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};

    const FRESH: Situation = Situation {
        error: Some(ConnectionRefused),
        lives: None,
        reached: false,
        starting: false,
        silent_for: Duration::ZERO,
    };
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn nobody_listens() {
        assert!(FRESH.is_worth_a_retry());
        assert!(!Situation { silent_for: LONG, ..FRESH }.is_worth_a_retry());
        assert!(Situation { silent_for: LONG, reached: true, ..FRESH }.is_worth_a_retry());
        assert!(Situation { silent_for: LONG, lives: Some(true), ..FRESH }.is_worth_a_retry());
        assert!(Situation { silent_for: LONG, starting: true, ..FRESH }.is_worth_a_retry());
        let dead = Situation { reached: true, starting: true, lives: Some(false), ..FRESH };
        assert!(!dead.is_worth_a_retry());
    }

    #[test]
    fn no_such_socket() {
        let none = Situation { error: Some(NotFound), ..FRESH };
        assert!(!none.is_worth_a_retry());
        assert!(Situation { starting: true, ..none }.is_worth_a_retry());
        assert!(Situation { reached: true, ..none }.is_worth_a_retry());
        let alive = Situation { error: Some(NotFound), lives: Some(true), ..FRESH };
        assert!(alive.is_worth_a_retry());
        assert!(!Situation { silent_for: LONG, ..alive }.is_worth_a_retry());
    }

    #[test]
    fn not_allowed() {
        let denied = Situation { error: Some(PermissionDenied), starting: true, ..FRESH };
        assert!(!denied.is_worth_a_retry());
    }
}

//! The booted machine: runs the scenarios, and tells the other side what comes of them.

use std::fs::{self, File};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

use crate::service::{Kind, Service};

/// Set on this side: parts of the names of the scenarios to run, all if empty.
pub const VARIABLE: &str = "MWORKER_SYSTEMD_SCENARIOS";
/// A line for each event, in the folder that both sides see.
pub const EVENTS: &str = "events";
const OUT: &str = "/out";

/// What is done to a service. What it gives is shown, and empty as a rule.
pub type Body = fn(&Service) -> String;

/// One thing to see, for one service.
#[derive(Clone)]
pub struct Scenario {
    name: &'static str,
    kind: Kind,
    body: Body,
    /// The first systemd that has what it is about.
    since: u32,
}

impl Scenario {
    /// One for each of these services.
    pub fn of(name: &'static str, kinds: &[Kind], body: Body) -> Vec<Scenario> {
        kinds.iter().map(|kind| Scenario { name, kind: *kind, body, since: 0 }).collect()
    }

    /// For systemd from this version on.
    pub fn since(version: u32, scenarios: Vec<Scenario>) -> Vec<Scenario> {
        scenarios.into_iter().map(|scenario| Scenario { since: version, ..scenario }).collect()
    }

    pub fn full_name(&self) -> String {
        format!("{}::{}", self.kind.name(), self.name)
    }
}

/// Those of all scenarios that have one of `wanted` in their name. Without any: all but the
/// measurements, which test nothing.
pub fn chosen(wanted: &[String]) -> Vec<Scenario> {
    let picks = |name: &str| wanted.iter().any(|part| name.contains(part.as_str()));
    let tests = |name: &str| wanted.is_empty() && !name.contains(crate::measure::NAME);
    let all = crate::scenarios().into_iter();
    all.filter(|scenario| {
        let name = scenario.full_name();
        tests(&name) || picks(&name)
    })
    .collect()
}

/// Where a scenario that failed says why, in the folder that both sides see.
pub fn log_of(name: &str) -> String {
    format!("{}.log", name.replace("::", "-"))
}

/// What one side tells the other.
pub enum Event {
    Booted { scenarios: usize, systemd: String },
    Begun { name: String },
    Passed { ms: u128, note: String },
    Failed { ms: u128, name: String },
}

impl Event {
    fn line(&self) -> String {
        match self {
            Event::Booted { scenarios, systemd } => format!("booted {scenarios} {systemd}"),
            Event::Begun { name } => format!("begun {name}"),
            Event::Passed { ms, note } => format!("passed {ms} {note}"),
            Event::Failed { ms, name } => format!("failed {ms} {name}"),
        }
    }

    pub fn parse(line: &str) -> Event {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (ms, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let scenarios = ms.parse().unwrap_or(0);
        let ms = ms.parse().unwrap_or(0);
        match what {
            "booted" => Event::Booted { scenarios, systemd: text.to_owned() },
            "begun" => Event::Begun { name: rest.to_owned() },
            "passed" => Event::Passed { ms, note: text.to_owned() },
            "failed" => Event::Failed { ms, name: text.to_owned() },
            _ => panic!("an event of no known kind: {line}"),
        }
    }
}

pub fn main() -> ExitCode {
    let mut events =
        File::options().append(true).open(Path::new(OUT).join(EVENTS)).expect("the events");
    let mut tell = |event: Event| {
        events.write_all(format!("{}\n", event.line()).as_bytes()).expect("written");
    };
    remember_panics();
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let wanted: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
    crate::traffic::tell_addresses();
    run("systemd-sysusers", &["/usr/lib/mworker-tests/sysusers.conf"]);
    let systemd = run("systemctl", &["--version"]).lines().next().unwrap_or_default().to_owned();
    let version = systemd.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let version: u32 = version.unwrap_or_else(|| panic!("no version in {systemd}"));
    let mut scenarios = chosen(&wanted);
    scenarios.retain(|scenario| scenario.since <= version);
    tell(Event::Booted { scenarios: scenarios.len(), systemd });
    for scenario in scenarios {
        let name = scenario.full_name();
        tell(Event::Begun { name: name.clone() });
        let begun = Instant::now();
        let came = attempt(&scenario, &Path::new(OUT).join(log_of(&name)));
        let ms = begun.elapsed().as_millis();
        tell(match came {
            Some(note) => Event::Passed { ms, note },
            None => Event::Failed { ms, name },
        });
    }
    ExitCode::SUCCESS
}

/// Runs one, and writes why it failed if it does.
fn attempt(scenario: &Scenario, log: &PathBuf) -> Option<String> {
    let service = Service::new(scenario.kind);
    let cursor = Cursor::now();
    let came = panic::catch_unwind(AssertUnwindSafe(|| {
        service.prepare();
        (scenario.body)(&service)
    }));
    if came.is_err() {
        let reason = REASON.lock().map(|mut reason| std::mem::take(&mut *reason));
        let text = format!(
            "---- {}\n{}\n---- systemctl status\n{}---- journalctl\n{}----\n",
            scenario.full_name(),
            reason.unwrap_or_default(),
            run("systemctl", &["--full", "--lines=0", "status", service.unit.name()]),
            cursor.since(),
        );
        fs::write(log, text).expect("written");
    }
    // Whatever it has left must not matter to the next one.
    let cleared = panic::catch_unwind(AssertUnwindSafe(|| service.clear()));
    cleared.is_ok().then_some(())?;
    came.ok()
}

static REASON: Mutex<String> = Mutex::new(String::new());

fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        if let Ok(mut reason) = REASON.lock() {
            reason.push_str(&format!("{info}\n"));
        }
    }));
}

/// What a command says, whatever its status.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|err| panic!("cannot run {program}: {err}"));
    let (out, err) = (output.stdout, output.stderr);
    String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err)
}

/// A place in the journal.
pub struct Cursor(String);

impl Cursor {
    pub fn now() -> Cursor {
        let said = run("journalctl", &["--quiet", "--lines=0", "--show-cursor"]);
        let cursor = said.lines().find_map(|line| line.strip_prefix("-- cursor: "));
        Cursor(cursor.unwrap_or_default().to_owned())
    }

    /// What was logged after it.
    pub fn since(&self) -> String {
        run("journalctl", &["--sync"]);
        let after = format!("--after-cursor={}", self.0);
        run("journalctl", &["--no-pager", "--output=short-precise", "--lines=200", &after])
    }
}

//! A unit, and what systemd is asked about it.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mworker_kit::{PATIENCE, Pid, Signal, try_wait_for, wait_until};

use crate::inside;

/// For what systemctl waits for: units have limits of their own that are longer than
/// [`PATIENCE`].
const LIMIT: Duration = Duration::from_secs(120);

pub struct Unit {
    name: &'static str,
}

/// A systemctl that runs.
pub struct Job {
    what: String,
    child: Option<Child>,
}

/// How a systemctl has ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub said: String,
}

impl Job {
    fn start(verb: &str, unit: &str) -> Job {
        let child = Command::new("systemctl")
            .args([verb, unit])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|err| panic!("cannot run systemctl: {err}"));
        Job { what: format!("systemctl {verb} {unit}"), child: Some(child) }
    }

    /// Whether it still waits.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("not waited for yet");
        child.try_wait().expect("a child").is_none()
    }

    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let mut child = self.child.take().expect("not waited for yet");
        if try_wait_for(LIMIT, || child.try_wait().expect("a child")).is_none() {
            let _ = child.kill();
            panic!("'{}' hasn't ended after {LIMIT:?}", self.what);
        }
        let output = child.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Outcome { status: output.status, said }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Outcome {
    #[track_caller]
    pub fn succeeded(&self) {
        assert!(self.status.success(), "systemctl failed, {}: {}", self.status, self.said);
    }

    #[track_caller]
    pub fn failed(&self) {
        assert!(!self.status.success(), "systemctl says that all went well: {}", self.said);
    }
}

impl Unit {
    pub fn new(name: &'static str) -> Unit {
        Unit { name }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Starts a systemctl that isn't waited for.
    pub fn begin(&self, verb: &str) -> Job {
        Job::start(verb, self.name)
    }

    /// A systemctl with its outcome.
    #[track_caller]
    pub fn ask(&self, verb: &str) -> Outcome {
        self.begin(verb).wait()
    }

    #[track_caller]
    pub fn start(&self) {
        self.ask("start").succeeded();
    }

    #[track_caller]
    pub fn stop(&self) {
        self.ask("stop").succeeded();
    }

    #[track_caller]
    pub fn restart(&self) {
        self.ask("restart").succeeded();
    }

    #[track_caller]
    pub fn reload(&self) {
        self.ask("reload").succeeded();
    }

    /// A property, as `systemctl show` prints it.
    pub fn property(&self, name: &str) -> String {
        let said = inside::run("systemctl", &["show", "--value", "--property", name, self.name]);
        said.trim_end().to_owned()
    }

    /// E.g. `active (running)`.
    pub fn state(&self) -> String {
        format!("{} ({})", self.property("ActiveState"), self.property("SubState"))
    }

    #[track_caller]
    pub fn wait_state(&self, state: &str) {
        self.wait("its state", || self.state(), state);
    }

    #[track_caller]
    pub fn wait_property(&self, name: &str, value: &str) {
        self.wait(name, || self.property(name), value);
    }

    #[track_caller]
    fn wait(&self, what: &str, look: impl Fn() -> String, for_this: &str) {
        let mut last = String::new();
        let came = try_wait_for(PATIENCE, || {
            last = look();
            (last == for_this).then_some(())
        });
        assert!(came.is_some(), "{}: {what} is {last}, and never was {for_this}", self.name);
    }

    /// The main process; none when there is none.
    pub fn main_pid(&self) -> Option<Pid> {
        self.property("MainPID").parse().ok().filter(|pid| *pid > 0)
    }

    #[track_caller]
    pub fn master(&self) -> Pid {
        self.main_pid().unwrap_or_else(|| panic!("{} has no main process", self.name))
    }

    /// All of its processes.
    pub fn processes(&self) -> Vec<Pid> {
        let group = format!("/sys/fs/cgroup/system.slice/{}/cgroup.procs", self.name);
        let text = fs::read_to_string(group).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    #[track_caller]
    pub fn wait_empty(&self) {
        wait_until(PATIENCE, "the last process of the unit to end", || self.processes().is_empty());
    }

    pub fn signal(&self, signal: Signal) {
        signal.send(self.master());
    }

    /// Changes the unit until it is cleared.
    pub fn drop_in(&self, text: &str) {
        let folder = self.drop_ins();
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(format!("{folder}/test.conf"), text).expect("written");
        inside::run("systemctl", &["daemon-reload"]);
    }

    fn drop_ins(&self) -> String {
        format!("/run/systemd/system/{}.d", self.name)
    }

    /// Ends it, and makes it what it was installed as.
    #[track_caller]
    pub fn clear(&self) {
        // What hangs is to be gone as well.
        if !self.processes().is_empty() {
            inside::run("systemctl", &["stop", "--no-block", self.name]);
            inside::run("systemctl", &["kill", "--signal=KILL", self.name]);
        }
        self.ask("stop").succeeded();
        self.wait_empty();
        if fs::remove_dir_all(self.drop_ins()).is_ok() {
            inside::run("systemctl", &["daemon-reload"]);
        }
        // Its count of starts, too, which has a limit.
        inside::run("systemctl", &["reset-failed", self.name]);
    }
}

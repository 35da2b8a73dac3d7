//! An isolated place for one proxy, and the proxy itself.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::deadline::{PATIENCE, try_wait_for, wait_for, wait_until};
use crate::procfs;
use crate::signal::{Signal, wait_master_ready};
use crate::sys::{self, Reaped};
use crate::tempdir::TempDir;
use crate::{MasterCli, Pid};

/// The variable which marks every process a [`Host`] has started, and all they fork and
/// execute: whoever carries it is killed in the end. A master clears neither.
pub const MARKER: &str = "MWORKER_TEST_ID";

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The variable that keeps the scene of a failed test: see [`Host`].
pub const KEEP: &str = "MWORKER_TEST_KEEP";

/// A folder, a marker and the processes that carry it. Cheap to clone: clones are the same
/// host. All processes die when the last clone, or a [`Proxy`] of it, is dropped.
///
/// With [`KEEP`] set, a test that panics stops the processes of its hosts on the spot, before
/// anything is dropped, and leaves them: a debugger finds them as they were.
#[derive(Clone, Debug)]
pub struct Host {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    dir: TempDir,
    marker: String,
    /// Sessions of the processes seen. A zombie shows no environment, but its session.
    sessions: Mutex<BTreeSet<Pid>>,
    /// Its test has failed, and somebody wants to look at its processes.
    kept: AtomicBool,
}

impl Host {
    /// A new host, with an empty folder.
    pub fn new() -> Host {
        sys::adopt_orphans();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let marker = format!("{}-{number}", process::id());
        let place =
            Place { dir: TempDir::new(), marker, sessions: Mutex::default(), kept: false.into() };
        let place = Arc::new(place);
        keep::on_panic(&place);
        Host { place }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.place.dir.path()
    }

    /// The value of [`MARKER`] its processes carry.
    pub fn marker(&self) -> &str {
        &self.place.marker
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Where the master CLI's socket goes, by convention.
    pub fn master_socket(&self) -> PathBuf {
        self.path("master.sock")
    }

    /// Writes a file in its folder, and says where.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap_or_else(|err| panic!("cannot write {name}: {err}"));
        path
    }

    /// Reads a file in its folder; one that isn't there reads as nothing.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts to describe a process.
    pub fn launch(&self, program: impl AsRef<OsStr>) -> Launch {
        Launch {
            host: self.clone(),
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            nofile: None,
            name: "proxy".to_owned(),
        }
    }

    /// The living processes of this host: what was started here, and all its descendants,
    /// whoever their parent is now.
    pub fn processes(&self) -> Vec<Pid> {
        self.place.processes()
    }

    /// Waits until none is left.
    #[track_caller]
    pub fn wait_empty(&self, limit: Duration) {
        wait_until(limit, "the last process of the host to end", || self.processes().is_empty());
    }

    /// Takes charge of an orphan of this host, e.g. a master started with `-D`: its exit
    /// status can be waited for.
    pub fn adopt(&self, pid: Pid) -> Proxy {
        Proxy { host: self.clone(), name: "proxy".to_owned(), pid, exit: None }
    }

    /// Kills whatever is left.
    pub fn kill_all(&self) {
        self.place.kill_all();
    }
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl Place {
    fn processes(&self) -> Vec<Pid> {
        let mut sessions = self.sessions.lock().unwrap_or_else(|err| err.into_inner());
        let mut found = Vec::new();
        for stat in procfs::all() {
            if !matches!(stat.state, 'Z' | 'X') && self.marked(stat.pid) {
                sessions.insert(stat.session);
                found.push(stat.pid);
            }
        }
        found
    }

    fn marked(&self, pid: Pid) -> bool {
        procfs::environ(pid).is_ok_and(|env| {
            env.iter().any(|(name, value)| name == MARKER && *value == self.marker)
        })
    }

    fn kill_all(&self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        // Again and again: one may have forked while the others were being killed.
        let gone = try_wait_for(PATIENCE, || {
            let left = self.processes();
            for pid in &left {
                let _ = Signal::KILL.try_send(*pid);
            }
            self.reap_orphans();
            left.is_empty().then_some(())
        });
        if gone.is_none() {
            eprintln!("processes {:?} outlive SIGKILL", self.processes());
        }
    }

    /// Reaps those zombies of our sessions which have come to us.
    fn reap_orphans(&self) {
        let sessions = self.sessions.lock().unwrap_or_else(|err| err.into_inner());
        let own = process::id() as Pid;
        for stat in procfs::all() {
            if stat.state == 'Z' && stat.parent == own && sessions.contains(&stat.session) {
                sys::reap(stat.pid);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// How to start a process. Its environment is empty but for the marker, `PATH`, `LC_ALL=C`
/// and what is asked for; its output goes to files of the host's folder.
#[derive(Debug)]
pub struct Launch {
    host: Host,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    nofile: Option<(u64, u64)>,
    name: String,
}

impl Launch {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Launch {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the limit of descriptors, soft and hard.
    pub fn nofile(mut self, soft: u64, hard: u64) -> Launch {
        self.nofile = Some((soft, hard));
        self
    }

    /// Names its output files `NAME.out` and `NAME.err`, instead of `proxy.*`.
    pub fn named(mut self, name: &str) -> Launch {
        self.name = name.to_owned();
        self
    }

    /// Starts it.
    #[track_caller]
    #[expect(clippy::zombie_processes, reason = "Proxy waits for it by number, when dropped too")]
    pub fn spawn(self) -> Proxy {
        // Appending, for the processes that inherit these share no offset once one of them
        // has opened a file anew.
        let open = |suffix: &str| -> Stdio {
            let path = self.host.path(&format!("{}.{suffix}", self.name));
            match File::options().create(true).append(true).open(&path) {
                Ok(file) => file.into(),
                Err(err) => panic!("cannot open {}: {err}", path.display()),
            }
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env(MARKER, &self.host.place.marker)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.host.dir())
            .stdin(Stdio::null())
            .stdout(open("out"))
            .stderr(open("err"));
        let nofile = self.nofile;
        // SAFETY: the closure makes async-signal-safe calls only.
        unsafe { command.pre_exec(move || sys::prepare_child(nofile)) };
        let child =
            command.spawn().unwrap_or_else(|err| panic!("cannot start {:?}: {err}", self.program));
        let pid = child.id() as Pid;
        let place = &self.host.place;
        place.sessions.lock().unwrap_or_else(|err| err.into_inner()).insert(pid);
        Proxy { host: self.host, name: self.name, pid, exit: None }
    }
}

/// A process that was started or adopted here. Dropping it kills everything on its host.
#[derive(Debug)]
pub struct Proxy {
    host: Host,
    name: String,
    pid: Pid,
    exit: Option<ExitStatus>,
}

impl Proxy {
    /// Its number: the master's, unless it was started with `-D`.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Where it lives.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Goes on with a descendant that has been orphaned, e.g. the master that a process
    /// started with `-D` left behind.
    pub fn follow(&mut self, pid: Pid) {
        self.pid = pid;
        self.exit = None;
    }

    /// What it and its children wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.host.read(&format!("{}.err", self.name))
    }

    /// What it and its children wrote to stdout so far.
    pub fn stdout(&self) -> String {
        self.host.read(&format!("{}.out", self.name))
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal.send(self.pid);
    }

    /// A client of its master CLI, at [`Host::master_socket`].
    pub fn cli(&self) -> MasterCli {
        MasterCli::new(self.host.master_socket())
    }

    /// Its living children, oldest first.
    pub fn children(&self) -> Vec<Pid> {
        procfs::children(self.pid)
    }

    /// Waits until it would act on a SIGUSR2.
    #[track_caller]
    pub fn wait_master_ready(&mut self) {
        if self.try_exit().is_none() {
            wait_master_ready(self.pid, PATIENCE);
        }
    }

    /// How it ended, if it has.
    #[track_caller]
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            match sys::reap(self.pid) {
                Reaped::Running => {}
                Reaped::Exited(status) => self.exit = Some(status),
                Reaped::NotOurs => panic!("process {} is no child of this one", self.pid),
            }
        }
        self.exit
    }

    /// Waits until it ends, and says how.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("process {} to exit", self.pid);
        wait_for(limit, &what, || self.try_exit())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of process {}:\n{}---", self.pid, self.stderr());
        }
        self.host.kill_all();
        if self.exit.is_none() && !self.host.place.kept.load(Ordering::Relaxed) {
            try_wait_for(PATIENCE, || match sys::reap(self.pid) {
                Reaped::Running => None,
                _ => Some(()),
            });
        }
    }
}

/// What a test that fails does to its hosts if [`KEEP`] is set.
mod keep {
    use super::{KEEP, Place, Signal, procfs};
    use std::cell::RefCell;
    use std::sync::atomic::Ordering;
    use std::sync::{Arc, Once, Weak};
    use std::{env, panic};

    thread_local! {
        static HOSTS: RefCell<Vec<Weak<Place>>> = const { RefCell::new(Vec::new()) };
    }

    /// Makes a panic of this thread keep the host.
    pub fn on_panic(place: &Arc<Place>) {
        static ONCE: Once = Once::new();
        if env::var_os(KEEP).is_none_or(|value| value.is_empty()) {
            return;
        }
        HOSTS.with_borrow_mut(|hosts| hosts.push(Arc::downgrade(place)));
        ONCE.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                usual(info);
                let hosts = HOSTS.take();
                hosts.iter().filter_map(Weak::upgrade).for_each(|place| keep(&place));
            }));
        });
    }

    /// Stops all processes of a host, and says how to look at them and how to be rid of them.
    pub(super) fn keep(place: &Place) {
        place.kept.store(true, Ordering::Relaxed);
        // Again and again: one may have forked while the others were being stopped.
        let mut stopped = Vec::new();
        loop {
            let running: Vec<_> =
                place.processes().into_iter().filter(|pid| !stopped.contains(pid)).collect();
            if running.is_empty() {
                break;
            }
            for pid in running {
                let _ = Signal::STOP.try_send(pid);
                stopped.push(pid);
            }
        }
        for pid in &stopped {
            let cmdline = procfs::cmdline(*pid).unwrap_or_default().join(" ");
            eprintln!("kept, stopped: {pid} {cmdline}");
        }
        let pids: Vec<String> = stopped.iter().map(ToString::to_string).collect();
        let pids = pids.join(" ");
        eprintln!("look: gdb -p PID. Go on: kill -CONT {pids}. Be rid of them: kill -KILL {pids}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn sh(host: &Host, script: &str) -> Proxy {
        host.launch("/bin/sh").args(["-c", script]).spawn()
    }

    #[test]
    fn tells_exit_codes_and_signals() {
        let host = Host::new();
        assert_eq!(sh(&host, "exit 3").wait_exit(PATIENCE).code(), Some(3));
        let mut killed = sh(&host, "kill -9 $$");
        assert_eq!(killed.wait_exit(PATIENCE).signal(), Some(9));
    }

    #[test]
    fn starts_with_a_clean_environment_and_descriptors() {
        let host = Host::new();
        let mut env = host.launch("/usr/bin/env").env("GIVEN", "yes").spawn();
        env.wait_exit(PATIENCE);
        let names: BTreeSet<String> = env
            .stdout()
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect();
        assert_eq!(names, ["GIVEN", "LC_ALL", MARKER, "PATH"].map(str::to_owned).into());

        let mut sleeper = host.launch("/bin/sleep").arg("1000").named("sleeper").spawn();
        wait_until(PATIENCE, "sleep to be executed", || {
            procfs::cmdline(sleeper.pid()).is_ok_and(|cmdline| cmdline[0] == "/bin/sleep")
        });
        assert_eq!(procfs::descriptors(sleeper.pid()).unwrap().len(), 3);
        sleeper.signal(Signal::KILL);
        sleeper.wait_exit(PATIENCE);
    }

    #[test]
    fn kept_processes_are_stopped_and_left() {
        let host = Host::new();
        let proxy = sh(&host, "sleep 1000 & wait");
        wait_until(PATIENCE, "both to be executed", || host.processes().len() == 2);
        keep::keep(&host.place);
        host.kill_all();
        let left = host.processes();
        let stopped = |pid: &Pid| procfs::stat(*pid).is_ok_and(|stat| stat.state == 'T');
        wait_until(PATIENCE, "both to be stopped", || left.iter().all(stopped));
        assert_eq!(left.len(), 2);
        host.place.kept.store(false, Ordering::Relaxed);
        drop(proxy);
    }

    #[test]
    fn kills_what_escaped_into_another_session() {
        let host = Host::new();
        let mut parent = sh(&host, "setsid sleep 1000 & echo $!; exit 7");
        assert_eq!(parent.wait_exit(PATIENCE).code(), Some(7));
        wait_until(PATIENCE, "the orphan to be executed", || {
            host.processes()
                .iter()
                .any(|pid| procfs::cmdline(*pid).is_ok_and(|cmdline| cmdline[0] == "sleep"))
        });
        let orphan = host.processes()[0];
        assert_eq!(procfs::stat(orphan).unwrap().parent, process::id() as Pid, "not adopted");
        drop(parent);
        assert!(procfs::stat(orphan).is_err(), "orphan {orphan} was not killed and reaped");
    }

    #[test]
    fn adopted_orphans_tell_how_they_ended() {
        let host = Host::new();
        let mut parent = sh(&host, "sh -c 'sleep 0.1; exit 9' & echo $!");
        parent.wait_exit(PATIENCE);
        let pid = parent.stdout().trim().parse().unwrap();
        assert_eq!(host.adopt(pid).wait_exit(PATIENCE).code(), Some(9));
    }

    #[test]
    fn limits_descriptors() {
        let host = Host::new();
        let mut shell = host.launch("/bin/sh").args(["-c", "ulimit -n"]).nofile(123, 456).spawn();
        shell.wait_exit(PATIENCE);
        assert_eq!(shell.stdout().trim(), "123");
    }
}

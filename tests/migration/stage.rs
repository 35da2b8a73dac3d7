//! One master under load, and all that must hold after each step.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub use mworker_kit::procfs::listens;
use mworker_kit::show_proc::Section;
use mworker_kit::signal::master_ready;
use mworker_kit::{
    Backend, Held, Host, Load, Master, PATIENCE, Pid, Plan, Port, ShowProc, Signal, http, procfs,
    try_wait_for, wait_until,
};

use crate::binaries::{Binary, Installed, Kind};
use crate::traces::{Traces, undisturbed};

/// Old workers that a client holds, at any time but the first.
pub const OLD_WORKERS: usize = 2;

/// Who asks for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Signal,
    Cli,
}

/// A worker, and the reload that it came of.
#[derive(Clone, Debug)]
struct Worker {
    pid: Pid,
    binary: &'static Binary,
    born: u32,
}

pub struct Stage {
    master: Master,
    pub installed: Installed,
    http: Port,
    tcp: Port,
    echo: Backend,
    load: Vec<Load>,
    /// What the master runs.
    binary: &'static Binary,
    /// What it will, after the next exec.
    next: &'static Binary,
    /// Asked for so far, whatever became of them.
    reloads: u32,
    /// Those that failed since the last that didn't.
    failed: u32,
    current: Worker,
    old: VecDeque<(Worker, Held)>,
    /// What stock has about it at the same point, once it has been there.
    points: Vec<(String, Arc<Traces>)>,
}

/// PID, reloads and version of a row.
type Row<'a> = (Pid, u32, &'a str);

impl Deref for Stage {
    type Target = Master;

    fn deref(&self) -> &Master {
        &self.master
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Master {
        &mut self.master
    }
}

impl Stage {
    /// Starts it, and waits until it serves.
    pub fn start(binary: &'static Binary) -> Stage {
        Stage::start_with(binary, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(binary: &'static Binary, environment: &[(&str, &str)]) -> Stage {
        let mut master = Master::new();
        let installed = Installed::new(master.host.dir());
        installed.put(binary);
        let (http, tcp, echo) = (Port::reserve(), Port::reserve(), Backend::echo());
        write_config(&master.host, &http, &tcp, &echo, "");
        let launch = master
            .launch(installed.path())
            .args(["-Ws", "-S"])
            .arg(master.host.master_socket())
            .arg("-f")
            .arg(master.host.path("haproxy.cfg"));
        let launch =
            environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        master.spawn(launch);
        let current = Worker { pid: 0, binary, born: 0 };
        let mut stage = Stage {
            master,
            installed,
            http,
            tcp,
            echo,
            load: Vec::new(),
            binary,
            next: binary,
            reloads: 0,
            failed: 0,
            current,
            old: VecDeque::new(),
            points: Vec::new(),
        };
        stage.current.pid = stage.wait_for_worker(0);
        // These send it before each exec, and so before the one that follows a first start.
        let sends_both = binary.since(2, 5) && !binary.since(2, 7);
        stage.wait_notified(if sends_both { &["RELOADING", "READY"] } else { &["READY"] });
        stage
    }

    /// Requests and lines, all the time from now on.
    pub fn begin_load(&mut self) {
        let pause = Duration::from_millis(3);
        let requests = Plan::http(self.http.addr(), None).threads(2).pause(pause);
        let lines = Plan::echo(self.tcp.addr(), 20).threads(1).pause(pause);
        self.load = vec![requests.start(), lines.start()];
    }

    // ----- what is done

    /// Another binary takes the place of the one that was started.
    pub fn install(&mut self, binary: &'static Binary) {
        self.installed.put(binary);
        self.next = binary;
    }

    /// The configuration can't be used from now on, or can.
    pub fn write_config(&self, good: bool) {
        let more = if good { "" } else { "    no-such-keyword\n" };
        write_config(&self.host, &self.http, &self.tcp, &self.echo, more);
    }

    /// A reload that works, and nothing is looked at.
    pub fn reload_quietly(&mut self) {
        self.reload_unchecked(By::Signal);
    }

    /// A reload that works, and all that must hold afterwards.
    #[track_caller]
    pub fn reload(&mut self, by: By) {
        self.reload_unchecked(by);
        self.check("after a reload");
    }

    /// A connection that keeps the worker in service from leaving.
    #[track_caller]
    fn hold(&self) -> Held {
        Held::open(self.tcp.addr()).expect("a fresh connection that echoes")
    }

    fn reload_unchecked(&mut self, by: By) {
        self.notify.take();
        let held = self.hold();
        self.ask(by, true);
        self.reloads += 1;
        self.took_over(held, self.next);
    }

    /// A new worker of `binary` serves alone, and the last one is old, but for who holds it.
    fn took_over(&mut self, held: Held, binary: &'static Binary) {
        self.binary = self.next;
        self.failed = 0;
        let former = self.current.clone();
        let pid = self.wait_for_worker(former.pid);
        self.current = Worker { pid, binary, born: self.reloads };
        self.old.push_back((former, held));
        self.wait_notified(&["RELOADING", "READY"]);
        while self.old.len() > OLD_WORKERS {
            let (worker, mut held) = self.old.pop_front().expect("more than none");
            held.exchange().unwrap_or_else(|err| panic!("connection of old {worker:?}: {err}"));
            drop(held);
            let what = format!("old worker {} to end with its last connection", worker.pid);
            wait_until(PATIENCE, &what, || procfs::stat(worker.pid).is_err());
        }
    }

    /// A reload with a configuration that is refused, and all that must hold afterwards.
    #[track_caller]
    pub fn refused_reload(&mut self, by: By) {
        self.notify.take();
        self.write_config(false);
        self.ask(by, false);
        self.reloads += 1;
        self.failed += 1;
        self.binary = self.next;
        let table = self.settle();
        self.wait_notified(&["RELOADING", "READY"]);
        self.check("after a refused reload");
        // What stock has forgotten is so.
        self.failed = table.failed;
        self.write_config(true);
    }

    /// A reload during whose load another binary is put in the place of the one that loads, up to
    /// 3.0 the master itself: that one is to wait then, for the other's worker.
    #[track_caller]
    pub fn reload_interrupted_by(&mut self, binary: &'static Binary) {
        let held = self.hold();
        let mut serves = self.next;
        self.interrupt_reload(binary);
        if binary.since(3, 1) {
            // It knows no waiting, but loads, and its worker replaces that one as well.
            serves = binary;
            self.wait_for_workers(1, self.old.len() + 1);
        }
        self.took_over(held, serves);
        self.check("after a swap while it loaded");
    }

    /// The same, and nothing is looked at.
    pub fn interrupt_reload(&mut self, binary: &'static Binary) {
        self.notify.take();
        let config = self.host.path("haproxy.cfg");
        let (text, pipe) = (self.host.read("haproxy.cfg"), self.host.path("pipe"));
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        fs::rename(pipe, &config).expect("the pipe in its place");
        self.master.signal(Signal::USR2);
        // Opens once somebody reads.
        let mut load = fs::File::options().write(true).open(&config).expect("a pipe");
        self.write_config(true);
        self.install(binary);
        load.write_all(text.as_bytes()).expect("somebody reads");
        self.reloads += 1;
    }

    fn ask(&mut self, by: By, success: bool) {
        match by {
            By::Signal => self.master.signal(Signal::USR2),
            By::Cli => {
                let answer = self.cli().ask("reload");
                let due = format!("Success={}", u8::from(success));
                assert_eq!(answer.lines().next(), Some(&*due), "answer to 'reload': {answer}");
            }
        }
    }

    /// A reload whose exec fails, because of `why`: as if it had not been asked for, but that
    /// everybody is told.
    #[track_caller]
    pub fn failed_exec(&mut self, by: By, why: &str) {
        self.notify.take();
        let said = self.master.stderr().len();
        match by {
            By::Signal => self.master.signal(Signal::USR2),
            By::Cli => {
                let answer = self.cli().ask("reload");
                let told = answer.starts_with("Success=0\n--\n") && answer.contains(why);
                assert!(told, "answer to 'reload': {answer}");
            }
        }
        self.failed += 1;
        self.settle();
        self.wait_notified(&["RELOADING", "READY"]);
        if self.binary.since(2, 7) {
            let status = self.notify.messages().iter().rev().find_map(|m| m.get("STATUS"));
            assert_eq!(status.as_deref(), Some("Reload failed!"));
        }
        let log = self.master.stderr().split_off(said);
        assert!(log.contains("Failed to reexecute the master process"), "{log}");
        assert!(log.contains(why), "{log}");
    }

    // ----- what is waited for

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Waits until the master answers, would act on a signal, and has counted everything; up to
    /// 3.0 a stock image that is about to be replaced loses signals.
    #[track_caller]
    pub fn settle(&mut self) -> ShowProc {
        let (master, cli) = (self.master.pid(), self.cli().within(Duration::from_secs(2)));
        let mut seen = None;
        let settled = try_wait_for(PATIENCE, || {
            // Read along, or the queue fills up and a stock master blocks.
            self.master.notify.messages();
            if let Some(status) = self.master.try_exit() {
                panic!("the master has left: {status}");
            }
            seen = master_ready(master).then(|| cli.try_ask("show proc").ok())?;
            let table = ShowProc::read(seen.as_ref()?);
            let counted = table.is_whole()
                && table.reloads == self.reloads
                && self.counts_failures(table.failed);
            (counted && master_ready(master)).then_some(table)
        });
        settled.unwrap_or_else(|| {
            panic!("not {} reloads, {} failed in a row: {seen:?}", self.reloads, self.failed)
        })
    }

    /// Stock forgets them from 3.1 on: how many isn't sure any more.
    fn counts_failures(&self, shown: u32) -> bool {
        let forgets = self.binary.kind == Kind::Stock && self.binary.since(3, 1);
        shown == self.failed || forgets
    }

    /// Waits until there are so many current workers of what the master runs next, and old ones.
    #[track_caller]
    pub fn wait_for_workers(&mut self, current: usize, old: usize) {
        let due = &self.next.version;
        let counted = try_wait_for(PATIENCE, || {
            let table = ShowProc::read(&self.cli().try_ask("show proc").ok()?);
            let new = table.of(Section::Workers).any(|row| row.version == *due);
            let counted = (table.workers.len(), table.old.len()) == (current, old);
            (new && counted && table.is_whole()).then_some(())
        });
        let seen = self.cli().try_ask("show proc");
        assert!(counted.is_some(), "not {current} current workers, {old} old ones: {seen:?}");
    }

    /// Waits until a worker other than `former` serves, and `former` takes nobody new.
    #[track_caller]
    fn wait_for_worker(&mut self, former: Pid) -> Pid {
        let mut pid = 0;
        let end = std::time::Instant::now() + PATIENCE;
        while pid == 0 {
            let table = self.settle();
            if let [worker] = table.workers[..] {
                pid = if worker == former { 0 } else { worker };
            }
            let late = std::time::Instant::now() > end;
            assert!(!late, "no new worker alone in service: {table:?}\n{}", self.master.stderr());
        }
        let what = format!("former worker {former} to stop listening");
        wait_until(PATIENCE, &what, || former == 0 || !listens(former));
        pid
    }

    /// Waits for these messages to systemd, in this order, nothing between and nothing after.
    /// Up to 2.6 RELOADING is sent by each image.
    #[track_caller]
    pub fn wait_notified(&mut self, expected: &[&str]) {
        let last = *expected.last().expect("something is expected");
        self.notify.wait_for(&format!("{expected:?}"), |seen| {
            seen.last().is_some_and(|message| message.has(last, "1"))
        });
        let master = self.master.pid();
        let mut words: Vec<String> = Vec::new();
        for message in self.notify.messages() {
            assert_eq!(message.sender, master, "{message}");
            let word = message.fields().first().map(|(name, _)| name.clone()).unwrap_or_default();
            let named = message.get("MAINPID").is_none_or(|pid| pid == master.to_string());
            assert!(named, "{message}");
            if words.last() != Some(&word) {
                words.push(word);
            }
        }
        assert_eq!(words, expected, "{:?}", self.notify.messages());
    }

    // ----- what must hold

    /// Everything that must hold, whatever was done.
    #[track_caller]
    pub fn check(&mut self, point: &str) {
        let binary = self.binary;
        let point = format!("{} {point}, reload {}", binary.name(), self.reloads);
        let table = self.settle();
        self.check_table(&table, &point);
        self.check_processes(&table, &point);
        let master = self.master.pid();
        assert!(self.installed.is_run_by(master), "{point}: the master runs another binary");
        let response = http::get(self.http.addr(), "/", PATIENCE).expect("a response");
        assert_eq!(response.body, self.current.pid.to_string(), "{point}: who serves");
        for (worker, held) in &mut self.old {
            if let Err(err) = held.exchange() {
                panic!("{point}: connection of old {worker:?}: {err}");
            }
        }
        let failures: u64 = self.load.iter().map(Load::failures).sum();
        if failures > 0 {
            let reports: Vec<_> = self.load.drain(..).map(Load::stop).collect();
            panic!("{point}: requests failed: {reports:#?}");
        }
    }

    fn check_table(&self, table: &ShowProc, point: &str) {
        let row = |worker: &Worker| -> Row {
            (worker.pid, self.reloads - worker.born, &worker.binary.version)
        };
        let mut old: Vec<Row> = self.old.iter().map(|(worker, _)| row(worker)).collect();
        let rows = |section| -> Vec<Row> {
            table.of(section).map(|row| (row.pid, row.reloads, &*row.version)).collect()
        };
        let mut seen = rows(Section::OldWorkers);
        // Stock takes the worker in service for an old one after a refusal.
        let mistaken = self.binary.kind == Kind::Stock && self.binary.since(3, 1);
        let mut current = vec![row(&self.current)];
        if mistaken && table.workers.is_empty() {
            old.append(&mut current);
        }
        old.sort_unstable();
        seen.sort_unstable();
        assert_eq!(rows(Section::Workers), current, "{point}: workers");
        assert_eq!(seen, old, "{point}: old workers");
        let master = table.master().map(|row| row.pid);
        let workers = table.workers.len() + table.old.len();
        assert_eq!((master, table.rows.len()), (Some(self.pid()), workers + 1), "{point}");
    }

    /// The master's children are those of the table, no zombie among them, and of all that was
    /// ever forked nothing else lives.
    fn check_processes(&self, table: &ShowProc, point: &str) {
        let (master, due) = (self.master.pid(), table.children());
        let seen = || {
            let mut children: Vec<Pid> =
                procfs::all().iter().filter(|p| p.parent == master).map(|p| p.pid).collect();
            children.sort_unstable();
            let mut others = self.host.processes();
            others.retain(|pid| *pid != master && !due.contains(pid));
            (children, others)
        };
        let right = try_wait_for(PATIENCE, || (seen() == (due.clone(), Vec::new())).then_some(()));
        assert!(right.is_some(), "{point}: children and strangers {:?}, not {due:?}", seen());
    }

    /// What the master and its worker have about them, when nobody asks the master anything.
    pub fn traces(&self) -> Traces {
        let idle = || self.cli_is_idle().then(|| Traces::of(self.pid(), self.current.pid))?;
        mworker_kit::wait_for(PATIENCE, "the master to close the last CLI connection", idle)
    }

    /// The traces are what they should be here. Ours: as where no other binary has ever been.
    /// Stock: as it was the last time at this point, if there was one.
    #[track_caller]
    pub fn check_traces(&mut self, point: &str) {
        assert_eq!(self.old.len(), OLD_WORKERS, "there is nothing to compare with");
        let due = match self.binary.kind {
            Kind::Ours => Some(undisturbed(self.binary)),
            Kind::Stock => {
                let point = format!("{} {point}", self.binary.name());
                self.points.iter().find(|(name, _)| *name == point).map(|(_, t)| Arc::clone(t))
            }
        };
        match due {
            Some(due) => self.check_traces_are(&due, point),
            None => {
                let traces = Arc::new(self.traces());
                self.points.push((format!("{} {point}", self.binary.name()), traces));
            }
        }
    }

    #[track_caller]
    pub fn check_traces_are(&self, due: &Traces, point: &str) {
        let same = try_wait_for(PATIENCE, || (self.traces() == *due).then_some(()));
        if same.is_none() {
            let name = self.binary.name();
            assert_eq!(self.traces(), *due, "{name}, {point}, after {} reloads", self.reloads);
        }
    }

    // ----- the end

    /// Ends the load, and then the master by `signal`: nobody is lost, nothing is left.
    #[track_caller]
    pub fn finish(mut self, signal: Signal) {
        for load in self.load.drain(..) {
            load.stop().assert_clean();
        }
        self.notify.take();
        self.master.signal(signal);
        let soft = signal == Signal::USR1;
        if soft {
            let worker = self.current.pid;
            wait_until(PATIENCE, "the last worker to stop listening", || !listens(worker));
            for (worker, held) in &mut self.old {
                held.exchange().unwrap_or_else(|err| panic!("connection of {worker:?}: {err}"));
            }
            self.old.clear();
        }
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{}: {status}", self.binary.name());
        self.wait_notified(&["STOPPING"]);
        self.host.wait_empty(PATIENCE);
    }
}

fn write_config(host: &Host, http: &Port, tcp: &Port, echo: &Backend, more: &str) {
    let text = format!(
        "global\n    maxconn 500\n    stats socket {stats} level admin expose-fd listeners\n{more}\
         defaults\n    timeout connect 10s\n    timeout client 10m\n    timeout server 10m\n\
         frontend web\n    mode http\n    bind {http}\n    \
         http-request return status 200 content-type text/plain lf-string \"%pid\"\n\
         listen line\n    mode tcp\n    bind {tcp}\n    server echo {echo}\n",
        stats = host.path("stats.sock").display(),
        http = http.addr(),
        tcp = tcp.addr(),
        echo = echo.addr(),
    );
    // In one step: a master may be reading it.
    let new = host.write("haproxy.cfg.new", &text);
    fs::rename(new, host.path("haproxy.cfg")).expect("the configuration in its place");
}

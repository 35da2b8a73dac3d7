//! Everything that is up during the demo: the proxy, a backend on each side of its routes,
//! load, and the stand-in for systemd.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use mworker_kit::load::Report;
use mworker_kit::show_proc::pid_of_info;
use mworker_kit::signal::master_ready;
use mworker_kit::{
    Backend, Load, Master, Message, PATIENCE, Pid, Plan, Port, ShowProc, Signal, procfs,
    try_wait_for,
};

use crate::interrupt;
use crate::subject::{Config, Kind, Route, Routes, Subject};
use crate::timeline::{Actor, Timeline};

/// An expectation that was not met.
pub struct Failure {
    pub expected: String,
    pub seen: String,
}

pub type Outcome<T> = Result<T, Failure>;

/// What the web backend answers.
const BODY: &str = "hello from the backend\n";
/// Lines over one connection of the echo load before it takes another: some tenths of a
/// second, so that old workers get rid of them.
const LINES: usize = 100;

pub struct Stage {
    pub timeline: Timeline,
    pub subject: Subject,
    pub routes: Routes,
    pub master: Master,
    drawn: usize,
    load: Option<(Load, Load)>,
    listeners: Vec<String>,
    finishing: Vec<Pid>,
    leaving: bool,
    _backends: [Backend; 2],
    _ports: [Port; 2],
}

/// The worker's own CLI.
const STATS: &str = "stats.sock";

impl Stage {
    /// Starts the proxy; nothing has been waited for yet.
    pub fn set_up(subject: Subject) -> Stage {
        let mut master = Master::new();
        let host = &master.host;
        let backends = [Backend::http(BODY), Backend::echo()];
        let ports = [Port::reserve(), Port::reserve()];
        let route = |i: usize| Route { listen: ports[i].addr(), backend: backends[i].addr() };
        let routes = Routes { web: route(0), echo: route(1) };
        let text = subject.config(&routes, &host.path(STATS), Config::Good);
        let config = host.write("proxy.conf", &text);
        let cli = host.master_socket();

        let mut timeline = Timeline::new();
        timeline.title("start");
        let program = subject.binary.display();
        let command = format!("{program} -Ws -f {} -S {}", config.display(), cli.display());
        timeline.event(Actor::Demo, &command);
        let launch = master.launch(&subject.binary);
        master.spawn(launch.arg("-Ws").arg("-f").arg(config).arg("-S").arg(cli));
        Stage {
            timeline,
            subject,
            routes,
            master,
            drawn: 0,
            load: None,
            listeners: Vec::new(),
            finishing: Vec::new(),
            leaving: false,
            _backends: backends,
            _ports: ports,
        }
    }

    /// Replaces the proxy's configuration.
    pub fn configure(&self, config: Config) {
        let host = &self.master.host;
        let text = self.subject.config(&self.routes, &host.path(STATS), config);
        host.write("proxy.conf", &text);
    }

    /// Tells the next event of the master.
    pub fn master_event(&mut self, text: &str) {
        let pid = self.master.pid();
        self.timeline.event(Actor::Master(pid), text);
    }

    /// Draws what has happened since the last time.
    pub fn pump(&mut self) {
        for message in &self.master.notify.messages()[self.drawn..] {
            self.timeline.notified(message);
            self.drawn += 1;
        }
        let (alive, ended): (Vec<Pid>, Vec<Pid>) =
            self.finishing.iter().partition(|pid| procfs::alive(**pid));
        self.finishing = alive;
        for pid in ended {
            self.timeline.event(Actor::Worker(pid), "has finished what it had, and left");
        }
        if let Some((web, echo)) = &self.load {
            let (sent, failed) =
                (web.requests() + echo.requests(), web.failures() + echo.failures());
            let since = self.timeline.elapsed().as_secs();
            self.timeline.status(format!("  {since:>4} s  {sent} requests, {failed} failed"));
        }
    }

    /// Waits, drawing, until `probe` yields something; until then it says what it sees.
    pub fn wait<T>(
        &mut self,
        expected: &str,
        mut probe: impl FnMut(&mut Stage) -> Result<T, String>,
    ) -> Outcome<T> {
        let mut seen = String::new();
        let found = try_wait_for(PATIENCE, || {
            self.pump();
            if interrupt::came() {
                return Some(Err("somebody wants the demo to end".to_owned()));
            }
            let exit = self.master.try_exit().filter(|_| !self.leaving);
            match (probe(self), exit) {
                (Ok(found), _) => Some(Ok(found)),
                (Err(_), Some(status)) => Some(Err(format!("the master has left: {status}"))),
                (Err(text), None) => {
                    seen = text;
                    None
                }
            }
        });
        found
            .unwrap_or(Err(seen))
            .map_err(|seen| Failure { expected: format!("{expected}, within {PATIENCE:?}"), seen })
    }

    /// How many notifications there have been.
    pub fn notified(&mut self) -> usize {
        self.master.notify.messages().len()
    }

    /// Waits for a notification after the first `mark`. Only the master may send any.
    pub fn wait_notified(
        &mut self,
        mark: usize,
        expected: &str,
        cond: impl Fn(&[Message]) -> Option<Instant>,
    ) -> Outcome<Instant> {
        let master = self.master.pid();
        self.wait(&format!("systemd to be told {expected} by {master}"), |stage| {
            let messages = &stage.master.notify.messages()[mark..];
            let others = messages.iter().filter(|message| message.sender != master).count();
            let texts: Vec<String> = messages.iter().map(Message::to_string).collect();
            match cond(messages) {
                Some(at) if others == 0 => Ok(at),
                _ => Err(format!("{texts:?}")),
            }
        })
    }

    /// The worker in service, as it answers itself through the master's CLI.
    pub fn worker(&self) -> Result<Pid, String> {
        let cli = self.master.cli().within(Duration::from_secs(2));
        let answer = cli.try_ask("@1 show info").map_err(|err| err.to_string())?;
        pid_of_info(&answer).ok_or_else(|| format!("the answer to '@1 show info': {answer:?}"))
    }

    /// The process table, as the master shows it.
    pub fn processes(&self) -> Result<ShowProc, String> {
        let cli = self.master.cli().within(Duration::from_secs(2));
        let answer = cli.try_ask("show proc").map_err(|err| err.to_string())?;
        let table = ShowProc::read(&answer);
        if table.master().is_some() { Ok(table) } else { Err(answer) }
    }

    /// Remembers the listening sockets of the first worker: later ones must have the same.
    pub fn remember_listeners(&mut self, worker: Pid) -> Outcome<()> {
        let addrs = [self.routes.web.listen, self.routes.echo.listen];
        let failed = |seen: String| Failure {
            expected: format!("worker {worker} to listen on {addrs:?}"),
            seen,
        };
        let all = procfs::descriptors(worker).map_err(|err| failed(err.to_string()))?;
        for addr in addrs {
            let kind = format!("tcp listen {addr}");
            let found = all.iter().find(|descriptor| descriptor.kind == kind);
            let found = found.ok_or_else(|| failed(format!("{all:?}")))?;
            self.listeners.push(found.target.clone());
        }
        Ok(())
    }

    /// Whether this worker has the first one's listening sockets, and no other child of the
    /// master has them.
    pub fn serves_alone(&self, worker: Pid) -> Result<(), String> {
        for child in self.master.children() {
            let open = targets(child);
            let held = self.listeners.iter().filter(|socket| open.contains(socket)).count();
            let due = if child == worker { self.listeners.len() } else { 0 };
            if held != due {
                return Err(format!("{child} has {held} of the listening sockets, not {due}"));
            }
        }
        Ok(())
    }

    /// Looks after a former worker: its end will be drawn.
    pub fn let_finish(&mut self, worker: Pid) {
        self.finishing.push(worker);
    }

    /// This former worker won't be given the time.
    pub fn give_up(&mut self, worker: Pid) {
        self.finishing.retain(|pid| *pid != worker);
    }

    /// Waits until the former workers have ended.
    pub fn wait_finished(&mut self) -> Outcome<()> {
        self.wait("every former worker to end", |stage| match stage.finishing.as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?} are still there")),
        })
    }

    /// Sends the master a signal.
    fn signal(&mut self, signal: Signal) -> Outcome<()> {
        let master = self.master.pid();
        signal.try_send(master).map_err(|err| Failure {
            expected: format!("master {master} to get {signal}"),
            seen: err.to_string(),
        })
    }

    /// Asks the master to leave, once the connections have ended.
    pub fn soft_stop(&mut self) -> Outcome<()> {
        self.leaving = true;
        self.signal(Signal::USR1)
    }

    /// Sends a reload by signal, as `systemctl reload` does.
    pub fn signal_reload(&mut self) -> Outcome<Instant> {
        self.wait_for_haproxy()?;
        let began = Instant::now();
        self.signal(Signal::USR2)?;
        Ok(began)
    }

    /// Asks for a reload over the master's CLI, which answers when it is done.
    pub fn cli_reload(&mut self) -> Outcome<(Instant, String)> {
        self.wait_for_haproxy()?;
        let cli = self.master.cli();
        let began = Instant::now();
        let mut asking = Some(thread::spawn(move || cli.try_ask("reload")));
        self.wait("an answer to 'reload' on the master's CLI", |_| {
            let Some(done) = asking.take_if(|asking| asking.is_finished()) else {
                return Err("none".to_owned());
            };
            let answer = done.join().map_err(|_| "a panic")?;
            Ok((began, answer.map_err(|err| err.to_string())?))
        })
    }

    /// Up to 3.0 HAProxy's own `main()` loses signals that come while it re-executes itself.
    fn wait_for_haproxy(&mut self) -> Outcome<()> {
        if self.subject.kind != Kind::Haproxy {
            return Ok(());
        }
        let master = self.master.pid();
        self.wait(&format!("master {master} to be ready for SIGUSR2"), |_| {
            if master_ready(master) { Ok(()) } else { Err("it isn't".to_owned()) }
        })
    }

    /// Puts load on the proxy: requests over new connections, and lines over kept ones.
    pub fn start_load(&mut self) {
        let bound = Duration::from_secs(600);
        let web = Plan::http(self.routes.web.listen, Some(BODY))
            .threads(self.subject.web_threads())
            .pause(Duration::from_millis(3))
            .bound(bound)
            .start();
        let echo = Plan::echo(self.routes.echo.listen, LINES)
            .threads(2)
            .pause(Duration::from_millis(3))
            .bound(bound)
            .start();
        self.load = Some((web, echo));
        self.timeline.event(Actor::Load, "begins, on new and on kept-alive connections");
    }

    /// Waits for so many more requests on each of both sides, and that none has failed.
    pub fn wait_served(&mut self, more: u64) -> Outcome<()> {
        let Some((web, echo)) = &self.load else { return Ok(()) };
        let goals = (web.requests() + more, echo.requests() + more);
        self.wait(&format!("{more} more requests served, none failed"), |stage| {
            let Some((web, echo)) = &stage.load else { return Ok(()) };
            let failed = web.failures() + echo.failures();
            if failed == 0 && web.requests() >= goals.0 && echo.requests() >= goals.1 {
                return Ok(());
            }
            Err(format!("{} requests, {failed} failed", web.requests() + echo.requests()))
        })
    }

    /// Ends the load: how it went on the web side, and on the echo side.
    pub fn stop_load(&mut self) -> Option<(Report, Report)> {
        let (web, echo) = self.load.take()?;
        self.timeline.status(String::new());
        Some((web.stop(), echo.stop()))
    }
}

/// Where the descriptors of a process lead; nowhere, once it has ended.
fn targets(pid: Pid) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

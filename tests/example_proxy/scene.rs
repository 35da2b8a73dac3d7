//! The proxy under test, with a backend behind it and a stand-in for systemd.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::{env, fs};

pub use mworker_kit::procfs::listens;
pub use mworker_kit::show_proc::pid_of_info;
use mworker_kit::{
    Backend, Launch, Master, PATIENCE, Pid, Port, Signal, procfs, try_wait_for, wait_for,
    wait_until,
};
pub use mworker_kit::{Held, ShowProc};

/// What systemd is told, as [`mworker_kit::Message::normalised`] writes it.
pub const READY: &str = r"READY=1 | MAINPID=<master> | STATUS=Ready.\n";
pub const RELOADING: &str =
    r"RELOADING=1 | STATUS=Reloading Configuration. | MONOTONIC_USEC=<usec>\n";
pub const FAILED: &str = r"READY=1 | STATUS=Reload failed!\n";
pub const REFUSED: &str =
    r"READY=1 | STATUS=Reload failed (master failed to load or to parse new configuration)!\n";
pub const STOPPING: &str = "STOPPING=1";

/// An address of TEST-NET-1, which no host has: reads well, and can't be bound.
pub const FOREIGN: &str = "192.0.2.1:80";

/// One test's proxy and what is around it.
pub struct Scene {
    master: Master,
    /// Where the proxy listens; what comes there is echoed.
    pub port: Port,
    /// One that nobody listens on.
    pub spare: Port,
    pub echo: Backend,
    /// How many messages have been looked at.
    pub told: usize,
}

/// The proxy's path.
pub fn binary() -> PathBuf {
    let path = env::var_os("MWORKER_EXAMPLE_PROXY").map(PathBuf::from);
    match path {
        Some(path) if path.is_absolute() && path.is_file() => path,
        other => panic!(
            "MWORKER_EXAMPLE_PROXY is {other:?}, not the absolute path of the example proxy; \
             `make test` builds it and runs these tests"
        ),
    }
}

impl Deref for Scene {
    type Target = Master;

    fn deref(&self) -> &Master {
        &self.master
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Master {
        &mut self.master
    }
}

impl Scene {
    /// Nothing is started yet; the usual configuration is written.
    pub fn new() -> Scene {
        Scene::with(Master::new())
    }

    pub fn with(master: Master) -> Scene {
        let scene = Scene {
            master,
            port: Port::reserve(),
            spare: Port::reserve(),
            echo: Backend::echo(),
            told: 0,
        };
        scene.configure_well();
        scene
    }

    /// One that serves under `-Ws`.
    pub fn serving() -> Scene {
        let mut scene = Scene::new();
        scene.start();
        scene
    }

    /// The same with a variable.
    #[track_caller]
    pub fn serving_with(name: &str, value: &str) -> Scene {
        let mut scene = Scene::new();
        let launch = scene.launch_master("-Ws").env(name, value);
        scene.start_as(launch);
        scene
    }

    // ----- configuration and start

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.host.path("proxy.conf")
    }

    /// Replaces the configuration file in one step.
    pub fn configure(&self, text: &str) {
        let new = self.host.write("proxy.conf.new", text);
        fs::rename(new, self.config()).expect("rename within the host's folder");
    }

    /// The usual line of the configuration.
    pub fn rule(&self) -> String {
        format!("listen {} backend {}\n", self.port.addr(), self.echo.addr())
    }

    pub fn configure_well(&self) {
        self.configure(&self.rule());
    }

    /// Configures a line that nobody understands; it is the second.
    pub fn configure_badly(&self) {
        self.configure(&format!("{}lisen to this\n", self.rule()));
    }

    /// Configures an address that reads well, and can't be listened on.
    pub fn configure_foreign(&self) {
        self.configure(&format!("{}listen {FOREIGN} backend {}\n", self.rule(), self.echo.addr()));
    }

    /// The proxy with its configuration file and the notify socket.
    pub fn launch<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Launch {
        self.launch_program(binary(), args)
    }

    /// The same, with the proxy under another path.
    pub fn launch_program<'a>(
        &self,
        program: PathBuf,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Launch {
        self.master.launch(program).args(args).arg("-f").arg(self.config())
    }

    /// A master with its CLI.
    pub fn launch_master(&self, mode: &str) -> Launch {
        self.launch([mode, "-S"].into_iter().chain(self.master_socket().to_str()))
    }

    pub fn master_socket(&self) -> PathBuf {
        self.host.master_socket()
    }

    /// Starts `-Ws -S` and waits until systemd is told that it serves.
    #[track_caller]
    pub fn start(&mut self) {
        let launch = self.launch_master("-Ws");
        self.start_as(launch);
    }

    /// Starts this, and waits until systemd is told that it serves.
    #[track_caller]
    pub fn start_as(&mut self, launch: Launch) {
        self.spawn(launch);
        self.expect(READY);
    }

    // ----- what it does

    /// The master's PID.
    pub fn master(&self) -> Pid {
        self.pid()
    }

    /// Waits for the next message to systemd, which must be this one, from the master.
    #[track_caller]
    pub fn expect(&mut self, message: &str) {
        let (told, next) = (self.told, self.told + 1);
        let notify = &mut self.master.notify;
        let came = try_wait_for(PATIENCE, || (notify.messages().len() >= next).then_some(()));
        let exit = self.proxy().try_exit();
        assert!(came.is_some(), "systemd was not told '{message}'; exit: {exit:?}");
        let master = self.master();
        let seen = &self.notify.messages()[told];
        let name = |pid| if pid == master { "<master>".to_owned() } else { format!("<{pid}>") };
        assert_eq!((seen.normalised(name).as_str(), seen.sender), (message, master));
        self.told = next;
    }

    /// systemd was told no more than what was expected.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        let more: Vec<String> =
            self.master.notify.messages()[self.told..].iter().map(ToString::to_string).collect();
        assert!(more.is_empty(), "systemd was told more: {more:#?}");
    }

    /// Forgets what systemd was told.
    pub fn skip_told(&mut self) {
        self.told = self.notify.messages().len();
    }

    /// Reloads by a signal, and waits until the new worker serves.
    #[track_caller]
    pub fn reload(&mut self, signal: Signal) {
        self.signal(signal);
        self.expect(RELOADING);
        self.expect(READY);
    }

    /// Reloads over the CLI, and waits until the new worker serves. Gives the answer.
    #[track_caller]
    pub fn reload_over_cli(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        assert!(answer.starts_with("Success=1\n"), "the answer to '{command}': {answer}");
        self.expect(RELOADING);
        self.expect(READY);
        answer
    }

    /// The worker in service.
    #[track_caller]
    pub fn worker(&self) -> Pid {
        let table = self.table();
        assert_eq!(table.workers.len(), 1, "more or less than one worker: {table:?}");
        table.workers[0]
    }

    /// Ends it with TERM.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.expect_exit(0);
    }

    // ----- its traffic

    /// A connection that the worker in service relays until it is dropped.
    #[track_caller]
    pub fn hold(&self) -> Held {
        let mut held = Held::connect(self.port.addr()).expect("connect to the proxy");
        assert!(held.works(), "a new connection is not relayed");
        held
    }

    /// Whether somebody accepts connections and relays them.
    pub fn serves(&self) -> bool {
        Held::connect(self.port.addr()).is_ok_and(|mut held| held.works())
    }

    #[track_caller]
    pub fn assert_serves(&self) {
        assert!(self.serves(), "a new connection is not relayed");
    }
}

/// Whether a process is stopped.
pub fn is_stopped(pid: Pid) -> bool {
    procfs::stat(pid).is_ok_and(|stat| stat.state == 'T')
}

/// Stops a process, and waits until it is.
#[track_caller]
pub fn halt(pid: Pid) {
    Signal::STOP.send(pid);
    wait_until(PATIENCE, "a process to be stopped", || is_stopped(pid));
}

/// A worker that has been forked and is not READY, for as long as one likes.
pub struct Starting {
    pub worker: Pid,
}

impl Starting {
    /// Reloads, and keeps the new worker from going on: it is stopped while it waits for the
    /// listeners of the old one, which was stopped before.
    #[track_caller]
    pub fn reload(scene: &mut Scene) -> Starting {
        Starting::reload_by(scene, |scene| scene.signal(Signal::USR2))
    }

    /// The same, asked for in another way.
    #[track_caller]
    pub fn reload_by(scene: &mut Scene, ask: impl FnOnce(&Scene)) -> Starting {
        let old = scene.worker();
        let before = procfs::children(scene.master());
        halt(old);
        ask(scene);
        scene.expect(RELOADING);
        let worker = wait_for(PATIENCE, "a new worker", || {
            procfs::children(scene.master()).into_iter().find(|pid| !before.contains(pid))
        });
        halt(worker);
        Signal::CONT.send(old);
        let table = scene.table();
        assert!(table.workers.contains(&worker), "{worker} is not in {table:?}");
        Starting { worker }
    }

    pub fn go_on(self) {
        Signal::CONT.send(self.worker);
    }
}

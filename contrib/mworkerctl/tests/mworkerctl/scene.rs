//! A proxy under test, and `mworkerctl` beside it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::{env, fs};

use mworker_kit::{Backend, Host, Master, PATIENCE, Pid, Port, Proxy, Signal, http, wait_until};
use serde_json::Value;

/// An address of TEST-NET-1, which no host has: reads well, and can't be bound.
pub const FOREIGN: &str = "192.0.2.1:80";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stock,
    Ours,
    Example,
}

impl Kind {
    fn binary(self) -> PathBuf {
        let name = match self {
            Kind::Stock => "MWORKER_HAPROXY_STOCK",
            Kind::Ours => "MWORKER_HAPROXY_OURS",
            Kind::Example => "MWORKER_EXAMPLE_PROXY",
        };
        match env::var_os(name).map(PathBuf::from) {
            Some(path) if path.is_absolute() && path.is_file() => path,
            other => panic!(
                "{name} is {other:?}, not an absolute path; `make test T=mworkerctl` sets it"
            ),
        }
    }
}

/// Runs a test with each proxy, as a test of its own.
#[macro_export]
macro_rules! on_each_proxy {
    ($($test:ident)*) => { $(mod $test {
        use $crate::scene::Kind;

        #[test]
        fn stock() {
            super::$test(Kind::Stock);
        }
        #[test]
        fn ours() {
            super::$test(Kind::Ours);
        }
        #[test]
        fn example() {
            super::$test(Kind::Example);
        }
    })* };
}

/// How a run of `mworkerctl` ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What `--json` printed: one object on one line.
    #[track_caller]
    pub fn json(&self) -> Value {
        let object = serde_json::from_str(&self.stdout);
        let object: Value = object.unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(object.is_object() && self.stdout.lines().count() == 1, "{self:?}");
        object
    }

    #[track_caller]
    pub fn expect(self, status: i32) -> Ended {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// `mworkerctl` under way.
pub struct Running(Proxy);

impl Running {
    #[track_caller]
    pub fn end(mut self) -> Ended {
        // It has a time limit itself, which is to end it first.
        let status = self.0.wait_exit(PATIENCE * 6).code().expect("an exit status");
        Ended { status, stdout: self.0.stdout(), stderr: self.0.stderr() }
    }
}

/// Starts `mworkerctl` with arguments that are split at blanks.
pub fn start(args: &str) -> Running {
    start_with(args, &[])
}

/// The same, with variables of the environment. On a host of its own, for what ends one
/// process of a host ends them all.
pub fn start_with(args: &str, environment: &[(&str, &str)]) -> Running {
    let mut launch = Host::new().launch(env!("CARGO_BIN_EXE_mworkerctl"));
    for (name, value) in environment {
        launch = launch.env(name, value);
    }
    Running(launch.args(args.split_whitespace()).spawn())
}

/// One test's proxy.
pub struct Scene {
    pub kind: Kind,
    master: Master,
    pub port: Port,
    backends: [Backend; 2],
}

impl Deref for Scene {
    type Target = Master;

    fn deref(&self) -> &Master {
        &self.master
    }
}

impl Scene {
    /// Nothing is started, nothing configured.
    pub fn new(kind: Kind) -> Scene {
        Scene {
            kind,
            master: Master::new(),
            port: Port::reserve(),
            backends: [Backend::http("0"), Backend::http("1")],
        }
    }

    /// One that serves, configured for answer 0.
    #[track_caller]
    pub fn serving(kind: Kind) -> Scene {
        let mut scene = Scene::new(kind);
        scene.configure(0);
        scene.start();
        scene.ctl("wait-ready").expect(0);
        scene
    }

    // ----- the proxy

    fn write(&self, text: &str) {
        let new = self.host.write("conf.new", text);
        fs::rename(new, self.host.path("conf")).expect("rename within the host's folder");
    }

    /// From the next reload on requests are answered with this number, 0 or 1.
    pub fn configure(&self, answer: usize) {
        self.configure_with(answer, "", "");
    }

    /// The same, with lines of HAProxy's added to its sections `global` and `frontend`.
    pub fn configure_with(&self, answer: usize, global: &str, frontend: &str) {
        let (port, backend) = (self.port.addr(), self.backends[answer].addr());
        match self.kind {
            Kind::Example => self.write(&format!("listen {port} backend {backend}\n")),
            Kind::Stock | Kind::Ours => self.write(&format!(
                "global\n    nbthread 2\n    {global}\n\
                 defaults\n    timeout connect 10s\n    timeout client 10m\n    \
                 timeout server 10m\n\
                 frontend web\n    mode http\n    bind {port}\n    {frontend}\n    \
                 http-request return status 200 content-type text/plain string {answer} \
                 if !{{ path /wait }}\n\
                 default_backend held\n\
                 backend held\n    mode http\n    server backend {backend}\n"
            )),
        }
    }

    /// A configuration that nobody understands.
    pub fn configure_badly(&self) {
        match self.kind {
            Kind::Example => self.write("lisen to this\n"),
            _ => self.configure_with(0, "", "lisen to this"),
        }
    }

    /// A configuration that reads well, and whose address can't be bound.
    pub fn configure_foreign(&self) {
        let backend = self.backends[0].addr();
        match self.kind {
            Kind::Example => self.write(&format!("listen {FOREIGN} backend {backend}\n")),
            _ => self.configure_with(0, "", &format!("bind {FOREIGN}")),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.host.master_socket()
    }

    /// Starts it; that it serves is not waited for.
    pub fn start(&mut self) {
        self.start_at(&self.socket().display().to_string());
    }

    /// Starts it with its CLI at another address.
    pub fn start_at(&mut self, cli: &str) {
        let launch = self.host.launch(self.kind.binary()).args(["-W", "-S", cli, "-f"]);
        let launch = launch.arg(self.host.path("conf"));
        self.master.spawn(launch);
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.master.wait_exit();
        self.host.wait_empty(PATIENCE);
    }

    pub fn master(&self) -> Pid {
        self.pid()
    }

    /// What a new connection is answered.
    #[track_caller]
    pub fn answer(&self) -> String {
        http::get(self.port.addr(), "/", PATIENCE).expect("an answer").body
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    // ----- mworkerctl

    /// Starts it with these arguments and the master's socket.
    pub fn start_ctl(&self, args: &str) -> Running {
        start(&format!("--socket {} {args}", self.socket().display()))
    }

    /// Runs it with these arguments and the master's socket.
    #[track_caller]
    pub fn ctl(&self, args: &str) -> Ended {
        self.start_ctl(args).end()
    }

    /// The same with `--json`.
    #[track_caller]
    pub fn ask(&self, args: &str) -> Value {
        self.ctl(&format!("--json {args}")).expect(0).json()
    }

    /// The PIDs of the workers in this state.
    #[track_caller]
    pub fn workers(&self, state: &str) -> Vec<Pid> {
        let status = self.ask("status");
        let workers = status["workers"].as_array().expect("workers");
        workers.iter().filter(|worker| worker["state"] == state).map(|w| pid(&w["pid"])).collect()
    }

    /// The worker in service.
    #[track_caller]
    pub fn worker(&self) -> Pid {
        let workers = self.workers("in service");
        assert_eq!(workers.len(), 1, "{workers:?}");
        workers[0]
    }

    /// A connection to the worker in service that is in the middle of a request, so that the
    /// worker won't leave by itself.
    #[track_caller]
    pub fn hold(&self) -> http::Connection {
        let before = self.connections();
        let mut held = http::Connection::open(self.addr(), PATIENCE).expect("a connection");
        held.send("GET / HTTP/1.1\r\nHost: a").expect("half a request");
        wait_until(PATIENCE, "the connection to be counted", || self.connections() > before);
        held
    }

    #[track_caller]
    fn connections(&self) -> u64 {
        let status = self.ask("status");
        let workers = status["workers"].as_array().expect("workers");
        let current = workers.iter().find(|worker| worker["state"] == "in service");
        current.and_then(|worker| worker["connections"].as_u64()).expect("connections")
    }
}

#[track_caller]
pub fn pid(value: &Value) -> Pid {
    let pid = value.as_i64().and_then(|pid| Pid::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("{value} is no PID"))
}

/// Something that keeps a load of the configuration from ending.
pub struct Stuck {
    fifo: PathBuf,
    old: Pid,
    haproxy: bool,
}

impl Stuck {
    /// The next load of the configuration won't end before [`Stuck::go_on`]. It is HAProxy's
    /// own reading of a file that waits, or the example proxy's new worker, which asks the old
    /// one for its listeners.
    #[track_caller]
    pub fn next_load(scene: &Scene, answer: usize) -> Stuck {
        let fifo = scene.host.path("fifo");
        let old = scene.worker();
        let haproxy = scene.kind != Kind::Example;
        if haproxy {
            let _ = fs::remove_file(&fifo);
            let made = std::process::Command::new("mkfifo").arg(&fifo).status();
            assert!(made.expect("mkfifo").success());
            let rule = format!("acl slow path -f {}", fifo.display());
            scene.configure_with(answer, "", &rule);
        } else {
            scene.configure(answer);
            Signal::STOP.send(old);
        }
        Stuck { fifo, old, haproxy }
    }

    #[track_caller]
    pub fn go_on(&self) {
        if self.haproxy {
            // Opening it ends the reader's wait, closing it the file.
            fs::write(&self.fifo, "/nowhere\n").expect("write to the fifo");
        } else {
            Signal::CONT.send(self.old);
        }
    }
}

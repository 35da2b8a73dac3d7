//! The services: how each is configured, and asked.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use mworker_kit::{
    Backend, MasterCli, PATIENCE, Pid, http, signal::wait_master_ready, wait_for, wait_until,
};

use crate::gate::Gate;
use crate::traffic::{self, Held};
use crate::unit::Unit;

/// An address of TEST-NET-1, which no host has: reads well, and can't be bound.
pub const FOREIGN: &str = "192.0.2.1:80";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HAProxy with mworker, from the installed unit.
    Haproxy,
    /// HAProxy's own, from a unit like its own.
    Stock,
    /// `examples/proxy`.
    Example,
}

pub const OURS: &[Kind] = &[Kind::Haproxy, Kind::Example];
pub const HAPROXYS: &[Kind] = &[Kind::Haproxy, Kind::Stock];
pub const ALL: &[Kind] = &[Kind::Haproxy, Kind::Example, Kind::Stock];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Haproxy => "haproxy",
            Kind::Stock => "stock",
            Kind::Example => "example",
        }
    }
}

pub struct Service {
    pub kind: Kind,
    pub unit: Unit,
    config: &'static Path,
    master_socket: &'static Path,
    /// Answers with the number of the configuration.
    web: SocketAddr,
    /// Relays to a backend that sends all back.
    relay: SocketAddr,
    echo: Backend,
}

impl Service {
    pub fn new(kind: Kind) -> Service {
        let (unit, config, master_socket, ports) = match kind {
            Kind::Haproxy => (
                "haproxy.service",
                "/etc/haproxy/haproxy.cfg",
                "/run/haproxy-master.sock",
                (80, 81),
            ),
            Kind::Stock => (
                "haproxy-stock.service",
                "/etc/haproxy-stock/haproxy.cfg",
                "/run/haproxy-stock-master.sock",
                (82, 83),
            ),
            Kind::Example => (
                "mworker-proxy.service",
                "/etc/mworker-proxy.conf",
                "/run/mworker-proxy-master.sock",
                (84, 85),
            ),
        };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Service {
            kind,
            unit: Unit::new(unit),
            config: Path::new(config),
            master_socket: Path::new(master_socket),
            web: local(ports.0),
            relay: local(ports.1),
            echo: Backend::echo(),
        }
    }

    /// Configured, as it is installed, and not started.
    pub fn prepare(&self) {
        fs::create_dir_all(self.config.parent().expect("a path in /etc")).expect("a folder");
        self.unit.clear();
        self.configure(1);
    }

    /// Nothing of it is left.
    pub fn clear(&self) {
        self.unit.clear();
    }

    /// One that serves configuration 1.
    #[track_caller]
    pub fn started(&self) {
        self.unit.start();
        self.assert_serves(1);
    }

    // ----- its configuration

    pub fn configure(&self, number: u16) {
        self.write(&self.text(number, ""));
    }

    /// With lines in HAProxy's global section.
    pub fn configure_global(&self, number: u16, lines: &str) {
        self.write(&self.text(number, lines));
    }

    /// With further sections.
    pub fn configure_sections(&self, number: u16, global: &str, sections: &str) {
        self.write(&format!("{}{sections}", self.text(number, global)));
    }

    /// With a line that nobody understands.
    pub fn configure_badly(&self, number: u16) {
        self.write(&format!("{}lisen to this\n", self.text(number, "")));
    }

    /// With an address that reads well, and can't be listened on.
    pub fn configure_foreign(&self, number: u16) {
        let text = self.text(number, "");
        self.write(&match self.kind {
            Kind::Example => format!("{text}listen {FOREIGN} backend {}\n", self.echo.addr()),
            _ => format!("{text}listen foreign\n    bind {FOREIGN}\n"),
        });
    }

    /// So that a worker dies before it is ready.
    pub fn configure_death(&self, number: u16) {
        match self.kind {
            // It is the worker that binds.
            Kind::Example => self.configure_foreign(number),
            _ => self.configure_global(number, "    chroot /no/such/folder"),
        }
    }

    /// Who reads the configuration waits for the test to let it.
    pub fn configure_behind_gate(&self, number: u16) -> Gate {
        Gate::new(self.config.to_owned(), self.text(number, ""))
    }

    /// Replaces the file in one step.
    fn write(&self, text: &str) {
        let new = self.config.with_extension("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.config).expect("renamed");
    }

    fn text(&self, number: u16, global: &str) -> String {
        let (web, relay, echo) = (self.web, self.relay, self.echo.addr());
        match self.kind {
            Kind::Example => {
                let telling = traffic::telling(number);
                format!("listen {web} backend {telling}\nlisten {relay} backend {echo}\n")
            }
            _ => format!(
                "global
    maxconn 500
    log stderr local0
{global}
defaults
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend web
    mode http
    bind {web}
    http-request return status 200 content-type text/plain string {number}
listen relay
    mode tcp
    bind {relay}
    server one {echo}
"
            ),
        }
    }

    // ----- its traffic

    /// The number of the configuration that a new connection is served with.
    pub fn number(&self) -> io::Result<u16> {
        match self.kind {
            Kind::Example => traffic::told(self.web),
            _ => {
                let response = http::get(self.web, "/", PATIENCE)?;
                response.body.parse().map_err(|_| io::Error::other(format!("{response:?}")))
            }
        }
    }

    #[track_caller]
    pub fn expect_number(&self) -> u16 {
        self.number().unwrap_or_else(|err| panic!("a new connection is not served: {err}"))
    }

    #[track_caller]
    pub fn assert_serves(&self, number: u16) {
        assert_eq!(self.expect_number(), number, "another configuration is served");
    }

    /// After a reload that isn't waited for by what asks for it.
    #[track_caller]
    pub fn wait_serves(&self, number: u16) {
        wait_until(PATIENCE, "the new configuration to be served", || {
            self.expect_number() == number
        });
    }

    #[track_caller]
    pub fn wait_serves_not(&self) {
        wait_until(PATIENCE, "new connections to be refused", || self.number().is_err());
    }

    #[track_caller]
    pub fn assert_serves_not(&self) {
        assert!(self.number().is_err(), "a new connection is served");
    }

    /// A connection that lasts until it is dropped.
    #[track_caller]
    pub fn hold(&self) -> Held {
        Held::open(self.relay)
    }

    // ----- its processes

    pub fn cli(&self) -> MasterCli {
        MasterCli::new(self.master_socket)
    }

    /// Waits until the master takes signals. Stock's, up to 3.0, is READY before, and a SIGUSR1
    /// that comes in between is lost.
    #[track_caller]
    pub fn wait_signals(&self) {
        if self.kind == Kind::Stock {
            wait_master_ready(self.unit.master(), PATIENCE);
        }
    }

    /// The worker in service.
    #[track_caller]
    pub fn worker(&self) -> Pid {
        // HAProxy's, up to 3.0, is READY before it answers.
        let answer = wait_for(PATIENCE, "the master's CLI to answer", || {
            self.cli().try_ask("show proc").ok()
        });
        let workers = answer.split("# workers").nth(1).and_then(|rest| rest.split('#').next());
        let first = workers.and_then(|rows| rows.split_whitespace().next()?.parse().ok());
        first.unwrap_or_else(|| panic!("no worker is shown: {answer}"))
    }
}

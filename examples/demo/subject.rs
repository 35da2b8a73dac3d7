//! The proxies the demo can be run with: how each is configured and started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `examples/proxy`, which relays TCP.
    Example,
    /// HAProxy, with HTTP on the web frontend.
    Haproxy,
}

/// A proxy's program.
#[derive(Clone, Debug)]
pub struct Subject {
    pub kind: Kind,
    pub binary: PathBuf,
    /// HAProxy's major and minor number.
    version: (u32, u32),
}

/// From where to where.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub listen: SocketAddr,
    pub backend: SocketAddr,
}

/// All of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Routes {
    pub web: Route,
    pub echo: Route,
}

/// A configuration to be tried.
#[derive(Clone, Copy, Debug)]
pub enum Config {
    /// One that works.
    Good,
    /// One with a line nobody understands.
    Broken,
    /// One that reads well, and asks for an address that can't be had. This one is taken.
    Unbindable(SocketAddr),
}

impl Subject {
    /// From the environment, as `make demo` sets it.
    pub fn from_env() -> Result<Subject, String> {
        let kind = match std::env::var("MWORKER_DEMO_PROXY").as_deref() {
            Ok("example") => Kind::Example,
            Ok("haproxy") => Kind::Haproxy,
            other => {
                return Err(format!("MWORKER_DEMO_PROXY is {other:?}, not example or haproxy"));
            }
        };
        let binary: PathBuf = std::env::var_os("MWORKER_DEMO_BINARY")
            .ok_or("MWORKER_DEMO_BINARY is not set to the proxy's path")?
            .into();
        if !binary.is_absolute() || !binary.is_file() {
            let path = binary.display();
            return Err(format!("MWORKER_DEMO_BINARY is {path}, not the absolute path of a file"));
        }
        let version = match kind {
            Kind::Example => (u32::MAX, 0),
            Kind::Haproxy => version_of(&binary)
                .ok_or_else(|| format!("{} -v tells no version", binary.display()))?,
        };
        Ok(Subject { kind, binary, version })
    }

    /// Whether a reload is told to have failed: to the client that asked for it, and to systemd.
    pub fn tells_failures(&self) -> bool {
        self.version >= (2, 7)
    }

    /// Whether `show proc` counts failed reloads.
    pub fn counts_failures(&self) -> bool {
        self.version >= (2, 5)
    }

    /// What it is called in texts.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Example => "the example proxy",
            Kind::Haproxy => "HAProxy",
        }
    }

    /// How many threads ask over HTTP. The first connects anew for each request, the second
    /// keeps its connection. Without an end between two requests, such a connection would
    /// hold an old worker of a proxy that knows no HTTP for ever.
    pub fn web_threads(&self) -> usize {
        match self.kind {
            Kind::Example => 1,
            Kind::Haproxy => 2,
        }
    }

    /// The text of a configuration, in which `stats` is the worker's own CLI, for those
    /// who need one.
    pub fn config(&self, routes: &Routes, stats: &Path, config: Config) -> String {
        let base = match self.kind {
            Kind::Example => example(routes),
            Kind::Haproxy => {
                // One that is refused once it has bound that path leaves it with nobody behind it.
                let stats = (!matches!(config, Config::Unbindable(_))).then_some(stats);
                haproxy(routes, self.version, stats)
            }
        };
        match (config, self.kind) {
            (Config::Good, _) => base,
            (Config::Broken, _) => format!("{base}lisen to this\n"),
            (Config::Unbindable(taken), Kind::Example) => {
                format!("{base}listen {taken} backend {}\n", routes.web.backend)
            }
            // To get a TCP address that is taken, HAProxy has the old worker stop listening
            // for a second or two, in which clients are refused. It doesn't for this one.
            (Config::Unbindable(_), Kind::Haproxy) => format!(
                "{base}listen unbindable\n    mode http\n    bind unix@/no/such/folder/socket\n"
            ),
        }
    }
}

/// `HAProxy version 3.0.11-1 2025/06/03 - https://haproxy.org/`, `HA-Proxy` up to 2.3.
fn version_of(haproxy: &Path) -> Option<(u32, u32)> {
    let output = Command::new(haproxy).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, version) = text.split_once("version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn example(routes: &Routes) -> String {
    let line = |route: &Route| format!("listen {} backend {}\n", route.listen, route.backend);
    format!("{}{}", line(&routes.web), line(&routes.echo))
}

fn haproxy(routes: &Routes, version: (u32, u32), stats: Option<&Path>) -> String {
    let Routes { web, echo } = routes;
    // A kept connection ends with the response to its next request, not while that request
    // is under way; earlier versions know no such thing, and keep none. And none is kept to
    // the backend, so that what an old worker has open is what its clients have open.
    let (close, global) = if version >= (2, 5) {
        ("option idle-close-on-response\n    option http-server-close", String::new())
    } else {
        // Only with it a new worker gets the listeners of the old one.
        let line =
            |path: &Path| format!("    stats socket {} expose-fd listeners\n", path.display());
        ("option httpclose", stats.map(line).unwrap_or_default())
    };
    // 2.0.0 leaves connections of mode tcp half open until they have been silent for so long.
    let patience = if version >= (2, 4) { "" } else { "    timeout server 2s\n" };
    format!(
        "global
    maxconn 500
{global}defaults
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend web
    mode http
    {close}
    bind {}
    default_backend origin
backend origin
    mode http
    server one {}
listen echo
    mode tcp
{patience}    bind {}
    server one {}
",
        web.listen, web.backend, echo.listen, echo.backend
    )
}

//! Addresses as `-S` takes them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a master's CLI listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Path(PathBuf),
    /// A name of the abstract namespace. HAProxy's `abns@` fills it up with zeros to the
    /// longest that there is, its `abnsz@` doesn't.
    Abstract {
        name: String,
        filled: bool,
    },
    Tcp {
        host: String,
        port: u16,
    },
}

impl Address {
    /// Reads one; what follows a comma are options of the listener.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = text.split(',').next().unwrap_or_default();
        if address.is_empty() {
            return Err("the address of the master's CLI is empty".into());
        }
        let prefix = |prefix| address.strip_prefix(prefix);
        let path = |path: &str| match path {
            "" => Err(format!("'{address}' names no path")),
            _ => Ok(Self::Path(path.into())),
        };
        let named = |name: &str, filled| match name {
            "" => Err(format!("'{address}' names nothing")),
            _ => Ok(Self::Abstract { name: name.to_owned(), filled }),
        };
        if let Some(rest) = prefix("unix@") {
            return path(rest);
        }
        if let Some(name) = prefix("abns@") {
            return named(name, true);
        }
        if let Some(name) = prefix("abnsz@") {
            return named(name, false);
        }
        for family in ["ipv4@", "ipv6@", "ip@", "tcp@", "tcp4@", "tcp6@"] {
            if let Some(rest) = prefix(family) {
                let loopback = if family.contains('6') { "::1" } else { "127.0.0.1" };
                return tcp(rest, loopback)
                    .ok_or_else(|| format!("'{address}' is no host and port"));
            }
        }
        if address.contains('@') && !address.contains('/') {
            return Err(format!("'{address}' can't be connected to by another process"));
        }
        // HAProxy wants its paths to begin with a slash, other hosts may not.
        if address.contains('/') {
            return path(address);
        }
        tcp(address, "127.0.0.1").map_or_else(|| path(address), Ok)
    }

    /// The same, of a process with this working directory.
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::Path(path) => Self::Path(folder.join(path)),
            other => other,
        }
    }
}

/// Of those that listen everywhere, the address here.
fn tcp(text: &str, loopback: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "*" | "0.0.0.0" => loopback,
        "::" => "::1",
        host => host,
    };
    Some(Address::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract { name, filled: true } => write!(f, "abns@{name}"),
            Self::Abstract { name, filled: false } => write!(f, "abnsz@{name}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Result<Address, String> {
        Ok(Address::Path(path.into()))
    }

    fn tcp(host: &str, port: u16) -> Result<Address, String> {
        Ok(Address::Tcp { host: host.into(), port })
    }

    #[test]
    fn all_kinds() {
        let parse = Address::parse;
        assert_eq!(parse("/run/m.sock"), path("/run/m.sock"));
        assert_eq!(parse("/run/m.sock,mode,600,level,admin"), path("/run/m.sock"));
        assert_eq!(parse("unix@/run/m.sock"), path("/run/m.sock"));
        assert_eq!(parse("unix@m.sock"), path("m.sock"));
        assert_eq!(parse("m.sock"), path("m.sock"));
        assert_eq!(parse("./a:1"), path("./a:1"));
        let name = |filled| Ok(Address::Abstract { name: "m".into(), filled });
        assert_eq!(parse("abns@m,level,admin"), name(true));
        assert_eq!(parse("abnsz@m"), name(false));
        assert_eq!(parse("ipv4@10.0.0.1:99"), tcp("10.0.0.1", 99));
        assert_eq!(parse("ipv6@[2001:db8::1]:99"), tcp("2001:db8::1", 99));
        assert_eq!(parse("ipv6@2001:db8::1:99"), tcp("2001:db8::1", 99));
        assert_eq!(parse("localhost:99"), tcp("localhost", 99));
    }

    #[test]
    fn everywhere_is_here() {
        let parse = Address::parse;
        for text in [":99", "*:99", "0.0.0.0:99", "ipv4@*:99"] {
            assert_eq!(parse(text), tcp("127.0.0.1", 99), "{text}");
        }
        for text in ["ipv6@:99", "[::]:99", ":::99", "ipv6@*:99"] {
            assert_eq!(parse(text), tcp("::1", 99), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_reached() {
        for text in
            ["", ",level", "unix@", "abns@", "fd@3", "sockpair@4", "ipv4@host", "ipv4@h:99999"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn relative_paths_are_the_masters() {
        let within = |text| Address::parse(text).map(|a| a.within(Path::new("/srv")).to_string());
        assert_eq!(within("m.sock"), Ok("/srv/m.sock".into()));
        assert_eq!(within("/m.sock"), Ok("/m.sock".into()));
        assert_eq!(within("[::1]:9"), Ok("[::1]:9".into()));
    }
}

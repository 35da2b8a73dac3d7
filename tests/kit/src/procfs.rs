//! Views of processes through `/proc`.
//!
//! A process may end at any time between two reads, so every view of a single one is an
//! `io::Result`, and those over all of them leave out what has gone meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::Pid;
use crate::signal::SignalSet;

/// What `/proc/PID/stat` says of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: Pid,
    /// The name of its program, cut to 15 bytes.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z`...
    pub state: char,
    /// Its parent.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// When it was started, in clock ticks since boot: tells a PID from its reuse.
    pub started: u64,
}

/// Reads [`Stat`].
pub fn stat(pid: Pid) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("odd stat: {text}")))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold blanks and parentheses, so it ends at the last one.
    let (head, rest) = text.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Whether it runs: there, and not a zombie.
pub fn alive(pid: Pid) -> bool {
    stat(pid).is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// All processes, zombies included.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).ok())
        .collect()
}

/// The living children of a process, oldest first.
pub fn children(parent: Pid) -> Vec<Pid> {
    let mut found: Vec<Stat> = all()
        .into_iter()
        .filter(|stat| stat.parent == parent && !matches!(stat.state, 'Z' | 'X'))
        .collect();
    found.sort_by_key(|stat| (stat.started, stat.pid));
    found.into_iter().map(|stat| stat.pid).collect()
}

/// The arguments a process was executed with.
pub fn cmdline(pid: Pid) -> io::Result<Vec<String>> {
    Ok(strings(&fs::read(format!("/proc/{pid}/cmdline"))?))
}

/// The environment a process was executed with. What it set or unset since isn't seen: a
/// worker, which is a fork, shows that of the master's image it came from.
pub fn environ(pid: Pid) -> io::Result<Vec<(String, String)>> {
    let block = strings(&fs::read(format!("/proc/{pid}/environ"))?);
    Ok(block
        .into_iter()
        .map(|entry| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry, String::new()),
        })
        .collect())
}

fn strings(block: &[u8]) -> Vec<String> {
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    if block.is_empty() {
        return Vec::new();
    }
    block.split(|byte| *byte == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// What a process does with signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Held back (`SigBlk`, of its first thread).
    pub blocked: SignalSet,
    /// Dropped (`SigIgn`).
    pub ignored: SignalSet,
    /// Handled (`SigCgt`).
    pub caught: SignalSet,
    /// Sent and held back so far, to the process or its first thread.
    pub pending: SignalSet,
}

/// Reads [`Signals`].
pub fn signals(pid: Pid) -> io::Result<Signals> {
    let status = status(pid)?;
    let set = |key: &str| {
        SignalSet(status.get(key).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0))
    };
    Ok(Signals {
        blocked: set("SigBlk"),
        ignored: set("SigIgn"),
        caught: set("SigCgt"),
        pending: SignalSet(set("SigPnd").0 | set("ShdPnd").0),
    })
}

/// `/proc/PID/status` as keys and values.
pub fn status(pid: Pid) -> io::Result<HashMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect())
}

/// Soft and hard limit of descriptors of a process.
pub fn nofile(pid: Pid) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let number = |word: &str| match word {
        "unlimited" => Some(u64::MAX),
        digits => digits.parse().ok(),
    };
    text.lines()
        .find_map(|line| {
            let mut words = line.strip_prefix("Max open files")?.split_whitespace();
            Some((number(words.next()?)?, number(words.next()?)?))
        })
        .ok_or_else(|| io::Error::other("no 'Max open files' in limits"))
}

/// Sets how much of the stack a living process may use (the soft limit), a quarter of which is
/// what arguments and environment of its next image may take. Gives what it was.
#[track_caller]
pub fn limit_stack(pid: Pid, bytes: u64) -> u64 {
    let before = crate::sys::limit_stack(pid, bytes);
    before.unwrap_or_else(|err| panic!("prlimit of {pid}: {err}"))
}

/// One open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub fd: i32,
    /// Where its link in `/proc/PID/fd` leads, e.g. `socket:[4711]`.
    pub target: String,
    /// What that is, without numbers: `tcp listen 127.0.0.1:8080`, `unix listen /run/m.sock`,
    /// `unix stream` (a pair's end or a connection), `anon_inode:[eventpoll]`, `/dev/null`.
    pub kind: String,
}

/// Whether a process has a TCP socket that listens. False for one that is gone.
pub fn listens(pid: Pid) -> bool {
    let Ok(links) = links(pid) else { return false };
    let inodes: HashSet<&str> = links
        .values()
        .filter_map(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
        .collect();
    let net = Path::new("/proc").join(pid.to_string()).join("net");
    ["tcp", "tcp6"].iter().any(|family| {
        let Ok(file) = File::open(net.join(family)) else { return false };
        // Those come first. After them may come thousands of connections.
        BufReader::new(file)
            .lines()
            .skip(1)
            .map_while(|line| line.ok().filter(|line| line.split_whitespace().nth(3) == Some("0A")))
            .any(|line| line.split_whitespace().nth(9).is_some_and(|inode| inodes.contains(inode)))
    })
}

/// The open descriptors of a process, by number.
pub fn descriptors(pid: Pid) -> io::Result<Vec<Descriptor>> {
    let links = links(pid)?;
    // Read after the links, so that each socket seen is in the tables, unless it was closed.
    let sockets = sockets(pid);
    Ok(links
        .into_iter()
        .map(|(fd, target)| {
            let kind = kind_of(&target, &sockets);
            Descriptor { fd, target, kind }
        })
        .collect())
}

/// Where its descriptors lead.
fn links(pid: Pid) -> io::Result<BTreeMap<i32, String>> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that was closed since the folder was read.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        links.insert(fd, target.to_string_lossy().into_owned());
    }
    Ok(links)
}

fn kind_of(target: &str, sockets: &HashMap<u64, String>) -> String {
    match target.split_once(":[") {
        Some(("socket", inode)) => inode
            .trim_end_matches(']')
            .parse()
            .ok()
            .and_then(|inode: u64| sockets.get(&inode).cloned())
            .unwrap_or_else(|| "socket".to_owned()),
        Some((kind @ ("pipe" | "net"), _)) => kind.to_owned(),
        _ => target.to_owned(),
    }
}

/// The sockets of a process's network namespace, by inode.
fn sockets(pid: Pid) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let net = Path::new("/proc").join(pid.to_string()).join("net");
    for family in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(net.join(family)).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| parse_inet(family, line)));
    }
    let text = fs::read_to_string(net.join("unix")).unwrap_or_default();
    found.extend(text.lines().skip(1).filter_map(parse_unix));
    found
}

fn parse_inet(family: &str, line: &str) -> Option<(u64, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let inode = words.get(9)?.parse().ok()?;
    let (addr, port) = words.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let addr = match addr.len() {
        8 => {
            // The kernel prints the four bytes as one number of the machine's byte order.
            let bytes = u32::from_str_radix(addr, 16).ok()?.to_ne_bytes();
            std::net::Ipv4Addr::from(bytes).to_string()
        }
        _ => addr.to_owned(),
    };
    let kind = match (family, *words.get(3)?) {
        ("tcp" | "tcp6", "0A") => format!("{family} listen {addr}:{port}"),
        ("tcp" | "tcp6", _) => format!("{family} connection"),
        _ => format!("{family} {addr}:{port}"),
    };
    Some((inode, kind))
}

fn parse_unix(line: &str) -> Option<(u64, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let inode = words.get(6)?.parse().ok()?;
    let kind = match *words.get(4)? {
        "0001" => "stream",
        "0002" => "dgram",
        _ => "seqpacket",
    };
    // Bit 16 is __SO_ACCEPTCON: it listens.
    let listens = u32::from_str_radix(words.get(3)?, 16).ok()? & 0x10000 != 0;
    let text = match (listens, words.get(7)) {
        (true, Some(path)) => format!("unix listen {path}"),
        (true, None) => "unix listen".to_owned(),
        (false, Some(path)) => format!("unix {kind} {path}"),
        (false, None) => format!("unix {kind}"),
    };
    Some((inode, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process;

    fn own_kind(fd: i32) -> String {
        let all = descriptors(process::id() as Pid).unwrap();
        all.into_iter().find(|descriptor| descriptor.fd == fd).unwrap().kind
    }

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let text = "12 (a) S (b)) S 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (12, "a) S (b)", 'S'));
        assert_eq!((stat.parent, stat.group, stat.session, stat.started), (1, 2, 3, 777));
    }

    #[test]
    fn sockets_have_a_kind() {
        let dir = crate::TempDir::new();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = dir.path().join("s");
        let unix = UnixListener::bind(&path).unwrap();
        let (one, _two) = UnixStream::pair().unwrap();
        let addr = tcp.local_addr().unwrap();
        assert_eq!(own_kind(tcp.as_raw_fd()), format!("tcp listen {addr}"));
        assert!(listens(process::id() as Pid));
        assert_eq!(own_kind(unix.as_raw_fd()), format!("unix listen {}", path.display()));
        assert_eq!(own_kind(one.as_raw_fd()), "unix stream");
    }

    #[test]
    fn sees_itself() {
        let own = process::id() as Pid;
        assert!(alive(own));
        assert_eq!(cmdline(own).unwrap(), std::env::args().collect::<Vec<_>>());
        assert!(nofile(own).unwrap().0 > 0);
        assert_eq!(strings(b""), Vec::<String>::new());
        assert_eq!(strings(b"a\0\0b\0"), ["a", "", "b"]);
    }
}

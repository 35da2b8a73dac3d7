//! A process, as `/proc` shows it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A process that is not taken for another one that gets its PID later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    /// In clock ticks since boot. An exec leaves it.
    started: u64,
}

impl Process {
    /// The process that has this PID now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started = running_since(&stat).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, started })
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn lives(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// Its arguments, the program's name first.
    pub fn arguments(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(split(&fs::read(self.file("cmdline"))?))
    }

    /// The environment of its last exec.
    pub fn environment(&self) -> io::Result<Vec<(OsString, OsString)>> {
        let pairs = split(&fs::read(self.file("environ"))?).into_iter().filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = pair.split_at_checked(equals)?;
            let value = value.get(1..)?.to_vec();
            Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value)))
        });
        Ok(pairs.collect())
    }

    pub fn folder(&self) -> io::Result<PathBuf> {
        fs::read_link(self.file("cwd"))
    }

    pub fn program(&self) -> PathBuf {
        self.file("exe")
    }

    /// Its PID as it sees it itself, in a PID namespace of its own.
    pub fn own_pid(&self) -> i32 {
        let status = fs::read_to_string(self.file("status")).unwrap_or_default();
        inner_pid(&status).unwrap_or(self.pid)
    }
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// When the process of a `/proc/PID/stat` was started; none when it is dead.
fn running_since(stat: &str) -> Option<u64> {
    // The name may hold anything, brackets and blanks too.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

fn inner_pid(status: &str) -> Option<i32> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().next_back()?.parse().ok()
}

/// The address after `-S`.
pub fn cli_of(arguments: &[Vec<u8>]) -> Option<String> {
    let options = arguments.iter().skip(1).take_while(|argument| *argument != b"--");
    let mut after = options.skip_while(|argument| *argument != b"-S").skip(1);
    Some(String::from_utf8_lossy(after.next()?).into_owned())
}

/// Whether this is executable, at least for somebody.
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_one() {
        let pid = i32::try_from(std::process::id()).expect("a PID");
        let me = Process::of(pid).expect("this process");
        assert!(me.lives());
        assert_eq!(me.pid(), pid);
        assert!(!me.arguments().expect("arguments").is_empty());
        assert!(!Process { started: me.started - 1, ..me }.lives());
    }

    #[test]
    fn stat() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 999 99";
        assert_eq!(running_since(&format!("12 (a) S) S {rest}")), Some(4711));
        assert_eq!(running_since(&format!("12 (a) Z {rest}")), None);
        assert_eq!(running_since("12 (a"), None);
    }

    #[test]
    fn namespaces() {
        assert_eq!(inner_pid("Name:\tx\nNSpid:\t100\t1\n"), Some(1));
        assert_eq!(inner_pid("Name:\tx\n"), None);
    }

    #[test]
    fn the_address_of_the_cli() {
        let cli = |line: &str| {
            cli_of(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(
            cli("haproxy -sf 1 2 -x sockpair@3 -Ws -S /m,level,admin -f x"),
            Some("/m,level,admin".into())
        );
        assert_eq!(cli("haproxy -W -f x"), None);
        assert_eq!(cli("haproxy -W -S"), None);
        assert_eq!(cli("haproxy -W -- -S x"), None);
    }
}

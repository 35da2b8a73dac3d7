//! The binaries, and the one path that the master was started by.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Whose master-worker code is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Stock,
    Ours,
}

/// Which of the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Age {
    Old,
    New,
}

/// Major and minor number.
pub type Branch = (u32, u32);

/// A HAProxy.
#[derive(Debug)]
pub struct Binary {
    pub kind: Kind,
    /// As `show proc` has it.
    pub version: String,
    pub branch: Branch,
    path: PathBuf,
}

impl Binary {
    /// The binary of that age and kind.
    pub fn of(age: Age, kind: Kind) -> &'static Binary {
        static ALL: [OnceLock<Binary>; 4] = [const { OnceLock::new() }; 4];
        let (at, variable) = match (age, kind) {
            (Age::Old, Kind::Stock) => (0, "MWORKER_HAPROXY_OLD_STOCK"),
            (Age::Old, Kind::Ours) => (1, "MWORKER_HAPROXY_OLD_OURS"),
            (Age::New, Kind::Stock) => (2, "MWORKER_HAPROXY_NEW_STOCK"),
            (Age::New, Kind::Ours) => (3, "MWORKER_HAPROXY_NEW_OURS"),
        };
        ALL[at].get_or_init(|| Binary::named_by(variable, kind))
    }

    fn named_by(variable: &str, kind: Kind) -> Binary {
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            panic!(
                "{variable} is not set: run `make test T=migration`, which builds it and sets it"
            );
        };
        let output = Command::new(&path).arg("-vv").output();
        let output = output.unwrap_or_else(|err| panic!("{variable}: {}: {err}", path.display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let has_ours = text.contains("USE_RUST_MWORKER=");
        assert_eq!(has_ours, kind == Kind::Ours, "{variable}: {} is another kind", path.display());
        let version = text.split_whitespace().nth(2).expect("a version in -vv").to_owned();
        let mut numbers =
            version.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
        let branch = numbers.next().zip(numbers.next());
        let branch = branch.unwrap_or_else(|| panic!("odd version {version:?}"));
        Binary { kind, version, branch, path }
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        format!("{} {}", if self.kind == Kind::Ours { "ours" } else { "stock" }, self.version)
    }

    /// Whether it is of that version, or a later one.
    pub fn since(&self, major: u32, minor: u32) -> bool {
        self.branch >= (major, minor)
    }
}

/// A path that leads to one binary, and then to another.
#[derive(Debug)]
pub struct Installed {
    folder: PathBuf,
    path: PathBuf,
}

impl Installed {
    pub fn new(folder: &Path) -> Installed {
        Installed { folder: folder.to_owned(), path: folder.join("haproxy") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces it as a package manager does: a new file gets the name.
    pub fn put(&self, binary: &Binary) {
        let copy = self.folder.join(format!("haproxy-{}", binary.name().replace(' ', "-")));
        if !copy.exists() {
            // Not copied by this process: while one of its threads forks, the child would have
            // the file open for writing, and nobody could execute it.
            let status = Command::new("cp").arg(&binary.path).arg(&copy).status();
            assert!(status.is_ok_and(|status| status.success()), "cp {}", binary.path.display());
        }
        let new = self.folder.join("haproxy.new");
        // Left where old and new were the same file.
        let _ = fs::remove_file(&new);
        fs::hard_link(&copy, &new).expect("a link to the binary");
        fs::rename(&new, &self.path).expect("the new binary in its place");
    }

    /// Puts a file of `bytes` and `mode` there.
    pub fn put_bytes(&self, bytes: &[u8], mode: &str) {
        let (source, new) = (self.folder.join("bytes"), self.folder.join("haproxy.new"));
        fs::write(&source, bytes).expect("a new file");
        let _ = fs::remove_file(&new);
        // By another process, as above.
        let status = Command::new("install").args(["-m", mode]).args([&source, &new]).status();
        assert!(status.is_ok_and(|status| status.success()), "install {}", new.display());
        fs::rename(&new, &self.path).expect("the new file in its place");
    }

    /// The first bytes of a binary.
    pub fn head(binary: &Binary, length: usize) -> Vec<u8> {
        let mut bytes = fs::read(&binary.path).expect("the binary can be read");
        bytes.truncate(length);
        bytes
    }

    /// Takes it away.
    pub fn remove(&self) {
        fs::remove_file(&self.path).expect("the binary was there");
    }

    /// Whether a process runs what the path leads to now.
    pub fn is_run_by(&self, pid: mworker_kit::Pid) -> bool {
        let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let runs = identity(Path::new(&format!("/proc/{pid}/exe")));
        runs.is_some() && runs == identity(&self.path)
    }
}

//! Debian archives that a test makes and signs, to be read by `file:` URIs.

use mworker_kit::TempDir;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mirrors in a folder, and the key that signs their indexes.
pub struct Archive {
    folder: TempDir,
}

impl Archive {
    pub fn new() -> Archive {
        let archive = Archive { folder: TempDir::new() };
        archive.make_key("keys", "keyring.gpg");
        archive
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URI of a mirror.
    pub fn uri(&self, mirror: &str) -> String {
        format!("file:{}", self.path(mirror).display())
    }

    /// A suite of a mirror, with nothing in it.
    pub fn suite(&self, mirror: &str, name: &'static str) -> Suite<'_> {
        let suite = Suite { archive: self, mirror: self.path(mirror), name };
        fs::create_dir_all(suite.pool()).expect("a folder");
        suite
    }

    /// Replaces the key, with which later indexes are signed. The keyring keeps the former one.
    pub fn sign_with_another_key(&self) {
        self.stop_agent();
        fs::remove_dir_all(self.path("keys")).expect("removed");
        self.make_key("keys", "another.gpg");
    }

    fn make_key(&self, home: &str, keyring: &str) {
        let home = self.path(home);
        fs::create_dir(&home).expect("a folder");
        fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).expect("set");
        let name = ["--quick-generate-key", "archive@example.invalid", "ed25519", "sign", "never"];
        run(self.gpg().args(["--passphrase", ""]).args(name));
        run(self.gpg().args(["--export", "--output"]).arg(self.path(keyring)));
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--homedir"]);
        gpg.arg(self.path("keys"));
        gpg
    }

    fn stop_agent(&self) {
        let mut gpgconf = Command::new("gpgconf");
        let _ = gpgconf.arg("--homedir").arg(self.path("keys")).args(["--kill", "all"]).status();
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stop_agent();
    }
}

/// A suite of one mirror, with a pool of its own.
pub struct Suite<'a> {
    archive: &'a Archive,
    mirror: PathBuf,
    name: &'static str,
}

impl Suite<'_> {
    /// Adds a source package of haproxy, for example of version 3.0.11-1. Its upstream tarball
    /// holds the file VERSION with the version, and its patch appends a line to that file.
    pub fn add(&self, version: &str) {
        let upstream = version.split('-').next().expect("a version");
        let folder = TempDir::new();
        let tree = folder.path().join(format!("haproxy-{upstream}"));
        write(&tree.join("VERSION"), &format!("{upstream}\n"));
        let tarball = format!("haproxy_{upstream}.orig.tar.gz");
        let mut tar = Command::new("tar");
        tar.args(["-czf", &tarball, &format!("haproxy-{upstream}")]);
        run(tar.current_dir(folder.path()));
        for (name, text) in debian(upstream, version) {
            write(&tree.join("debian").join(name), &text);
        }
        run(Command::new("dpkg-source").arg("-b").arg(&tree).current_dir(folder.path()));
        for entry in fs::read_dir(folder.path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, self.pool().join(path.file_name().expect("a name")))
                    .expect("copied");
            }
        }
    }

    /// Writes and signs the index of what is in the pool.
    pub fn publish(&self) {
        self.publish_until(None);
    }

    /// Like [`Suite::publish`], with a date after which the index is void, as date(1) takes it.
    pub fn publish_until(&self, valid_until: Option<&str>) {
        let mut scan = Command::new("dpkg-scansources");
        let sources = run(scan.arg(self.pool_name()).current_dir(&self.mirror));
        let index = "main/source/Sources";
        write(&self.path(index), &sources);
        let sum = run(Command::new("sha256sum").arg(self.path(index)));
        let sum = sum.split(' ').next().expect("a sum");
        let mut release = format!(
            "Suite: {0}\nCodename: {0}\nComponents: main\nDate: {1}\n",
            self.name,
            date("10 days ago")
        );
        if let Some(until) = valid_until {
            release += &format!("Valid-Until: {}\n", date(until));
        }
        release += &format!("SHA256:\n {sum} {} {index}\n", sources.len());
        write(&self.path("Release"), &release);
        let mut sign = self.archive.gpg();
        sign.args(["--clearsign", "--output"]).arg(self.path("InRelease"));
        run(sign.arg(self.path("Release")));
        fs::remove_file(self.path("Release")).expect("removed");
    }

    /// A file beside the suite's index.
    pub fn path(&self, name: &str) -> PathBuf {
        self.mirror.join("dists").join(self.name).join(name)
    }

    /// Removes the files with this end of their name from the pool.
    pub fn remove(&self, end: &str) {
        for path in self.files(end) {
            fs::remove_file(path).expect("removed");
        }
    }

    /// Replaces these files by others that can be unpacked too, and have the same size.
    pub fn forge(&self, end: &str) {
        for path in self.files(end) {
            let mut bytes = fs::read(&path).expect("read");
            // The time in the header of gzip: it has no checksum there.
            assert_eq!(bytes[..2], [0x1f, 0x8b], "{} is of gzip", path.display());
            bytes[4] ^= 1;
            fs::write(path, bytes).expect("written");
        }
    }

    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.pool()).expect("the pool");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let found: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
        assert!(!found.is_empty(), "{end} is in the pool");
        found
    }

    fn pool_name(&self) -> String {
        format!("pool/{}/h/haproxy", self.name)
    }

    fn pool(&self) -> PathBuf {
        self.mirror.join(self.pool_name())
    }
}

/// The files below debian/, by name.
fn debian(upstream: &str, version: &str) -> [(&'static str, String); 5] {
    let person = "Nobody <nobody@example.invalid>";
    [
        (
            "control",
            format!(
                "Source: haproxy\nMaintainer: {person}\nStandards-Version: 4.6.2\n\n\
                 Package: haproxy\nArchitecture: any\nDescription: for a test\n"
            ),
        ),
        (
            "changelog",
            format!(
                "haproxy ({version}) unstable; urgency=low\n\n  * A version.\n\n \
                 -- {person}  Mon, 02 Jun 2025 12:00:00 +0000\n"
            ),
        ),
        ("source/format", "3.0 (quilt)\n".to_owned()),
        ("patches/series", "version\n".to_owned()),
        (
            "patches/version",
            format!("--- a/VERSION\n+++ b/VERSION\n@@ -1 +1,2 @@\n {upstream}\n+patched\n"),
        ),
    ]
}

fn date(when: &str) -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", when, "+%a, %d %b %Y %H:%M:%S UTC"]);
    run(&mut date).trim_end().to_owned()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

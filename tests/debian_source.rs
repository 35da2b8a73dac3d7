//! `contrib/haproxy/debian-source` against archives that the tests make and sign: a run ends with
//! the right tree, or with one line of error and no tree.

#[path = "debian_source/archive.rs"]
mod archive;

use archive::{Archive, Suite};
use mworker_kit::{PATIENCE, Signal, need, wait_for};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The folder to unpack to, in the archive's.
const FOLDER: &str = "to/source";
/// The programs that make and read an archive.
const PROGRAMS: [&str; 6] =
    ["apt-get", "dpkg-source", "dpkg-scansources", "gpg", "gpg-agent", "gpgconf"];

/// An archive with one mirror, "mirror".
fn archive() -> Option<Archive> {
    need::programs(&PROGRAMS, "debian_source").then(Archive::new)
}

/// A run of the script, and the folder that it was to create.
struct Run {
    output: Output,
    folder: PathBuf,
}

/// Runs the script for trixie with these mirrors.
fn run(archive: &Archive, mirrors: &[&str]) -> Run {
    let uris: Vec<String> = mirrors.iter().map(|name| archive.uri(name)).collect();
    let output = script(archive, &uris.join(" ")).output().expect("the script");
    Run { output, folder: archive.path(FOLDER) }
}

/// The script with the URIs of mirrors.
fn script(archive: &Archive, uris: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/haproxy/debian-source");
    let mut command = Command::new(script);
    command.arg("trixie").arg(archive.path(FOLDER)).stdin(Stdio::null());
    command.env("DEBIAN_MIRRORS", uris).env("DEBIAN_KEYRING", archive.path("keyring.gpg"));
    command
}

impl Run {
    fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The script reported `what`, and nothing else is beside the folder.
    #[track_caller]
    fn unpacked(&self, what: &str) {
        assert!(self.output.status.success(), "{}", self.err());
        assert_eq!(self.err(), "");
        let out = String::from_utf8_lossy(&self.output.stdout);
        let report = format!("{} holds haproxy {what}", self.folder.display());
        assert_eq!(out.lines().last(), Some(&*format!("debian-source: {report}")));
        let version = &what[..what.find(['-', ',']).expect("a version")];
        let patched = if what.contains("with Debian's") { "patched\n" } else { "" };
        assert_eq!(self.read("VERSION"), format!("{version}\n{patched}"));
        assert_eq!(self.read(".debian-source"), format!("trixie {what}\n"));
        assert_eq!(self.beside(), ["source"]);
    }

    /// The script ended with one line, in which all of `reasons` are, and left nothing.
    #[track_caller]
    fn refused(&self, reasons: &[&str]) {
        assert_eq!(self.output.status.code(), Some(1));
        let err = self.err();
        assert_eq!(err.lines().count(), 1, "{err}");
        for part in ["debian-source: no haproxy of 'trixie'", "DEBIAN_MIRRORS", "HAPROXY_SRC"] {
            assert!(err.contains(part), "{part} is not in {err}");
        }
        for reason in reasons {
            assert!(err.contains(reason), "{reason} is not in {err}");
        }
        assert_eq!(self.beside(), [""; 0]);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect(name)
    }

    fn beside(&self) -> Vec<String> {
        entries(self.folder.parent().expect("a folder"))
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("entries");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// A suite with one version.
fn suite<'a>(archive: &'a Archive, name: &'static str, version: &str) -> Suite<'a> {
    let suite = archive.suite("mirror", name);
    suite.add(version);
    suite.publish();
    suite
}

#[test]
fn a_complete_package_is_unpacked_with_its_patches() {
    let Some(archive) = archive() else { return };
    suite(&archive, "trixie", "3.0.11-1+deb13u4");
    run(&archive, &["mirror"]).unpacked("3.0.11-1+deb13u4, with Debian's patches");

    // It is left as it is, even without a mirror.
    let again = run(&archive, &["none"]);
    assert!(again.output.status.success(), "{}", again.err());
    assert_eq!(again.read("VERSION"), "3.0.11\npatched\n");
}

#[test]
fn the_newest_complete_package_comes_first() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.9-1");
    trixie.add("3.0.11-1");
    trixie.add("3.0.12-1");
    trixie.publish();
    trixie.remove("12-1.dsc");
    run(&archive, &["mirror"]).unpacked("3.0.11-1, with Debian's patches");
}

#[test]
fn the_upstream_tarball_is_taken_without_the_dsc() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1+deb13u4");
    suite(&archive, "trixie-security", "3.0.11-1+deb13u5");
    trixie.remove(".dsc");
    run(&archive, &["mirror"]).unpacked("3.0.11, without Debian's patches");
}

#[test]
fn the_same_branch_is_taken_from_another_suite() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    trixie.remove(".orig.tar.gz");
    suite(&archive, "trixie-updates", "3.2.1-1");
    suite(&archive, "oldstable-backports", "3.0.8-1~bpo12+1");
    suite(&archive, "unstable", "3.2.2-1");
    run(&archive, &["mirror"])
        .unpacked("3.0.8-1~bpo12+1, with Debian's patches, from oldstable-backports");
}

#[test]
fn the_upstream_tarball_is_taken_from_another_suite() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    trixie.remove(".orig.tar.gz");
    suite(&archive, "trixie-security", "3.0.12-1").remove(".dsc");
    run(&archive, &["mirror"]).unpacked("3.0.12, without Debian's patches, from trixie-security");
}

#[test]
fn another_mirror_is_used() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    trixie.remove(".orig.tar.gz");
    let other = archive.suite("other", "trixie");
    other.add("3.0.10-1");
    other.publish();
    run(&archive, &["absent", "mirror", "other"]).unpacked("3.0.10-1, with Debian's patches");
}

#[test]
fn nothing_on_the_mirror_is_an_error() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1+deb13u4");
    suite(&archive, "trixie-updates", "3.2.1-1");
    for end in [".dsc", ".orig.tar.gz", ".debian.tar.xz"] {
        trixie.remove(end);
    }
    run(&archive, &["mirror"]).refused(&[
        &archive.uri("mirror"),
        "not on the mirror: haproxy_3.0.11-1+deb13u4.dsc, haproxy_3.0.11.orig.tar.gz;",
        "no such suite: trixie-security, ",
        "another branch: haproxy 3.2.1-1",
    ]);
    run(&archive, &["absent"]).refused(&["trixie", "trixie-security"]);
}

#[test]
fn a_suite_without_haproxy_is_an_error() {
    let Some(archive) = archive() else { return };
    archive.suite("mirror", "trixie").publish();
    run(&archive, &["mirror"]).refused(&["no haproxy: trixie"]);
}

#[test]
fn a_wrong_checksum_is_never_unpacked() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    trixie.forge(".orig.tar.gz");
    run(&archive, &["mirror"]).refused(&["wrong checksum: haproxy_3.0.11.orig.tar.gz"]);
    suite(&archive, "trixie-security", "3.0.12-1");
    run(&archive, &["mirror"]).unpacked("3.0.12-1, with Debian's patches, from trixie-security");
}

#[test]
fn an_index_with_a_wrong_checksum_is_refused() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    replace(&trixie.path("main/source/Sources"), "3.0.11-1", "3.0.11-2");
    run(&archive, &["mirror"]).refused(&["index with a wrong checksum: trixie"]);
}

#[test]
fn a_broken_signature_is_refused() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    replace(&trixie.path("InRelease"), "Components: main", "Components: main more");
    run(&archive, &["mirror"]).refused(&["no valid signature: trixie"]);
}

#[test]
fn no_signature_is_refused() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    let signed = fs::read_to_string(trixie.path("InRelease")).expect("read");
    let text = signed.split("\n\n").nth(1).expect("the text");
    let text = &text[..text.find("-----BEGIN").expect("a signature")];
    fs::remove_file(trixie.path("InRelease")).expect("removed");
    fs::write(trixie.path("Release"), text).expect("written");
    run(&archive, &["mirror"]).refused(&["no valid signature: trixie"]);
}

#[test]
fn a_key_that_is_not_in_the_keyring_is_refused() {
    let Some(archive) = archive() else { return };
    archive.sign_with_another_key();
    suite(&archive, "trixie", "3.0.11-1");
    let keyring = archive.path("keyring.gpg");
    run(&archive, &["mirror"])
        .refused(&[&format!("signed with a key that is not in {}: trixie", keyring.display())]);
}

#[test]
fn an_expired_index_is_refused() {
    let Some(archive) = archive() else { return };
    let trixie = suite(&archive, "trixie", "3.0.11-1");
    trixie.publish_until(Some("2 days ago"));
    run(&archive, &["mirror"]).refused(&["expired index: trixie"]);
    trixie.publish_until(Some("2 days"));
    run(&archive, &["mirror"]).unpacked("3.0.11-1, with Debian's patches");
}

#[test]
fn a_folder_that_the_script_did_not_make_is_left_alone() {
    let Some(archive) = archive() else { return };
    suite(&archive, "trixie", "3.0.11-1");
    fs::create_dir_all(archive.path(FOLDER)).expect("made");
    fs::write(archive.path("to/source/mine"), "mine").expect("written");
    let run = run(&archive, &["mirror"]);
    assert_eq!(run.output.status.code(), Some(1));
    assert!(run.err().contains("was not unpacked by this script"), "{}", run.err());
    assert_eq!(run.read("mine"), "mine");
    assert_eq!(run.beside(), ["source"]);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let Some(archive) = archive() else { return };
    // A mirror that never answers, and that no proxy of this machine stands before.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    silent.set_nonblocking(true).expect("set");
    let uri = format!("http://{}/debian", silent.local_addr().expect("its address"));
    let direct = archive.path("direct.conf");
    fs::write(&direct, "Acquire::http::Proxy::127.0.0.1 \"DIRECT\";\n").expect("written");
    let mut script = script(&archive, &uri);
    script.env("APT_CONFIG", direct).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = script.spawn().expect("the script");
    let asked = wait_for(PATIENCE, "apt to connect", || silent.accept().ok());

    Signal::TERM.send(i32::try_from(child.id()).expect("a number"));
    // The shell acts on the signal when apt has ended, and apt finds nobody to try again.
    drop((silent, asked));
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(1));
    // It did not go on to the end of its search.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(entries(archive.path(FOLDER).parent().expect("a folder")), [""; 0]);
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("read");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

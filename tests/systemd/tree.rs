//! What the booted machine has over the tree that it is booted from.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{inside, support};

/// A program's path from the environment.
fn binary(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    match path {
        Some(path) if path.is_absolute() && path.is_file() => path,
        other => panic!(
            "{variable} is {other:?}, not the absolute path of a program; `make test T=systemd` \
             builds it and runs these tests"
        ),
    }
}

fn install(from: &Path, to: PathBuf, mode: u32) {
    fs::create_dir_all(to.parent().expect("a path in the tree")).expect("a folder");
    fs::copy(from, &to).unwrap_or_else(|err| panic!("cannot install {}: {err}", from.display()));
    fs::set_permissions(&to, PermissionsExt::from_mode(mode)).expect("set");
}

/// A certificate with its key, in one file.
fn certificate(path: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
    openssl.args(["-subj", "/CN=localhost", "-keyout", "-", "-out", "-"]);
    fs::write(path, support::run(&mut openssl)).expect("written");
}

/// Fills a folder: what `make install` installs, the proxies, and this program with its units.
/// `wanted` goes to the scenarios.
pub fn fill(tree: &Path, wanted: &str) {
    let mut make = support::make();
    make.args(["install", "USE_SYSTEMD=1", "PREFIX=/usr"]);
    support::run(make.arg(format!("DESTDIR={}", tree.display())));
    let sbin = tree.join("usr/sbin");
    install(&binary("MWORKER_HAPROXY_OURS"), sbin.join("haproxy"), 0o755);
    install(&binary("MWORKER_EXAMPLE_PROXY"), sbin.join("mworker-proxy"), 0o755);
    let own = tree.join("usr/lib/mworker-tests");
    install(&binary("MWORKER_HAPROXY_STOCK"), own.join("haproxy-stock"), 0o755);
    let this = std::env::current_exe().expect("this program's path");
    install(&this, own.join("scenarios"), 0o755);
    let environment = format!("{}={wanted}\nRUST_BACKTRACE=0\n", inside::VARIABLE);
    fs::write(own.join("environment"), environment).expect("written");
    fs::write(own.join("sysusers.conf"), "u haproxy - HAProxy /var/lib/haproxy\n")
        .expect("written");
    certificate(&own.join("certificate.pem"));
    let units = support::root().join("tests/systemd/files");
    for entry in fs::read_dir(units).expect("the units") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_else(|| OsStr::new("unit"));
        install(&path, tree.join("usr/lib/systemd/system").join(name), 0o644);
    }
}

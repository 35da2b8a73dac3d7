//! `make install`, and what is installed: it can be linked with, and systemd takes the unit.

#[path = "c/support.rs"]
mod support;

use mworker_kit::{TempDir, need};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Everything below a folder that isn't one, by its path in it.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below");
                found.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// One at a time: what is made on the way, for this PREFIX, is in a folder that all share.
fn make(target: &str, to: &Path, variables: &[&str]) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut make = support::make();
    make.arg(target).arg(format!("DESTDIR={}", to.display())).args(variables);
    support::run(&mut make);
}

/// The files of contrib/haproxy that build HAProxy, by their path in it.
fn for_packagers() -> BTreeSet<String> {
    let all = files(&support::root().join("contrib/haproxy"));
    all.into_iter().filter(|name| name != "debian-source" && !name.contains("/.")).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

/// Files of contrib/haproxy are installed for everybody to read, and scripts to execute.
fn check_modes(shared: &Path) {
    let contrib = support::root().join("contrib/haproxy");
    let mut scripts = 0;
    for name in for_packagers() {
        let is_script = mode(&contrib.join(&name)) & 0o100 != 0;
        scripts += usize::from(is_script);
        let due = if is_script { 0o755 } else { 0o644 };
        assert_eq!(mode(&shared.join(&name)), due, "{name}");
    }
    assert!(scripts > 0, "no script in contrib/haproxy");
}

fn expected(prefix: &str, unit: bool) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = [
        "lib/libmworker.a",
        "lib/pkgconfig/mworker.pc",
        "include/mworker.h",
        "bin/mworkerctl",
        "share/man/man8/mworkerctl.8",
    ]
    .iter()
    .map(|name| format!("{prefix}/{name}"))
    .collect();
    all.extend(for_packagers().iter().map(|name| format!("{prefix}/share/mworker/haproxy/{name}")));
    if unit {
        all.insert(format!("{prefix}/lib/systemd/system/haproxy.service"));
        all.insert(format!("{prefix}/share/mworker/systemd/notify-reload.conf"));
    }
    all
}

#[test]
fn everything_is_installed_and_uninstalled() {
    for (variables, prefix, unit) in [
        (&["USE_SYSTEMD=1"][..], "usr/local", true),
        (&["USE_SYSTEMD=1", "PREFIX=/usr"], "usr", true),
        (&["PREFIX=/opt/mworker"], "opt/mworker", false),
        (&["PREFIX=/opt/mworker", "USE_SYSTEMD=0"], "opt/mworker", false),
    ] {
        let root = TempDir::new();
        make("install", root.path(), variables);
        assert_eq!(files(root.path()), expected(prefix, unit), "{variables:?}");
        let installed = root.path().join(prefix);
        assert_eq!(mode(&installed.join("include/mworker.h")), 0o644);
        assert_eq!(mode(&installed.join("bin/mworkerctl")), 0o755);
        check_modes(&installed.join("share/mworker/haproxy"));
        make("uninstall", root.path(), variables);
        assert_eq!(files(root.path()), BTreeSet::new(), "{variables:?}");
    }
}

#[test]
fn pkg_config_finds_what_links() {
    if !need::programs(&["pkg-config", "g++"], "install") {
        return;
    }
    let root = TempDir::new();
    let prefix = root.path().join("prefix");
    make("install", Path::new(""), &["USE_SYSTEMD=1", &format!("PREFIX={}", prefix.display())]);
    let pkg_config = |arguments: &[&str]| -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(arguments).arg("mworker");
        support::run(&mut command).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let share = prefix.join("share/mworker/haproxy").display().to_string();
    assert_eq!(pkg_config(&["--variable=haproxydir"]), [share]);
    let mut flags = pkg_config(&["--static", "--cflags", "--libs"]);
    assert!(flags.contains(&"-lmworker".to_owned()), "{flags:?}");
    for native in support::library(support::Flavour::Systemd).native {
        // pkg-config may leave out the C library, but not what is not in it.
        assert!(flags.contains(&native), "{native} is not in {flags:?}");
    }
    flags.sort_by_key(|flag| flag.starts_with("-l"));
    let program = root.path().join("program");
    let source = support::root().join("tests/c/cpp.cc");
    support::run(Command::new("g++").arg(source).arg("-o").arg(&program).args(&flags));
    support::run(&mut Command::new(&program));
}

/// A unit for a haproxy and a mworkerctl in `bin`, made by contrib/systemd's own Makefile.
fn unit(root: &Path, bin: &Path) -> PathBuf {
    let unit = root.join("haproxy.service");
    let mut make = support::make();
    make.args(["-C", "contrib/systemd"]);
    make.arg(format!("SERVICE={}", unit.display()))
        .args(["SBINDIR", "BINDIR"].map(|name| format!("{name}={}", bin.display())));
    support::run(&mut make);
    unit
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    if !need::programs(&["systemd-analyze"], "install") {
        return;
    }
    let root = TempDir::new();
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    let programs = ["haproxy", "mworkerctl"].map(|name| bin.join(name));
    for program in &programs {
        std::fs::write(program, "#!/bin/sh\n").expect("written");
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("set");
    }
    let unit = unit(root.path(), &bin);
    let verify = |path: &Path| {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(path)
            .output()
            .expect("systemd-analyze");
        // What it ignores is no failure to it, but said.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    assert_eq!(verify(&unit), (true, String::new()));

    // And it does look.
    let text = std::fs::read_to_string(&unit).expect("the unit");
    std::fs::write(&unit, text.replace("KillMode=", "KillMood=")).expect("written");
    let (_, said) = verify(&unit);
    assert!(said.contains("KillMood"), "{said}");
    for (program, name) in programs.iter().zip(["haproxy", "mworkerctl"]) {
        std::fs::remove_file(program).expect("removed");
        let (_, said) = verify(&unit);
        assert!(said.contains(&format!("{name} is not executable")), "{said}");
        std::fs::write(program, "#!/bin/sh\n").expect("written");
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("set");
    }
}

#[test]
fn the_unit_says_what_it_has_to() {
    let root = TempDir::new();
    let text = std::fs::read_to_string(unit(root.path(), Path::new("/usr/sbin"))).expect("a unit");
    let values = |key: &str| -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    assert!(!text.contains("BINDIR@"), "{text}");
    assert_eq!(values("Type"), ["notify"]);
    assert_eq!(values("KillMode"), ["mixed"]);
    assert_eq!(values("Restart"), ["always"]);
    assert_eq!(values("SuccessExitStatus"), ["143 SIGTERM"]);
    let start = values("ExecStart");
    assert_eq!(start.len(), 1);
    assert!(start[0].starts_with("/usr/sbin/haproxy -Ws "), "{start:?}");
    // It reports its result, and is the only one.
    assert_eq!(values("ExecReload"), ["/usr/sbin/mworkerctl --pid $MAINPID reload"]);
    // A folder that isn't there is no reason not to start.
    assert!(!text.contains("conf.d"));
}

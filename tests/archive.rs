//! What is in libmworker.a, with and without USE_SYSTEMD.

#[path = "c/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::{Flavour, declared_functions, library};

const BOTH: [Flavour; 2] = [Flavour::Plain, Flavour::Systemd];

/// How often `text` stands in the archive.
fn count(flavour: Flavour, text: &str) -> usize {
    let mut grep = Command::new("grep");
    grep.args(["--only-matching", "--fixed-strings", "--text", "--", text]);
    let output = grep.arg(library(flavour).archive).env("LC_ALL", "C").output().expect("grep");
    // 1 is none.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

/// What the archive defines for others: type and name.
fn symbols(flavour: Flavour) -> Vec<(String, String)> {
    let archive = library(flavour).archive;
    let list = support::run(Command::new("nm").args(["-g", "--defined-only", "-P"]).arg(archive));
    let parts = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let kind = words.next().filter(|kind| kind.len() == 1)?;
        Some((kind.to_owned(), name.to_owned()))
    });
    parts.collect()
}

#[test]
fn without_systemd_nothing_of_it_is_there() {
    // The names of systemd's variables are there: workers and programs don't get them.
    let parts =
        ["systemd can't be told", "sd_notify::", "9sd_notify", "MONOTONIC_USEC", "RELOADING=1"];
    for text in parts {
        assert_eq!(count(Flavour::Plain, text), 0, "'{text}' in an archive without USE_SYSTEMD");
    }
}

#[test]
fn with_systemd_it_is() {
    for text in ["NOTIFY_SOCKET", "MONOTONIC_USEC"] {
        assert!(count(Flavour::Systemd, text) > 0, "no '{text}' in an archive with USE_SYSTEMD");
    }
}

#[test]
fn without_systemd_its_use_is_refused_in_words() {
    let words = "mworker was built without it: use -W, or build with USE_SYSTEMD=1";
    assert_eq!(count(Flavour::Plain, words), 1);
    assert_eq!(count(Flavour::Systemd, words), 0);
}

#[test]
fn functions_are_those_of_the_header() {
    let declared = declared_functions();
    for flavour in BOTH {
        let defined: BTreeSet<String> = symbols(flavour)
            .into_iter()
            .filter(|(kind, name)| kind == "T" && name.starts_with("mworker_"))
            .map(|(_, name)| name)
            .collect();
        assert_eq!(
            declared.difference(&defined).collect::<Vec<_>>(),
            [""; 0],
            "declared, but not in the archive {flavour:?}"
        );
        assert_eq!(
            defined.difference(&declared).collect::<Vec<_>>(),
            [""; 0],
            "in the archive {flavour:?}, but not declared"
        );
    }
}

/// A name of C that the proxy may want itself would not link.
#[test]
fn no_other_name_of_c_is_taken() {
    for flavour in BOTH {
        let mut taken: Vec<(String, String)> = symbols(flavour)
            .into_iter()
            // Names of Rust are mangled, those of compilers begin with an underscore.
            .filter(|(_, name)| !name.starts_with("mworker_") && !name.starts_with('_'))
            .filter(|(_, name)| !name.starts_with("rust_") && !name.starts_with("anon."))
            .filter(|(_, name)| !name.starts_with("DW.ref."))
            // Weak ones give way.
            .filter(|(kind, _)| kind != "W" && kind != "V")
            .collect();
        taken.sort();
        taken.dedup();
        assert!(taken.is_empty(), "{flavour:?}: {taken:?}");
    }
}

/// What has to be linked besides is part of the promise: README, mworker.pc and
/// mworker.mk say it.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn what_else_has_to_be_linked_is_known() {
    for flavour in BOTH {
        let native = library(flavour).native;
        assert_eq!(
            native,
            ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"],
            "{flavour:?}"
        );
    }
}

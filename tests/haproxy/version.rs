//! Versions of HAProxy, ranges of them, and the scenarios that stock of some can't go through.

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

/// Major and minor number, and that of the release in the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

pub type Versions = RangeInclusive<Version>;

pub const ALL: Versions = Version(0, 0, 0)..=LAST;
const LAST: Version = Version(9, 9, u32::MAX);

pub const fn since(major: u32, minor: u32) -> Versions {
    Version(major, minor, 0)..=LAST
}

pub const fn until(major: u32, minor: u32) -> Versions {
    Version(0, 0, 0)..=Version(major, minor, u32::MAX)
}

pub const fn between(from: (u32, u32), to: (u32, u32)) -> Versions {
    Version(from.0, from.1, 0)..=Version(to.0, to.1, u32::MAX)
}

/// All releases of earlier branches, and those of this branch up to this one.
pub const fn until_release(major: u32, minor: u32, release: u32) -> Versions {
    Version(0, 0, 0)..=Version(major, minor, release)
}

/// The releases of a branch before this one.
pub const fn before_release(major: u32, minor: u32, release: u32) -> Versions {
    Version(major, minor, 0)..=Version(major, minor, release - 1)
}

/// What the binary calls its version.
pub fn version_text(binary: &Path) -> String {
    let output = Command::new(binary).arg("-v").output().expect("the binary can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).unwrap_or_else(|| panic!("odd -v: {text:?}")).to_owned()
}

/// Its numbers. A development version is the first of its branch.
pub fn version(binary: &Path) -> Version {
    let text = version_text(binary);
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let mut parts = text.split('.').map(digits);
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor), release) => Version(major, minor, release.unwrap_or(0)),
        _ => panic!("odd version: {text:?}"),
    }
}

/// A scenario that stock of some versions can't go through. Ours has to.
pub struct NotCompared {
    pub scenario: &'static str,
    pub versions: Versions,
    /// What stock does instead.
    pub why: &'static str,
}

/// All of them. They are said on stderr as they come up.
pub const NOT_COMPARED: &[NotCompared] = &[
    NotCompared {
        scenario: "malformed_row_of_the_master",
        versions: since(3, 1),
        why: "stock goes on with the row that it has freed, and uses what is in that memory",
    },
    NotCompared {
        scenario: "not_started_anew",
        versions: between((3, 1), (3, 2)),
        why: "stock takes the end of a program that it has told to leave for a failure, and ends",
    },
    NotCompared {
        scenario: "process_table_without_rows",
        versions: between((3, 1), (3, 3)),
        why: "stock's worker ends while it starts, and its master with it",
    },
    NotCompared {
        scenario: "pidfile_impossible",
        versions: between((3, 3), (3, 3)),
        why: "stock leaves its worker behind",
    },
    NotCompared { scenario: "missing_process_table", versions: until(2, 4), why: "stock crashes" },
    NotCompared {
        scenario: "class_master_cli",
        versions: until(2, 4),
        why: "stock crashes at a line for a worker that has gone",
    },
    NotCompared {
        scenario: "as_another_user",
        versions: until(2, 0),
        why: "stock crashes over the options, which it doesn't know",
    },
    NotCompared {
        scenario: "argv_with_files_at_the_end",
        versions: until(2, 1),
        why: "stock puts -sf behind the files, takes it for one of them, and the reload fails",
    },
    NotCompared {
        scenario: "pause_and_resume",
        versions: between((2, 0), (2, 1)),
        why: "stock's master pauses its own listener, and the worker isn't told",
    },
    NotCompared {
        scenario: "malformed_process_table",
        versions: until(2, 4),
        why: "stock crashes without a row of the master",
    },
    NotCompared {
        scenario: "process_table_without_rows",
        versions: until(2, 4),
        why: "stock crashes without a row of the master",
    },
    NotCompared {
        scenario: "address_taken_then_free",
        versions: until(2, 4),
        why: "stock ends: \"Failed to get the sockets from the old process!\"",
    },
    NotCompared {
        scenario: "address_taken_then_free",
        versions: between((2, 8), (2, 8)),
        why: "stock 2.8.0 ends at the refusal: \"Non-recoverable mworker wait-mode error\"",
    },
];

/// Why this scenario isn't compared with this version, if so. Says it, too: past what
/// captures the output of a test that passes.
pub fn not_compared(scenario: &str, version: Version) -> Option<&'static str> {
    let listed = NOT_COMPARED
        .iter()
        .find(|listed| listed.scenario == scenario && listed.versions.contains(&version))?;
    let Version(major, minor, _) = version;
    let text = format!("not compared with {major}.{minor}: {scenario}: {}\n", listed.why);
    let _ = std::io::stderr().write_all(text.as_bytes());
    Some(listed.why)
}

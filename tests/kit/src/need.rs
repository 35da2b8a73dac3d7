//! What a test needs besides cargo and a C compiler. Where that is missing, the test is skipped
//! with one line that names the command to run it by.
//!
//! `make test` skips nothing: it sets [`SKIP_NOTHING`], with which anything missing is a failure.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio, exit};
use std::{env, thread};

/// The variable that turns each skipped test into a failure.
pub const SKIP_NOTHING: &str = "MWORKER_TESTS_SKIP_NOTHING";

/// Returns whether a test can run, `found` being whether its `need` is there. If not, prints that
/// the test is skipped, and that `make test T=suite` runs it; or panics, if nothing may be skipped.
///
/// The tests of a suite that can't run at all use [`needs!`](crate::needs) instead.
#[must_use]
#[track_caller]
pub fn found(found: bool, need: &str, suite: &str) -> bool {
    if !found {
        assert!(!skips_nothing(), "needs {need}");
        let test = thread::current().name().map(|name| format!("{name} ")).unwrap_or_default();
        print_skipped(&test, need, suite);
    }
    found
}

/// Like [`found`], for programs of which it is enough that they are installed.
#[must_use]
#[track_caller]
pub fn programs(names: &[&str], suite: &str) -> bool {
    names
        .iter()
        .all(|name| found(start(Command::new(name).arg("--version")).is_some(), name, suite))
}

/// Returns whether a command can be run and succeeds. Its output is dropped.
pub fn runs(command: &mut Command) -> bool {
    start(command).is_some_and(|status| status.success())
}

fn start(command: &mut Command) -> Option<ExitStatus> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().ok()
}

/// Ends this process if one of these variables isn't set: successfully, unless nothing may be
/// skipped. For [`needs!`](crate::needs).
pub fn variables_or_exit(names: &[&str], need: &str, suite: &str) {
    let Some(missing) = names.iter().find(|name| env::var_os(name).is_none()) else { return };
    if skips_nothing() {
        eprintln!("needs {need}, but {missing} is not set; run: make test T={suite}");
        exit(1);
    }
    print_skipped("", need, suite);
    exit(0);
}

fn skips_nothing() -> bool {
    env::var_os(SKIP_NOTHING).is_some_and(|value| !value.is_empty())
}

/// Past what captures the output of a test that passes.
fn print_skipped(test: &str, need: &str, suite: &str) {
    let line = format!("skipped: {test}needs {need}; run: make test T={suite}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Skips all tests of a test binary unless these variables are set, with one line that names what
/// is missing and `make test T=suite`.
///
/// ```
/// mworker_kit::needs! { "PATH" => "programs", "haproxy" }
/// ```
#[macro_export]
macro_rules! needs {
    ($($variable:literal)+ => $need:literal, $suite:literal) => {
        // Before main(), which is libtest's and would run every test: one test can't be skipped
        // from within.
        // SAFETY: the C library calls the functions of this section with its own state and the
        // environment set up, and ignores their results.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static NEEDS: extern "C" fn() = {
            extern "C" fn check() {
                $crate::need::variables_or_exit(&[$($variable),+], $need, $suite);
            }
            check
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_noticed() {
        assert!(runs(Command::new("sh").args(["-c", "exit 0"])));
        assert!(!runs(Command::new("sh").args(["-c", "exit 1"])));
        assert!(!runs(&mut Command::new("/no/such/program")));
        assert!(programs(&["sh"], "kit"));
    }
}

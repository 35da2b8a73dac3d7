//! The tree's own `scripts/run-regtests.sh`: started, and its output understood.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs, io};

use crate::leftovers;

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Passed,
    /// It wasn't run, and why.
    Skipped(String),
    /// The runner doesn't know something that the test asks of it.
    CannotRun(String),
    /// It failed, and how.
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed => write!(f, "passed"),
            Outcome::Skipped(why) | Outcome::CannotRun(why) | Outcome::Failed(why) => {
                write!(f, "{why}")
            }
        }
    }
}

/// What became of all tests of a run, by their paths below the folder of tests.
#[derive(Debug, Default)]
pub struct Outcomes(pub BTreeMap<String, Outcome>);

/// How a test failed that was to run, and of which nothing was heard any more.
pub const NO_RESULT: &str = "no result";
/// What the runner says of a test that it has left out by itself.
const BY_RUNNER: &str = "a feature that it asks for";

impl Outcomes {
    /// Understands the output of a run of the tests in `folder`.
    pub fn parse(output: &str, folder: &Path) -> Outcomes {
        let own = |path: &str| {
            let path = path.strip_prefix(&*folder.to_string_lossy()).unwrap_or(path);
            path.trim_start_matches('/').to_owned()
        };
        let mut all = BTreeMap::new();
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut of = None;
        let mut skipped = None;
        for line in output.lines() {
            if let Some((path, why)) =
                line.strip_prefix("  Skip ").and_then(|rest| rest.split_once(" because "))
            {
                // The first reason; there may be several.
                all.entry(own(path)).or_insert_with(|| Outcome::Skipped(why.trim().to_owned()));
                skipped = Some(own(path));
            } else if let Some(why) = line.strip_prefix("    REASON: ") {
                // It says it better than the line before.
                if let Some(test) = skipped.take() {
                    all.insert(test, Outcome::Skipped(why.to_owned()));
                }
            } else if let Some(path) = line.strip_prefix("  Add test: ") {
                all.insert(own(path), Outcome::Failed(NO_RESULT.to_owned()));
            } else if let Some((path, how)) = result(line) {
                let outcome = match how.split_whitespace().next() {
                    Some("passed") => Outcome::Passed,
                    Some("skipped") => Outcome::Skipped(BY_RUNNER.to_owned()),
                    _ => Outcome::Failed(how.to_owned()),
                };
                // "TIMED OUT" comes before "FAILED" and says more.
                let more =
                    matches!(all.get(&own(path)), Some(Outcome::Failed(why)) if why != NO_RESULT);
                if !more {
                    all.insert(own(path), outcome);
                }
            } else if let Some(path) = line.strip_prefix("###### Test case: ") {
                of = path.split_whitespace().next().map(own);
            } else if let (Some(why), Some(test)) = (line.strip_prefix("----"), of.as_ref()) {
                reasons.entry(test.clone()).or_default().push(why.trim().to_owned());
            }
        }
        for (test, reasons) in reasons {
            if let Some(outcome @ Outcome::Failed(_)) = all.get_mut(&test) {
                let unknown = reasons.iter().find(|reason| is_unknown(reason));
                *outcome = match unknown {
                    Some(reason) => Outcome::CannotRun(reason.clone()),
                    None => Outcome::Failed(reasons.first().cloned().unwrap_or_default()),
                };
            }
        }
        Outcomes(all)
    }

    /// Counts what the script has left out without a word, as it does with broken tests.
    pub fn add_unchosen(&mut self, tests: &[String]) {
        for test in tests {
            let unchosen = || Outcome::Skipped("not chosen by scripts/run-regtests.sh".to_owned());
            self.0.entry(test.clone()).or_insert_with(unchosen);
        }
    }

    /// Those left out by the runner, which says why only when it is asked to be verbose.
    pub fn skipped_by_runner(&self) -> Vec<String> {
        let mine = Outcome::Skipped(BY_RUNNER.to_owned());
        self.0.iter().filter(|(_, how)| **how == mine).map(|(test, _)| test.clone()).collect()
    }

    /// Puts better reasons in.
    pub fn explain(&mut self, reasons: &BTreeMap<String, String>) {
        for (test, reason) in reasons {
            if let Some(Outcome::Skipped(why)) = self.0.get_mut(test) {
                why.clone_from(reason);
            }
        }
    }

    /// How many of each.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Outcome) -> bool| self.0.values().filter(|how| is(how)).count();
        format!(
            "{} passed, {} failed, {} unknown to the runner, {} skipped",
            count(|how| matches!(how, Outcome::Passed)),
            count(|how| matches!(how, Outcome::Failed(_))),
            count(|how| matches!(how, Outcome::CannotRun(_))),
            count(|how| matches!(how, Outcome::Skipped(_)))
        )
    }
}

/// `#    top  TEST reg-tests/a/b.vtc passed (0.165)`: the test, and the rest.
fn result(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('#')?.trim_start().strip_prefix("top")?.trim_start();
    rest.strip_prefix("TEST ")?.split_once(' ')
}

/// A command, an option or a feature that this runner doesn't have.
fn is_unknown(reason: &str) -> bool {
    // After the name of who says it: "top Unknown command", "h1 Unknown haproxy argument".
    let said = reason.split_once(' ').map_or(reason, |(_, said)| said.trim_start());
    said.starts_with("Unknown ") || said.starts_with("FAIL test, unknown feature")
}

/// The script of a tree, and what it is to use.
pub struct Runner {
    /// The source tree.
    pub tree: PathBuf,
    /// vtest or varnishtest.
    pub program: OsString,
    /// Where logs go to.
    pub work: PathBuf,
    /// How many tests at once.
    pub jobs: usize,
}

impl Runner {
    fn script(
        &self,
        haproxy: &Path,
        folder: &Path,
        tests: &[String],
        jobs: usize,
        loud: &str,
    ) -> io::Result<String> {
        let all = [folder.to_owned()];
        let some: Vec<_> = tests.iter().map(|test| folder.join(test)).collect();
        let output = Command::new("scripts/run-regtests.sh")
            .current_dir(&self.tree)
            .env("TMPDIR", &self.work)
            .env("VTEST_PROGRAM", &self.program)
            .env("HAPROXY_PROGRAM", haproxy)
            // Those are make's own, for the "make version" of the script.
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .env_remove("MAKELEVEL")
            .env_remove("NOTIFY_SOCKET")
            .args([loud, "--j", &jobs.to_string()])
            .args(if tests.is_empty() { &all[..] } else { &some[..] })
            .stdin(Stdio::null())
            .output()
            .map_err(|err| io::Error::new(err.kind(), format!("scripts/run-regtests.sh: {err}")))?;
        leftovers::end(&self.work)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("Starting vtest") {
            Ok(text)
        } else {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("scripts/run-regtests.sh ran no test\n{text}{errors}")))
        }
    }

    /// Runs tests of a folder, or all of them.
    pub fn run(
        &self,
        haproxy: &Path,
        folder: &Path,
        tests: &[String],
        jobs: usize,
    ) -> io::Result<Outcomes> {
        Ok(Outcomes::parse(&self.script(haproxy, folder, tests, jobs, "--v")?, folder))
    }

    /// What the tests asked for that the runner has skipped.
    pub fn why_skipped(
        &self,
        haproxy: &Path,
        folder: &Path,
        tests: &[String],
    ) -> io::Result<BTreeMap<String, String>> {
        if tests.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self.script(haproxy, folder, tests, self.jobs, "--debug")?;
        let asked = asked_features(&output);
        let reasons = tests.iter().filter_map(|test| {
            let path = folder.join(test);
            let number = asked.get(&*path.to_string_lossy())?;
            let text = fs::read_to_string(&path).ok()?;
            let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix("feature "));
            Some((test.clone(), lines.nth(number.checked_sub(1)?)?.to_owned()))
        });
        Ok(reasons.collect())
    }
}

/// How many features each test has asked for, the last one in vain: the log cuts their text.
fn asked_features(output: &str) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    let mut count = 0;
    for line in output.lines() {
        if line.ends_with(" starting") {
            count = 0;
        } else if line.contains("=== feature ") {
            count += 1;
        } else if let Some((path, _)) = result(line) {
            asked.insert(path.to_owned(), count);
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
  Skip /t/reg-tests/lua/b.vtc because haproxy is not compiled with the required option LUA
  Skip /t/reg-tests/lua/b.vtc because haproxy is not compiled with the required option OPENSSL
  Skip /t/reg-tests/a/v.vtc because option haproxy is version: 3.0.11
    REASON: this test requires a version below: 3.0-dev1
  Add test: /t/reg-tests/a/a.vtc
  Add test: /t/reg-tests/a/n.vtc
#    top  TEST /t/reg-tests/a/a.vtc passed (0.165)
#    top  TEST /t/reg-tests/a/s.vtc skipped (0.020)
*    top   TEST /t/reg-tests/a/f.vtc FAILED
#    top  TEST /t/reg-tests/a/f.vtc FAILED (3.240) exit=2
#    top  TEST /t/reg-tests/a/t.vtc TIMED OUT (kill -9)
#    top  TEST /t/reg-tests/a/t.vtc FAILED (10.004) signal=9
#    top  TEST /t/reg-tests/a/u.vtc FAILED (0.004) exit=2
###### Test case: /t/reg-tests/a/f.vtc ######
## test results in: \"/tmp/x\"
---- h2    haproxy h2 PID file check failed:
---- h2    Bad exit status: 0x0100 exit 0x1 signal 0 core 0
###### Test case: /t/reg-tests/a/u.vtc ######
---- h1    Unknown haproxy argument: -Ws
";

    #[test]
    fn outcomes_are_read() {
        let outcomes = Outcomes::parse(OUTPUT, Path::new("/t/reg-tests"));
        let is = |test: &str, how: Outcome| assert_eq!(outcomes.0.get(test), Some(&how), "{test}");
        is("a/a.vtc", Outcome::Passed);
        is("a/s.vtc", Outcome::Skipped(BY_RUNNER.into()));
        is("a/f.vtc", Outcome::Failed("h2    haproxy h2 PID file check failed:".into()));
        is("a/t.vtc", Outcome::Failed("TIMED OUT (kill -9)".into()));
        is("a/u.vtc", Outcome::CannotRun("h1    Unknown haproxy argument: -Ws".into()));
        let why = "haproxy is not compiled with the required option LUA";
        is("lua/b.vtc", Outcome::Skipped(why.into()));
        is("a/n.vtc", Outcome::Failed(NO_RESULT.into()));
        is("a/v.vtc", Outcome::Skipped("this test requires a version below: 3.0-dev1".into()));
        assert_eq!(outcomes.0.len(), 8);
        assert_eq!(outcomes.skipped_by_runner(), ["a/s.vtc"]);
    }

    #[test]
    fn the_last_feature_is_the_one_that_is_not_there() {
        let log = "\
*    top   TEST a.vtc starting
**   top   === feature ignore_unknown_macro
**   top   === feature cmd \"$HAPROXY_PROGRAM -cc 'version_atleast(2.5-dev0)...
*    top   SKIPPING test, lacking feature: cmd
#    top  TEST a.vtc skipped (0.213)
";
        assert_eq!(asked_features(log), BTreeMap::from([("a.vtc".to_owned(), 2)]));
    }
}

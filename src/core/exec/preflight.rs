//! Whether another binary, which has taken the place of the running one, can run.
//!
//! An exec that fails is undone, but nothing comes back from one that succeeds:
//! a binary that crashes at once, or is too old for an option, would take the
//! service with it. So another binary is tried first, in a child that does
//! nothing and ends.

use crate::core::generation::Generation;
use crate::core::signal::Ending;

/// How long a trial may take, in milliseconds. The master waits for it.
pub const LIMIT: u64 = 10_000;

/// Of what a binary says, so many characters are told on.
const TOLD: usize = 160;

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The command line; the first is the program.
    pub argv: Vec<Vec<u8>>,
    passing: &'static [i32],
}

impl Preflight {
    /// HAProxy of any version: it checks an empty configuration under the options
    /// of `argv`, its command line without what masters add. 2 is the status of
    /// those that miss a listener in it.
    pub fn of_haproxy(argv: &[Vec<u8>]) -> Self {
        let mut options = Vec::new();
        let mut args = argv.iter();
        while let Some(arg) = args.next() {
            match arg.as_slice() {
                // Then come names of files.
                b"--" => break,
                b"-f" => _ = args.next(),
                b"-C" | b"-n" | b"-m" | b"-N" | b"-L" | b"-p" | b"-S" => {
                    options.push(arg.clone());
                    options.extend(args.next().cloned());
                }
                _ => options.push(arg.clone()),
            }
        }
        options.extend([b"-c".as_slice(), b"-f", b"/dev/null"].map(<[u8]>::to_vec));
        Self { argv: options, passing: &[0, 2] }
    }

    /// A host of another kind: the program of `argv`, with `arguments`.
    pub fn of_host(argv: &[Vec<u8>], arguments: &[Vec<u8>]) -> Self {
        let argv = argv.iter().take(1).chain(arguments).cloned().collect();
        Self { argv, passing: &[0] }
    }

    /// Of the host's `arguments`, if it has given any.
    pub fn new(
        generation: Generation,
        argv: &[Vec<u8>],
        arguments: Option<&[Vec<u8>]>,
    ) -> Option<Self> {
        if generation.native {
            arguments.map(|arguments| Self::of_host(argv, arguments))
        } else {
            Some(Self::of_haproxy(argv))
        }
    }

    /// What came of it: `end` is `None` if it had to be killed, as it took longer
    /// than [`LIMIT`], and `said` is what it wrote.
    ///
    /// # Errors
    /// Why the binary isn't to be executed, for people.
    pub fn judge(&self, end: Option<&Ending>, said: &[u8]) -> Result<(), String> {
        let how = match end {
            Some(end) if self.passing.contains(&end.code) => return Ok(()),
            Some(end) => format!("exited with code {} ({})", end.code, end.reason),
            None => "did not end".to_owned(),
        };
        let tried = self.argv.iter().map(|arg| String::from_utf8_lossy(arg));
        let tried = tried.collect::<Vec<_>>().join(" ");
        let mut why = format!("the binary is another one, which can't run: '{tried}' {how}");
        if let Some(line) = telling(said) {
            why.push_str(", saying: ");
            why.push_str(&line);
        }
        Err(why)
    }
}

/// The line that says most.
fn telling(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.contains("ALERT")).or_else(|| lines().next())?;
    Some(line.chars().filter(|c| !c.is_control()).take(TOLD).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<Vec<u8>> {
        items.iter().map(|i| i.as_bytes().to_vec()).collect()
    }

    fn end(code: i32) -> Ending {
        Ending { code, reason: "Exit".into() }
    }

    #[test]
    fn haproxy_keeps_its_options_and_reads_no_configuration() {
        let argv = ["p", "-Ws", "-f", "a.cfg", "-S", "-f", "-p", "pid", "-f", "b", "--", "c.cfg"];
        let trial = Preflight::of_haproxy(&strings(&argv));
        let expected = ["p", "-Ws", "-S", "-f", "-p", "pid", "-c", "-f", "/dev/null"];
        assert_eq!(trial.argv, strings(&expected));
        assert_eq!(trial.judge(Some(&end(0)), b""), Ok(()));
        assert_eq!(trial.judge(Some(&end(2)), b""), Ok(()));
        assert!(trial.judge(Some(&end(1)), b"").is_err());
    }

    #[test]
    fn a_host_says_itself_what_shows_that_it_runs() {
        let argv = strings(&["p", "-W"]);
        assert_eq!(Preflight::new(Generation::NATIVE, &argv, None), None);
        let trial = Preflight::new(Generation::NATIVE, &argv, Some(&strings(&["-v"])));
        let trial = trial.expect("a trial");
        assert_eq!(trial.argv, strings(&["p", "-v"]));
        assert!(trial.judge(Some(&end(2)), b"").is_err());
    }

    #[test]
    fn what_it_said_is_told() {
        let trial = Preflight::of_host(&strings(&["p"]), &strings(&["-c"]));
        let why = trial.judge(Some(&end(1)), b"\nversion 1\n[ALERT] no\x07 such\nUsage\n");
        assert_eq!(
            why.expect_err("refused"),
            "the binary is another one, which can't run: 'p -c' exited with code 1 (Exit), \
             saying: [ALERT] no such"
        );
        let why = trial.judge(None, b"\xff").expect_err("refused");
        assert!(why.ends_with("'p -c' did not end, saying: \u{fffd}"), "{why}");
    }
}

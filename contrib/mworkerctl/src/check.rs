//! `--check`: the configuration is read once before the reload, as the master would read it.

use crate::master::{Failure, Master};
use crate::process::{Process, is_program};
use mworker::core::exec::{CommandLine, not_for_programs};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Sockets that systemd gave to the master alone.
const SOCKETS: [&str; 2] = ["LISTEN_FDS", "LISTEN_PID"];
const PAUSE: Duration = Duration::from_millis(20);

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    /// Why, and what the program said.
    Refused(String, Vec<String>),
    /// It could not be run.
    Impossible(String),
}

/// Whether a reload that is refused may cost the service. HAProxy 3.3.0, 3.4.0 and 3.5-dev5,
/// having refused the global section, crash when their CLI is connected to, be it by the client
/// that waits for the answer (session_count_new() finds no counters). 3.2.0 doesn't.
pub fn is_needed(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(3)), Some(Ok(3..=5))))
}

/// Runs the check.
pub fn run(master: &mut Master) -> Result<Outcome, Failure> {
    let Some(process) = master.process().cloned() else {
        let why = "the master's process isn't known, give its --pid";
        return Ok(Outcome::Impossible(why.into()));
    };
    let impossible = |error: std::io::Error| Ok(Outcome::Impossible(error.to_string()));
    let mut child = match command(&process).and_then(|mut command| command.spawn()) {
        Ok(child) => child,
        Err(error) => return impossible(error),
    };
    let reader = child.stdout.take().zip(child.stderr.take()).map(|(mut out, mut err)| {
        // Both at once, or the one that isn't read could fill up.
        let err = thread::spawn(move || read(&mut err));
        thread::spawn(move || {
            let out = read(&mut out);
            err.join().unwrap_or_default() + &out
        })
    });
    master.waiting_for("the check of the configuration");
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return impossible(error),
        }
        if let Err(late) = master.pause(PAUSE) {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(late);
        }
    };
    if status.success() {
        return Ok(Outcome::Fine);
    }
    let text = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let log: Vec<String> = text.lines().map(str::to_owned).collect();
    let why = format!("the check ended with {status}: {}", crate::answer::reason(&log));
    Ok(Outcome::Refused(why, log))
}

fn read(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What could be read has to do.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn command(process: &Process) -> std::io::Result<Command> {
    let environment = clean(process.environment()?);
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let folder = process.folder()?;
    let arguments = with_check(&process.arguments()?);
    let mut arguments = arguments.into_iter().map(OsString::from_vec);
    let name = arguments.next().unwrap_or_default();
    // What the reload will execute. The file that runs now may have been replaced since.
    let program = look_up(&name, &folder, path.as_deref()).unwrap_or_else(|| process.program());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// The master's arguments as the operator gave them, and `-c`.
fn with_check(arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut argv = CommandLine::parse(arguments.iter().map(Vec::as_slice)).argv;
    argv.insert(argv.len().min(1), b"-c".to_vec());
    argv
}

fn clean(environment: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let is_for_masters = |name: &OsStr| {
        not_for_programs().chain(SOCKETS).any(|other| name.as_bytes() == other.as_bytes())
    };
    environment.into_iter().filter(|(name, _)| !is_for_masters(name)).collect()
}

/// As execvp() finds a program, in that folder.
fn look_up(name: &OsStr, folder: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        let program = folder.join(name);
        return is_program(&program).then_some(program);
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    let mut programs = std::env::split_paths(path).map(|entry| folder.join(entry).join(name));
    programs.find(|program| is_program(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_former_masters_added_is_left_out() {
        let argv = "haproxy -sf 1 2 -x sockpair@3 -Ws -f a -- b";
        let argv: Vec<Vec<u8>> = argv.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let checked = with_check(&argv);
        let checked: Vec<_> = checked.iter().map(|a| String::from_utf8_lossy(a)).collect();
        assert_eq!(checked.join(" "), "haproxy -c -Ws -f a -- b");
    }

    #[test]
    fn a_check_is_no_master() {
        let pair = |name: &str| (OsString::from(name), OsString::from("x"));
        let environment = ["HAPROXY_PROCESSES", "HAPROXY_MWORKER_REEXEC", "NOTIFY_SOCKET", "PATH"];
        assert_eq!(clean(environment.map(pair).to_vec()), [pair("PATH")]);
    }

    #[test]
    fn needed_where_a_refusal_may_crash_the_master() {
        for version in ["3.3.0-7832fb21f", "3.4.0", "3.5-dev5-50872daa6"] {
            assert!(is_needed(version), "{version}");
        }
        for version in ["2.8.0", "3.0.11-9e587df", "3.2.0", "3.6.0", "4.4.0", "33.4", "", "x.y"] {
            assert!(!is_needed(version), "{version}");
        }
    }

    #[test]
    fn programs_are_found() {
        let root = Path::new("/");
        assert_eq!(look_up("sh".as_ref(), root, None), Some("/bin/sh".into()));
        assert_eq!(look_up("bin/sh".as_ref(), root, None), Some("/bin/sh".into()));
        assert_eq!(look_up("no-such-thing".as_ref(), root, None), None);
    }
}

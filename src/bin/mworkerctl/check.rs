//! `--check`: the configuration is read once before the reload, as the master would read it.

use crate::master::{Failure, Master};
use crate::process::{Process, is_program};
use mworker::core::reexec::{CommandLine, INTERNAL};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Besides the masters' own: what systemd gave to the master alone.
const NOT_FOR_A_CHECK: [&str; 6] = [
    "HAPROXY_STARTUPLOGS_FD",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
];
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the check; its output becomes the log of a reload that failed.
pub fn run(master: &mut Master, log: &mut Vec<String>) -> Result<(), Failure> {
    let Some(process) = master.process().cloned() else {
        return Err(Failure::Unreachable(
            "--check needs the master's process, and none here has that address as its -S: \
             give its --pid"
                .into(),
        ));
    };
    let cannot = |what: &str, error: std::io::Error| {
        Failure::Failed(format!("the check can't be run, {what}: {error}"))
    };
    let mut command = command(&process).map_err(|error| cannot("the master's files", error))?;
    let mut child = command.spawn().map_err(|error| cannot("the program", error))?;
    let output = child.stdout.take().zip(child.stderr.take()).map(|(mut out, mut err)| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            let _ = out.read_to_string(&mut text);
            text
        })
    });
    master.waiting_for("the check of the configuration");
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(cannot("its end", error)),
        }
        if let Err(late) = master.pause(PAUSE) {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(late);
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = output.and_then(|thread| thread.join().ok()).unwrap_or_default();
    *log = text.lines().map(str::to_owned).collect();
    let why = crate::answer::reason(log);
    Err(Failure::Failed(format!("the check ended with {status}: {why}")))
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
        INTERNAL.iter().chain(&NOT_FOR_A_CHECK).any(|other| name.as_bytes() == other.as_bytes())
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
    fn programs_are_found() {
        let root = Path::new("/");
        assert_eq!(look_up("sh".as_ref(), root, None), Some("/bin/sh".into()));
        assert_eq!(look_up("bin/sh".as_ref(), root, None), Some("/bin/sh".into()));
        assert_eq!(look_up("no-such-thing".as_ref(), root, None), None);
    }
}

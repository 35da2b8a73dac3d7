//! Trying another binary before it is executed in place of this one.

use super::prepared::{Child, Image, Prepared};
use crate::core::exec;
use crate::core::exec::preflight::{LIMIT, Preflight};
use crate::core::process::Pid;
use crate::core::signal::Ending;
use crate::sys::fork::{Forked, fork};
use crate::sys::{check, clock, wait};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// Of what it says, so many bytes are kept.
const KEPT: u64 = 16 * 1024;

/// Whether the first of `programs` that can be executed is another file than the
/// one that this process runs. If there is none that is for the exec to say.
pub fn is_another(programs: &[Vec<u8>]) -> bool {
    let Some(next) = programs.iter().find_map(|program| executable(program)) else { return false };
    match fs::metadata("/proc/self/exe") {
        Ok(own) => (own.dev(), own.ino()) != (next.dev(), next.ino()),
        // It can't be told.
        Err(_) => true,
    }
}

fn executable(program: &[u8]) -> Option<Metadata> {
    let file = fs::metadata(OsStr::from_bytes(program)).ok()?;
    (file.is_file() && file.permissions().mode() & 0o111 != 0).then_some(file)
}

/// Runs `preflight` to its end in a child, which gets `environment` without what is
/// the master's, and only the descriptors of `inherited`.
///
/// # Errors
/// The binary can't run; or it couldn't be tried.
///
/// # Safety
/// The process has one thread.
pub unsafe fn run(
    preflight: &Preflight,
    environment: &[Vec<u8>],
    inherited: &[RawFd],
) -> io::Result<()> {
    let (from, to) = pipe()?;
    let environment = exec::for_programs(environment);
    let prepared = Prepared::new(Image {
        // No shell runs what the kernel can't.
        places: exec::programs(&preflight.argv, &environment),
        arguments: preflight.argv.clone(),
        environment,
        keep: inherited.to_vec(),
    })?;
    let child = Child { output: Some(to.as_raw_fd()), ..Child::default() };
    // SAFETY: by the caller's promise; the child only becomes the program.
    let pid = unsafe {
        fork(|side| match side {
            Forked::Parent(pid) => pid,
            Forked::Child => prepared.become_program(&child),
        })
    }?;
    drop(to);
    let until = clock::now().monotonic_usec.saturating_add(LIMIT * 1_000);
    let mut said = Vec::new();
    let end = listen(from, until, &mut said).and_then(|()| wait::until(pid, until));
    let end = ended(pid, end)?;
    preflight.judge(end.as_ref(), &said).map_err(io::Error::other)
}

/// Nobody of a trial is left behind.
fn ended(pid: Pid, end: io::Result<Option<Ending>>) -> io::Result<Option<Ending>> {
    if !matches!(end, Ok(Some(_))) {
        // SAFETY: a child that hasn't been reaped.
        unsafe { libc::kill(pid.get(), libc::SIGKILL) };
        let _ = wait::reap(pid);
    }
    end
}

/// Reads until nobody writes any more, or the time has come.
fn listen(from: OwnedFd, until: u64, said: &mut Vec<u8>) -> io::Result<()> {
    let mut from = File::from(from);
    while crate::sys::poll::readable(&from, until)? {
        let before = said.len();
        let mut part = [0; 4096];
        let read = from.read(&mut part)?;
        if read == 0 {
            break;
        }
        if (before as u64) < KEPT {
            said.extend_from_slice(&part[..read]);
        }
    }
    Ok(())
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: an array of two.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::generation::Generation;

    fn shell(script: &str) -> io::Result<()> {
        let argv = [b"/bin/sh".to_vec()];
        let arguments = [b"-c".to_vec(), script.as_bytes().to_vec()];
        let trial = Preflight::new(Generation::NATIVE, &argv, Some(&arguments)).expect("a trial");
        let _all = crate::sys::fd::all_descriptors();
        // SAFETY: the child only executes a shell.
        unsafe { run(&trial, &[b"NOTIFY_SOCKET=/x".to_vec()], &[0, 1, 2]) }
    }

    #[test]
    fn who_can_run_passes_and_who_crashes_does_not() {
        shell("echo fine").expect("it runs");
        shell("test -z \"$NOTIFY_SOCKET\"").expect("nothing of the master's");
        let why = shell("echo broken >&2; kill -SEGV $$").expect_err("it crashes").to_string();
        assert!(why.contains("exited with code 139 (") && why.ends_with("saying: broken"), "{why}");
        // Much of it, and then the end.
        let why = shell("head -c 300000 /dev/zero | tr '\\0' x; exit 7").expect_err("7");
        assert!(why.to_string().contains("exited with code 7 (Exit)"), "{why}");
    }

    #[test]
    fn a_shell_is_no_stand_in() {
        let _all = crate::sys::fd::all_descriptors();
        let path = std::env::temp_dir().join(format!("mworker-trial-{}", std::process::id()));
        fs::write(&path, "exit 0\n").expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
        let argv = [path.as_os_str().as_bytes().to_vec()];
        let trial = Preflight::new(Generation::NATIVE, &argv, Some(&[])).expect("a trial");
        // SAFETY: the child executes nothing.
        let why = unsafe { run(&trial, &[], &[0, 1, 2]) }.expect_err("a text").to_string();
        assert!(why.ends_with("Exec format error"), "{why}");
        fs::remove_file(&path).expect("the file was there");
    }

    #[test]
    fn this_binary_is_no_other() {
        let own = std::env::current_exe().expect("a path");
        let own = own.as_os_str().as_bytes().to_vec();
        let (shell, nobody) = (b"/bin/sh".to_vec(), b"/nonexistent/proxy".to_vec());
        assert!(!is_another(&[nobody.clone(), own, shell.clone()]));
        assert!(is_another(&[nobody.clone(), shell]));
        assert!(!is_another(&[nobody]), "the exec says so");
    }
}

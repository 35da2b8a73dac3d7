//! Re-executing the master.
//!
//! Nothing is given up for it: descriptors are marked, not closed, the new
//! environment is a copy, signals, limits and dispositions are put back. An
//! exec that fails leaves the master as it was.

use super::fd;
use super::limits::OpenFiles;
use super::signal_safe::{first_that_executes, pointers};
use super::signals::{Disposition, Held};
use crate::core::reexec::Plan;
use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;

/// Executes `plan`, keeping its descriptors and `keep` open. Returns only when
/// it fails, and says why.
pub fn execute(plan: &Plan, keep: &[RawFd], limit: Option<OpenFiles>) -> io::Error {
    match try_execute(plan, keep, limit) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_execute(
    plan: &Plan,
    keep: &[RawFd],
    limit: Option<OpenFiles>,
) -> io::Result<std::convert::Infallible> {
    let programs = c_strings(&plan.programs)?;
    let argv = c_strings(&plan.argv)?;
    let environment = c_strings(&plan.environment)?;
    if argv.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program to execute"));
    }
    let (argv, environment) = (pointers(&argv), pointers(&environment));

    let keep: Vec<RawFd> = plan.keep.iter().chain(keep).copied().collect();
    // Put back in reverse order, when the exec returns.
    let _marked = fd::close_others_on_exec(&keep);
    let _held = Held::over_exec();
    let raised = limit.and_then(|boot| OpenFiles::get().ok().filter(|now| *now != boot));
    if let (Some(boot), Some(_)) = (limit, raised) {
        // Better a next image with other limits than none.
        let _ = boot.set();
    }
    let profiling = Disposition::ignore_profiling();

    // SAFETY: NULL-ended arrays of C strings that are alive.
    let error = io::Error::from_raw_os_error(unsafe {
        first_that_executes(&programs, argv.as_ptr(), environment.as_ptr())
    });

    if let Ok(profiling) = profiling {
        profiling.restore();
    }
    if let Some(raised) = raised {
        let _ = raised.set();
    }
    Err(error)
}

/// As C strings; a NUL inside can't be handed on.
///
/// # Errors
/// `InvalidInput`.
pub fn c_strings(strings: &[Vec<u8>]) -> io::Result<Vec<CString>> {
    strings.iter().map(|s| Ok(CString::new(s.as_slice())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_exec_leaves_limits_as_they_were() {
        let _all = fd::all_descriptors();
        let before = OpenFiles::get().expect("limits");
        let plan = Plan {
            programs: vec![b"/nonexistent/proxy".to_vec()],
            argv: vec![b"/nonexistent/proxy".to_vec()],
            environment: Vec::new(),
            keep: Vec::new(),
            left_out: None,
        };
        let boot = OpenFiles { soft: before.soft - 1, ..before };
        let error = execute(&plan, &[], Some(boot));
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(OpenFiles::get().expect("limits"), before);

        let empty = Plan { argv: Vec::new(), ..plan.clone() };
        assert_eq!(execute(&empty, &[], None).kind(), io::ErrorKind::InvalidInput);
        let nul = Plan { argv: vec![b"a\0b".to_vec()], ..plan };
        assert_eq!(execute(&nul, &[], None).kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn no_shell_stands_in_for_what_cant_be_executed() {
        let _all = fd::all_descriptors();
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("mworker-exec-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, mode| {
            let path = folder.join(name);
            std::fs::write(&path, "exit 0\n").expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
            path.into_os_string().into_encoded_bytes()
        };
        let (text, locked) = (file("text", 0o755), file("locked", 0o644));
        let nowhere = b"/nonexistent/proxy".to_vec();
        let error = |programs: &[&Vec<u8>]| {
            let programs = programs.iter().map(|p| (*p).clone()).collect();
            let plan = Plan {
                programs,
                argv: vec![b"p".to_vec()],
                environment: Vec::new(),
                keep: Vec::new(),
                left_out: None,
            };
            execute(&plan, &[], None).raw_os_error()
        };
        assert_eq!(error(&[&text]), Some(libc::ENOEXEC));
        assert_eq!(error(&[&nowhere, &text, &locked]), Some(libc::ENOEXEC));
        assert_eq!(error(&[&locked, &nowhere]), Some(libc::EACCES), "the one that is there");
        assert_eq!(error(&[&nowhere]), Some(libc::ENOENT));
        assert_eq!(error(&[]), Some(libc::ENOENT));
        std::fs::remove_dir_all(&folder).expect("the folder was there");
    }
}

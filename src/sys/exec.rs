//! Re-executing the master.
//!
//! Nothing is given up for it: descriptors are marked, not closed, the new
//! environment is a copy, signals, limits and dispositions are put back. An
//! exec that fails leaves the master as it was.

use super::fd;
use super::limits::OpenFiles;
use super::signal_safe::pointers;
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
    let argv = c_strings(&plan.argv)?;
    let environment = c_strings(&plan.environment)?;
    let (argv, environment) = (pointers(&argv), pointers(&environment));
    let Some(program) = argv.first().copied().filter(|p| !p.is_null()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program to execute"));
    };

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
    unsafe { libc::execvpe(program, argv.as_ptr(), environment.as_ptr()) };
    let error = io::Error::last_os_error();

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
        let before = OpenFiles::get().expect("limits");
        let plan = Plan {
            argv: vec![b"/nonexistent/proxy".to_vec()],
            environment: Vec::new(),
            keep: Vec::new(),
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
}

//! An exec that is complete: what follows allocates nothing, takes no lock and keeps to
//! async-signal-safe calls, so it works in a signal handler and in the child of a fork.
//!
//! Nothing is given up for it: descriptors are marked, not closed, limits, signal mask and
//! dispositions are put back. An exec that fails leaves the process as it was.

use super::limits::OpenFiles;
use super::marks::Marks;
use crate::sys::signals::{self, Disposition};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::os::raw::{c_char, c_int};

/// Exit status of a child that could not become its program, as HAProxy's.
pub(super) const FAILED: c_int = 1;

/// A program, its arguments, its environment and its descriptors.
#[derive(Debug, Default)]
pub struct Image {
    /// Where the program may be, the first one first; none: it is looked for in PATH, and a
    /// shell runs what the kernel can't.
    pub places: Vec<Vec<u8>>,
    /// The arguments, the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Descriptors from 3 on that stay open; the others close.
    pub keep: Vec<RawFd>,
}

/// A child's user, group and output, where they aren't the master's.
#[derive(Debug, Default)]
pub struct Child {
    /// The user.
    pub user: Option<libc::uid_t>,
    /// The group.
    pub group: Option<libc::gid_t>,
    /// Where standard output and error go.
    pub output: Option<RawFd>,
}

/// An exec that is complete.
pub struct Prepared {
    places: Vec<CString>,
    _strings: [Vec<CString>; 2],
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    marks: Marks,
}

impl Prepared {
    /// Prepares `image`.
    ///
    /// # Errors
    /// `InvalidInput`: there is no program, or a NUL in a string.
    pub fn new(image: Image) -> io::Result<Self> {
        if image.arguments.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program to execute"));
        }
        let strings = [c_strings(image.arguments)?, c_strings(image.environment)?];
        let [arguments, environment] = &strings;
        Ok(Self {
            places: c_strings(image.places)?,
            arguments: pointers(arguments),
            environment: pointers(environment),
            // The strings stay where they are when the vectors move.
            _strings: strings,
            marks: Marks::new(image.keep),
        })
    }

    /// Becomes the next image of a master, which starts with the descriptor limit `limit` and
    /// with the master's signals blocked. Returns only if that fails, with errno.
    pub fn replace_process(&self, limit: Option<OpenFiles>) -> c_int {
        self.marks.set();
        let raised = limit.and_then(|first| OpenFiles::get().ok().filter(|now| *now != first));
        if let (Some(first), Some(_)) = (limit, raised) {
            // Better a next image with other limits than none.
            let _ = first.set();
        }
        let mask = signals::set_mask(&signals::Set::over_exec());
        let profiling = Disposition::ignore_profiling();
        let errno = self.execute();
        if let Ok(profiling) = profiling {
            profiling.restore();
        }
        signals::set_mask(&mask);
        if let Some(raised) = raised {
            let _ = raised.set();
        }
        self.marks.put_back();
        errno
    }

    /// Becomes a program, in a child right after a fork. Writes what went wrong to stderr and
    /// ends the child if it can't.
    pub fn become_program(&self, child: &Child) -> ! {
        // Another user may not be allowed to look for the descriptors.
        self.marks.set();
        signals::set_mask(&signals::Set::none());
        // SAFETY: plain system calls.
        unsafe {
            if let Some(output) = child.output {
                libc::dup2(output, 1);
                libc::dup2(output, 2);
            }
            if let Some(group) = child.group {
                // setgroups() needs root; without root there is nothing to drop.
                libc::setgroups(0, std::ptr::null());
                if libc::setgid(group) != 0 {
                    self.fail(errno(), c"Cannot set the group of");
                }
            }
            if let Some(user) = child.user {
                if libc::setuid(user) != 0 {
                    self.fail(errno(), c"Cannot set the user of");
                }
            }
        }
        self.fail(self.execute(), c"Cannot execute")
    }

    /// Executes the first program that is there; returns errno if none can be executed.
    fn execute(&self) -> c_int {
        let (arguments, environment) = (self.arguments.as_ptr(), self.environment.as_ptr());
        if self.places.is_empty() {
            // SAFETY: NULL-ended arrays of C strings that are alive, with a program;
            // `execvpe` doesn't allocate in glibc and musl.
            unsafe { libc::execvpe(self.arguments[0], arguments, environment) };
            return errno();
        }
        let mut denied = false;
        for place in &self.places {
            // SAFETY: NULL-ended arrays of C strings that are alive.
            unsafe { libc::execve(place.as_ptr(), arguments, environment) };
            match errno() {
                libc::EACCES => denied = true,
                // Not in that folder, which may itself be out of reach.
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                errno => return errno,
            }
        }
        if denied { libc::EACCES } else { libc::ENOENT }
    }

    fn fail(&self, errno: c_int, what: &CStr) -> ! {
        let mut digits = [0; 12];
        // SAFETY: write() and _exit() are async-signal-safe, and every string is alive.
        unsafe {
            let pid = decimal(libc::getpid(), &mut digits);
            let name = CStr::from_ptr(self.arguments[0]).to_bytes();
            let (what, why) = (what.to_bytes(), reason(errno));
            for text in [b"[ALERT]    (", pid, b") : ", what, b" ", name, b": ", why, b"\n"] {
                libc::write(2, text.as_ptr().cast(), text.len());
            }
            libc::_exit(FAILED)
        }
    }
}

fn errno() -> c_int {
    // SAFETY: errno of this thread.
    unsafe { *libc::__errno_location() }
}

fn c_strings(strings: Vec<Vec<u8>>) -> io::Result<Vec<CString>> {
    strings.into_iter().map(|s| Ok(CString::new(s)?)).collect()
}

/// A NULL-ended array of the strings.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// What errno says, where strerror() may not be called.
fn reason(errno: libc::c_int) -> &'static [u8] {
    match errno {
        libc::ENOENT => b"No such file or directory",
        libc::EACCES => b"Permission denied",
        libc::EPERM => b"Operation not permitted",
        libc::ENOEXEC => b"Exec format error",
        libc::E2BIG => b"Argument list too long",
        libc::ENOMEM => b"Cannot allocate memory",
        _ => b"it can't be executed",
    }
}

/// The decimal digits of a number above 0, without allocating.
fn decimal(mut number: libc::pid_t, digits: &mut [u8; 12]) -> &[u8] {
    let mut at = digits.len();
    while number > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &digits[at..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd::all_descriptors;
    use std::os::unix::fs::PermissionsExt;

    fn prepared(places: &[&[u8]], arguments: &[&[u8]]) -> io::Result<Prepared> {
        let strings = |items: &[&[u8]]| items.iter().map(|item| item.to_vec()).collect();
        let (places, arguments) = (strings(places), strings(arguments));
        Prepared::new(Image { places, arguments, ..Image::default() })
    }

    #[test]
    fn a_failed_exec_leaves_limits_as_they_were() {
        let _all = all_descriptors();
        let before = OpenFiles::get().expect("limits");
        let nowhere: &[u8] = b"/nonexistent/proxy";
        let first = OpenFiles { soft: before.soft - 1, ..before };
        let errno =
            prepared(&[nowhere], &[nowhere]).expect("prepared").replace_process(Some(first));
        assert_eq!(errno, libc::ENOENT);
        assert_eq!(OpenFiles::get().expect("limits"), before);
        for arguments in [&[][..], &[&b"a\0b"[..]]] {
            let error = prepared(&[nowhere], arguments).err().map(|error| error.kind());
            assert_eq!(error, Some(io::ErrorKind::InvalidInput));
        }
    }

    #[test]
    fn no_shell_stands_in_for_what_cant_be_executed() {
        let _all = all_descriptors();
        let folder = std::env::temp_dir().join(format!("mworker-exec-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, mode| {
            let path = folder.join(name);
            std::fs::write(&path, "exit 0\n").expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
            path.into_os_string().into_encoded_bytes()
        };
        let (text, locked) = (file("text", 0o755), file("locked", 0o644));
        let nowhere: &[u8] = b"/nonexistent/proxy";
        let errno =
            |places: &[&[u8]]| prepared(places, &[b"p"]).expect("prepared").replace_process(None);
        assert_eq!(errno(&[&text]), libc::ENOEXEC);
        assert_eq!(errno(&[nowhere, &text, &locked]), libc::ENOEXEC);
        assert_eq!(errno(&[&locked, nowhere]), libc::EACCES, "the one that is there");
        assert_eq!(errno(&[nowhere]), libc::ENOENT);
        std::fs::remove_dir_all(&folder).expect("the folder was there");
    }

    #[test]
    fn digits() {
        let mut digits = [0; 12];
        assert_eq!(decimal(4_194_304, &mut digits), b"4194304");
        assert_eq!(decimal(i32::MAX, &mut digits), b"2147483647");
    }
}

//! What runs in a child between fork and exec, and in a signal handler.
//!
//! Only async-signal-safe calls: no allocation, no lock, errno kept. All that is
//! needed is made before.

use super::signals;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::raw::{c_char, c_int};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A program to become.
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    user: Option<libc::uid_t>,
    group: Option<libc::gid_t>,
    output: Option<RawFd>,
    places: Option<Vec<CString>>,
}

/// Exit status of a child that could not become its program, as HAProxy's.
const FAILED: libc::c_int = 1;

impl Program {
    /// `arguments` (the program first, looked for in PATH) with `environment`,
    /// under another user and group where they are given.
    pub fn new(
        arguments: Vec<CString>,
        environment: Vec<CString>,
        user: Option<libc::uid_t>,
        group: Option<libc::gid_t>,
    ) -> Self {
        Self { arguments, environment, user, group, output: None, places: None }
    }

    /// What it writes goes into `fd`, above 2.
    pub fn writes_to(&mut self, fd: RawFd) {
        self.output = Some(fd);
    }

    /// It is one of these, and no shell tries what the kernel can't execute.
    pub fn is_one_of(&mut self, places: Vec<CString>) {
        self.places = Some(places);
    }

    /// Its pointers as exec wants them. Before the fork, as it allocates.
    pub fn prepared(&self) -> Prepared<'_> {
        Prepared {
            program: self,
            arguments: pointers(&self.arguments),
            environment: pointers(&self.environment),
        }
    }
}

/// A program, ready for the child.
pub struct Prepared<'a> {
    program: &'a Program,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

/// A NULL-ended array of the strings.
pub fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

impl Prepared<'_> {
    /// Becomes the program. Says what went wrong on stderr and ends the child
    /// if it can't.
    ///
    /// # Safety
    /// To be called in a child right after a fork.
    pub unsafe fn become_program(&self) -> ! {
        signals::set_mask(&signals::Set::none());
        // SAFETY: plain system calls; the arrays end with NULL and their
        // strings are alive; `execvpe` doesn't allocate in glibc and musl.
        unsafe {
            if let Some(output) = self.program.output {
                libc::dup2(output, 1);
                libc::dup2(output, 2);
            }
            if let Some(group) = self.program.group {
                // Only root can drop them; who isn't has none to drop.
                libc::setgroups(0, std::ptr::null());
                if libc::setgid(group) != 0 {
                    self.fail(c"Cannot set the group of");
                }
            }
            if let Some(user) = self.program.user {
                if libc::setuid(user) != 0 {
                    self.fail(c"Cannot set the user of");
                }
            }
            let (arguments, environment) = (self.arguments.as_ptr(), self.environment.as_ptr());
            match &self.program.places {
                Some(places) => {
                    *libc::__errno_location() = first_that_executes(places, arguments, environment);
                }
                None => _ = libc::execvpe(self.arguments[0], arguments, environment),
            }
            self.fail(c"Cannot execute")
        }
    }

    /// # Safety
    /// As [`Self::become_program`].
    unsafe fn fail(&self, what: &CStr) -> ! {
        // SAFETY: errno of this thread; write() and _exit() are
        // async-signal-safe, and every string is alive.
        unsafe {
            let why = reason(*libc::__errno_location());
            let mut digits = [0; 12];
            let pid = decimal(libc::getpid(), &mut digits);
            let name = CStr::from_ptr(self.arguments[0]).to_bytes();
            let what = what.to_bytes();
            for text in [b"[ALERT]    (", pid, b") : ", what, b" ", name, b": ", why, b"\n"] {
                libc::write(2, text.as_ptr().cast(), text.len());
            }
            libc::_exit(FAILED)
        }
    }
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

/// A datagram to be sent from a handler.
pub struct Datagram {
    /// The socket to send it by: a descriptor of this process.
    pub socket: RawFd,
    /// Where to.
    pub address: libc::sockaddr_un,
    /// How much of the address there is.
    pub length: libc::socklen_t,
    /// What.
    pub text: Vec<u8>,
}

impl Datagram {
    fn send(&self) {
        // SAFETY: address and text are alive and as long as is said.
        unsafe {
            libc::sendto(
                self.socket,
                self.text.as_ptr().cast(),
                self.text.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const self.address).cast(),
                self.length,
            );
        }
    }
}

/// What a load that takes too long ends with: everything is made before it.
pub struct LoadGuard {
    /// The timer whose signal calls [`guard_load`].
    pub timer: Timer,
    /// When it is too long, by CLOCK_MONOTONIC in nanoseconds.
    pub deadline: u64,
    /// Until then that it goes on, so often, in nanoseconds.
    pub every: u64,
    /// That it goes on.
    pub goes_on: Option<Datagram>,
    /// That it has failed.
    pub failed: Option<Datagram>,
    /// A line for people.
    pub log: Vec<u8>,
    /// The image that looks after the workers; `None`: there are none, and the
    /// process ends.
    pub next: Option<NextImage>,
}

/// Executes the first of `programs` that is there; gives errno if none can be.
///
/// # Safety
/// Both are NULL-ended arrays of C strings.
pub unsafe fn first_that_executes(
    programs: &[CString],
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    let mut denied = false;
    for program in programs {
        // SAFETY: by the caller's promise.
        let errno = unsafe {
            libc::execve(program.as_ptr(), arguments, environment);
            *libc::__errno_location()
        };
        match errno {
            libc::EACCES => denied = true,
            // Not in that folder, which may itself be out of reach.
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            _ => return errno,
        }
    }
    if denied { libc::EACCES } else { libc::ENOENT }
}

/// An image to become.
pub struct NextImage {
    /// Where its program may be.
    pub programs: Vec<CString>,
    /// The program first.
    pub arguments: Vec<CString>,
    /// Its environment.
    pub environment: Vec<CString>,
    /// As [`pointers`] makes them of the two.
    pub pointers: [Vec<*const c_char>; 2],
    /// Descriptors that stay open, in ascending order; the others close.
    pub keep: Vec<RawFd>,
    /// What is held back over the exec.
    pub mask: signals::Set,
    /// RLIMIT_NOFILE of the first start.
    pub limit: Option<libc::rlimit>,
}

/// The guard of the load that goes on, or NULL.
pub static LOAD: AtomicPtr<LoadGuard> = AtomicPtr::new(std::ptr::null_mut());

/// The handler of the timer's signal.
pub extern "C" fn guard_load(_signal: c_int) {
    // SAFETY: NULL, or a guard that is never freed.
    let Some(guard) = (unsafe { LOAD.load(Ordering::Acquire).as_ref() }) else { return };
    // SAFETY: errno of this thread.
    let errno = unsafe { *libc::__errno_location() };
    let now = nanoseconds();
    if now < guard.deadline {
        if let Some(message) = &guard.goes_on {
            message.send();
        }
        guard.timer.arm(guard.every.min(guard.deadline - now));
    } else {
        guard.end_load();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

impl LoadGuard {
    fn end_load(&self) {
        // SAFETY: plain system calls on what is alive.
        unsafe { libc::write(2, self.log.as_ptr().cast(), self.log.len()) };
        let Some(next) = &self.next else {
            // SAFETY: ends the process.
            unsafe { libc::_exit(FAILED) }
        };
        if let Some(message) = &self.failed {
            message.send();
        }
        next.become_it();
        let text = b"The master could not be re-executed: it goes on loading.\n";
        // SAFETY: as above.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
}

impl NextImage {
    /// Returns only if that fails.
    fn become_it(&self) {
        let mut from = 3;
        for fd in self.keep.iter().copied().filter(|fd| *fd > 2) {
            close_on_exec(from, fd - 1);
            // SAFETY: only changes a flag.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
            from = fd + 1;
        }
        close_on_exec(from, RawFd::MAX);
        if let Some(limit) = &self.limit {
            // SAFETY: the struct is alive. Better other limits than no image.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
        }
        let held = signals::set_mask(&self.mask);
        let [arguments, environment] = &self.pointers;
        // SAFETY: NULL-ended arrays of C strings that are alive.
        unsafe {
            first_that_executes(&self.programs, arguments.as_ptr(), environment.as_ptr());
        }
        signals::set_mask(&held);
    }
}

/// All descriptors from `first` to `last` close with the exec.
fn close_on_exec(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: only marks descriptors.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            last as libc::c_uint,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    if marked == 0 {
        return;
    }
    // A kernel before 5.11: one by one, as far as there may be any.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours; and only flags are changed.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let end = RawFd::try_from(limit.rlim_cur).unwrap_or(1 << 20);
        for fd in first..=last.min(end) {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours; CLOCK_MONOTONIC always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// A timer of the system, whose signal is the process's. Not freed when it is
/// dropped: a handler may be on its way.
pub struct Timer(libc::timer_t);

impl Timer {
    /// One that sends `signal`.
    ///
    /// # Errors
    /// The system's.
    pub fn new(signal: c_int) -> io::Result<Self> {
        // SAFETY: an all-zero sigevent is a valid one.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer = MaybeUninit::uninit();
        // SAFETY: both are ours.
        super::check(unsafe {
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr())
        })?;
        // SAFETY: it has been filled in.
        Ok(Self(unsafe { timer.assume_init() }))
    }

    /// Has it go off once, in so many nanoseconds from now; 0: not at all.
    pub fn arm(&self, nanoseconds: u64) {
        // SAFETY: all zero is a valid one.
        let mut when: libc::itimerspec = unsafe { std::mem::zeroed() };
        when.it_value.tv_sec = (nanoseconds / 1_000_000_000) as libc::time_t;
        when.it_value.tv_nsec = (nanoseconds % 1_000_000_000) as libc::c_long;
        // SAFETY: the timer is there, and the struct is ours.
        unsafe { libc::timer_settime(self.0, 0, &raw const when, std::ptr::null_mut()) };
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
    #[test]
    fn digits() {
        let mut digits = [0; 12];
        assert_eq!(super::decimal(4_194_304, &mut digits), b"4194304");
        assert_eq!(super::decimal(i32::MAX, &mut digits), b"2147483647");
    }
}

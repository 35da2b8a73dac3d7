//! Signals: their numbers, and which are held back when.

use super::check;
use crate::core::signal::Signal;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What is held back over a re-exec and while loading. Never TERM and INT: a
/// start that hangs has to be stoppable.
const OVER_EXEC: [Signal; 6] =
    [Signal::Usr1, Signal::Usr2, Signal::Hup, Signal::Ttou, Signal::Ttin, Signal::Chld];

/// The number of a signal here.
pub const fn number(signal: Signal) -> libc::c_int {
    match signal {
        Signal::Term => libc::SIGTERM,
        Signal::Int => libc::SIGINT,
        Signal::Usr1 => libc::SIGUSR1,
        Signal::Usr2 => libc::SIGUSR2,
        Signal::Hup => libc::SIGHUP,
        Signal::Ttou => libc::SIGTTOU,
        Signal::Ttin => libc::SIGTTIN,
        Signal::Chld => libc::SIGCHLD,
        Signal::Kill => libc::SIGKILL,
    }
}

/// The signal of a number, where it means something to a master.
pub fn of_number(wanted: libc::c_int) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| number(*signal) == wanted)
}

/// The name of signal `number`, as strsignal() has it.
pub fn name(number: libc::c_int) -> String {
    // SAFETY: strsignal() takes any number and gives NULL or a C string, which
    // is copied at once.
    let name = unsafe { libc::strsignal(number) };
    if name.is_null() {
        return format!("signal {number}");
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl Set {
    fn of(signals: &[Signal]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset() fills the set in.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in signals {
            // SAFETY: the set is ours and the number a real signal's.
            unsafe { libc::sigaddset(&raw mut set, number(*signal)) };
        }
        Self(set)
    }

    /// Every signal that means something to a master.
    pub fn all() -> Self {
        Self::of(&Signal::ALL)
    }

    /// What is held back over a re-exec.
    pub fn over_exec() -> Self {
        Self::of(&OVER_EXEC)
    }

    /// No signal.
    pub fn none() -> Self {
        Self::of(&[])
    }

    /// Only SIGCHLD.
    pub fn child() -> Self {
        Self::of(&[Signal::Chld])
    }

    fn full() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset() fills the set in.
        Self(unsafe {
            libc::sigfillset(set.as_mut_ptr());
            set.assume_init()
        })
    }
}

fn change(how: libc::c_int, set: &Set) -> Set {
    let mut old = Set::none();
    // SAFETY: both sets are initialised; with a valid `how` this can't fail.
    unsafe { libc::pthread_sigmask(how, &raw const set.0, &raw mut old.0) };
    old
}

/// Holds back exactly `set` in this thread; gives what was held back before.
pub fn set_mask(set: &Set) -> Set {
    change(libc::SIG_SETMASK, set)
}

/// Holds back `set` as well; gives what was held back before.
pub fn block(set: &Set) -> Set {
    change(libc::SIG_BLOCK, set)
}

/// Lets `set` through.
pub fn unblock(set: &Set) {
    change(libc::SIG_UNBLOCK, set);
}

/// Holds signals back until it is dropped.
pub struct Held(Set);

impl Held {
    /// Every signal, around a fork.
    pub fn all() -> Self {
        Self(set_mask(&Set::full()))
    }

    /// Exactly those that are held back over an exec.
    pub fn over_exec() -> Self {
        Self(set_mask(&Set::over_exec()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        set_mask(&self.0);
    }
}

/// What a signal does, to be put back.
pub struct Disposition(libc::c_int, libc::sigaction);

fn act(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<Disposition> {
    // SAFETY: an all-zero sigaction is a valid one.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    new.sa_sigaction = handler;
    // SAFETY: both structs are ours; SIG_DFL and SIG_IGN take no code of ours.
    check(unsafe { libc::sigaction(signal, &raw const new, &raw mut old) })?;
    Ok(Disposition(signal, old))
}

impl Disposition {
    /// Ignores SIGPROF: a profiler's timer outlives an exec, its handler doesn't.
    ///
    /// # Errors
    /// The system's.
    pub fn ignore_profiling() -> io::Result<Self> {
        act(libc::SIGPROF, libc::SIG_IGN)
    }

    /// Puts it back.
    pub fn restore(self) {
        // SAFETY: the struct is one that the system gave.
        unsafe { libc::sigaction(self.0, &raw const self.1, std::ptr::null_mut()) };
    }
}

/// Takes back what the launching process may have set: a signal that is
/// ignored would be lost even while it is held back.
pub fn reset_dispositions() {
    for signal in Signal::ALL {
        // Fails for no signal of these.
        let _ = act(number(signal), libc::SIG_DFL);
    }
}

/// Signals as something to poll for and read.
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// All of a master's signals; they have to be held back too.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let set = Set::all();
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = check(unsafe {
            libc::signalfd(-1, &raw const set.0, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal, if one is pending.
    pub fn next(&self) -> Option<Signal> {
        loop {
            let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: at most `size` bytes are written into `info`.
            let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(read) != Ok(size) {
                return None;
            }
            // SAFETY: it has been filled in.
            let number = unsafe { info.assume_init() }.ssi_signo;
            if let Some(signal) = i32::try_from(number).ok().and_then(of_number) {
                return Some(signal);
            }
        }
    }

    /// To poll.
    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

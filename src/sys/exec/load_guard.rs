//! Ends a load that hangs, where the master itself loads the configuration (HAProxy
//! up to 3.0).
//!
//! While the master loads, no loop looks at the clock, so a timer sends a signal. Its
//! handler asks systemd for more time, and executes the image that waits when the time
//! is up, as after any other failed load.

use super::limits::OpenFiles;
use super::prepared::{FAILED, Prepared};
use crate::core::lifecycle::Pace;
use crate::sys::{check, fd};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::raw::c_int;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The image that ends a load.
pub struct Next {
    /// Its exec.
    pub image: Prepared,
    /// RLIMIT_NOFILE that it starts with.
    pub limit: Option<OpenFiles>,
    /// A descriptor for it alone, which stays open while it may come.
    pub whole: Option<OwnedFd>,
}

/// How a load is limited, and what ends it.
pub struct Request<'a> {
    /// How long it may take, in microseconds.
    pub timeout: u64,
    /// When systemd is notified first that it goes on, and how often.
    pub pace: Pace,
    /// To systemd while it goes on, and when it has failed.
    pub messages: Option<[String; 2]>,
    /// To people when it has failed.
    pub log: &'a str,
    /// The image that waits.
    pub next: Option<Next>,
}

/// Looks after the load from now on, until [`end`] or the next image.
///
/// # Errors
/// The system's.
pub fn begin(mut request: Request<'_>) -> io::Result<()> {
    end();
    let signal = libc::SIGRTMAX() - 1;
    let [goes_on, failed] = match request.messages {
        Some(messages) => messages.map(datagram),
        None => [None, None],
    };
    handle(signal)?;
    let timer = Timer::new(signal)?;
    let whole = request.next.as_mut().and_then(|next| next.whole.take());
    let guard: &LoadGuard = Box::leak(Box::new(LoadGuard {
        timer,
        deadline: nanoseconds().saturating_add(request.timeout.saturating_mul(1_000)),
        every: request.pace.every.saturating_mul(1_000),
        goes_on,
        failed,
        log: request.log.as_bytes().to_vec(),
        next: request.next,
        whole: whole.map_or(-1, IntoRawFd::into_raw_fd),
    }));
    LOAD.store(std::ptr::from_ref(guard).cast_mut(), Ordering::Release);
    guard.timer.arm(request.pace.first.min(request.timeout).saturating_mul(1_000).max(1));
    Ok(())
}

/// The load is over. What belonged to it stays allocated: a handler may be on
/// its way. What a worker that is forked now would inherit goes.
pub fn end() {
    let guard = LOAD.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: NULL, or a guard that is never freed.
    if let Some(guard) = unsafe { guard.as_ref() } {
        guard.timer.arm(0);
        for signal in [libc::SIG_IGN, libc::SIG_DFL] {
            // A signal that is on its way is dropped by the first.
            // SAFETY: both are dispositions, no code of ours.
            unsafe { libc::signal(libc::SIGRTMAX() - 1, signal) };
        }
        let sockets = [&guard.goes_on, &guard.failed].into_iter().flatten().map(|d| d.socket);
        for fd in sockets.chain([guard.whole]) {
            // SAFETY: the guard's own, and nobody uses it any more.
            unsafe { fd::close_raw(fd) };
        }
    }
}

#[cfg(feature = "USE_SYSTEMD")]
fn datagram(text: String) -> Option<Datagram> {
    // SAFETY: a master has one thread.
    unsafe { crate::sys::notify::prepared(text.into_bytes()) }
}

#[cfg(not(feature = "USE_SYSTEMD"))]
fn datagram(_text: String) -> Option<Datagram> {
    None
}

fn handle(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = guard_load as extern "C" fn(libc::c_int) as usize;
    // What loads isn't to notice.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler only does what is async-signal-safe.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(drop)
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
struct LoadGuard {
    /// The timer whose signal calls [`guard_load`].
    timer: Timer,
    /// When it is too long, by CLOCK_MONOTONIC in nanoseconds.
    deadline: u64,
    /// Until then that it goes on, so often, in nanoseconds.
    every: u64,
    /// That it goes on.
    goes_on: Option<Datagram>,
    /// That it has failed.
    failed: Option<Datagram>,
    /// A line for people.
    log: Vec<u8>,
    /// The image that looks after the workers; `None`: there are none, and the
    /// process ends.
    next: Option<Next>,
    /// The table that `next` is given, or -1.
    whole: RawFd,
}

/// The guard of the load that goes on, or NULL.
static LOAD: AtomicPtr<LoadGuard> = AtomicPtr::new(std::ptr::null_mut());

/// The handler of the timer's signal.
extern "C" fn guard_load(_signal: c_int) {
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
        next.image.replace_process(next.limit);
        let text = b"The master could not be re-executed: it goes on loading.\n";
        // SAFETY: as above.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
fn nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours; CLOCK_MONOTONIC always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// A timer of the system, whose signal is the process's. Not freed when it is
/// dropped: a handler may be on its way.
struct Timer(libc::timer_t);

impl Timer {
    /// One that sends `signal`.
    ///
    /// # Errors
    /// The system's.
    fn new(signal: c_int) -> io::Result<Self> {
        // SAFETY: an all-zero sigevent is a valid one.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer = MaybeUninit::uninit();
        // SAFETY: both are ours.
        check(unsafe {
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr())
        })?;
        // SAFETY: it has been filled in.
        Ok(Self(unsafe { timer.assume_init() }))
    }

    /// Has it go off once, in so many nanoseconds from now; 0: not at all.
    fn arm(&self, nanoseconds: u64) {
        // SAFETY: all zero is a valid one.
        let mut when: libc::itimerspec = unsafe { std::mem::zeroed() };
        when.it_value.tv_sec = (nanoseconds / 1_000_000_000) as libc::time_t;
        when.it_value.tv_nsec = (nanoseconds % 1_000_000_000) as libc::c_long;
        // SAFETY: the timer is there, and the struct is ours.
        unsafe { libc::timer_settime(self.0, 0, &raw const when, std::ptr::null_mut()) };
    }
}

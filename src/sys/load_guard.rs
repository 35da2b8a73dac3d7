//! An end for a load that hangs, where the master itself loads the configuration
//! (HAProxy up to 3.0).
//!
//! There is no loop that could look at the clock: a timer's signal does. Its
//! handler tells systemd for a while that the load goes on; then it becomes the
//! image that waits, as after any other failed load.

use super::fd;
use super::limits::OpenFiles;
use super::signal_safe::{self, Datagram, LOAD, LoadGuard, NextImage, Timer, pointers};
use super::{check, exec, signals};
use crate::core::lifecycle::Pace;
use crate::core::reexec::Plan;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

/// What is to be done about a load.
pub struct Request<'a> {
    /// How long it may take, in microseconds.
    pub timeout: u64,
    /// When that it goes on is told first, and how often.
    pub pace: Pace,
    /// To systemd while it goes on, and when it has failed.
    pub messages: Option<[String; 2]>,
    /// To people when it has failed.
    pub log: &'a str,
    /// The image that waits.
    pub plan: Option<&'a Plan>,
    /// Descriptors that it keeps, besides those of the plan.
    pub keep: Vec<RawFd>,
    /// RLIMIT_NOFILE that it gets.
    pub limit: Option<OpenFiles>,
}

/// Looks after the load from now on, until [`end`] or the next image.
///
/// # Errors
/// The system's.
pub fn begin(request: &Request<'_>) -> io::Result<()> {
    end();
    let signal = libc::SIGRTMAX() - 1;
    let next = request.plan.map(|plan| next_image(plan, request)).transpose()?;
    let [goes_on, failed] = match &request.messages {
        Some(messages) => messages.clone().map(datagram),
        None => [None, None],
    };
    handle(signal)?;
    let timer = Timer::new(signal)?;
    let guard: &LoadGuard = Box::leak(Box::new(LoadGuard {
        timer,
        deadline: signal_safe::nanoseconds().saturating_add(request.timeout.saturating_mul(1_000)),
        every: request.pace.every.saturating_mul(1_000),
        goes_on,
        failed,
        log: request.log.as_bytes().to_vec(),
        next,
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
        for datagram in [&guard.goes_on, &guard.failed].into_iter().flatten() {
            // SAFETY: the guard's own, and nobody uses it any more.
            unsafe { fd::close_raw(datagram.socket) };
        }
    }
}

fn next_image(plan: &Plan, request: &Request<'_>) -> io::Result<NextImage> {
    let programs = exec::c_strings(&plan.programs)?;
    let arguments = exec::c_strings(&plan.argv)?;
    let environment = exec::c_strings(&plan.environment)?;
    if arguments.is_empty() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut keep: Vec<RawFd> = plan.keep.iter().chain(&request.keep).copied().collect();
    keep.sort_unstable();
    keep.dedup();
    // The strings stay where they are when the vectors move.
    let pointers = [pointers(&arguments), pointers(&environment)];
    let limit = request.limit.map(|l| libc::rlimit { rlim_cur: l.soft, rlim_max: l.hard });
    let mask = signals::Set::over_exec();
    Ok(NextImage { programs, arguments, environment, pointers, keep, mask, limit })
}

#[cfg(feature = "USE_SYSTEMD")]
fn datagram(text: String) -> Option<Datagram> {
    // SAFETY: a master has one thread.
    unsafe { super::notify::prepared(text.into_bytes()) }
}

#[cfg(not(feature = "USE_SYSTEMD"))]
fn datagram(_text: String) -> Option<Datagram> {
    None
}

fn handle(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = signal_safe::guard_load as extern "C" fn(libc::c_int) as usize;
    // What loads isn't to notice.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler only does what is async-signal-safe.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(drop)
}

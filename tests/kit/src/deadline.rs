//! Waiting for an event, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something which normally takes milliseconds. Generous: the
/// machines that run this have two slow cores and other work.
pub const PATIENCE: Duration = Duration::from_secs(20);

const FIRST_STEP: Duration = Duration::from_millis(1);
const LAST_STEP: Duration = Duration::from_millis(16);

/// Probes until it yields something, or gives up after `limit`.
///
/// The only place of the kit that sleeps: what tests wait for (`/proc`, another process's
/// sockets) offers nothing to block on.
pub fn try_wait_for<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut step = FIRST_STEP;
    loop {
        let begun = Instant::now();
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        // A look that is costly (`/proc/net` with thousands of connections) leaves the
        // processor to those that are waited for.
        thread::sleep(step.max(begun.elapsed() * 2));
        step = (step * 3 / 2).min(LAST_STEP);
    }
}

/// Like [`try_wait_for`], and panics naming `what` when the limit has passed.
#[track_caller]
pub fn wait_for<T>(limit: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match try_wait_for(limit, probe) {
        Some(found) => found,
        None => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// Waits until `cond` holds; panics naming `what` when the limit has passed.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut cond: impl FnMut() -> bool) {
    wait_for(limit, what, || cond().then_some(()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_what_the_probe_found() {
        let mut left = 3;
        let found = wait_for(PATIENCE, "the third probe", || {
            left -= 1;
            (left == 0).then_some("there")
        });
        assert_eq!(found, "there");
    }

    #[test]
    #[should_panic(expected = "in vain for a unicorn")]
    fn names_what_never_came() {
        wait_until(Duration::from_millis(5), "a unicorn", || false);
    }

    #[test]
    fn probes_once_more_than_it_has_time_for() {
        assert_eq!(try_wait_for(Duration::ZERO, || Some(1)), Some(1));
    }
}

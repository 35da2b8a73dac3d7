//! What an operator may set in the environment of a master.
//!
//! Variables, not keywords of the configuration: HAProxy's own master doesn't
//! mind them, so they are no obstacle on the way back.

use super::lifecycle::Policy;
use std::time::Duration;

/// How long a worker may take to be READY: seconds, or `5min`; 0: any time.
pub const START_TIMEOUT: &str = "MWORKER_START_TIMEOUT";
/// How many new workers in a row are started for one that died; 0: none.
pub const RESTART: &str = "MWORKER_RESTART";
/// Every one of them.
pub const ALL: [&str; 2] = [START_TIMEOUT, RESTART];

/// Sets what `name` says to `value`.
///
/// # Errors
/// What is wrong with it, for people; then nothing has changed.
pub fn apply(policy: &mut Policy, name: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    let bad = |expected: &str| format!("{name}={value}: {expected} is expected; it is ignored.");
    match name {
        START_TIMEOUT => {
            let time = duration(value).ok_or_else(|| bad("a time like 90, 90s or 5min"))?;
            let usec = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            policy.start_timeout = (usec > 0).then_some(usec);
        }
        RESTART => {
            let limit: u32 = value.parse().map_err(|_| bad("how many times, or 0,"))?;
            policy.restart = (limit > 0).then_some(limit);
        }
        _ => return Err(format!("{name}: there is no such setting.")),
    }
    Ok(())
}

/// A number of seconds, or a time with units.
fn duration(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// What systemd says in `WATCHDOG_USEC` and `WATCHDOG_PID` to process `pid`: how
/// often it wants to hear from it, in microseconds.
pub fn watchdog(usec: Option<&str>, whom: Option<&str>, pid: i32) -> Option<u64> {
    let meant = whom.is_none_or(|whom| whom.trim().parse() == Ok(pid));
    usec?.trim().parse().ok().filter(|usec| *usec > 0 && meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_limits() {
        let mut policy = Policy::default();
        for (value, usec) in [("90", 90_000_000), ("5min", 300_000_000), ("250ms", 250_000)] {
            apply(&mut policy, START_TIMEOUT, value).expect("valid");
            assert_eq!(policy.start_timeout, Some(usec), "{value}");
        }
        apply(&mut policy, START_TIMEOUT, "0").expect("valid");
        assert_eq!(policy.start_timeout, None);
        apply(&mut policy, RESTART, "3").expect("valid");
        assert_eq!(policy.restart, Some(3));

        let before = policy;
        for (name, value) in [(START_TIMEOUT, "soon"), (START_TIMEOUT, "-1"), (RESTART, "always")] {
            let error = apply(&mut policy, name, value).expect_err("nonsense");
            assert!(error.starts_with(&format!("{name}={value}: ")), "{error}");
        }
        assert_eq!(policy, before);
    }

    #[test]
    fn a_watchdog_is_for_one_process() {
        assert_eq!(watchdog(Some("3000000"), Some("42"), 42), Some(3_000_000));
        assert_eq!(watchdog(Some("3000000"), None, 42), Some(3_000_000));
        assert_eq!(watchdog(Some("3000000"), Some("41"), 42), None);
        assert_eq!(watchdog(Some("0"), None, 42), None);
        assert_eq!(watchdog(None, Some("42"), 42), None);
    }
}

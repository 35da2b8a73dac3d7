//! What is printed. A reader that has gone is no reason to fail: the exit status tells.

use std::io::{self, Write};
use std::time::Duration;

pub fn stdout(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

pub fn stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// One object, on one line.
pub fn json(object: &serde_json::Value) {
    stdout(&format!("{object}\n"));
}

pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `1d02h03m04s`, without the parts that are 0 at its front.
pub fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (hours, m) = (minutes / 60, minutes % 60);
    let (d, h) = (hours / 24, hours % 24);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, m) => format!("{m}m{s:02}s"),
        (0, h, m) => format!("{h}h{m:02}m{s:02}s"),
        (d, h, m) => format!("{d}d{h:02}h{m:02}m{s:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        let uptime = |seconds| uptime(Duration::from_secs(seconds));
        assert_eq!(uptime(0), "0s");
        assert_eq!(uptime(61), "1m01s");
        assert_eq!(uptime(3_600), "1h00m00s");
        assert_eq!(uptime(90_061), "1d01h01m01s");
    }
}

//! Messages to systemd that there was no room for.
//!
//! They are sent once there is. Not all of them: of several reloads systemd has
//! to hear of the last one only, and of several lines of status as well.

use std::collections::VecDeque;

/// What is still to be sent, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PendingNotifications(VecDeque<String>);

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Reloading,
    Ready,
    Stopping,
    Status,
    /// Worth something only at its time.
    Moment,
}

fn about(message: &str) -> About {
    let has = |field: &str| message.lines().any(|line| line == field);
    if has("STOPPING=1") {
        About::Stopping
    } else if has("RELOADING=1") {
        About::Reloading
    } else if has("READY=1") {
        About::Ready
    } else if message.starts_with("STATUS=") {
        About::Status
    } else {
        About::Moment
    }
}

impl PendingNotifications {
    /// There was no room for `message`.
    pub fn push(&mut self, message: String) {
        let new = about(&message);
        // STOPPING is the last word.
        let after_it = matches!(new, About::Reloading | About::Ready)
            && self.0.iter().any(|old| about(old) == About::Stopping);
        if new == About::Moment || after_it {
            return;
        }
        self.0.retain(|old| match (new, about(old)) {
            // What was before is over.
            (About::Stopping | About::Reloading, _) => false,
            (About::Ready, old) => old == About::Reloading,
            (_, old) => old != new,
        });
        self.0.push_back(message);
    }

    /// The next one to try.
    pub fn next(&self) -> Option<&str> {
        self.0.front().map(String::as_str)
    }

    /// That one is sent.
    pub fn sent(&mut self) {
        self.0.pop_front();
    }

    /// Nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One word without a blank, `;` or control character, for the hand-over.
    pub fn write(&self) -> String {
        let mut text = String::new();
        for (n, message) in self.0.iter().enumerate() {
            if n > 0 {
                text.push('|');
            }
            for c in message.chars() {
                match c {
                    '%' | ';' | '|' | '\0'..=' ' => {
                        text.push_str(&format!("%{:02x}", u32::from(c)));
                    }
                    _ => text.push(c),
                }
            }
        }
        text
    }

    /// What a former image wrote.
    pub fn read(text: &str) -> Self {
        let messages = text.split('|').filter(|m| !m.is_empty());
        Self(messages.filter_map(unescape).take(MOST).collect())
    }
}

/// A reload, its end, and a line.
const MOST: usize = 3;

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        plain.push(char::from(u8::from_str_radix(code, 16).ok()?));
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(messages: &[&str]) -> Vec<String> {
        let mut missed = PendingNotifications::default();
        messages.iter().for_each(|m| missed.push((*m).into()));
        assert_eq!(PendingNotifications::read(&missed.write()), missed);
        missed.0.into()
    }

    #[test]
    fn what_is_over_is_not_sent() {
        let (reloading, ready) = ("RELOADING=1\nMONOTONIC_USEC=7\n", "READY=1\nSTATUS=Ready.\n");
        assert_eq!(after(&[reloading, ready]), [reloading, ready]);
        assert_eq!(after(&[reloading, ready, "STATUS=a", reloading]), [reloading]);
        assert_eq!(after(&[reloading, ready, reloading, ready]), [reloading, ready]);
        assert_eq!(after(&["STATUS=a", "WATCHDOG=1", "STATUS=50%;|b"]), ["STATUS=50%;|b"]);
        assert_eq!(
            after(&[reloading, ready, "STOPPING=1", "STATUS=a"]),
            ["STOPPING=1", "STATUS=a"]
        );
        assert_eq!(after(&["STOPPING=1", "STOPPING=1", reloading, ready]), ["STOPPING=1"]);
        assert_eq!(after(&["READY=1", "READY=1\nSTATUS=x\n"]), ["READY=1\nSTATUS=x\n"]);
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in ["", "|", "%", "a%4", "%zz", "a%é"] {
            assert!(PendingNotifications::read(text).is_empty(), "{text}");
        }
    }
}

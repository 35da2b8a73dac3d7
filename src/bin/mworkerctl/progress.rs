//! The line that tells a person what is being waited for.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done at once needs no line.
const QUIET_FOR: Duration = Duration::from_millis(300);

pub struct Progress {
    shown: bool,
    drawn: bool,
    started: Instant,
    what: String,
}

impl Progress {
    pub fn new(quiet: bool, started: Instant) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { shown, drawn: false, started, what: String::new() }
    }

    /// From now on this is waited for.
    pub fn waiting_for(&mut self, what: &str) {
        if self.what != what {
            what.clone_into(&mut self.what);
        }
        self.tick();
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    /// Some time has passed.
    pub fn tick(&mut self) {
        let passed = self.started.elapsed();
        if !self.shown || passed < QUIET_FOR {
            return;
        }
        self.drawn = true;
        self.draw(&format!("\rWaiting for {} ({} s)\x1b[K", self.what, passed.as_secs()));
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.draw("\r\x1b[K");
        }
    }

    fn draw(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Who can't see it doesn't need it.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

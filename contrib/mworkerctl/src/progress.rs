//! The line that tells a person what is being waited for.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done at once needs no line.
const QUIET_FOR: Duration = Duration::from_millis(300);
const REDRAW_AFTER: Duration = Duration::from_millis(200);

pub struct Progress {
    shown: bool,
    /// When, if it is there.
    drawn: Option<Instant>,
    started: Instant,
    what: String,
}

impl Progress {
    pub fn new(quiet: bool, started: Instant) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { shown, drawn: None, started, what: String::new() }
    }

    /// From now on this is waited for.
    pub fn waiting_for(&mut self, what: &str) {
        if self.what != what {
            what.clone_into(&mut self.what);
            self.drawn = self.drawn.map(|_| self.started);
        }
        self.tick();
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    /// Some time has passed.
    pub fn tick(&mut self) {
        let passed = self.started.elapsed();
        let is_fresh = self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW_AFTER);
        if !self.shown || passed < QUIET_FOR || is_fresh {
            return;
        }
        self.drawn = Some(Instant::now());
        self.draw(&format!("\rWaiting for {} ({} s)\x1b[K", self.what, passed.as_secs()));
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if self.drawn.take().is_some() {
            self.draw("\r\x1b[K");
        }
    }

    fn draw(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Who can't see it doesn't need it.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

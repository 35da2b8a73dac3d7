//! What the demo draws: one line an event, and at a terminal a line for the load beneath.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use mworker_kit::{Message, Pid};

/// Who an event is of.
#[derive(Clone, Copy)]
pub enum Actor {
    Demo,
    Master(Pid),
    Worker(Pid),
    Systemd,
    Load,
}

impl Actor {
    fn label(self) -> String {
        match self {
            Actor::Demo => "demo".to_owned(),
            Actor::Master(pid) => format!("master {pid}"),
            Actor::Worker(pid) => format!("worker {pid}"),
            Actor::Systemd => "systemd".to_owned(),
            Actor::Load => "load".to_owned(),
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Actor::Demo => "",
            Actor::Master(_) => "\x1b[35m",
            Actor::Worker(_) => "\x1b[32m",
            Actor::Systemd => "\x1b[36m",
            Actor::Load => "\x1b[2m",
        }
    }
}

/// The lines so far are on the screen; this knows when it all began.
pub struct Timeline {
    began: Instant,
    terminal: bool,
    status: String,
}

impl Timeline {
    pub fn new() -> Timeline {
        let terminal = io::stdout().is_terminal();
        Timeline { began: Instant::now(), terminal, status: String::new() }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The title of a part.
    pub fn title(&mut self, text: &str) {
        self.print(&format!("\n{}", self.paint("\x1b[1m", text)));
    }

    /// Something happened now.
    pub fn event(&mut self, actor: Actor, text: &str) {
        self.event_at(Instant::now(), actor, text);
    }

    /// What systemd was told.
    pub fn notified(&mut self, message: &Message) {
        let fields: Vec<String> = message
            .fields()
            .iter()
            // When the sender said it, on its own clock: nothing to look at.
            .filter(|(name, _)| name != "MONOTONIC_USEC")
            .map(|(name, value)| match value.contains(' ') {
                true => format!("{name}=\"{value}\""),
                false => format!("{name}={value}"),
            })
            .collect();
        let text = format!("{}  (from {})", fields.join(" "), message.sender);
        self.event_at(message.at, Actor::Systemd, &text);
    }

    /// An expectation that was not met.
    pub fn failure(&mut self, text: &str) {
        let text = self.paint("\x1b[1;31m", text);
        self.print(&text);
    }

    /// What the line beneath shows from now on. Away from a terminal there is none.
    pub fn status(&mut self, text: String) {
        if self.terminal && text != self.status {
            self.status = text;
            self.print_status();
        }
    }

    /// Text as it is.
    pub fn print(&mut self, text: &str) {
        // A reader of the output that went away is no failure of the proxy.
        let mut out = io::stdout().lock();
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(out, "{clear}{text}");
        drop(out);
        self.print_status();
    }

    /// Text in a colour, at a terminal.
    pub fn paint(&self, colour: &str, text: &str) -> String {
        if self.terminal && !colour.is_empty() {
            format!("{colour}{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn event_at(&mut self, at: Instant, actor: Actor, text: &str) {
        let since = at.duration_since(self.began).as_secs_f64();
        let label = self.paint(actor.colour(), &format!("{:<15}", actor.label()));
        self.print(&format!("{since:>8.3}  {label} {text}"));
    }

    fn print_status(&self) {
        if self.terminal && !self.status.is_empty() {
            let mut out = io::stdout().lock();
            let status = self.paint("\x1b[2m", &self.status);
            let _ = write!(out, "\r\x1b[K{status}");
            let _ = out.flush();
        }
    }
}

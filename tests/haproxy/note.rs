//! What a scenario writes down: the transcript that is compared.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use mworker_kit::{PATIENCE, Pid, Signal, http, procfs, try_wait_for};

use super::Run;
use crate::text::{LogLine, log_lines};

impl Run {
    /// Begins a step; the headings show where in the scenario a difference is.
    pub fn step(&mut self, heading: &str) {
        self.lines.push(format!("== {heading}"));
    }

    /// Notes a fact.
    pub fn note(&mut self, what: &str, value: impl std::fmt::Display) {
        self.learn();
        let value = self.names.normalise(&value.to_string());
        self.lines.push(format!("{what}: {value}"));
    }

    /// Notes a fact as it is: its numbers may look like those of processes.
    pub fn note_raw(&mut self, what: &str, value: impl std::fmt::Display) {
        self.lines.push(format!("{what}: {value}"));
    }

    /// Notes a text line by line.
    pub fn note_text(&mut self, what: &str, text: &str) {
        self.learn();
        let text = &told_first(text);
        self.lines.push(format!("{what}:"));
        for line in text.lines() {
            self.lines.push(format!("    {}|", self.names.normalise(line)));
        }
        if !text.is_empty() && !text.ends_with('\n') {
            self.lines.push("    (no newline at the end)".to_owned());
        }
    }

    /// Notes who answers a request.
    pub fn note_request(&mut self) {
        self.learn();
        let line = match http::get(self.http.addr(), "/", PATIENCE) {
            Ok(answer) => {
                let pid = answer.body.trim().parse().unwrap_or(0);
                format!("request: {} by {}", answer.status, self.names.pid(pid))
            }
            Err(err) => format!("request: {:?}", err.kind()),
        };
        self.lines.push(line);
    }

    /// Notes the notifications since the last time.
    pub fn note_notify(&mut self) {
        self.learn();
        let messages = self.notify.take();
        if messages.is_empty() {
            self.lines.push("notify: nothing".to_owned());
        }
        for message in messages {
            let text = message.normalised(|pid| self.names.pid(pid));
            let sender = if message.sender == self.master() {
                String::new()
            } else {
                format!(" (from {})", self.names.pid(message.sender))
            };
            self.lines.push(format!("notify: {text}{sender}"));
        }
    }

    /// Notes the messages of the master on stderr since the last time. Those of workers and
    /// programs are left out: they come when they come.
    pub fn note_stderr(&mut self) {
        self.learn();
        let lines = log_lines(&self.proxy().stderr());
        let mut texts: Vec<String> = lines[self.logged.min(lines.len())..]
            .iter()
            .filter(|line| self.masters.contains(&line.pid))
            .map(|line| self.log_text(line))
            .collect();
        self.logged = lines.len();
        if texts.is_empty() {
            self.lines.push("stderr: nothing".to_owned());
        }
        // Processes that end at the same time are reaped in any order. What the first warning of
        // a process is preceded by may come with any of them.
        let before_exit = |at: usize| texts[at..].iter().take(3).any(|text| exited(text));
        let together: Vec<bool> = (0..texts.len())
            .map(|at| exited(&texts[at]) || (is_preamble(&texts[at]) && before_exit(at)))
            .collect();
        let mut at = 0;
        while at < texts.len() {
            let count = together[at..].iter().take_while(|together| **together).count();
            texts[at..at + count].sort_by_key(|text| (!is_preamble(text), text.clone()));
            at += count.max(1);
        }
        self.lines.extend(texts);
    }

    /// Notes the messages of children on stderr since the last time, sorted.
    pub fn note_stderr_of_children(&mut self) {
        self.learn();
        let lines = log_lines(&self.proxy().stderr());
        let mut texts: Vec<String> = lines[self.logged_of_children.min(lines.len())..]
            .iter()
            .filter(|line| !self.masters.contains(&line.pid))
            .map(|line| format!("{} {}", self.names.pid(line.pid), self.log_text(line)))
            .collect();
        self.logged_of_children = lines.len();
        texts.sort();
        self.lines.extend(texts);
    }

    fn log_text(&self, line: &LogLine) -> String {
        let text = self.names.normalise(&line.text).replace('\n', " \\n ");
        format!("stderr: [{}] {text}", line.level)
    }

    /// Notes notifications and stderr.
    pub fn note_events(&mut self) {
        self.note_notify();
        self.note_stderr();
    }

    /// Asks the master CLI, and notes the answer.
    #[track_caller]
    pub fn note_cli(&mut self, command: &str) {
        let mut answer = self.cli().ask(command);
        if command == "show proc debug" {
            answer = without_numbers_of_descriptors(&answer);
        }
        let command = self.names.normalise(command);
        self.note_text(&format!("cli '{command}'"), &answer);
    }

    /// Asks for a process there is none of, and notes the one line that says so. The end of
    /// the connection is not waited for: 3.0.11 closes it only when the client has sent its
    /// last, and of those who do so at once it forgets one in forty.
    #[track_caller]
    pub fn note_cli_refusal(&mut self, command: &str) {
        let mut session = self.cli().session().expect("a master CLI");
        session.send(&format!("{command}\n")).expect("a master CLI that reads");
        let answer = session.read_until("\n").expect("a line");
        self.note_text(&format!("cli '{command}'"), &answer);
    }

    /// Waits for the master to end, notes how, what it said last, and what is left.
    #[track_caller]
    pub fn note_exit(&mut self) {
        let status = self.proxy().wait_exit(PATIENCE);
        self.lines.push(format!("exit: {}", describe(status)));
        let left = try_wait_for(PATIENCE, || self.host.processes().is_empty().then_some(()));
        assert!(left.is_some(), "left after the exit: {:?}", self.host.processes());
        self.note_events();
    }

    /// Notes the arguments a process was executed with.
    #[track_caller]
    pub fn note_cmdline(&mut self, pid: Pid) {
        let cmdline = procfs::cmdline(pid).expect("a living process").join(" ");
        let name = self.names.pid(pid);
        self.note(&format!("argv of {name}"), cmdline);
    }

    /// Notes the environment a process was executed with: names, and HAProxy's values.
    #[track_caller]
    pub fn note_environ(&mut self, pid: Pid) {
        let mut environ = procfs::environ(pid).expect("a living process");
        if self.version.rules().cuts_up_its_environment {
            put_table_together(&mut environ);
        }
        let mut entries: Vec<String> = environ
            .into_iter()
            .map(|(name, value)| match name.starts_with("HAPROXY_") {
                true => format!("{name}={value}"),
                false => name,
            })
            .collect();
        entries.sort();
        let name = self.names.pid(pid);
        self.note_text(&format!("environment of {name}"), &(entries.join("\n") + "\n"));
    }

    /// Notes the open descriptors of a process, by kind and count.
    #[track_caller]
    pub fn note_descriptors(&mut self, pid: Pid) {
        self.learn();
        self.wait_cli_idle();
        let text = self.descriptors(pid).join("\n") + "\n";
        let name = self.names.pid(pid);
        self.note_text(&format!("descriptors of {name}"), &text);
    }

    /// The open descriptors of a process, by kind and count.
    #[track_caller]
    pub fn descriptors(&self, pid: Pid) -> Vec<String> {
        let mut kinds: Vec<String> = procfs::descriptors(pid)
            .expect("a living process")
            .into_iter()
            .map(|descriptor| self.names.normalise(&descriptor.kind))
            .collect();
        kinds.sort();
        kinds.chunk_by(|a, b| a == b).map(|same| format!("{} x {}", same.len(), same[0])).collect()
    }

    /// Notes what is in the pidfile.
    pub fn note_pidfile(&mut self) {
        let text = self.host.read("proxy.pid");
        if let Ok(pid) = text.trim().parse() {
            // One that has ended before it could be seen.
            if !self.names.knows(pid) {
                self.names.number(pid as u64, "gone");
            }
        }
        self.note_text("pidfile", &text);
    }

    /// Notes what a process does with signals.
    #[track_caller]
    pub fn note_signals(&mut self, pid: Pid) {
        let sets = procfs::signals(pid).expect("a living process");
        let name = self.names.pid(pid);
        self.note(&format!("{name} blocks"), sets.blocked);
        self.note(&format!("{name} catches"), sets.caught);
        self.note(&format!("{name} ignores"), sets.ignored);
    }
}

/// The log of a start, with what the master says of the fork before what the worker says: both
/// write at the same time.
fn told_first(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let of_the_fork = |line: &&str| line.contains(" : Initializing new worker (");
    if let Some(at) = lines.iter().position(of_the_fork) {
        let first = lines.iter().position(|line| line.starts_with('[')).unwrap_or(at);
        lines[first..=at].rotate_right(1);
    }
    lines.join("\n")
}

/// `show proc debug` with the descriptors' numbers taken out, but -1, which is none.
fn without_numbers_of_descriptors(answer: &str) -> String {
    let hidden = |word: &str| match word.parse::<u32>() {
        Ok(_) => "<fd>".to_owned(),
        Err(_) => word.to_owned(),
    };
    let line = |line: &str| match line.split_once("\t\t") {
        Some((columns, ends)) => {
            let ends: Vec<String> = ends.split_whitespace().map(hidden).collect();
            format!("{columns}\t\t{}\n", ends.join(" "))
        }
        None => format!("{line}\n"),
    };
    answer.lines().map(line).collect()
}

/// Undoes what reading the process table does to it: each `;`, and each `|` but the first, has
/// become a NUL.
fn put_table_together(environ: &mut Vec<(String, String)>) {
    const FIELDS: [&str; 8] =
        ["type", "fd", "pid", "rpid", "reloads", "timestamp", "id", "version"];
    let (pieces, others): (Vec<_>, Vec<_>) =
        std::mem::take(environ).into_iter().partition(|(name, _)| FIELDS.contains(&name.as_str()));
    *environ = others;
    let Some((_, table)) = environ.iter_mut().find(|(name, _)| name == "HAPROXY_PROCESSES") else {
        return;
    };
    for (name, value) in pieces {
        let separator = if name == "type" { '|' } else { ';' };
        table.push_str(&format!("{separator}{name}={value}"));
    }
}

/// How a process ended.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {}", Signal(signal)),
        (None, None) => format!("{status:?}"),
    }
}

fn is_preamble(text: &str) -> bool {
    text.contains("haproxy version is <version>") || text.contains("path to executable is ")
}

fn exited(text: &str) -> bool {
    // The latter in 1.8.
    text.contains(" exited with code ")
}

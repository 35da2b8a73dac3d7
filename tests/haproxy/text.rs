//! Makes texts of two runs comparable: what differs from run to run becomes a placeholder.

use std::collections::BTreeMap;

use mworker_kit::Pid;

/// What is known to differ, and what to call it.
#[derive(Debug, Default)]
pub struct Names {
    numbers: BTreeMap<u64, String>,
    words: Vec<(String, String)>,
}

impl Names {
    /// Names a process or a port: a number which stands alone.
    pub fn number(&mut self, number: u64, name: &str) {
        self.numbers.entry(number).or_insert_with(|| format!("<{name}>"));
    }

    /// Names a piece of text: a path, a version.
    pub fn word(&mut self, word: &str, name: &str) {
        self.words.push((word.to_owned(), format!("<{name}>")));
        // The longest first, for one may be part of another.
        self.words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }

    /// What a process is called.
    pub fn pid(&self, pid: Pid) -> String {
        let known = u64::try_from(pid).ok().and_then(|number| self.numbers.get(&number));
        known.cloned().unwrap_or_else(|| format!("<unknown pid {pid}>"))
    }

    /// Whether a process has a name.
    pub fn knows(&self, pid: Pid) -> bool {
        u64::try_from(pid).is_ok_and(|number| self.numbers.contains_key(&number))
    }

    /// Replaces all of it in a text, keeping columns which are padded with blanks.
    pub fn normalise(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let before = out.chars().last();
            if let Some((size, name)) = self.placeholder(rest, before, &out) {
                out.push_str(&name);
                rest = pad(&rest[size..], size, name.len(), &mut out);
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// If the text starts with something to be replaced: how long that is, and by what.
    fn placeholder(&self, text: &str, before: Option<char>, done: &str) -> Option<(usize, String)> {
        if let Some((word, name)) = self.words.iter().find(|(word, _)| text.starts_with(word)) {
            return Some((word.len(), name.clone()));
        }
        if before.is_some_and(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        if let Some(size) = uptime(text) {
            return Some((size, "<uptime>".to_owned()));
        }
        let size = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        if size == 0 || text[size..].starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return None;
        }
        for (prefix, name) in [
            ("fd=", "<fd>"),
            ("sockpair@", "<fd>"),
            ("STARTUPLOGS_FD=", "<fd>"),
            ("timestamp=", "<time>"),
        ] {
            if done.ends_with(prefix) {
                return Some((size, name.to_owned()));
            }
        }
        let name = self.numbers.get(&text[..size].parse().ok()?)?;
        Some((size, name.clone()))
    }
}

/// After a replacement in a padded column, grows or shrinks the padding so that what
/// follows stays where it was. A single blank is no padding.
fn pad<'a>(rest: &'a str, was: usize, is: usize, out: &mut String) -> &'a str {
    let blanks = rest.len() - rest.trim_start_matches(' ').len();
    if blanks < 2 {
        return rest;
    }
    out.extend(std::iter::repeat_n(' ', (blanks + was).saturating_sub(is).max(1)));
    &rest[blanks..]
}

/// The length of what looks like `0d00h00m01s`.
fn uptime(text: &str) -> Option<usize> {
    let mut at = 0;
    for unit in ['d', 'h', 'm', 's'] {
        let digits = text[at..].find(|c: char| !c.is_ascii_digit())?;
        if digits == 0 || !text[at + digits..].starts_with(unit) {
            return None;
        }
        at += digits + 1;
    }
    Some(at)
}

/// A line of HAProxy's stderr: `[NOTICE]   (123) : text`, and the lines that belong to it.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: String,
    pub pid: Pid,
    pub text: String,
}

/// Cuts stderr into its messages. Lines before the first one are dropped, they are not of
/// HAProxy's making.
pub fn log_lines(stderr: &str) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = Vec::new();
    for line in stderr.lines() {
        if let Some(start) = log_line(line) {
            lines.push(start);
        } else if let Some(last) = lines.last_mut() {
            last.text.push('\n');
            last.text.push_str(line);
        }
    }
    lines
}

fn log_line(line: &str) -> Option<LogLine> {
    let (level, rest) = line.strip_prefix('[')?.split_once(']')?;
    // Up to 2.2 the time stands before the PID: `326/030945`.
    let is_time = |c: char| c.is_ascii_digit() || c == '/';
    let rest = rest.trim_start().trim_start_matches(is_time).trim_start();
    let (pid, text) = rest.strip_prefix('(')?.split_once(") : ")?;
    Some(LogLine { level: level.to_owned(), pid: pid.parse().ok()?, text: text.to_owned() })
}

mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.number(1234, "w1");
        names.number(99, "master");
        names.word("/tmp/x", "dir");
        names.word("/tmp/x/haproxy", "haproxy");
        names
    }

    #[test]
    fn replaces_whole_numbers_and_words() {
        let text = "worker (1234) 12345 a1234 /tmp/x/haproxy /tmp/x/y 99";
        let expected = "worker (<w1>) 12345 a1234 <haproxy> <dir>/y <master>";
        assert_eq!(names().normalise(text), expected);
    }

    #[test]
    fn keeps_columns() {
        let text = "1234            worker  0d00h00m12s   3.0\n99              master\n";
        let expected = "<w1>            worker  <uptime>      3.0\n<master>        master\n";
        assert_eq!(names().normalise(text), expected);
    }

    #[test]
    fn hides_descriptors_and_times_of_the_process_table() {
        let text = "|type=w;fd=12;cfd=-1;pid=1234;timestamp=170000;id=;version=3 -x sockpair@12";
        let expected =
            "|type=w;fd=<fd>;cfd=-1;pid=<w1>;timestamp=<time>;id=;version=3 -x sockpair@<fd>";
        assert_eq!(names().normalise(text), expected);
    }

    #[test]
    fn cuts_stderr_into_messages() {
        let lines =
            log_lines("noise\n[NOTICE]   (12) : one\nmore\n[ALERT] 326/030945 (3) : two : x\n");
        let line = |level: &str, pid, text: &str| LogLine {
            level: level.to_owned(),
            pid,
            text: text.to_owned(),
        };
        assert_eq!(lines, [line("NOTICE", 12, "one\nmore"), line("ALERT", 3, "two : x")]);
    }
}

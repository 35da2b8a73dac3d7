//! What a master answers to `reload`.

/// An answer, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reload has ended; what the start logged.
    Done { success: bool, log: Vec<String> },
    /// Another one is under way, and this one was not begun.
    InProgress,
    /// The command was not understood, or not allowed.
    Refused(String),
    /// Closed without a word.
    Nothing,
}

/// HAProxy's words, and ours.
const IN_PROGRESS: &str = "Another reload is still in progress.";

pub fn parse(text: &str) -> Answer {
    let text = text.trim();
    let mut lines = text.lines().map(str::trim_end);
    let success = match lines.next() {
        None => return Answer::Nothing,
        Some("Success=1") => true,
        Some("Success=0") => false,
        Some(_) if text.contains(IN_PROGRESS) => return Answer::InProgress,
        Some(_) => return Answer::Refused(text.to_owned()),
    };
    if !success && text.contains(IN_PROGRESS) {
        return Answer::InProgress;
    }
    let log = lines.skip_while(|line| *line == "--").map(str::to_owned).collect();
    Answer::Done { success, log }
}

/// Whether more than the log of the start has come, so that waiting for the end of the
/// connection isn't needed to know the result.
pub fn tells_result(text: &[u8]) -> bool {
    text.starts_with(b"Success=0\n") || text.starts_with(b"Success=1\n")
}

/// Why a start failed, in one line: the first alert that says something, or where a log has no
/// alerts, the first line that does.
pub fn reason(log: &[String]) -> String {
    let alerts = log.iter().filter_map(|line| {
        let (_, text) = line.strip_prefix("[ALERT]")?.split_once(" : ")?;
        Some(text.trim().trim_start_matches("config : "))
    });
    let levels = ["[NOTICE]", "[WARNING]", "[ALERT]", "[DIAG]"];
    let has_level = |line: &str| levels.iter().any(|level| line.starts_with(level));
    let lines = log.iter().map(|line| line.trim()).filter(|line| !has_level(line));
    let mut all = alerts.chain(lines).filter(|line| !line.is_empty());
    let first = all.clone().find(|line| !is_hollow(line)).or_else(|| all.next_back());
    match first.or_else(|| log.iter().map(|line| line.trim()).rfind(|line| !line.is_empty())) {
        Some(why) => why.to_owned(),
        None => "the master gives no reason".into(),
    }
}

/// Whether a line only tells that something was begun, or failed because of another.
fn is_hollow(line: &str) -> bool {
    let beginnings = [
        "Error(s) found",
        "Fatal errors found",
        "Initializing new worker",
        "New worker",
        "New program",
        "Failed to load worker",
        "Reloading ",
        "Loading ",
    ];
    beginnings.iter().any(|beginning| line.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn results_and_logs() {
        let done = |success, log: &[&str]| Answer::Done { success, log: lines(log) };
        assert_eq!(parse("Success=1\n"), done(true, &[]));
        assert_eq!(parse("Success=1\n--\na\n\nb\n\n"), done(true, &["a", "", "b"]));
        assert_eq!(parse("Success=0\n--\nbad\n"), done(false, &["bad"]));
        assert_eq!(parse("Success=0\n\n"), done(false, &[]));
    }

    #[test]
    fn no_results() {
        assert_eq!(parse(""), Answer::Nothing);
        assert_eq!(parse("\n"), Answer::Nothing);
        let busy = "Success=0\n--\nAnother reload is still in progress.\n";
        assert_eq!(parse(busy), Answer::InProgress);
        assert_eq!(parse("Permission denied\n\n"), Answer::Refused("Permission denied".into()));
        assert!(matches!(parse("Unknown command: 'reload'"), Answer::Refused(_)));
    }

    #[test]
    fn results_are_told_before_the_end() {
        assert!(tells_result(b"Success=1\n"));
        assert!(!tells_result(b"Success=1"));
        assert!(!tells_result(b""));
    }

    #[test]
    fn reasons() {
        let log = lines(&[
            "[NOTICE]   (12) : haproxy version is 3.0.11",
            "[ALERT]    (12) : config : parsing [h.cfg:9] : unknown keyword 'lisen'",
            "[ALERT]    (12) : config : Error(s) found in configuration file : h.cfg",
        ]);
        assert_eq!(reason(&log), "parsing [h.cfg:9] : unknown keyword 'lisen'");
        let log = lines(&["[ALERT] (12) : config : Fatal errors found in configuration."]);
        assert_eq!(reason(&log), "Fatal errors found in configuration.");
        assert_eq!(reason(&lines(&["", "bad line 3"])), "bad line 3");
        let log = lines(&[
            "Initializing new worker (12)",
            "cannot listen on 192.0.2.1:80",
            "Failed to load worker (12) exited with code 1 (Exit)",
        ]);
        assert_eq!(reason(&log), "cannot listen on 192.0.2.1:80");
        let log = lines(&["Initializing new worker (12)", "Failed to load worker (12) exited"]);
        assert_eq!(reason(&log), "Failed to load worker (12) exited");
        let log = lines(&["[NOTICE] (1) : hello", "[WARNING] (1) : Failed to load worker!"]);
        assert_eq!(reason(&log), "[WARNING] (1) : Failed to load worker!");
        assert_eq!(reason(&[]), "the master gives no reason");
    }
}

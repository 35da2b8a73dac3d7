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

/// Why a start failed, in one line: the first alert that says something.
pub fn reason(log: &[String]) -> String {
    let alert = log.iter().filter_map(|line| {
        let (_, text) = line.strip_prefix("[ALERT]")?.split_once(" : ")?;
        Some(text.trim())
    });
    // Those are about others, and only tell that there was one.
    let hollow = |text: &str| {
        text.starts_with("config : Error(s) found") || text.starts_with("config : Fatal errors")
    };
    let first = alert.clone().find(|text| !hollow(text)).or_else(|| alert.clone().next());
    match first.or_else(|| log.iter().map(|line| line.trim()).find(|line| !line.is_empty())) {
        Some(why) => why.trim_start_matches("config : ").to_owned(),
        None => "the master gives no reason".into(),
    }
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
        assert_eq!(reason(&[]), "the master gives no reason");
    }
}

//! The master CLI of hosts that are not HAProxy: its commands and its texts.
//! The words are those of HAProxy's.

use super::lifecycle::Hardness;

/// To whom a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The master.
    Master,
    /// The worker in service.
    Current,
    /// A worker by its PID, old ones included.
    Pid(i32),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// List the commands.
    Help,
    /// Stay connected and show a prompt.
    Prompt,
    /// Close the connection.
    Quit,
    /// The process table.
    ShowProc {
        /// With descriptors.
        debug: bool,
    },
    /// The proxy's version.
    ShowVersion,
    /// Reload, and answer when it is done.
    Reload(Hardness),
    /// From now on commands go there.
    Switch(Target),
    /// A command for a worker.
    Forward(Target, Vec<u8>),
    /// Nothing to do.
    Empty,
    /// The command can't be understood.
    Bad(String),
}

/// What `help` answers.
pub const HELP: &str = "The following commands are valid at this level:
  @<relative pid>                         : send a command to the <relative pid> process
  @!<pid>                                 : send a command to the <pid> process
  @master                                 : send a command to the master process
  hard-reload                             : achieve a hard-reload (-st)
  help                                    : this list
  prompt                                  : toggle interactive mode with prompt
  quit                                    : disconnect
  reload                                  : achieve a soft-reload (-sf)
  show proc [debug]                       : show processes status
  show version                            : show the version of the master
";

/// The first command of `line` and what follows it. Commands are separated by
/// `;`, which a backslash makes a plain character.
pub fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    for (at, byte) in line.iter().enumerate() {
        if *byte == b';' && !escaped {
            let (command, rest) = line.split_at(at);
            return (command, rest.get(1..).unwrap_or_default());
        }
        escaped = *byte == b'\\' && !escaped;
    }
    (line, &[])
}

/// Understands one command; those without a prefix go to `target`.
pub fn parse(command: &[u8], target: Target) -> Command {
    let command = command.trim_ascii();
    if command.is_empty() {
        return Command::Empty;
    }
    let Some(prefixed) = command.strip_prefix(b"@") else {
        return addressed(command, target);
    };
    let end = prefixed.iter().position(u8::is_ascii_whitespace).unwrap_or(prefixed.len());
    let (name, rest) = prefixed.split_at(end);
    let Some(target) = target_of(name) else {
        let name = String::from_utf8_lossy(name);
        return Command::Bad(format!("Can't find the target PID matching the prefix '@{name}'."));
    };
    let rest = rest.trim_ascii();
    if rest.is_empty() { Command::Switch(target) } else { addressed(rest, target) }
}

fn target_of(name: &[u8]) -> Option<Target> {
    let name = std::str::from_utf8(name).ok()?;
    match name {
        "master" | "0" => Some(Target::Master),
        // Since nbproc is gone there is one worker: 1.
        "1" => Some(Target::Current),
        _ => {
            let pid: i32 = name.strip_prefix('!')?.parse().ok()?;
            (pid > 0).then_some(Target::Pid(pid))
        }
    }
}

fn addressed(command: &[u8], target: Target) -> Command {
    match target {
        Target::Master => masters(command),
        other => match command {
            // These are about the connection, whoever is addressed.
            b"quit" => Command::Quit,
            b"prompt" => Command::Prompt,
            _ => Command::Forward(other, command.to_vec()),
        },
    }
}

fn masters(command: &[u8]) -> Command {
    let words: Vec<&[u8]> =
        command.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).collect();
    match words.as_slice() {
        [b"help"] => Command::Help,
        [b"prompt"] => Command::Prompt,
        [b"quit"] => Command::Quit,
        [b"reload"] => Command::Reload(Hardness::Soft),
        [b"hard-reload"] => Command::Reload(Hardness::Hard),
        [b"show", b"proc"] => Command::ShowProc { debug: false },
        [b"show", b"proc", b"debug"] => Command::ShowProc { debug: true },
        [b"show", b"proc", ..] => {
            Command::Bad("'show proc' only supports 'debug' as argument".into())
        }
        [b"show", b"version"] => Command::ShowVersion,
        _ => {
            let command = String::from_utf8_lossy(command);
            Command::Bad(format!("Unknown command: '{command}'. Send 'help' for a list."))
        }
    }
}

/// Answers `reload`: its result, and what the start logged.
pub fn reload_answer(success: bool, log: &str) -> String {
    let mut answer = format!("Success={}\n", u8::from(success));
    if !log.is_empty() {
        answer.push_str("--\n");
        answer.push_str(log);
        if !log.ends_with('\n') {
            answer.push('\n');
        }
    }
    answer
}

/// The prompt, which shows a failed reload as HAProxy's does.
pub fn prompt(target: Target, failed: bool) -> String {
    match target {
        Target::Master if failed => "master[ReloadFailed]> ".into(),
        Target::Master => "master> ".into(),
        Target::Current => "1> ".into(),
        Target::Pid(pid) => format!("{pid}> "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        let p = |c: &str| parse(c.as_bytes(), Target::Master);
        assert_eq!(p(" show  proc "), Command::ShowProc { debug: false });
        assert_eq!(p("show proc debug"), Command::ShowProc { debug: true });
        assert_eq!(p("hard-reload"), Command::Reload(Hardness::Hard));
        assert_eq!(p(""), Command::Empty);
        assert_eq!(p("@1 show info"), Command::Forward(Target::Current, b"show info".to_vec()));
        assert_eq!(p("@!42 x"), Command::Forward(Target::Pid(42), b"x".to_vec()));
        assert_eq!(p("@1"), Command::Switch(Target::Current));
        assert_eq!(p("@master show version"), Command::ShowVersion);
        assert!(matches!(p("@!0 x"), Command::Bad(_)));
        assert!(matches!(p("@!-1 x"), Command::Bad(_)));
        assert!(matches!(p("@77 x"), Command::Bad(_)));
        assert!(matches!(p("show proc all"), Command::Bad(_)));
        assert_eq!(parse(b"quit", Target::Current), Command::Quit);
    }

    #[test]
    fn pipelines_are_split_and_escapes_kept() {
        assert_eq!(split(b"a;b;c"), (&b"a"[..], &b"b;c"[..]));
        assert_eq!(split(br"a\;b;c"), (&br"a\;b"[..], &b"c"[..]));
        assert_eq!(split(br"a\\;b"), (&br"a\\"[..], &b"b"[..]));
        assert_eq!(split(b"a"), (&b"a"[..], &b""[..]));
    }

    #[test]
    fn answers_read_as_haproxys() {
        assert_eq!(reload_answer(true, ""), "Success=1\n");
        assert_eq!(reload_answer(false, "bad"), "Success=0\n--\nbad\n");
    }
}

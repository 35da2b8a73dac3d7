//! The command line.

use lexopt::ValueExt;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::time::Duration;

/// Where a master's CLI is when nothing says otherwise: where the unit `haproxy.service` has it.
pub const DEFAULT_SOCKET: &str = "/run/haproxy-master.sock";
/// systemd ends an ExecReload= after TimeoutStartSec=, 90 s unless set. To be done before that
/// is to say what went wrong.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(80);

pub const HELP: &str = "\
Usage: mworkerctl [OPTIONS] COMMAND

Controls a proxy through its master's CLI (-S), HAProxy 2.7 and later among them.

Commands:
  reload                Load the configuration anew; done when the new worker
                        serves and no other takes new connections
  hard-reload           The same, and old workers end their connections at once
  show proc             The master's table of processes
  status                The master, its workers and their connections
  wait-ready            Wait until a worker is in service

Options:
  -s, --socket ADDRESS  The master's CLI, as its -S has it: a path, unix@PATH,
                        abns@NAME, ipv4@HOST:PORT, ipv6@HOST:PORT, HOST:PORT
  -p, --pid PID         The master with this PID, whose -S tells the address
  -t, --timeout SECONDS Give up after so long (80)
  -c, --check           Before a reload, check the configuration with the
                        master's program and arguments and -c
      --no-check        Don't, not even with HAProxy 3.3 to 3.5, whose master
                        may crash over a global section that it refuses
  -j, --json            Print one JSON object on stdout
  -q, --quiet           Print nothing but errors
  -h, --help            Print this
  -V, --version         Print the version

Without -s and -p: $MWORKER_SOCKET, or else /run/haproxy-master.sock.

Exit status: 0 done; 1 the reload failed, or no worker is in service;
2 the command line is wrong; 3 the master can't be reached; 4 out of time.
";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Reload { hard: bool },
    ShowProc,
    Status,
    WaitReady,
}

/// How the master is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Socket(String),
    Pid(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub command: Command,
    pub target: Target,
    pub timeout: Duration,
    /// Unless told, where it is needed.
    pub check: Option<bool>,
    pub json: bool,
    pub quiet: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Run(Options),
    Help,
    Version,
}

/// Reads the arguments, without the program's name; `socket` is what the environment says.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    socket: Option<String>,
) -> Result<Parsed, String> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut words: Vec<String> = Vec::new();
    let mut target = None;
    let mut timeout = DEFAULT_TIMEOUT;
    let mut check = None;
    let (mut json, mut quiet) = (false, false);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let mut aim = |at| match target.replace(at) {
            Some(_) => Err("only one --socket or --pid can be given".to_owned()),
            None => Ok(()),
        };
        match arg {
            Short('s') | Long("socket") => aim(Target::Socket(value(&mut parser)?))?,
            Short('p') | Long("pid") => aim(Target::Pid(pid(&value(&mut parser)?)?))?,
            Short('t') | Long("timeout") => timeout = seconds(&value(&mut parser)?)?,
            Short('c') | Long("check") => check = Some(true),
            Long("no-check") => check = Some(false),
            Short('j') | Long("json") => json = true,
            Short('q') | Long("quiet") => quiet = true,
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Short('V') | Long("version") => return Ok(Parsed::Version),
            Value(word) => words.push(word.string().map_err(|e| e.to_string())?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words[..] {
        ["reload"] => Command::Reload { hard: false },
        ["hard-reload"] => Command::Reload { hard: true },
        ["show", "proc"] => Command::ShowProc,
        ["status"] => Command::Status,
        ["wait-ready"] => Command::WaitReady,
        [] => return Err("a command is missing".into()),
        _ => return Err(format!("unknown command '{}'", words.join(" "))),
    };
    if check.is_some() && !matches!(command, Command::Reload { .. }) {
        return Err("--check and --no-check belong to reload and hard-reload".into());
    }
    let elsewhere = || Target::Socket(socket.unwrap_or_else(|| DEFAULT_SOCKET.to_owned()));
    let target = target.unwrap_or_else(elsewhere);
    Ok(Parsed::Run(Options { command, target, timeout, check, json, quiet }))
}

fn value(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser.value().and_then(ValueExt::string).map_err(|e| e.to_string())
}

fn pid(text: &str) -> Result<i32, String> {
    let pid = text.parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| format!("'{text}' is not a PID"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0);
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| format!("'{text}' is not a number of seconds above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(line.split_whitespace().map(OsString::from), Some("/env.sock".into()))
    }

    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Parsed::Run(options)) => options,
            other => panic!("'{line}': {other:?}"),
        }
    }

    #[test]
    fn as_a_unit_calls_it() {
        let expected = Options {
            command: Command::Reload { hard: false },
            target: Target::Pid(42),
            timeout: DEFAULT_TIMEOUT,
            check: None,
            json: false,
            quiet: false,
        };
        assert_eq!(options("--pid 42 reload"), expected);
        assert_eq!(options("reload -p42"), expected);
    }

    #[test]
    fn options_go_anywhere() {
        let options = options("show -s /x --json proc --timeout=0.5 -q");
        assert_eq!(options.command, Command::ShowProc);
        assert_eq!(options.target, Target::Socket("/x".into()));
        assert_eq!(options.timeout, Duration::from_millis(500));
        assert!(options.json && options.quiet);
    }

    #[test]
    fn the_socket_comes_from_option_environment_or_default() {
        assert_eq!(options("status").target, Target::Socket("/env.sock".into()));
        let parsed = parse(["status".into()], None);
        let Ok(Parsed::Run(options)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(options.target, Target::Socket(DEFAULT_SOCKET.into()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "",
            "restart",
            "show",
            "show proc all",
            "reload reload",
            "--pid 0 reload",
            "--pid x reload",
            "--pid",
            "--timeout 0 reload",
            "--timeout -1 reload",
            "--timeout nan reload",
            "--timeout 1e300 reload",
            "--pid 1 --socket x reload",
            "--check status",
            "--no-check show proc",
            "--frobnicate reload",
            "--json=yes reload",
        ] {
            assert!(parsed(line).is_err(), "'{line}': {:?}", parsed(line));
        }
    }

    #[test]
    fn help_and_version() {
        assert_eq!(parsed("--help"), Ok(Parsed::Help));
        assert_eq!(parsed("reload -V"), Ok(Parsed::Version));
        assert!(HELP.contains(DEFAULT_SOCKET));
        assert!(HELP.contains(&format!("({})", DEFAULT_TIMEOUT.as_secs())));
    }
}

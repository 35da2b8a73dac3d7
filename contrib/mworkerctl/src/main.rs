//! `mworkerctl`: reloads a proxy over its master's CLI, and ends with status 0 only when the
//! new worker serves and no other takes new connections.
//!
//! It speaks to every master that has HAProxy's master CLI (`-S`), stock HAProxy 2.7 and later
//! among them. What is decided is in `address`, `answer`, `args`, `info`, `judge` and `table`,
//! pure functions all; the others speak to the master, to `/proc` and to people.

mod address;
mod answer;
mod args;
mod check;
mod info;
mod judge;
mod master;
mod output;
mod process;
mod progress;
mod reload;
mod status;
mod stream;
mod table;
mod wait;

use args::{Command, Options, Parsed};
use master::{Failure, Master};
use std::process::ExitCode;

/// The exit statuses, as the manual has them.
mod exit {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const UNREACHABLE: u8 = 3;
    pub const LATE: u8 = 4;
}

fn main() -> ExitCode {
    let socket = std::env::var("MWORKER_SOCKET").ok().filter(|socket| !socket.is_empty());
    let options = match args::parse(std::env::args_os().skip(1), socket) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            output::stdout(args::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Version) => {
            output::stdout(concat!("mworkerctl ", env!("CARGO_PKG_VERSION"), "\n"));
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            output::stderr(&format!("mworkerctl: {why}\nSee 'mworkerctl --help'.\n"));
            return ExitCode::from(exit::USAGE);
        }
    };
    ExitCode::from(run(&options))
}

fn run(options: &Options) -> u8 {
    let found = Master::find(options);
    match options.command {
        Command::Reload { hard } => {
            let mut report = reload::Report::new(hard);
            let result =
                found.and_then(|mut master| reload::run(&mut master, options, &mut report));
            report.end(options, result)
        }
        Command::ShowProc => {
            let result = found.and_then(|mut master| status::show_proc(&mut master, options));
            end(options, "show proc", result)
        }
        Command::Status => {
            let result = found.and_then(|mut master| status::status(&mut master, options));
            end(options, "status", result)
        }
        Command::WaitReady => {
            let result = found.and_then(|mut master| wait::wait_ready(&mut master, options));
            end(options, "wait-ready", result)
        }
    }
}

/// What a command that changes nothing ends with.
fn end(options: &Options, command: &str, result: Result<u8, Failure>) -> u8 {
    let failure = match result {
        Ok(status) => return status,
        Err(failure) => failure,
    };
    if options.json {
        output::json(&serde_json::json!({
            "command": command,
            "success": false,
            "reason": failure.why(),
        }));
    }
    output::stderr(&format!("mworkerctl: {}\n", failure.why()));
    failure.status()
}

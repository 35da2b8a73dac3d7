//! Something is put in the binary's place that can't be the next master. This one finds out
//! before it has given anything up: the service goes on, everybody is told, and the next reload
//! works. Stock ends then; what becomes of it without any binary is in `haproxy/exec.rs`.

use std::process::Command;

use mworker_kit::{PATIENCE, Pid, Signal, http};

use crate::binaries::{Age, Binary, Installed, Kind};
use crate::stage::{By, OLD_WORKERS, Stage};

/// Why the next image can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Missing,
    NotExecutable,
    WrongArchitecture,
    /// execvp() has a shell run it.
    TextWithoutInterpreter,
    /// Environment and arguments are more than the system takes (E2BIG).
    TooMuch,
    /// It can be executed, but is no good.
    Crashing,
    /// It can be executed, but doesn't know an option.
    TooOld,
}

/// Together more than the 128 KiB that the system always takes.
const MUCH: [&str; 2] = ["MUCH", "MORE"];

/// A quarter of a stack's limit is for environment and arguments, and these 128 KiB at least.
const SMALL_STACK: &str = "524288:";
const USUAL_STACK: &str = "8388608:";

impl Broken {
    fn start(self, binary: &'static Binary) -> Stage {
        let value = "x".repeat(100_000);
        let variables = MUCH.map(|name| (name, value.as_str()));
        Stage::start_with(binary, if self == Broken::TooMuch { &variables } else { &[] })
    }

    fn put(self, stage: &Stage, binary: &Binary) {
        let installed = &stage.installed;
        match self {
            Broken::Missing => installed.remove(),
            Broken::NotExecutable => installed.put_bytes(&Installed::head(binary, 4096), "644"),
            Broken::WrongArchitecture => {
                let mut head = Installed::head(binary, 4096);
                // e_machine, in the byte order that the file has: one that there is none of.
                head[18..20].copy_from_slice(&[0x7f, 0x7f]);
                installed.put_bytes(&head, "755");
            }
            Broken::TextWithoutInterpreter => installed.put_bytes(b"exit 0\n", "755"),
            Broken::TooMuch => limit_stack(stage.pid(), SMALL_STACK),
            Broken::Crashing => installed.put_bytes(b"#!/bin/sh\nkill -SEGV $$\n", "755"),
            Broken::TooOld => installed.put_bytes(b"#!/bin/sh\necho Usage >&2\nexit 1\n", "755"),
        }
    }

    fn undo(self, stage: &mut Stage, binary: &'static Binary) {
        match self {
            Broken::TooMuch => limit_stack(stage.pid(), USUAL_STACK),
            _ => stage.install(binary),
        }
    }

    fn why(self) -> &'static str {
        match self {
            Broken::Missing => "No such file or directory",
            Broken::NotExecutable => "Permission denied",
            Broken::WrongArchitecture | Broken::TextWithoutInterpreter => "Exec format error",
            Broken::TooMuch => "Argument list too long",
            Broken::Crashing => "exited with code 139 (Segmentation fault)",
            Broken::TooOld => "exited with code 1 (Exit), saying: Usage",
        }
    }
}

fn limit_stack(pid: Pid, soft: &str) {
    let mut command = Command::new("prlimit");
    let status = command.arg(format!("--pid={pid}")).arg(format!("--stack={soft}")).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "prlimit: {status:?}");
}

/// Ours: nothing happens but that it is told.
fn survived(broken: Broken, age: Age) {
    let binary = Binary::of(age, Kind::Ours);
    let mut stage = broken.start(binary);
    stage.begin_load();
    for _ in 0..=OLD_WORKERS {
        stage.reload(By::Signal);
    }
    let before = stage.traces();
    for by in [By::Signal, By::Cli] {
        broken.put(&stage, binary);
        for _ in 0..2 {
            stage.failed_exec(by, broken.why());
            stage.check_traces_are(&before, "after a failed exec");
        }
        broken.undo(&mut stage, binary);
        stage.check("after failed execs");
        stage.reload(By::Signal);
        stage.check_traces_are(&before, "after a reload");
    }
    stage.finish(Signal::TERM);
}

macro_rules! cases {
    ($($name:ident: $broken:ident;)*) => {
        $(mod $name {
            use super::{Age, Broken};

            #[test]
            fn old() {
                super::survived(Broken::$broken, Age::Old);
            }

            #[test]
            fn new() {
                super::survived(Broken::$broken, Age::New);
            }
        })*
    };
}

cases! {
    missing: Missing;
    not_executable: NotExecutable;
    wrong_architecture: WrongArchitecture;
    text_without_interpreter: TextWithoutInterpreter;
    too_much: TooMuch;
    crashing: Crashing;
    too_old: TooOld;
}

/// Stock has a shell run what isn't a program, and so whatever was put there has the master's
/// place: of the service nothing is left.
fn stock_ends(broken: Broken) {
    for age in [Age::Old, Age::New] {
        let binary = Binary::of(age, Kind::Stock);
        let mut stage = Stage::start(binary);
        broken.put(&stage, binary);
        stage.signal(Signal::USR2);
        stage.wait_exit();
        stage.host.wait_empty(PATIENCE);
        assert!(http::get(stage.address(), "/", PATIENCE).is_err(), "{broken:?}: who serves?");
    }
}

#[test]
fn stock_ends_with_a_text() {
    stock_ends(Broken::TextWithoutInterpreter);
}

#[test]
fn stock_ends_with_another_architecture() {
    stock_ends(Broken::WrongArchitecture);
}

#[test]
fn stock_ends_with_one_that_crashes() {
    stock_ends(Broken::Crashing);
}

#[test]
fn stock_ends_with_one_that_is_too_old() {
    stock_ends(Broken::TooOld);
}

//! For the tests of what C sees: the archives as make builds them, and compilers.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// With or without USE_SYSTEMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    Plain,
    Systemd,
}

/// An archive, and what else has to be linked.
pub struct Library {
    pub archive: PathBuf,
    pub native: Vec<String>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn include() -> PathBuf {
    root().join("include")
}

/// make, as from a shell.
pub fn make() -> Command {
    let mut make = Command::new("make");
    make.arg("--no-print-directory").current_dir(root());
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "USE_SYSTEMD", "DESTDIR", "PREFIX"] {
        make.env_remove(variable);
    }
    make
}

/// The archive, up to date.
pub fn library(flavour: Flavour) -> Library {
    let folder = match flavour {
        Flavour::Plain => "build/plain",
        Flavour::Systemd => "build/systemd",
    };
    run(make().arg(format!("{folder}/libmworker.a")));
    let folder = root().join(folder);
    let native = std::fs::read_to_string(folder.join("native-static-libs")).expect("the list");
    Library {
        archive: folder.join("libmworker.a"),
        native: native.split_whitespace().map(str::to_owned).collect(),
    }
}

/// Runs it, and shows what it said if it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    checked(command, output)
}

/// The same, with something to read.
#[track_caller]
pub fn run_on(command: &mut Command, input: &str) -> String {
    let output = output_on(command, input);
    checked(command, Ok(output))
}

#[track_caller]
fn checked(command: &Command, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// What it says when it reads `input`.
#[track_caller]
pub fn output_on(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.arg("-").spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Whether a command that reads `input` can be run and succeeds.
pub fn succeeds_on(command: &mut Command, input: &str) -> bool {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let written =
        child.stdin.take().is_some_and(|mut pipe| pipe.write_all(input.as_bytes()).is_ok());
    child.wait().is_ok_and(|status| written && status.success())
}

/// A compiler that finds the header, and makes nothing.
pub fn compile_only(compiler: &str) -> Command {
    let mut command = Command::new(compiler);
    command.arg("-fsyntax-only").arg("-I").arg(include());
    command
}

/// The files of a folder with this extension.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {folder}");
    files
}

/// What the header declares, by name.
pub fn declared_functions() -> BTreeSet<String> {
    let header = std::fs::read_to_string(include().join("mworker.h")).expect("the header");
    let declarations = header.split("extern \"C\" {").nth(1).expect("functions come last");
    let mut names = BTreeSet::new();
    let mut comment = false;
    for line in declarations.lines() {
        let text = line.trim_start();
        comment |= text.starts_with("/*");
        // They begin in the first column.
        if !comment && line.starts_with(|c: char| c.is_ascii_lowercase()) {
            let before = line.split('(').next().unwrap_or_default();
            names.extend(before.rsplit([' ', '*']).next().map(str::to_owned));
        }
        comment &= !text.ends_with("*/");
    }
    names.retain(|name| name.starts_with("mworker_"));
    assert!(names.len() > 40, "{names:?}");
    names
}

//! The manual page, and what `--help` says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use mworker_kit::need;

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("mworkerctl.8")
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{stderr}", output.status);
    text
}

fn help() -> String {
    output(Command::new(env!("CARGO_BIN_EXE_mworkerctl")).arg("--help"))
}

#[test]
fn mandoc_has_nothing_to_say() {
    if !need::programs(&["mandoc"], "mworkerctl") {
        return;
    }
    output(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(page()));
}

/// Words like `--socket`, and the commands.
fn options_of_help() -> BTreeSet<String> {
    let is_option = |word: &&str| word.starts_with('-') && word.len() > 1;
    let strip =
        |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '-').to_owned();
    let help = help();
    let (_, rest) = help.split_once("\nOptions:\n").expect("a list of options");
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let heads = lines.filter(|line| line.trim_start().starts_with('-'));
    heads.flat_map(|line| line.split_whitespace().take(2).filter(is_option).map(strip)).collect()
}

/// The options of the manual's list: `.It Fl s Ar address , Fl \-socket Ar address`.
fn options_of_manual() -> BTreeSet<String> {
    let page = std::fs::read_to_string(page()).expect("the manual");
    let heads = page.lines().filter_map(|line| line.strip_prefix(".It Fl "));
    let options = heads.flat_map(|head| {
        let names = head.split("Fl ").filter_map(|part| part.split_whitespace().next());
        names.map(|name| format!("-{}", name.replace("\\-", "-"))).collect::<Vec<_>>()
    });
    options.collect()
}

#[test]
fn the_manual_has_the_options_of_help() {
    let options = options_of_help();
    assert!(options.contains("--socket") && options.contains("-s"), "{options:?}");
    assert_eq!(options, options_of_manual());
}

#[test]
fn the_manual_has_the_commands_of_help() {
    let help = help();
    let (_, rest) = help.split_once("\nCommands:\n").expect("a list of commands");
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let commands: BTreeSet<String> = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| Some(line.trim_start().split("  ").next()?.to_owned()))
        .collect();
    let page = std::fs::read_to_string(page()).expect("the manual");
    let described = page.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    assert_eq!(commands, described.map(str::to_owned).collect());
    assert!(commands.contains("show proc"), "{commands:?}");
}

//! Tests with `-W` added, for every HAProxy that they start without it.
//!
//! The runner itself has to know of it: it waits for the master's PID file then, and expects the
//! master to exit with 130 after its SIGINT. So what is changed is the test: `haproxy h1 -conf`
//! becomes `haproxy h1 -W -conf`. One that only checks its configuration is left alone, and one
//! that is to exit by itself (`-expectexit`), as the runner would wait for its PID file.
//!
//! Where a test expects HAProxy's PID in a log line, any number will do: the worker writes it then,
//! and the test knows only the master's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A line that configures a HAProxy to be started, and isn't master-worker yet.
fn with_worker(line: &str) -> Option<String> {
    let body = line.trim_start();
    let indent = line.strip_suffix(body)?;
    let mut words = body.split_whitespace();
    if words.next()? != "haproxy" {
        return None;
    }
    let name = words.next()?;
    let options: Vec<&str> = words.take_while(|word| !word.starts_with('{')).collect();
    let has = |option: &str| options.contains(&option);
    let configured = has("-conf") || has("-conf+backend");
    if !configured || has("-W") || has("-Ws") || has("-conf-OK") || has("-conf-BAD") {
        return None;
    }
    let rest = body.strip_prefix("haproxy")?.trim_start().strip_prefix(name)?;
    Some(format!("{indent}haproxy {name} -W{rest}"))
}

/// `${h1_pid}` in what a log is expected to hold: whatever PID.
fn any_pid(line: &str) -> String {
    if !line.trim_start().starts_with("expect ") {
        return line.to_owned();
    }
    let (open, close) = ("${h", "_pid}");
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(open) {
        out.push_str(before);
        match after.split_once(close) {
            Some((name, tail)) if !name.contains('}') => {
                out.push_str("[0-9]+");
                rest = tail;
            }
            _ => {
                out.push_str(open);
                rest = after;
            }
        }
    }
    out + rest
}

/// The text of a test with `-W`, and whether any HAProxy got it.
fn forced(text: &str) -> (String, bool) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut changed = false;
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let end = lines.iter().skip(number).find(|line| line.trim_start().starts_with('}'));
        let exits = end.is_some_and(|end| end.contains("-expectexit"));
        match with_worker(line).filter(|_| !exits) {
            Some(line) => {
                changed = true;
                out.push_str(&line);
            }
            None => out.push_str(&any_pid(line)),
        }
    }
    (out, changed)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Tests may share a folder by a link to it; what is in it is found under both names.
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a test is one of those under the paths, if there are any.
fn asked(name: &str, paths: &[String]) -> bool {
    paths.is_empty() || paths.iter().any(|path| Path::new(name).starts_with(path))
}

/// The tests of a folder that are under the paths, if there are any.
pub fn tests(folder: &Path, paths: &[String]) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    files(folder, &mut all)?;
    let tests = all.iter().filter(|path| path.extension().is_some_and(|kind| kind == "vtc"));
    let names = tests
        .filter_map(|path| Some(path.strip_prefix(folder).ok()?.to_string_lossy().into_owned()));
    Ok(names.filter(|name| asked(name, paths)).collect())
}

/// Copies a folder of tests with `-W` added, and tells which tests (of those under the paths, if
/// there are any) got it, by themselves or by a file that they include.
pub fn copy(from: &Path, to: &Path, paths: &[String]) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    files(from, &mut all)?;
    let mut included = BTreeSet::new();
    let mut tests = BTreeMap::new();
    for path in &all {
        let Ok(name) = path.strip_prefix(from) else { continue };
        let target = to.join(name);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let kind = path.extension().and_then(|kind| kind.to_str());
        if kind != Some("vtc") && kind != Some("vtci") {
            // Links lead out of the folder, so what they lead to is copied.
            fs::copy(path, &target)?;
            continue;
        }
        let (text, changed) = forced(&fs::read_to_string(path)?);
        fs::write(&target, &text)?;
        let name = name.to_string_lossy().into_owned();
        if kind == Some("vtc") {
            tests.insert(name, (text, changed));
        } else if changed {
            included.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    let with = tests.into_iter().filter(|(name, (text, changed))| {
        asked(name, paths) && (*changed || includes(text).any(|name| included.contains(name)))
    });
    Ok(with.map(|(name, _)| name).collect())
}

/// The names of the files that a test includes.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("include "));
    lines.map(|path| path.trim().trim_matches('"').rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_started_get_it() {
        let (text, changed) = forced("haproxy h1 -conf {\n  global\n} -start\n");
        assert_eq!(text, "haproxy h1 -W -conf {\n  global\n} -start\n");
        assert!(changed);
        let (text, _) = forced("  haproxy  hap -arg \"-L A\" -conf {\n");
        assert_eq!(text, "  haproxy hap -W -arg \"-L A\" -conf {\n");
        assert!(forced("haproxy h1 -conf+backend {").1);
    }

    #[test]
    fn others_are_left_alone() {
        for line in [
            "haproxy h1 -W -S -conf {\n",
            "haproxy h1 -Ws -S -conf {\n",
            "haproxy h1 -conf-OK {\n",
            "haproxy h2 -arg -V -conf-BAD {} {\n",
            "haproxy h1 -start\n",
            "haproxy h1 -cli {\n",
            "# haproxy h1 -conf {\n",
            "server s1 -start\n",
            "haproxy h2 -conf {\n  global\n} -start -expectexit 1\n",
        ] {
            assert_eq!(forced(line), (line.to_owned(), false));
        }
    }

    #[test]
    fn pids_in_logs() {
        let line = r#"  expect ~ "\\[${h1_pid}\\]: ${h1_fe_port} haproxy ${h_2_pid} ${s1_addr}""#;
        let any = r#"  expect ~ "\\[[0-9]+\\]: ${h1_fe_port} haproxy [0-9]+ ${s1_addr}""#;
        assert_eq!(any_pid(line), any);
        let other = "shell { ss -pt | grep pid=${h1_pid} }";
        assert_eq!(any_pid(other), other);
    }

    #[test]
    fn what_is_included() {
        let text = "feature x\n  include ${testdir}/a.vtci\ninclude \"b.vtci\"\n";
        assert_eq!(includes(text).collect::<Vec<_>>(), ["a.vtci", "b.vtci"]);
    }
}

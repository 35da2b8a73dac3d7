//! `tests/README.md` is complete: it has every suite, and every variable of ours that tests,
//! benches and the demo read or set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 4] = ["tests", "benches", "examples", "contrib/mworkerctl/tests"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("tests/README.md")).expect("tests/README.md")
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs");
    let below = folders.iter().flat_map(|folder| sources(folder));
    files.into_iter().filter(is_source).chain(below).collect()
}

/// The names of variables of ours that stand in quotes.
fn variables(text: &str, quote: char) -> impl Iterator<Item = &str> {
    let part_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_name = move |text: &&str| {
        let rest = text.strip_prefix("MWORKER_").unwrap_or_default();
        !rest.is_empty() && rest.chars().all(part_of_name)
    };
    text.split(quote).filter(is_name)
}

#[test]
fn every_variable_is_in_the_readme() {
    let readme = readme();
    let files: Vec<PathBuf> =
        FOLDERS.iter().flat_map(|folder| sources(&root().join(folder))).collect();
    let texts: Vec<String> =
        files.iter().map(|path| std::fs::read_to_string(path).expect("a source")).collect();
    let used: BTreeSet<&str> = texts.iter().flat_map(|text| variables(text, '"')).collect();
    assert!(used.contains("MWORKER_TESTS_SKIP_NOTHING"), "{used:?}");
    let missing: Vec<_> =
        used.iter().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in tests/README.md: {missing:?}");
    let named: BTreeSet<&str> = variables(&readme, '`').collect();
    let gone: Vec<_> = named.difference(&used).collect();
    assert!(gone.is_empty(), "in tests/README.md, but used by no test: {gone:?}");
}

#[test]
fn every_suite_is_in_the_readme() {
    let readme = readme();
    let files = std::fs::read_dir(root().join("tests")).expect("tests");
    let paths = files.map(|entry| entry.expect("an entry").path());
    for path in paths.filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(readme.contains(&format!("`{name}`")), "no {name} in tests/README.md");
    }
    for line in std::fs::read_to_string(root().join("tests/run")).expect("tests/run").lines() {
        let suite = line.strip_prefix("suite_").and_then(|rest| rest.strip_suffix("() {"));
        if let Some(name) = suite {
            assert!(readme.contains(&format!("`{name}`")), "no {name} in tests/README.md");
        }
    }
}

//! Runs a scenario on both binaries and compares the transcripts.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::differences::{DIFFERENCES, Difference, REWRITES};
use crate::run::Run;
use crate::version::{not_compared, version};

/// Drives stock, then ours, and panics with a diff if they behave unlike each other in a
/// way that is not listed.
#[track_caller]
pub fn scenario(name: &str, drive: impl Fn(&mut Run)) {
    let version = version(&binary(STOCK));
    if not_compared(name, version).is_some() {
        transcript(&binary(OURS), &drive);
        return;
    }
    let mut stock = transcript(&binary(STOCK), &drive);
    let ours = transcript(&binary(OURS), &drive);
    if env::var_os("MWORKER_SHOW_TRANSCRIPT").is_some() {
        println!("=== {name}\n{}", stock.join("\n"));
    }
    for rewrite in REWRITES.iter().filter(|rewrite| rewrite.applies(name, version)) {
        assert!(
            rewrite.apply(&mut stock),
            "scenario '{name}': difference '{}' is listed, but not there",
            rewrite.id
        );
    }
    let listed: Vec<&Difference> =
        DIFFERENCES.iter().filter(|difference| difference.applies(name, version)).collect();
    for difference in &listed {
        assert!(documented(difference.id), "docs/differences.md has no entry '{}'", difference.id);
    }
    if let Err(why) = judge(&diff(&stock, &ours), &listed) {
        panic!("scenario '{name}': {why}\n{}", render(&diff(&stock, &ours)));
    }
}

/// Where the binaries are.
pub const STOCK: &str = "MWORKER_HAPROXY_STOCK";
pub const OURS: &str = "MWORKER_HAPROXY_OURS";

pub fn binary(variable: &str) -> PathBuf {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else {
        panic!("{variable} is not set: run `make test T=haproxy`, which builds it and sets it");
    };
    assert!(path.is_absolute(), "{variable} must be an absolute path: {}", path.display());
    assert!(path.is_file(), "{variable}: there is no {}: run `make test`", path.display());
    path
}

fn transcript(binary: &Path, drive: impl Fn(&mut Run)) -> Vec<String> {
    let mut run = Run::new(binary);
    drive(&mut run);
    run.into_transcript()
}

fn documented(id: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    fs::read_to_string(path).unwrap_or_default().contains(id)
}

/// A stretch of two transcripts.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Same(String),
    /// Lines of stock only, then lines of ours only, in the same place.
    Unlike(Vec<String>, Vec<String>),
}

/// The longest common subsequence tells what is the same; what lies between is not.
fn diff(stock: &[String], ours: &[String]) -> Vec<Piece> {
    let mut common = vec![vec![0u32; ours.len() + 1]; stock.len() + 1];
    for s in (0..stock.len()).rev() {
        for o in (0..ours.len()).rev() {
            common[s][o] = if stock[s] == ours[o] {
                common[s + 1][o + 1] + 1
            } else {
                common[s + 1][o].max(common[s][o + 1])
            };
        }
    }
    let (mut s, mut o) = (0, 0);
    let mut pieces = Vec::new();
    let mut unlike = (Vec::new(), Vec::new());
    loop {
        let same = s < stock.len() && o < ours.len() && stock[s] == ours[o];
        let end = s == stock.len() && o == ours.len();
        if (same || end) && (!unlike.0.is_empty() || !unlike.1.is_empty()) {
            let (lost, gained) = std::mem::take(&mut unlike);
            pieces.push(Piece::Unlike(lost, gained));
        }
        if end {
            return pieces;
        }
        if same {
            pieces.push(Piece::Same(stock[s].clone()));
            s += 1;
            o += 1;
        } else if o == ours.len() || (s < stock.len() && common[s + 1][o] >= common[s][o + 1]) {
            unlike.0.push(stock[s].clone());
            s += 1;
        } else {
            unlike.1.push(ours[o].clone());
            o += 1;
        }
    }
}

/// Whether the listed differences explain every unlike stretch, and each of them occurs.
fn judge(pieces: &[Piece], listed: &[&Difference]) -> Result<(), String> {
    let mut seen = vec![false; listed.len()];
    for piece in pieces {
        if let Piece::Unlike(stock, ours) = piece {
            if !explain(stock, ours, listed, &mut seen) {
                return Err("ours differs from stock in a way that is not listed".to_owned());
            }
        }
    }
    match seen.iter().position(|seen| !seen) {
        Some(at) => Err(format!("difference '{}' is listed, but not there", listed[at].id)),
        None => Ok(()),
    }
}

/// Whether a stretch is a sequence of listed differences; marks them.
fn explain(stock: &[String], ours: &[String], listed: &[&Difference], seen: &mut [bool]) -> bool {
    if stock.is_empty() && ours.is_empty() {
        return true;
    }
    for (at, difference) in listed.iter().enumerate() {
        let (lost, gained) = (difference.stock.len(), difference.ours.len());
        if lost + gained > 0
            && stock.len() >= lost
            && ours.len() >= gained
            && stock[..lost] == *difference.stock
            && ours[..gained] == *difference.ours
            && explain(&stock[lost..], &ours[gained..], listed, seen)
        {
            seen[at] = true;
            return true;
        }
    }
    false
}

/// A diff to read: what is the same is cut down to the lines around what is not.
fn render(pieces: &[Piece]) -> String {
    const AROUND: usize = 3;
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let to = (at + AROUND + 1).min(pieces.len());
        pieces[from..to].iter().any(|piece| matches!(piece, Piece::Unlike(..)))
    };
    // The heading tells which step of the scenario a stretch belongs to.
    let heading = |line: &str| line.starts_with("== ");
    let mut text = String::from("  (- stock, + ours)\n");
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Same(line) if near(at) || heading(line) => {
                let _ = writeln!(text, "  {line}");
            }
            Piece::Same(_) => {}
            Piece::Unlike(stock, ours) => {
                for line in stock {
                    let _ = writeln!(text, "- {line}");
                }
                for line in ours {
                    let _ = writeln!(text, "+ {line}");
                }
            }
        }
    }
    text
}

mod tests {
    use super::*;
    use crate::version::{ALL, NOT_COMPARED};

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    const SWAP: Difference =
        Difference { id: "swap", scenarios: &[], stock: &["b"], ours: &["B", "BB"], versions: ALL };
    const EXTRA: Difference =
        Difference { id: "extra", scenarios: &[], stock: &[], ours: &["x"], versions: ALL };

    #[test]
    fn listed_differences_are_accepted() {
        let pieces = diff(&lines("a b c"), &lines("a B BB x c"));
        assert_eq!(judge(&pieces, &[&SWAP, &EXTRA]), Ok(()));
        assert_eq!(judge(&diff(&lines("a"), &lines("a")), &[]), Ok(()));
    }

    #[test]
    fn unlisted_and_vanished_ones_are_not() {
        let pieces = diff(&lines("a b c"), &lines("a B BB x c"));
        assert!(judge(&pieces, &[&SWAP]).unwrap_err().contains("not listed"));
        let same = diff(&lines("a b"), &lines("a b"));
        assert!(judge(&same, &[&SWAP]).unwrap_err().contains("'swap' is listed"));
    }

    /// One that names no scenario there is would never be found to have vanished.
    #[test]
    fn each_listed_difference_is_documented_and_used() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/haproxy");
        let sources: String = fs::read_dir(folder)
            .expect("the folder of scenarios")
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| !path.ends_with("differences.rs") && !path.ends_with("version.rs"))
            .map(|path| fs::read_to_string(path).expect("a source file"))
            .collect();
        let differences = DIFFERENCES.iter().map(|d| (d.id, d.scenarios));
        let rewrites = REWRITES.iter().map(|r| (r.id, r.scenarios));
        for (id, scenarios) in differences.chain(rewrites) {
            assert!(documented(id), "docs/differences.md has no entry '{id}'");
            assert!(!scenarios.is_empty(), "'{id}' names no scenario");
            for name in scenarios {
                assert!(sources.contains(&format!("\"{name}\"")), "no scenario '{name}' ({id})");
            }
        }
        for listed in NOT_COMPARED {
            let name = listed.scenario;
            assert!(sources.contains(&format!("\"{name}\"")), "no scenario '{name}'");
        }
    }

    #[test]
    fn diffs_read_well() {
        let pieces = diff(&lines("1 2 3 4 5 b c"), &lines("1 2 3 4 5 B c"));
        assert_eq!(render(&pieces), "  (- stock, + ours)\n  3\n  4\n  5\n- b\n+ B\n  c\n");
    }
}

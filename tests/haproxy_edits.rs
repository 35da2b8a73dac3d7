//! The edits of HAProxy's sources apply exactly as often as they should, or stop the build:
//! on a made-up source, and on every HAProxy tree at hand.

#[path = "haproxy_edits/edits.rs"]
mod edits;
#[path = "haproxy_edits/mutations.rs"]
mod mutations;

use edits::{Edits, Outcome, edit_source, generation};
use mutations::Mutation;
use mworker_kit::{TempDir, need};
use std::env;
use std::path::PathBuf;

/// HAProxy trees, separated by colons.
const TREES: &str = "MWORKER_HAPROXY_TREES";

const SOURCE: &str = "\
static int helper(int a)
{
	first();
	return a;
}

void main_loop()
{
	poll();
}

int main(int argc, char **argv)
{
	first();
	second();
	if (argc)
		third();
	return 0;
}
";

const EDITS: &str = "\
file src/made-up.c
declare static void ours(void);

edit   loop
why    The loop is ours.
count  2.2=1 2.4=1
replace void main_loop()

edit   second
why    Ours comes second.
count  2.2=1 2.2.14=0 2.4=1
in     main
-\tsecond();
+\tours();
+\tours();

edit   third
why    Ours comes third.
count  2.2=1 2.4=1
in     main
 \tif (argc)
-\t\tthird();
+\t\tours();
";

/// Applies edits to a source, as for a HAProxy of this version.
fn apply(edits: &str, version: &str, source: &str) -> Outcome {
    let folder = TempDir::new();
    let (edits_file, source_file) =
        (folder.path().join("made-up.edits"), folder.path().join("made-up.c"));
    std::fs::write(&edits_file, edits).expect("edits");
    std::fs::write(&source_file, source).expect("a source");
    edit_source(&edits_file, version, &source_file)
}

#[track_caller]
fn assert_stops(outcome: &Outcome, edit: &str, words: &[&str]) {
    let message = outcome.message();
    assert!(message.contains(&format!("the edit \"{edit}\"")), "not about {edit}: {message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[test]
fn edits_apply_and_lines_keep_their_numbers() {
    let text = apply(EDITS, "2.4.9", SOURCE).text();
    assert!(text.contains("static void ours(void);\n"), "{text}");
    assert!(text.contains("void main_loop();\n\n\n\n"), "the body is there: {text}");
    assert!(text.contains("\tours();\n\tours();\n# 16 "), "{text}");
    assert!(text.contains("\tif (argc)\n\t\tours();\n# 18 "), "{text}");
    assert!(
        !text.contains("second") && !text.contains("third") && !text.contains("poll"),
        "{text}"
    );
}

#[test]
fn a_count_may_begin_with_a_release() {
    apply(EDITS, "2.2.13", SOURCE).text();
    let fixed = SOURCE.replace("\tsecond();\n", "");
    apply(EDITS, "2.2.14", &fixed).text();
    assert_stops(
        &apply(EDITS, "2.2.14", SOURCE),
        "second",
        &["of HAProxy 2.2.14", "must apply 0 times in main()", "applies once"],
    );
    assert_stops(&apply(EDITS, "2.2.13", &fixed), "second", &["must apply once", "0 times"]);
}

#[test]
fn a_newer_branch_is_taken_for_the_newest_known() {
    apply(EDITS, "2.5-dev3", SOURCE).text();
    let outcome = apply(EDITS, "2.3.0", SOURCE);
    assert!(outcome.message().contains("has no count for HAProxy 2.3"), "{}", outcome.message());
}

#[test]
fn a_message_has_all_that_is_needed() {
    let outcome = apply(EDITS, "2.4.9", &SOURCE.replace("\tsecond();", "\tsecond(1);"));
    let purpose = "purpose: Ours comes second.";
    assert_stops(
        &outcome,
        "second",
        &["src/made-up.c", "2.4.9", purpose, "made-up.edits", "build without USE_RUST_MWORKER"],
    );
}

#[test]
fn code_in_another_function_stops_the_build() {
    let moved =
        SOURCE.replace("\tsecond();\n", "").replace("\treturn a;", "\tsecond();\n\treturn a;");
    assert_stops(
        &apply(EDITS, "2.4.9", &moved),
        "second",
        &["applies 0 times", "in helper(), line 4"],
    );
    let both = SOURCE.replace("\treturn a;", "\tsecond();\n\treturn a;");
    assert_stops(&apply(EDITS, "2.4.9", &both), "second", &["applies once", "in helper(), line 4"]);
}

#[test]
fn code_that_is_there_once_more_stops_the_build() {
    let doubled = SOURCE.replace("\tsecond();", "\tsecond();\n\tsecond();");
    assert_stops(&apply(EDITS, "2.4.9", &doubled), "second", &["applies 2 times"]);
    let in_an_expression = SOURCE.replace("\tfirst();\n\treturn", "\tif (second( ); a)\n\treturn");
    assert_stops(
        &apply(EDITS, "2.4.9", &in_an_expression),
        "second",
        &["in the file 2 times instead of once"],
    );
    let function = format!("{SOURCE}\nvoid main_loop()\n{{\n}}\n");
    assert_stops(&apply(EDITS, "2.4.9", &function), "loop", &["is there 2 times"]);
}

#[test]
fn code_in_another_order_stops_the_build() {
    let swapped =
        SOURCE.replace("\tsecond();\n", "").replace("\treturn 0;", "\tsecond();\n\treturn 0;");
    assert_stops(&apply(EDITS, "2.4.9", &swapped), "third", &["the code was moved"]);
}

#[test]
fn what_haproxy_has_fixed_is_left_alone() {
    let edits =
        EDITS.replace("in     main\n-\tsecond", "in     main\nfixed  \tfirst();\n-\tsecond");
    let text = apply(&edits, "2.4.9", SOURCE).text();
    assert!(text.contains("\tsecond();\n"), "{text}");
    let text = apply(&edits, "2.4.9", &SOURCE.replace("\tfirst();\n\tsecond", "\tsecond")).text();
    assert!(!text.contains("\tsecond();\n"), "{text}");
}

#[test]
fn every_branch_has_shims_or_a_reason() {
    for (version, folder) in [
        ("1.8.30", "1.8"),
        ("2.0.0", "2.0"),
        ("2.2.19", "2.0"),
        ("2.6.23", "2.6"),
        ("3.0-dev5", "2.6"),
        ("3.0.11-1+deb13u4", "2.6"),
        ("3.1.0", "3.1"),
        ("3.4.3.1", "3.1"),
    ] {
        assert_eq!(generation(version).text().trim(), folder, "{version}");
    }
    for version in ["1.9.0", "2.5.14", "2.7.0"] {
        let refused = generation(version);
        let message = refused.message();
        assert!(message.contains("no release of this branch is maintained"), "{message}");
        assert!(message.contains("Build without USE_RUST_MWORKER"), "{message}");
    }
    assert!(generation("1.7.2").message().contains("there are no shims"));
    assert!(generation("3").message().contains("not a version"));
    let newer = generation("3.6-dev1");
    assert_eq!(newer.output, "3.1\n");
    assert!(newer.errors.contains("is untested"), "{}", newer.errors);
}

/// The trees at hand, or nothing if there are none.
fn trees() -> Vec<PathBuf> {
    let trees = env::var(TREES).unwrap_or_default();
    let trees: Vec<PathBuf> =
        env::split_paths(&trees).filter(|p| !p.as_os_str().is_empty()).collect();
    if need::found(!trees.is_empty(), "HAProxy's sources", "haproxy_edits") {
        trees
    } else {
        vec![]
    }
}

#[test]
fn every_edit_fits_every_tree() {
    for tree in trees() {
        let edits = Edits::of_tree(&tree);
        assert!(!edits.is_empty(), "no edits for {}", tree.display());
        for edits in edits {
            edits.apply().text();
        }
    }
}

#[test]
fn every_change_of_edited_code_stops_the_build() {
    let mut tried = 0;
    let trees = trees();
    for tree in &trees {
        for edits in Edits::of_tree(tree) {
            for (edit, place) in edits.that_apply() {
                for mutation in Mutation::ALL {
                    let changed = mutation.of(&edits.source(), edit, place);
                    let outcome = edits.apply_to(&changed);
                    let what = format!("{mutation:?} {} in {}", edit.name, tree.display());
                    assert!(!outcome.succeeded, "{what}: nothing stops the build");
                    assert!(outcome.errors.contains("the edit \""), "{what}: {}", outcome.errors);
                    assert_eq!(outcome.output, "", "{what}: something is compiled");
                    tried += 1;
                }
            }
        }
    }
    assert!(trees.is_empty() || tried >= 4 * trees.len(), "only {tried} changes were tried");
}

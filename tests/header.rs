//! include/mworker.h, which is generated, and what can be said of it as text.

#[path = "c/support.rs"]
mod support;

fn header() -> String {
    std::fs::read_to_string(support::include().join("mworker.h")).expect("the header")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated =
        std::fs::read_to_string(env!("MWORKER_GENERATED_HEADER")).expect("what build.rs made");
    let committed = header();
    for (number, (old, new)) in committed.lines().zip(generated.lines()).enumerate() {
        assert_eq!(
            old,
            new,
            "include/mworker.h:{} is not what src/capi makes: run `make header`",
            number + 1
        );
    }
    assert_eq!(committed, generated, "include/mworker.h is out of date: run `make header`");
}

#[test]
fn every_function_has_its_comment() {
    let header = header();
    let (_, functions) = header.split_once("extern \"C\" {\n#endif\n").expect("functions");
    let (functions, _) = functions.split_once("#ifdef __cplusplus").expect("their end");
    for block in functions.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        assert!(block.starts_with("/*"), "no comment: {block}");
    }
    assert!(!header.contains("# Safety"), "what only Rust asks for");
}

#[test]
fn lines_are_for_terminals() {
    let long: Vec<String> =
        header().lines().filter(|line| line.chars().count() > 80).map(str::to_owned).collect();
    assert!(long.is_empty(), "{long:#?}");
    assert!(!header().contains('\t') && header().is_ascii());
}

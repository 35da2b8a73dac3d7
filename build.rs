//! Makes the C header out of `src/capi`, and compiles what only C can define.

use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/capi");
    println!("cargo:rerun-if-changed=src/core/process.rs");

    let header = out.join("mworker.h");
    let text = for_people(&generate(&root));
    std::fs::write(&header, text).expect("the header can be written");
    println!("cargo:rustc-env=MWORKER_GENERATED_HEADER={}", header.display());

    cc::Build::new()
        .file("src/capi/variadic.c")
        .include(&out)
        .std("c99")
        .warnings(true)
        .extra_warnings(true)
        .compile("mworker_variadic");
}

/// The header as cbindgen makes it. The committed one is compared with what
/// comes of it by a test; `make header` copies it.
fn generate(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In the order in which a reader wants them.
    const PARTS: [&str; 11] = [
        "error", "host", "list", "rows", "master", "worker", "figures", "notify", "text",
        "haproxy", "handle",
    ];
    for part in PARTS {
        builder = builder.with_src(root.join(format!("src/capi/{part}.rs")));
    }
    for file in std::fs::read_dir(root.join("src/capi")).expect("src/capi").flatten() {
        let path = file.path();
        let part = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let known = PARTS.contains(&part) || !text.contains("no_mangle");
        assert!(known, "{} exports functions that the header would lack", path.display());
    }
    let mut header = Vec::new();
    builder.generate().expect("src/capi makes a header").write(&mut header);
    String::from_utf8(header).expect("text")
}

/// Takes out what only Rust asks for (`# Safety`, links), and adds the function
/// that only C can define.
fn for_people(header: &str) -> String {
    const STATUS: &str = "int mworker_notify_status(struct mworker *mw, const char *text);\n";
    const STATUSF: &str = "
/*
 * The same, with a text made of `format` (not NULL) as printf() makes it.
 */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int mworker_notify_statusf(struct mworker *mw, const char *format, ...);
";
    let mut text = String::new();
    let mut safety = false;
    for line in header.lines().map(str::trim_end) {
        if line.trim_start() == "* # Safety" {
            safety = true;
            // And the empty line before it.
            let end = text.trim_end_matches(" *\n").len();
            text.truncate(end);
        }
        safety &= line.trim_start() != "*/";
        let blank_again = line.is_empty() && text.ends_with("\n\n");
        if !safety && !blank_again {
            text.push_str(&plain(line));
            text.push('\n');
        }
    }
    let text = short_comments(&text);
    assert!(text.contains(STATUS), "mworker_notify_status() has changed: adapt build.rs");
    text.replace(STATUS, &format!("{STATUS}{STATUSF}"))
}

/// A line as a C programmer writes it.
fn plain(line: &str) -> String {
    if line.trim_start() == "/**" {
        return line.replace("/**", "/*");
    }
    match line.strip_prefix("#define ").and_then(|d| d.split_once(" -")) {
        Some((name, number)) => format!("#define {name} (-{number})"),
        None if line.contains("/*") || line.trim_start().starts_with('*') => line.into(),
        // Pointers as they are named in cbindgen.toml.
        None => line
            .replace("* ", "*")
            .replace("// __cplusplus", "")
            .replace("// extern \"C\"", "")
            .trim_end()
            .into(),
    }
}

/// Comments of one line, on one line.
fn short_comments(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let body = lines.get(at + 1).and_then(|l| l.trim_start().strip_prefix("* "));
        let ends = lines.get(at + 2).is_some_and(|l| l.trim_start() == "*/");
        match body.filter(|body| line.trim() == "/*" && ends && indent.len() + body.len() < 74) {
            Some(body) => {
                out.push_str(&format!("{indent}/* {body} */\n"));
                at += 3;
            }
            None => {
                out.push_str(line);
                out.push('\n');
                at += 1;
            }
        }
    }
    constants_together(&out)
}

/// No empty line between a constant and the comment of the next one.
fn constants_together(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let starts = |at: usize, with| lines.get(at).is_some_and(|line| line.starts_with(with));
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let between = line.is_empty()
            && starts(at.wrapping_sub(1), "#define")
            && starts(at + 1, "/*")
            && starts(at + 2, "#define");
        if !between {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

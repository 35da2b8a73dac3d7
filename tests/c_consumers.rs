//! C and C++ programs that use the library as any proxy does: through its header and its
//! archive. Each is compiled by gcc and by clang without a warning, and runs as it is, with
//! sanitizers, and under valgrind.

#[path = "c/support.rs"]
mod support;

use mworker_kit::{Host, Launch, need};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Flavour, compile_only, library};

/// Longer than any scenario's own deadline; a program has many of them.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compiler {
    Gcc,
    Clang,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Sanitizers,
    Valgrind,
}

const SUITE: &str = "c_consumers";
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

impl Compiler {
    fn of(self, source: &str) -> &'static str {
        match (self, source.ends_with(".cc")) {
            (Self::Gcc, false) => "gcc",
            (Self::Gcc, true) => "g++",
            (Self::Clang, false) => "clang",
            (Self::Clang, true) => "clang++",
        }
    }
}

/// Compiles and links `program`, and gives what it became.
fn built(host: &Host, program: &str, compiler: Compiler, mode: Mode, flavour: Flavour) -> PathBuf {
    let out = host.path("program");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let library = library(flavour);
    let mut command = Command::new(compiler.of(program));
    command.args(WARNINGS).args(["-g", "-O1", "-fno-omit-frame-pointer"]);
    command.arg(if program.ends_with(".cc") { "-std=c++98" } else { "-std=c99" });
    if mode == Mode::Sanitizers {
        command.args(SANITIZERS);
    }
    command.arg("-I").arg(support::include()).arg(sources.join(program));
    if !program.ends_with(".cc") {
        command.arg(sources.join("check.c"));
    }
    command.arg(&library.archive).args(&library.native).arg("-o").arg(&out);
    support::run(&mut command);
    out
}

fn launched(host: &Host, program: &Path, mode: Mode) -> Launch {
    if mode != Mode::Valgrind {
        return host
            .launch(program)
            .env("ASAN_OPTIONS", "detect_leaks=1:exitcode=97")
            .env("UBSAN_OPTIONS", "print_stacktrace=1");
    }
    host.launch("valgrind")
        .args(["--quiet", "--error-exitcode=97", "--leak-check=full", "--trace-children=yes"])
        .args(["--child-silent-after-fork=no", "--num-callers=30", "--log-file=valgrind.%p"])
        // A row of a list is only pointed into, which valgrind takes for a possible leak.
        .args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"])
        .arg(program)
}

/// What valgrind said, of each process that it had something to say of.
fn said_by_valgrind(host: &Host) -> String {
    let mut said = String::new();
    for entry in std::fs::read_dir(host.dir()).expect("the host's folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"valgrind.")) {
            said += &std::fs::read_to_string(path).expect("a log");
        }
    }
    said
}

/// Whether this machine has what a run needs.
fn is_possible(program: &str, compiler: Compiler, mode: Mode) -> bool {
    let compiler = compiler.of(program);
    let links = |options: &[&str]| {
        let mut command = Command::new(compiler);
        command.args(options).args(["-x", "c", "-", "-o", "/dev/null"]);
        support::succeeds_on(&mut command, "int main(void) { return 0; }")
    };
    need::programs(&[compiler], SUITE)
        && match mode {
            Mode::Plain => true,
            Mode::Sanitizers => {
                let links = links(&SANITIZERS);
                need::found(links, &format!("{compiler}'s sanitizers"), SUITE)
            }
            // It wants the symbols of the C library as well.
            Mode::Valgrind => {
                let runs = need::runs(Command::new("valgrind").args(["-q", "/bin/true"]));
                need::found(runs, "valgrind", SUITE)
            }
        }
}

fn passes(program: &str, compiler: Compiler, mode: Mode, flavour: Flavour) {
    if !is_possible(program, compiler, mode) {
        return;
    }
    let host = Host::new();
    let binary = built(&host, program, compiler, mode, flavour);
    let mut run = launched(&host, &binary, mode).spawn();
    let status = run.wait_exit(LONGEST);
    let (out, err) = (run.stdout(), run.stderr());
    let valgrind = said_by_valgrind(&host);
    assert!(
        status.success() && valgrind.is_empty(),
        "{program}: {status}\n--- stdout\n{out}--- stderr\n{err}--- valgrind\n{valgrind}"
    );
    // Sanitizers that don't end a process say what they found.
    assert!(!err.contains("Sanitizer") && !err.contains("runtime error"), "{program}: {err}");
}

macro_rules! consumers {
    ($($name:ident: $program:literal, $flavour:ident;)*) => {
        $(mod $name {
            use super::{Compiler, Flavour, Mode, passes};

            #[test]
            fn gcc() {
                passes($program, Compiler::Gcc, Mode::Plain, Flavour::$flavour);
            }

            #[test]
            fn clang() {
                passes($program, Compiler::Clang, Mode::Plain, Flavour::$flavour);
            }

            #[test]
            fn gcc_with_sanitizers() {
                passes($program, Compiler::Gcc, Mode::Sanitizers, Flavour::$flavour);
            }

            #[test]
            fn clang_with_sanitizers() {
                passes($program, Compiler::Clang, Mode::Sanitizers, Flavour::$flavour);
            }

            #[test]
            fn under_valgrind() {
                passes($program, Compiler::Gcc, Mode::Valgrind, Flavour::$flavour);
            }
        })*
    };
}

consumers! {
    abi: "abi.c", Systemd;
    abi_without_systemd: "abi.c", Plain;
    cpp: "cpp.cc", Systemd;
    figures: "figures.c", Systemd;
    lifecycle: "lifecycle.c", Systemd;
    lifecycle_without_systemd: "lifecycle.c", Plain;
    notify: "notify.c", Systemd;
    notify_without_systemd: "notify.c", Plain;
    reload: "reload.c", Systemd;
    upgrade: "upgrade.c", Plain;
}

#[test]
fn the_header_stands_alone_in_every_language() {
    if !need::programs(&["gcc", "clang"], SUITE) {
        return;
    }
    let c = ["c99", "c11", "c17", "gnu99", "gnu17"].map(|standard| (standard, "c"));
    let cpp = ["c++98", "c++11", "c++17", "c++20"].map(|standard| (standard, "c++"));
    for compiler in ["gcc", "clang"] {
        for (standard, language) in c.iter().chain(&cpp) {
            let mut command = compile_only(compiler);
            command.args(WARNINGS).arg(format!("-std={standard}")).args(["-x", language]);
            // Twice: it guards itself.
            support::run_on(&mut command, "#include <mworker.h>\n#include \"mworker.h\"\n");
        }
    }
}

#[test]
fn formats_are_checked_by_the_compiler() {
    if !need::programs(&["gcc", "clang"], SUITE) {
        return;
    }
    const TEXT: &str = "#include <mworker.h>\nint f(struct mworker *mw);\n\
        int f(struct mworker *mw) { return mworker_notify_statusf(mw, \"%s\", 1); }\n";
    for compiler in ["gcc", "clang"] {
        let output = support::output_on(compile_only(compiler).args(["-Wall", "-x", "c"]), TEXT);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("-Wformat"), "{compiler}: {said}");
    }
}

#[test]
fn the_example_compiles_without_a_warning() {
    if !need::programs(&["gcc", "clang"], SUITE) {
        return;
    }
    for compiler in ["gcc", "clang"] {
        for file in support::files("examples/proxy", "c") {
            let mut command = compile_only(compiler);
            command.args(WARNINGS).arg("-std=gnu11").arg(&file);
            support::run(&mut command);
        }
    }
}

/// A function that no consumer calls may not even link.
#[test]
fn every_function_is_called_by_one() {
    let programs: String = support::files("tests/c", "c")
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a program"))
        .collect();
    let missing: Vec<String> = support::declared_functions()
        .into_iter()
        .filter(|name| !programs.contains(&format!("{name}(")))
        .collect();
    assert!(missing.is_empty(), "no program of tests/c calls {missing:?}");
}

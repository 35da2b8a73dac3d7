//! Every symbol that HAProxy's own master-worker objects export is there in ours, data included,
//! and comes from our objects, which are compiled anew when HAProxy's headers change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

mworker_kit::needs! {
    "MWORKER_HAPROXY_STOCK" "MWORKER_HAPROXY_OURS" => "a built HAProxy", "haproxy_symbols"
}

/// The folder of a build, from the path of its binary in an environment variable.
fn tree(variable: &str) -> PathBuf {
    let binary = PathBuf::from(std::env::var_os(variable).expect("checked above"));
    binary.parent().expect("a path with a folder").to_owned()
}

/// What a file exports: functions and data, but for what every C file has a copy of.
fn exported(file: &Path) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["--defined-only", "--extern-only", "--format=posix"])
        .arg(file)
        .output();
    let output = output.expect("nm");
    assert!(output.status.success(), "nm {}: {:?}", file.display(), output);
    let text = String::from_utf8(output.stdout).expect("text");
    let symbols = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        matches!(kind, "T" | "D" | "B" | "R" | "C").then(|| name.to_owned())
    });
    symbols.collect()
}

const OWN: [&str; 3] = ["src/mworker.o", "src/mworker-prog.o", "src/systemd.o"];
/// Those of `src/haproxy.o` that belong to the module.
const IN_HAPROXY_O: [&str; 3] = ["mworker_reload", "reexec_on_failure", "exit_on_waitmode_failure"];
const OURS: [&str; 7] = [
    "src/mworker.o",
    "src/mworker-prog.o",
    "src/mworker-shim-library.o",
    "src/mworker-shim-cli.o",
    "src/mworker-shim-listeners.o",
    "src/mworker-shim-timer.o",
    "src/systemd.o",
];

fn of_objects(tree: &Path, objects: &[&str]) -> BTreeSet<String> {
    let there = objects.iter().map(|object| tree.join(object)).filter(|path| path.is_file());
    there.flat_map(|path| exported(&path)).collect()
}

#[test]
fn every_symbol_of_the_module_is_ours() {
    let (stock, ours) = (tree("MWORKER_HAPROXY_STOCK"), tree("MWORKER_HAPROXY_OURS"));
    let own = of_objects(&stock, &OWN);
    assert!(own.contains("mworker_env_to_proc_list"), "{own:?}");
    // Up to 2.3 HAProxy has it in another object, which keeps it.
    let elsewhere = of_objects(&stock, &["src/haproxy.o"]);
    assert!(own.contains("proc_self") != elsewhere.contains("proc_self"), "{own:?}");
    let replaced = of_objects(&ours, &OURS);
    let missing: Vec<_> = own.difference(&replaced).collect();
    assert!(missing.is_empty(), "not ours: {missing:?}");
}

/// The functions that are part of `src/haproxy.c` are there once, and none of stock's is left
/// under its own name.
#[test]
fn functions_of_haproxy_c_are_replaced() {
    let (stock, ours) = (tree("MWORKER_HAPROXY_STOCK"), tree("MWORKER_HAPROXY_OURS"));
    let (own, linked) = (exported(&stock.join("src/haproxy.o")), exported(&ours.join("haproxy")));
    for name in IN_HAPROXY_O.iter().filter(|name| own.contains(**name)) {
        assert!(linked.contains(*name), "{name} is not in ours");
    }
    let compiled = exported(&ours.join("src/haproxy.o"));
    assert!(!compiled.contains("mworker_reload"), "HAProxy's own mworker_reload() is still there");
}

#[test]
fn no_libsystemd() {
    let output = Command::new("ldd").arg(tree("MWORKER_HAPROXY_OURS").join("haproxy")).output();
    let text = String::from_utf8(output.expect("ldd").stdout).expect("text");
    assert!(text.contains("libc.so"), "{text}");
    assert!(!text.contains("libsystemd"), "{text}");
}

/// What make would compile if `changed` were newer than everything. The options that HAProxy was
/// built with don't matter here, so make is not to look at them.
fn compiled_after(changed: &str) -> String {
    let fragment = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/haproxy/mworker.mk");
    let mut make = Command::new("make");
    make.args(["-n", "-o", ".build_opts", "-W", changed, "-f", "Makefile", "-f"]).arg(fragment);
    make.args(["TARGET=linux-glibc", "USE_SYSTEMD=1", "USE_RUST_MWORKER=1", "V=1"]);
    make.arg("RUST_MWORKER_LIB=/dev/null");
    let output = make.current_dir(tree("MWORKER_HAPROXY_OURS")).output().expect("make");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Shims that were compiled with the structures of another release would corrupt memory.
#[test]
fn a_new_header_of_haproxy_compiles_the_shims_anew() {
    let ours = tree("MWORKER_HAPROXY_OURS");
    let header = ["include/haproxy/mworker-t.h", "include/types/global.h"];
    let header = header.into_iter().find(|header| ours.join(header).is_file()).expect("a header");
    let (before, after) = (compiled_after("README"), compiled_after(header));
    // HAProxy's own objects of these names are compiled from it as well.
    for object in OURS.iter().filter(|object| ours.join(object).is_file()) {
        let output = format!("-o {object} ");
        assert!(!before.contains(&output), "{object} is compiled without a change");
        assert!(after.contains(&output), "{object} does not depend on {header}");
    }
}

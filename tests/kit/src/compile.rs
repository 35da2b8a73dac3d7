//! Small things in C, made where they are needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Host;

/// Makes a program out of C, in the folder of a host.
#[track_caller]
pub fn program(host: &Host, name: &str, source: &str) -> PathBuf {
    compile(host, name, source, &[])
}

/// Makes a library for `LD_PRELOAD`.
#[track_caller]
pub fn library(host: &Host, name: &str, source: &str) -> PathBuf {
    compile(host, &format!("{name}.so"), source, &["-shared", "-fPIC"])
}

#[track_caller]
fn compile(host: &Host, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let source = host.write(&Path::new(name).with_extension("c").to_string_lossy(), source);
    let made = host.path(name);
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    let status = command.args(options).arg("-o").arg(&made).arg(source).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "the C compiler: {status:?}");
    made
}

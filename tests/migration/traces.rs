//! What a master and its worker have about them: to be the same whenever they are at the same
//! point, whoever was there before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use mworker_kit::{Pid, Signal, procfs};

use crate::binaries::{Binary, Kind};
use crate::stage::{OLD_WORKERS, Stage};

/// Numbers are left out: they differ from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    pub master: Vec<String>,
    pub worker: Vec<String>,
    pub variables: Vec<String>,
    pub arguments: String,
    pub signals: String,
}

/// Each image sets these for itself. From 3.1 on they are not handed on, but what came from an
/// earlier version stays; `HAPROXY_LOAD_SUCCESS` for one image.
const SET_ANEW: [&str; 6] = [
    "HAPROXY_CFGFILES",
    "HAPROXY_CLI",
    "HAPROXY_LOAD_SUCCESS",
    "HAPROXY_LOCALPEER",
    "HAPROXY_MASTER_CLI",
    "HAPROXY_MWORKER",
];

impl Traces {
    /// None while one of them isn't there, or the master is being asked something.
    pub fn of(master: Pid, worker: Pid) -> Option<Traces> {
        let mut variables: Vec<String> =
            procfs::environ(master).ok()?.into_iter().map(|(name, _)| name).collect();
        variables.retain(|name| !SET_ANEW.contains(&name.as_str()));
        variables.sort();
        let signals = procfs::signals(master).ok()?;
        Some(Traces {
            master: descriptors(master)?,
            worker: descriptors(worker)?,
            variables,
            arguments: without_numbers(&procfs::cmdline(master).ok()?.join(" ")),
            signals: format!("blocks {}, catches {}", signals.blocked, signals.caught),
        })
    }
}

/// By kind. Connections come and go.
fn descriptors(pid: Pid) -> Option<Vec<String>> {
    let mut kinds: Vec<String> = procfs::descriptors(pid)
        .ok()?
        .into_iter()
        .map(|descriptor| without_numbers(&descriptor.kind))
        .filter(|kind| kind != "tcp connection" && kind != "socket")
        .collect();
    kinds.sort();
    Some(kinds)
}

fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out
}

/// How it is where there has never been another binary: what ours has to come to as well.
pub fn undisturbed(binary: &'static Binary) -> Arc<Traces> {
    type Known = Mutex<HashMap<String, Arc<OnceLock<Arc<Traces>>>>>;
    static KNOWN: OnceLock<Known> = OnceLock::new();
    assert_eq!(binary.kind, Kind::Ours, "stock leaves what it leaves");
    let mut known = KNOWN.get_or_init(Known::default).lock().expect("nobody panics holding it");
    let entry = Arc::clone(known.entry(binary.name()).or_default());
    drop(known);
    let traces = entry.get_or_init(|| {
        let mut stage = Stage::start(binary);
        for _ in 0..=OLD_WORKERS {
            stage.reload_quietly();
        }
        let traces = stage.traces();
        stage.finish(Signal::TERM);
        Arc::new(traces)
    });
    Arc::clone(traces)
}

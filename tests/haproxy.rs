//! HAProxy with its own master-worker code and HAProxy with ours, driven alike.
//!
//! A scenario drives one binary and writes down what could be observed, less what differs
//! from run to run. It runs on the stock binary first, then on ours, and both transcripts
//! must be equal but for the differences listed in `haproxy/differences.rs`.
//!
//! The binaries come from `MWORKER_HAPROXY_STOCK` and `MWORKER_HAPROXY_OURS`; `make test`
//! builds them and sets both.

#[path = "haproxy/at_once.rs"]
mod at_once;
#[path = "haproxy/classes.rs"]
mod classes;
#[path = "haproxy/cli.rs"]
mod cli;
#[path = "haproxy/compare.rs"]
mod compare;
#[path = "haproxy/crowd.rs"]
mod crowd;
#[path = "haproxy/daemon.rs"]
mod daemon;
#[path = "haproxy/differences.rs"]
mod differences;
#[path = "haproxy/exec.rs"]
mod exec;
#[path = "haproxy/failure.rs"]
mod failure;
#[path = "haproxy/faults.rs"]
mod faults;
#[path = "haproxy/handover.rs"]
mod handover;
#[path = "haproxy/hangs.rs"]
mod hangs;
#[path = "haproxy/notify.rs"]
mod notify;
#[path = "haproxy/nudge.rs"]
mod nudge;
#[path = "haproxy/outside.rs"]
mod outside;
#[path = "haproxy/programs.rs"]
mod programs;
#[path = "haproxy/reload.rs"]
mod reload;
#[path = "haproxy/rules.rs"]
mod rules;
#[path = "haproxy/run.rs"]
mod run;
#[path = "haproxy/start.rs"]
mod start;
#[path = "haproxy/stop.rs"]
mod stop;
#[path = "haproxy/text.rs"]
mod text;
#[path = "haproxy/version.rs"]
mod version;

mworker_kit::needs! {
    "MWORKER_HAPROXY_STOCK" "MWORKER_HAPROXY_OURS" => "a built HAProxy", "haproxy"
}

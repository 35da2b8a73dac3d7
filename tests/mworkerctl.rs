//! `mworkerctl`, against stock HAProxy, HAProxy with mworker, and the example proxy.

#[path = "mworkerctl/manual.rs"]
mod manual;

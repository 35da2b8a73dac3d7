//! `mworkerctl`, against stock HAProxy, HAProxy with mworker, the example proxy, and a stand-in
//! for masters that answer oddly.
//!
//! `make test` builds the proxies and says in the environment where they are.

#[path = "mworkerctl/check.rs"]
mod check;
#[path = "mworkerctl/failure.rs"]
mod failure;
#[path = "mworkerctl/finding.rs"]
mod finding;
#[path = "mworkerctl/looking.rs"]
mod looking;
#[path = "mworkerctl/manual.rs"]
mod manual;
#[path = "mworkerctl/odd.rs"]
mod odd;
#[path = "mworkerctl/scene.rs"]
mod scene;
#[path = "mworkerctl/success.rs"]
mod success;
#[path = "mworkerctl/waiting.rs"]
mod waiting;

mworker_kit::needs! {
    "MWORKER_HAPROXY_STOCK" "MWORKER_HAPROXY_OURS" "MWORKER_EXAMPLE_PROXY"
        => "a built HAProxy and example proxy", "mworkerctl"
}

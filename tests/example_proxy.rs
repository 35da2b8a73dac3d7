//! The example proxy, `examples/proxy`: a plain C program around the library's own master,
//! CLI and loop, taken through what happens to a service.
//!
//! The binary comes from `MWORKER_EXAMPLE_PROXY`; `make test` builds it and sets that.

#[path = "example_proxy/classes.rs"]
mod classes;
#[path = "example_proxy/cli.rs"]
mod cli;
#[path = "example_proxy/crowd.rs"]
mod crowd;
#[path = "example_proxy/daemon.rs"]
mod daemon;
#[path = "example_proxy/failure.rs"]
mod failure;
#[path = "example_proxy/handover.rs"]
mod handover;
#[path = "example_proxy/liveness.rs"]
mod liveness;
#[path = "example_proxy/loading.rs"]
mod loading;
#[path = "example_proxy/notify.rs"]
mod notify;
#[path = "example_proxy/program.rs"]
mod program;
#[path = "example_proxy/relay.rs"]
mod relay;
#[path = "example_proxy/reload.rs"]
mod reload;
#[path = "example_proxy/scene.rs"]
mod scene;
#[path = "example_proxy/start.rs"]
mod start;
#[path = "example_proxy/stop.rs"]
mod stop;

mworker_kit::needs! {
    "MWORKER_EXAMPLE_PROXY" => "a built example proxy", "example_proxy"
}

//! An operator replaces the binary of a running HAProxy and reloads: stock by ours and ours by
//! stock, one version by the next, and back, under load. Nothing may be lost, left, or forgotten.
//!
//! The binaries come from `MWORKER_HAPROXY_OLD_STOCK`, `MWORKER_HAPROXY_OLD_OURS`,
//! `MWORKER_HAPROXY_NEW_STOCK` and `MWORKER_HAPROXY_NEW_OURS`; `make test` builds them and sets
//! all. Other pairs of versions are run by naming them there, see `docs/haproxy.md`.

#[path = "migration/binaries.rs"]
mod binaries;
#[path = "migration/broken.rs"]
mod broken;
#[path = "migration/stage.rs"]
mod stage;
#[path = "migration/swaps.rs"]
mod swaps;
#[path = "migration/traces.rs"]
mod traces;

mworker_kit::needs! {
    "MWORKER_HAPROXY_OLD_STOCK" "MWORKER_HAPROXY_OLD_OURS"
    "MWORKER_HAPROXY_NEW_STOCK" "MWORKER_HAPROXY_NEW_OURS" => "two built HAProxys", "migration"
}

//! HAProxy's master-worker module: keeps a proxy alive over reloads without a
//! dropped connection, and tells systemd the truth about it.
//!
//! C programs use it through `include/mworker.h`. In layers, each knowing only
//! those before it: [`core`] decides, [`sys`] does, [`capi`] speaks C;
//! `contrib/haproxy` fits it into HAProxy.

pub mod capi;
pub mod core;
pub mod sys;

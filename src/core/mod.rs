//! What a master decides, in safe Rust without system calls or pointers.
//!
//! Events and the time come in, actions go out; [`crate::sys`] carries them
//! out and [`crate::capi`] gives them to C. As nothing here touches the
//! system, every state can be explored and every input fuzzed.
#![deny(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing
)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod cli;
pub mod exec;
pub mod figures;
pub mod generation;
pub mod handover;
pub mod lifecycle;
pub mod messages;
pub mod notify;
pub mod process;
pub mod programs;
pub mod settings;
pub mod showproc;
pub mod signal;
pub mod table;

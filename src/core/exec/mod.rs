//! Becoming the next image: what it is given, and what one exec can carry.

mod command_line;
pub mod handover_state;
pub mod limits;
pub mod pending_notifications;
mod plan;
pub mod preflight;
mod variables;

pub use command_line::CommandLine;
pub use plan::*;
pub use variables::*;

//! Becoming another image: the master's next one, a program's, or that of a preflight.

pub mod limits;
pub mod load_guard;
mod marks;
pub mod preflight;
mod prepared;

pub use prepared::{Child, Image, Prepared};

//! The C ABI of `include/mworker.h`: checks, converts, calls. Nothing is
//! decided here.
//!
//! The comments of what is exported become the header's, so they speak to C
//! programmers.

mod error;
mod figures;
mod guard;
mod handle;
mod haproxy;
mod host;
mod list;
mod master;
mod notify;
mod pointers;
mod rows;
mod text;
mod worker;

pub use error::*;
pub use figures::*;
pub use handle::Handle;
pub use haproxy::*;
pub use host::{Host, LOG_ALERT, LOG_NOTICE, LOG_WARNING};
pub use list::{List, Row, RowOf24};
pub use master::*;
pub use notify::*;
pub use rows::*;
pub use text::*;
pub use worker::*;

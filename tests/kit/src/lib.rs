//! What mworker's tests, demo and benches share.
//!
//! Nothing in here knows HAProxy's configuration language: a [`Host`] is an isolated place
//! for one proxy of any kind, and everything that proxy forks ends with it. The other
//! modules are the instruments pointed at it: a stand-in for systemd's socket, a client of
//! the master CLI, views of `/proc`, backends and load.
//!
//! Every wait has a deadline and names what it waited for; nothing sleeps for a fixed time.

pub mod backend;
pub mod cli;
pub mod compile;
pub mod crowd;
pub mod deadline;
pub mod held;
pub mod host;
pub mod http;
pub mod load;
pub mod master;
pub mod need;
pub mod notify;
pub mod ports;
pub mod procfs;
pub mod refuse;
pub mod show_proc;
pub mod signal;
pub mod stranger;
mod sys;
pub mod tempdir;
pub mod traces;

pub use backend::Backend;
pub use cli::MasterCli;
pub use deadline::{PATIENCE, try_wait_for, wait_for, wait_until};
pub use held::Held;
pub use host::{Host, Launch, Proxy};
pub use load::{Load, Plan, Report};
pub use master::Master;
pub use notify::{Message, NotifySocket};
pub use ports::Port;
pub use refuse::Refusal;
pub use show_proc::ShowProc;
pub use signal::{Signal, SignalSet};
pub use tempdir::TempDir;
pub use traces::Traces;

/// A process number as the kernel gives it.
pub type Pid = i32;

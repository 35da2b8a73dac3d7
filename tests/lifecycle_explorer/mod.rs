//! The lifecycle's state space: a model of what surrounds a master, and a
//! breadth-first search through everything that can happen to it.
//!
//! The master is the real code ([`mworker::core`]): its [`Lifecycle`], its
//! table, its hand-over and its plan of the next exec. Modelled is the rest:
//! children and zombies, systemd, the host's own code, an exec that may fail.
//!
//! [`Lifecycle`]: mworker::core::lifecycle::Lifecycle

pub mod deadlines;
pub mod host;
pub mod image;
pub mod invariants;
pub mod ledger;
pub mod moves;
pub mod sabotage;
pub mod scenario;
pub mod search;
pub mod systemd;
pub mod time;
pub mod world;

//! HAProxy master-worker module.

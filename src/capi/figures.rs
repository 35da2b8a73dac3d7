//! What workers tell of themselves, by memory that they share with the master.

use super::error::{ERR_ABSENT, ERR_INVALID, Failure, OK};
use super::guard::guard;
use super::handle::master;
use super::pointers::{ConstMw, Strings, wanted};
use crate::sys::shared::{COUNTERS, LONGEST_NAME, Page};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

/// Bytes of a counter's name, with the NUL at its end.
pub const COUNTER_NAME: usize = 33;

const _: () = assert!(COUNTER_NAME == LONGEST_NAME + 1);

/// A counter of a worker, as its master reads it.
#[repr(C)]
pub struct Counter {
    /// The name that the worker gave, ends with a NUL.
    pub name: [c_char; COUNTER_NAME],
    /// Its value.
    pub value: u64,
}

fn with_page(mw: ConstMw, set: impl FnOnce(&Page) -> c_int) -> c_int {
    guard(super::ERR_INTERNAL, || match mw.get() {
        Some(handle) => handle.page().map_or(ERR_ABSENT, set),
        None => ERR_INVALID,
    })
}

/// Tells the master how many connections there are; `systemctl status` shows
/// the sum of all workers'. One store into memory: no lock and no system call.
/// Workers, any thread, safe in a signal handler.
///
/// Returns MWORKER_ERR_ABSENT if there is no such memory: in a master, or where
/// it couldn't be had, which the master has logged.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_worker_set_connections(mw: ConstMw, count: u64) -> c_int {
    with_page(mw, |page| {
        page.set_connections(count);
        OK
    })
}

/// A sign of life, for systemd's watchdog (`WatchdogSec=`): a worker that has
/// given one is expected to give the next within half of that time. To be called
/// from its loop, by a timer if nothing else happens. Else as
/// mworker_worker_set_connections().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_worker_beat(mw: ConstMw) -> c_int {
    with_page(mw, |page| {
        page.beat();
        OK
    })
}

/// Names the worker's counters: `count` C strings of at most 32 bytes, copied,
/// at most 32 of them. Their sums over all workers are part of STATUS, in this
/// order. Workers, once; else MWORKER_ERR_INVALID. MWORKER_ERR_ABSENT as
/// mworker_worker_set_connections().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_worker_name_counters(mw: ConstMw, names: Strings, count: usize) -> c_int {
    with_page(mw, |page| {
        let names = if count > COUNTERS { None } else { names.first(count) };
        let named = names.is_some_and(|names| page.name_counters(&names));
        if named { OK } else { ERR_INVALID }
    })
}

/// Sets the first `count` counters, which have names. Else as
/// mworker_worker_set_connections(), with one store for each.
///
/// # Safety
/// `mw` is NULL or a handle, `values` NULL or an array of that many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_worker_set_counters(
    mw: ConstMw,
    values: *const u64,
    count: usize,
) -> c_int {
    with_page(mw, |page| {
        if values.is_null() || count > COUNTERS {
            return ERR_INVALID;
        }
        // SAFETY: by the caller's promise.
        let values = unsafe { std::slice::from_raw_parts(values, count) };
        if page.set_counters(values) { OK } else { ERR_INVALID }
    })
}

/// Stores in `*connections` (not NULL) how many worker `pid` has. Returns
/// MWORKER_ERR_ABSENT if it doesn't tell. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_connections(
    mw: ConstMw,
    pid: c_int,
    connections: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    master(mw, |side| {
        let connections = wanted(connections, "connections")?;
        let figures = side.master.figures().0;
        let count = figures.iter().find(|f| f.pid == pid).and_then(|f| f.connections);
        connections.write(count.ok_or_else(|| {
            Failure::new(ERR_ABSENT, format!("worker {pid} does not report its connections"))
        })?);
        Ok(())
    })
}

/// Copies up to `room` counters of worker `pid` into `counters`, and returns how
/// many it has: 0 if it has named none. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `counters` NULL or an array of that many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_counters(
    mw: ConstMw,
    pid: c_int,
    counters: *mut Counter,
    room: usize,
) -> c_int {
    master(mw, |side| {
        if counters.is_null() && room > 0 {
            return Err(Failure::invalid("counters is NULL"));
        }
        let figures = side.master.figures().0;
        let of_worker = figures.iter().find(|f| f.pid == pid);
        let of_worker = of_worker.map(|f| &*f.counters).unwrap_or_default();
        for (at, (name, value)) in of_worker.iter().take(room).enumerate() {
            let mut counter = Counter { name: [0; COUNTER_NAME], value: *value };
            for (to, from) in counter.name.iter_mut().zip(name.bytes().take(LONGEST_NAME)) {
                *to = from as c_char;
            }
            // SAFETY: by the caller's promise there is room for so many.
            unsafe { counters.add(at).write(counter) };
        }
        Ok(c_int::try_from(of_worker.len()).unwrap_or(c_int::MAX))
    })
}

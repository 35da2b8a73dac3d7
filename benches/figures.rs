//! What it costs a worker to tell its figures: nanoseconds per call, by the functions that C
//! calls.
//!
//! `cargo bench --bench figures`; it needs no HAProxy.

use mworker::capi;
use std::ffi::{CStr, c_int, c_void};
use std::hint::black_box;
use std::ptr;
use std::time::Instant;

/// The functions as C declares them.
mod c {
    use mworker::capi::Host;
    use std::ffi::{c_char, c_int, c_void};

    unsafe extern "C" {
        pub fn mworker_new(host: *const Host, out: *mut *mut c_void) -> c_int;
        pub fn mworker_take_over(mw: *mut c_void) -> c_int;
        pub fn mworker_fork_process(mw: *mut c_void) -> c_int;
        pub fn mworker_worker_name_counters(
            mw: *const c_void,
            names: *const *const c_char,
            count: usize,
        ) -> c_int;
        pub fn mworker_worker_set_connections(mw: *const c_void, count: u64) -> c_int;
        pub fn mworker_worker_beat(mw: *const c_void) -> c_int;
        pub fn mworker_worker_set_counters(
            mw: *const c_void,
            values: *const u64,
            count: usize,
        ) -> c_int;
    }
}

const CALLS: u32 = 10_000_000;
const ROUNDS: usize = 5;

fn main() {
    // SAFETY: all zero is what C programs begin with; no callback is set.
    let mut host: capi::Host = unsafe { std::mem::zeroed() };
    host.size = size_of::<capi::Host>();
    let mut mw: *mut c_void = ptr::null_mut();
    // SAFETY: host and place are valid, and this process has one thread.
    let forked = unsafe {
        assert_eq!(c::mworker_new(&raw const host, &raw mut mw), capi::OK);
        assert_eq!(c::mworker_take_over(mw), capi::OK);
        c::mworker_fork_process(mw)
    };
    assert!(forked >= 0, "no worker can be forked: {forked}");
    if forked == 0 {
        measure(mw);
        return;
    }
    let mut status: c_int = -1;
    // SAFETY: a child of this process, and a place for its status.
    let reaped = unsafe { libc::waitpid(forked, &raw mut status, 0) };
    assert_eq!((reaped, status), (forked, 0), "the worker has failed");
}

/// In the worker: it alone has something to tell.
fn measure(mw: *const c_void) {
    let names: [&CStr; 3] = [c"requests", c"bytes_in", c"bytes_out"];
    let pointers = names.map(CStr::as_ptr);
    // SAFETY: a handle, and as many names.
    let named = unsafe { c::mworker_worker_name_counters(mw, pointers.as_ptr(), names.len()) };
    assert_eq!(named, capi::OK);
    println!("best of {ROUNDS} times {CALLS} calls\n");
    // A C program calls them by their address; here they would be made part of the loop.
    let set_connections: unsafe extern "C" fn(*const c_void, u64) -> c_int =
        black_box(c::mworker_worker_set_connections);
    // SAFETY: a handle.
    row("mworker_worker_set_connections()", |n| unsafe { set_connections(mw, u64::from(n)) });
    let beat: unsafe extern "C" fn(*const c_void) -> c_int = black_box(c::mworker_worker_beat);
    // SAFETY: a handle.
    row("mworker_worker_beat()", |_| unsafe { beat(mw) });
    let set_counters: unsafe extern "C" fn(*const c_void, *const u64, usize) -> c_int =
        black_box(c::mworker_worker_set_counters);
    row("mworker_worker_set_counters(), 3", |n| {
        let values = [u64::from(n); 3];
        // SAFETY: a handle, and as many values.
        unsafe { set_counters(mw, values.as_ptr(), values.len()) }
    });
}

fn row(what: &str, call: impl Fn(u32) -> c_int) {
    let round = |_| {
        let begin = Instant::now();
        let failed: c_int = (0..CALLS).map(&call).fold(0, |all, result| all | result);
        assert_eq!(failed, capi::OK, "{what}");
        begin.elapsed()
    };
    let best = (0..ROUNDS).map(round).min().unwrap_or_default();
    println!("{what:<35} {:>6.2} ns", best.as_secs_f64() * 1e9 / f64::from(CALLS));
}

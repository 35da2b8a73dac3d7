//! Looking at the process table.

use super::guard::guard;
use super::handle::of_master;
use super::list::{Row, free_row, new_row};
use super::pointers::ConstMw;
use crate::core::process::{Process, options};
use crate::core::table::Table;
use std::ffi::c_int;
use std::ptr::NonNull;

/// The master itself.
pub const ROW_MASTER: c_int = 0x1;
/// A worker.
pub const ROW_WORKER: c_int = 0x2;
/// A program that the master looks after (HAProxy up to 3.2).
pub const ROW_PROGRAM: c_int = 0x4;
/// Replaced by a newer worker, and expected to leave.
pub const ROW_LEAVING: c_int = 0x10;
/// Forked, but not READY yet.
pub const ROW_INIT: c_int = 0x20;
/// A program that is started anew at each reload.
pub const ROW_START_RELOAD: c_int = 0x100;

const _: () = assert!(
    ROW_MASTER == options::MASTER
        && ROW_WORKER == options::WORKER
        && ROW_PROGRAM == options::PROGRAM
        && ROW_LEAVING == options::LEAVING
        && ROW_INIT == options::INIT
        && ROW_START_RELOAD == options::START_RELOAD
);

/// Returns the row after `row` in the process table, or the first for NULL; NULL
/// after the last. Rows are the library's, and good until the next call that
/// may reap or reload. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `row` NULL or a row of its table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_row_next(mw: ConstMw, row: *const Row) -> *const Row {
    let mut found = std::ptr::null();
    of_master(mw, |side| {
        let table = &side.master.table;
        let next = match NonNull::new(row.cast_mut()) {
            Some(row) => table.next(row),
            None => table.first(),
        };
        found = next.map_or(std::ptr::null(), |row| row.as_ptr().cast_const());
    });
    found
}

/// Returns a row of a process that isn't there yet, in no table: the caller's,
/// to be freed with mworker_row_free(). NULL when out of memory. For HAProxy,
/// whose C puts it into its table. Any process.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_row_new() -> *mut Row {
    guard(std::ptr::null_mut(), new_row)
}

/// Frees a row that is in no table, and its strings; nothing for NULL. Its
/// descriptors stay open. Any process.
///
/// # Safety
/// `row` is NULL or a row that isn't used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_row_free(row: *mut Row) {
    // SAFETY: by the caller's promise.
    guard((), || unsafe { free_row(row) });
}

/// Returns how many workers and programs the table has, old ones included.
/// Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_children(mw: ConstMw) -> c_int {
    of_master(mw, |side| {
        let children = side.master.table.rows().filter(|(_, p)| p.is_child()).count();
        c_int::try_from(children).unwrap_or(c_int::MAX)
    })
}

/// Returns 1 if `pid` is a worker or program that has not been replaced, else 0.
/// Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_is_current(mw: ConstMw, pid: c_int) -> c_int {
    let current = |p: &Process| p.is_current_child() && p.pid == pid;
    of_master(mw, |side| side.master.table.find(current).is_some())
}

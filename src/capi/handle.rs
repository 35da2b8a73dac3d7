//! The handle, and the way through it.

use super::error::{ERR_BUSY, ERR_ROLE, Failure, OK};
use super::guard::guard_result;
use super::host::{CHost, c_string};
use super::list::ListTable;
use super::pointers::ConstMw;
use crate::sys;
use crate::sys::run::{Runner, Server};
use crate::sys::shared::Page;
use crate::sys::worker::Worker;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::CString;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A master or a worker. One process, one handle, one thread.
pub struct Handle {
    busy: Cell<bool>,
    error: RefCell<CString>,
    side: UnsafeCell<Side>,
    /// A worker's, or NULL. Beside the rest, as any thread may use it.
    page: AtomicPtr<Page>,
}

/// Which of them it is.
pub enum Side {
    Master(Box<MasterSide>),
    Worker(WorkerSide),
}

/// A master, with what belongs to its start.
pub struct MasterSide {
    pub master: sys::master::Master<ListTable, CHost>,
    pub runner: Option<Runner>,
    pub server: Option<Server>,
    /// After the fork, in a worker whose host's own code takes over.
    pub page: Option<&'static Page>,
}

/// A worker, with the host's callbacks.
pub struct WorkerSide {
    pub worker: Worker,
    pub host: CHost,
    pub page: Option<&'static Page>,
}

impl Side {
    fn take_page(&mut self) -> Option<&'static Page> {
        match self {
            Self::Master(side) => side.page.take(),
            Self::Worker(side) => side.page.take(),
        }
    }
}

impl Handle {
    pub(super) fn new(side: Side) -> Self {
        Self {
            busy: Cell::new(false),
            error: RefCell::new(CString::default()),
            side: UnsafeCell::new(side),
            page: AtomicPtr::default(),
        }
    }

    /// Where this worker tells how it is.
    pub(super) fn page(&self) -> Option<&'static Page> {
        // SAFETY: NULL, or a page's that lasts as long as the process.
        unsafe { self.page.load(Ordering::Acquire).as_ref() }
    }

    pub(super) fn error(&self) -> *const std::os::raw::c_char {
        self.error.borrow().as_ptr()
    }

    fn fail(&self, failure: Failure) -> c_int {
        if let Ok(mut error) = self.error.try_borrow_mut() {
            *error = c_string(&failure.text);
        }
        if let Some(errno) = failure.errno {
            set_errno(errno);
        }
        failure.code
    }
}

fn set_errno(value: c_int) {
    // SAFETY: errno of this thread.
    unsafe { *libc::__errno_location() = value };
}

/// Makes the handle usable again, whatever happens.
struct Entered<'a>(&'a Cell<bool>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What a call that works answers.
pub trait Answer {
    fn code(self) -> c_int;
}

impl Answer for () {
    fn code(self) -> c_int {
        OK
    }
}

impl Answer for bool {
    fn code(self) -> c_int {
        c_int::from(self)
    }
}

impl Answer for c_int {
    fn code(self) -> c_int {
        self
    }
}

/// Runs `body` with the side of the handle `mw`, and makes a result of it.
pub fn enter<A: Answer>(
    mw: impl Into<ConstMw>,
    body: impl FnOnce(&mut Side) -> Result<A, Failure>,
) -> c_int {
    let mw = mw.into();
    guard_result(|| {
        let Some(handle) = mw.get() else {
            return Failure::invalid("the handle is NULL").code;
        };
        if handle.busy.replace(true) {
            return ERR_BUSY;
        }
        let entered = Entered(&handle.busy);
        // SAFETY: `busy` lets only one in at a time, and there is one thread.
        let side = unsafe { &mut *handle.side.get() };
        let result = body(side);
        if let Some(page) = side.take_page() {
            handle.page.store(std::ptr::from_ref(page).cast_mut(), Ordering::Release);
        }
        drop(entered);
        result.map_or_else(|failure| handle.fail(failure), Answer::code)
    })
}

/// The same, for masters only.
pub fn master<A: Answer>(
    mw: impl Into<ConstMw>,
    body: impl FnOnce(&mut MasterSide) -> Result<A, Failure>,
) -> c_int {
    enter(mw, |side| match side {
        Side::Master(side) => body(side),
        Side::Worker(_) => Err(Failure::new(ERR_ROLE, "this is for masters, not for workers")),
    })
}

/// The same, for what can't fail.
pub fn of_master<A: Answer>(
    mw: impl Into<ConstMw>,
    body: impl FnOnce(&mut MasterSide) -> A,
) -> c_int {
    master(mw, |side| Ok(body(side)))
}

/// The same, for workers only.
pub fn worker<A: Answer>(
    mw: impl Into<ConstMw>,
    body: impl FnOnce(&mut WorkerSide) -> Result<A, Failure>,
) -> c_int {
    enter(mw, |side| match side {
        Side::Worker(side) => body(side),
        Side::Master(_) => Err(Failure::new(ERR_ROLE, "this is for workers, not for masters")),
    })
}

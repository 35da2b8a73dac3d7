//! The host proxy: a table of C callbacks.

use super::error::Failure;
use super::list::{List, Row, free_row};
use crate::core::generation::Generation;
use crate::core::lifecycle::Gone;
use crate::core::messages::Level;
use crate::sys::{self, fd, signals};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::raw::{c_char, c_int, c_uint, c_void};
use std::ptr::NonNull;

/// For the record.
pub const LOG_NOTICE: c_int = 0;
/// Something to look at.
pub const LOG_WARNING: c_int = 1;
/// Something is broken.
pub const LOG_ALERT: c_int = 2;

/// The proxy around the library. To be zeroed before it is filled in, so that
/// what a newer header adds is NULL: `struct mworker_host host = {0};`
///
/// Any callback may be NULL. None may call the library with the same handle
/// (that gives MWORKER_ERR_BUSY), none may longjmp() out or throw, and strings
/// and rows are the library's, only good until the callback returns. They are
/// called by the thread that called the library, never by a signal handler.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Host {
    /// sizeof(struct mworker_host), in bytes.
    pub size: usize,
    /// The proxy's name in messages; NULL: "proxy". Copied.
    pub name: *const c_char,
    /// The proxy's version; NULL: "". Copied.
    pub version: *const c_char,
    /// 0, or in HAProxy its branch, `major << 8 | minor`: which generation's
    /// messages, process table and rules are used.
    pub haproxy: c_uint,
    /// NULL: the library keeps the process table. In HAProxy: its `proc_list`,
    /// which then is the table; it has to outlive the handle. Its rows are
    /// struct mworker_row, up to 2.4 struct mworker_row_2_4.
    pub table: *mut List,
    /// Handed to every callback.
    pub user: *mut c_void,
    /// Tell people: `level` is one of MWORKER_LOG_, `text` has no newline at
    /// its end. NULL: to stderr.
    pub log: Option<unsafe extern "C" fn(user: *mut c_void, level: c_int, text: *const c_char)>,
    /// The process is about to be replaced: flush what has to be. It may not
    /// be, so nothing may be closed or given up; descriptors close themselves.
    pub before_exec: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// It was not, with errno `error`. Everything goes on.
    pub after_failed_exec: Option<unsafe extern "C" fn(user: *mut c_void, error: c_int)>,
    /// A process is gone, and its row is out of the table; `kind` is one of
    /// MWORKER_GONE_. The library frees the row afterwards and closes the
    /// descriptors that are left in `ipc_fd`: who closes one sets it to -1.
    pub gone: Option<unsafe extern "C" fn(user: *mut c_void, row: *mut Row, kind: c_int)>,
    /// A worker in service died by itself.
    pub crashed: Option<unsafe extern "C" fn(user: *mut c_void, row: *const Row)>,
    /// A worker has said READY and is in service.
    pub in_service: Option<unsafe extern "C" fn(user: *mut c_void, row: *const Row)>,
    /// Call `function(argument)` soon, but not from a signal's processing, where
    /// the host puts the signal mask back afterwards. NULL: it is called at
    /// once.
    pub defer: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            function: Option<unsafe extern "C" fn(argument: *mut c_void)>,
            argument: *mut c_void,
        ),
    >,
    /// Leave the process with `status`. NULL: exit(). With mworker_run() and
    /// mworker_dispatch() it isn't called: they return.
    pub leave: Option<unsafe extern "C" fn(user: *mut c_void, status: c_int)>,
}

/// It was never forked.
pub const GONE_UNBORN: c_int = 0;
/// It ended before it was READY.
pub const GONE_STARTING: c_int = 1;
/// It was in service.
pub const GONE_CURRENT: c_int = 2;
/// It had been replaced.
pub const GONE_FORMER: c_int = 3;

/// Up to here a host's table has to reach.
const SMALLEST: usize = offset_of!(Host, log);

/// The callbacks, with what they need.
#[derive(Clone)]
pub struct CHost {
    host: Host,
    generation: Generation,
}

/// What a host's table says of itself.
pub struct Described {
    pub host: CHost,
    pub name: String,
    pub version: String,
    pub table: Option<NonNull<List>>,
}

/// Reads a host's table: of an older header it is shorter, of a newer longer.
///
/// # Safety
/// `host` is NULL or points to a table of the `size` that it says.
pub unsafe fn describe(host: *const Host) -> Result<Described, Failure> {
    if host.is_null() {
        return Err(Failure::invalid("host is NULL"));
    }
    // SAFETY: not NULL, and every table has its size.
    let size = unsafe { (&raw const (*host).size).read_unaligned() };
    if size < SMALLEST {
        return Err(Failure::invalid(format!("host.size is {size}, at least {SMALLEST} expected")));
    }
    let known = size.min(size_of::<Host>());
    let mut copy = MaybeUninit::<Host>::zeroed();
    // SAFETY: both are at least that long; all-zero is a valid table.
    let host = unsafe {
        let beyond = std::slice::from_raw_parts(host.cast::<u8>().add(known), size - known);
        if beyond.iter().any(|byte| *byte != 0) {
            return Err(Failure::invalid(format!(
                "host.size is {size}: the host was built for a newer mworker and uses what this \
                 one ({} bytes) doesn't have",
                size_of::<Host>()
            )));
        }
        std::ptr::copy_nonoverlapping(host.cast::<u8>(), copy.as_mut_ptr().cast::<u8>(), known);
        copy.assume_init()
    };
    let generation = match host.haproxy {
        0 => Generation::NATIVE,
        branch => match (u8::try_from(branch >> 8), branch & 0xff) {
            (Ok(major @ 1..), minor) => Generation::haproxy(major, minor as u8),
            _ => return Err(Failure::invalid(format!("host.haproxy is {branch:#x}"))),
        },
    };
    // SAFETY: NULL or C strings, by the table's contract.
    let (name, version) = unsafe { (text(host.name), text(host.version)) };
    Ok(Described {
        host: CHost { host, generation },
        name: if name.is_empty() { "proxy".into() } else { name },
        version,
        table: NonNull::new(host.table),
    })
}

/// A copy of a C string; empty for NULL.
///
/// # Safety
/// `string` is NULL or a C string.
pub unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// A C string of `text`; what follows a NUL is lost.
pub fn c_string(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

impl CHost {
    /// Which HAProxy it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Tells people.
    pub fn tell(&self, level: Level, text: &str) {
        let number = match level {
            Level::Notice => LOG_NOTICE,
            Level::Warning => LOG_WARNING,
            Level::Alert => LOG_ALERT,
        };
        match self.host.log {
            // SAFETY: the host's callback, called as its contract says.
            Some(log) => unsafe { log(self.host.user, number, c_string(text).as_ptr()) },
            None => {
                let name = ["[NOTICE]   ", "[WARNING]  ", "[ALERT]    "][number as usize];
                let pid = sys::master::own_pid();
                // Nobody is left to tell when stderr is gone.
                let _ = io::Write::write_all(
                    &mut io::stderr(),
                    format!("{name}({pid}) : {text}\n").as_bytes(),
                );
            }
        }
    }
}

unsafe extern "C" fn unblock_now(_argument: *mut c_void) {
    signals::set_mask(&signals::Set::none());
}

impl sys::master::Host<NonNull<Row>> for CHost {
    fn log(&self, level: Level, text: &str) {
        self.tell(level, text);
    }

    fn before_exec(&self) {
        if let Some(call) = self.host.before_exec {
            // SAFETY: the host's callback, called as its contract says.
            unsafe { call(self.host.user) }
        }
    }

    fn after_failed_exec(&self, error: &io::Error) {
        if let Some(call) = self.host.after_failed_exec {
            let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
            // SAFETY: as above.
            unsafe { call(self.host.user, errno) }
        }
    }

    fn release(&self, row: NonNull<Row>, gone: Gone) {
        let kind = match gone {
            Gone::Unborn => GONE_UNBORN,
            Gone::Starting => GONE_STARTING,
            Gone::Current => GONE_CURRENT,
            Gone::Former => GONE_FORMER,
        };
        // SAFETY: the row is out of the table, and nobody else's; its
        // descriptors were its own.
        unsafe {
            if let Some(call) = self.host.gone {
                call(self.host.user, row.as_ptr(), kind);
            }
            for fd in (*row.as_ptr()).ipc_fd {
                fd::close_raw(fd);
            }
            free_row(row.as_ptr());
        }
    }

    fn crashed(&self, row: NonNull<Row>) {
        if let Some(call) = self.host.crashed {
            // SAFETY: the host's callback, called as its contract says.
            unsafe { call(self.host.user, row.as_ptr()) }
        }
    }

    fn in_service(&self, row: NonNull<Row>) {
        if let Some(call) = self.host.in_service {
            // SAFETY: as above.
            unsafe { call(self.host.user, row.as_ptr()) }
        }
    }

    fn unblock(&self) {
        match self.host.defer {
            // SAFETY: as above; the function may be called at any time.
            Some(call) => unsafe {
                call(self.host.user, Some(unblock_now), std::ptr::null_mut());
            },
            // SAFETY: takes no argument.
            None => unsafe { unblock_now(std::ptr::null_mut()) },
        }
    }

    fn leave(&self, status: i32) {
        if let Some(call) = self.host.leave {
            // SAFETY: as above.
            unsafe { call(self.host.user, status) }
        } else {
            std::process::exit(status);
        }
    }
}

//! The process table as C has it: a circular list of rows.
//!
//! In a HAProxy build it is HAProxy's own `proc_list`, whose C code walks it and
//! writes into its rows; so nothing here keeps a reference to a row, or a copy.

use crate::core::generation::Generation;
use crate::core::process::Process;
use crate::core::table::{OutOfMemory, Table};
use crate::sys::fd;
use std::ffi::CStr;
use std::mem::offset_of;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::NonNull;

/// Links rows into a circle; HAProxy's `struct list`. A list that is empty
/// points to itself.
#[repr(C)]
#[derive(Debug)]
pub struct List {
    /// The next one.
    pub n: *mut List,
    /// The one before.
    pub p: *mut List,
}

/// A process: HAProxy's `struct mworker_proc`, from 2.6 to 3.5. With an earlier
/// one it is struct mworker_row_2_4 behind the same pointers.
///
/// Rows are allocated with calloc(), and their strings with malloc(): they may
/// be freed with mworker_row_free() only, the strings replaced with strdup()'s.
#[repr(C)]
#[derive(Debug)]
pub struct Row {
    /// -1 before it is forked.
    pub pid: c_int,
    /// MWORKER_ROW_ bits.
    pub options: c_int,
    /// The name of a program; may be NULL.
    pub id: *mut c_char,
    /// The command of a program, ends with NULL; may be NULL.
    pub command: *mut *mut c_char,
    /// Unused here.
    pub path: *mut c_char,
    /// The version of the binary that it runs; may be NULL.
    pub version: *mut c_char,
    /// Its socketpair, -1 where there is none: the master's end, the worker's.
    pub ipc_fd: [c_int; 2],
    /// How many reloads it has lived through.
    pub reloads: c_int,
    /// Failed reloads since the last that succeeded.
    pub failedreloads: c_int,
    /// When it was started, in seconds since 1970.
    pub timestamp: c_int,
    /// The host's.
    pub srv: *mut c_void,
    /// Its place in the table.
    pub list: List,
    /// The user of a program, -1 for the master's.
    pub uid: c_int,
    /// The group of a program, -1 for the master's.
    pub gid: c_int,
}

/// The same from 2.0 to 2.4, whose start may have several workers, and which
/// counts no failed reloads. Up to `ipc_fd` and from `timestamp` on it is the
/// other. In 2.0 programs have neither `uid` nor `gid`, and HAProxy's rows end
/// before them.
#[repr(C)]
#[derive(Debug)]
pub struct RowOf24 {
    /// -1 before it is forked.
    pub pid: c_int,
    /// MWORKER_ROW_ bits.
    pub options: c_int,
    /// The name of a program; may be NULL.
    pub id: *mut c_char,
    /// The command of a program, ends with NULL; may be NULL.
    pub command: *mut *mut c_char,
    /// Unused here.
    pub path: *mut c_char,
    /// The version of the binary that it runs; may be NULL.
    pub version: *mut c_char,
    /// Its socketpair, -1 where there is none: the master's end, the worker's.
    pub ipc_fd: [c_int; 2],
    /// Which of the workers of one start it is, from 1 on; else 0.
    pub relative_pid: c_int,
    /// How many reloads it has lived through.
    pub reloads: c_int,
    /// When it was started, in seconds since 1970.
    pub timestamp: c_int,
    /// The host's.
    pub srv: *mut c_void,
    /// Its place in the table.
    pub list: List,
    /// The user of a program, -1 for the master's.
    pub uid: c_int,
    /// The group of a program, -1 for the master's.
    pub gid: c_int,
}

/// Where the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// [`RowOf24`]
    UpTo24,
    /// [`Row`]
    Since26,
}

impl Layout {
    /// That of a generation's rows.
    pub fn of(generation: Generation) -> Self {
        if generation.relative_pids { Self::UpTo24 } else { Self::Since26 }
    }
}

// Everything else is at one place in both.
const _: () = {
    assert!(size_of::<RowOf24>() == size_of::<Row>());
    assert!(offset_of!(RowOf24, pid) == offset_of!(Row, pid));
    assert!(offset_of!(RowOf24, options) == offset_of!(Row, options));
    assert!(offset_of!(RowOf24, id) == offset_of!(Row, id));
    assert!(offset_of!(RowOf24, command) == offset_of!(Row, command));
    assert!(offset_of!(RowOf24, path) == offset_of!(Row, path));
    assert!(offset_of!(RowOf24, version) == offset_of!(Row, version));
    assert!(offset_of!(RowOf24, ipc_fd) == offset_of!(Row, ipc_fd));
    assert!(offset_of!(RowOf24, timestamp) == offset_of!(Row, timestamp));
    assert!(offset_of!(RowOf24, srv) == offset_of!(Row, srv));
    assert!(offset_of!(RowOf24, list) == offset_of!(Row, list));
    assert!(offset_of!(RowOf24, uid) == offset_of!(Row, uid));
    assert!(offset_of!(RowOf24, gid) == offset_of!(Row, gid));
};

// The layout that HAProxy's C has compiled in. The shims assert the same.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Row>() == 96 && align_of::<Row>() == 8);
    assert!(offset_of!(Row, id) == 8 && offset_of!(Row, version) == 32);
    assert!(offset_of!(Row, ipc_fd) == 40 && offset_of!(Row, timestamp) == 56);
    assert!(offset_of!(Row, srv) == 64 && offset_of!(Row, list) == 72);
    assert!(offset_of!(RowOf24, relative_pid) == 48 && offset_of!(RowOf24, reloads) == 52);
    assert!(offset_of!(Row, reloads) == 48 && offset_of!(Row, failedreloads) == 52);
    assert!(offset_of!(Row, uid) == 88 && offset_of!(Row, gid) == 92);
    assert!(size_of::<List>() == 16 && offset_of!(List, p) == 8);
};

/// The table that begins at a list head.
#[derive(Debug)]
pub struct ListTable {
    head: NonNull<List>,
    layout: Layout,
    /// The head, where it isn't the host's.
    _own: Option<Box<List>>,
}

impl ListTable {
    /// A table of its own.
    pub fn own(layout: Layout) -> Self {
        let mut own = Box::new(List { n: std::ptr::null_mut(), p: std::ptr::null_mut() });
        let head: *mut List = &raw mut *own;
        own.n = head;
        own.p = head;
        // A box never is NULL.
        let head = NonNull::from(&mut *own);
        Self { head, layout, _own: Some(own) }
    }

    /// The host's table.
    ///
    /// # Safety
    /// `head` is the initialised head of a list of rows of that `layout` that lives
    /// as long as the table, and only one thread uses it.
    pub unsafe fn of_host(head: NonNull<List>, layout: Layout) -> Self {
        Self { head, layout, _own: None }
    }

    fn row_of(&self, link: *mut List) -> Option<NonNull<Row>> {
        if link.is_null() || link == self.head.as_ptr() {
            return None;
        }
        let row = link.cast::<u8>().wrapping_sub(offset_of!(Row, list)).cast::<Row>();
        NonNull::new(row)
    }

    /// Puts a row at the end.
    ///
    /// # Safety
    /// `row` is a valid row that is in no list.
    pub unsafe fn link(&mut self, row: NonNull<Row>) {
        let head = self.head.as_ptr();
        // SAFETY: the head and its neighbours are valid links, as the table's
        // maker promised; the row is by the caller's promise.
        unsafe {
            let link = &raw mut (*row.as_ptr()).list;
            (*link).n = head;
            (*link).p = (*head).p;
            (*(*head).p).n = link;
            (*head).p = link;
        }
    }
}

impl Drop for ListTable {
    fn drop(&mut self) {
        if self._own.is_some() {
            let fds = self.rows().flat_map(|(_, p)| p.ipc_fd).collect();
            // SAFETY: what the rows have open is their own.
            unsafe { fd::close_all(fds) };
            while let Some(row) = self.first() {
                self.unlink(row);
                // SAFETY: it was in the table, and is in none now.
                unsafe { free_row(row.as_ptr()) };
            }
        }
    }
}

impl Table for ListTable {
    type Row = NonNull<Row>;

    fn first(&self) -> Option<NonNull<Row>> {
        // SAFETY: the head is valid, as the table's maker promised.
        self.row_of(unsafe { (*self.head.as_ptr()).n })
    }

    fn next(&self, row: NonNull<Row>) -> Option<NonNull<Row>> {
        // SAFETY: rows of the table are valid until they are released.
        self.row_of(unsafe { (*row.as_ptr()).list.n })
    }

    fn load(&self, row: NonNull<Row>) -> Process {
        let row = row.as_ptr();
        // SAFETY: as above, and of that layout; plain numbers are copied.
        unsafe {
            let (relative_pid, reloads, failed_reloads) = match self.layout {
                Layout::UpTo24 => {
                    let row = row.cast::<RowOf24>();
                    ((*row).relative_pid, (*row).reloads, 0)
                }
                Layout::Since26 => (0, (*row).reloads, (*row).failedreloads),
            };
            Process {
                pid: (*row).pid,
                options: (*row).options,
                ipc_fd: (*row).ipc_fd,
                reloads,
                failed_reloads,
                timestamp: (*row).timestamp,
                relative_pid,
            }
        }
    }

    fn store(&mut self, row: NonNull<Row>, process: Process) {
        let row = row.as_ptr();
        // SAFETY: as above, and of that layout; plain numbers are written.
        unsafe {
            (*row).pid = process.pid;
            (*row).options = process.options;
            (*row).ipc_fd = process.ipc_fd;
            match self.layout {
                Layout::UpTo24 => {
                    let row = row.cast::<RowOf24>();
                    (*row).relative_pid = process.relative_pid;
                    (*row).reloads = process.reloads;
                }
                Layout::Since26 => {
                    (*row).reloads = process.reloads;
                    (*row).failedreloads = process.failed_reloads;
                }
            }
            (*row).timestamp = process.timestamp;
        }
    }

    fn id(&self, row: NonNull<Row>) -> &[u8] {
        // SAFETY: as above; the string is NULL or a C string.
        unsafe { bytes((*row.as_ptr()).id) }
    }

    fn version(&self, row: NonNull<Row>) -> &[u8] {
        // SAFETY: as above; the string is NULL or a C string.
        unsafe { bytes((*row.as_ptr()).version) }
    }

    fn append(
        &mut self,
        process: Process,
        id: &[u8],
        version: &[u8],
    ) -> Result<NonNull<Row>, OutOfMemory> {
        let row = NonNull::new(new_row()).ok_or(OutOfMemory)?;
        // SAFETY: a new row, in no list.
        unsafe {
            (*row.as_ptr()).id = duplicate(id);
            (*row.as_ptr()).version = duplicate(version);
            if (*row.as_ptr()).id.is_null() || (*row.as_ptr()).version.is_null() {
                free_row(row.as_ptr());
                return Err(OutOfMemory);
            }
            self.link(row);
        }
        self.store(row, process);
        Ok(row)
    }

    fn unlink(&mut self, row: NonNull<Row>) {
        // SAFETY: the row is in the list, so its neighbours are valid links.
        unsafe {
            let link = &raw mut (*row.as_ptr()).list;
            (*(*link).n).p = (*link).p;
            (*(*link).p).n = (*link).n;
            (*link).n = link;
            (*link).p = link;
        }
    }
}

unsafe fn bytes<'a>(string: *const c_char) -> &'a [u8] {
    if string.is_null() {
        return &[];
    }
    // SAFETY: a C string, by the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_bytes()
}

/// A row that isn't there yet; NULL when out of memory.
pub fn new_row() -> *mut Row {
    // SAFETY: an all-zero row is a valid one.
    let row = unsafe { libc::calloc(1, size_of::<Row>()) }.cast::<Row>();
    if !row.is_null() {
        let absent = Process::default();
        // SAFETY: new and ours.
        unsafe {
            (*row).pid = absent.pid;
            (*row).ipc_fd = absent.ipc_fd;
            (*row).timestamp = absent.timestamp;
            (*row).uid = -1;
            (*row).gid = -1;
            let link = &raw mut (*row).list;
            (*link).n = link;
            (*link).p = link;
        }
    }
    row
}

/// A C string of its own; NULL when out of memory. A NUL inside ends it.
fn duplicate(text: &[u8]) -> *mut c_char {
    // SAFETY: `text` has as many bytes as is said; the copy gets its NUL.
    unsafe { libc::strndup(text.as_ptr().cast(), text.len()) }
}

/// Frees a row that is in no list, and its strings. Nothing for NULL.
///
/// # Safety
/// `row` is NULL or a valid row, and nobody uses it any more.
pub unsafe fn free_row(row: *mut Row) {
    if row.is_null() {
        return;
    }
    // SAFETY: row and strings come from malloc(), by the contract of rows.
    unsafe {
        let mut command = (*row).command;
        while !command.is_null() && !(*command).is_null() {
            libc::free((*command).cast());
            command = command.add(1);
        }
        libc::free((*row).command.cast());
        libc::free((*row).id.cast());
        libc::free((*row).version.cast());
        libc::free(row.cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::process::options;

    #[test]
    fn rows_come_and_go() {
        let mut table = ListTable::own(Layout::Since26);
        assert_eq!(table.first(), None);
        let process = |pid| Process { pid, options: options::WORKER, ..Process::default() };
        let a = table.append(process(1), b"a", b"1").expect("memory");
        let b = table.append(process(2), b"", b"2").expect("memory");
        let c = table.append(process(3), b"c", b"3").expect("memory");
        assert_eq!(table.rows().map(|(_, p)| p.pid).collect::<Vec<_>>(), [1, 2, 3]);
        table.unlink(b);
        assert_eq!(table.version(b), b"2", "it lives until it is released");
        // SAFETY: out of the list, and not used any more.
        unsafe { free_row(b.as_ptr()) };
        assert_eq!((table.next(a), table.next(c)), (Some(c), None));
        assert_eq!((table.id(a), table.version(c)), (&b"a"[..], &b"3"[..]));
        // What C code writes is seen.
        // SAFETY: a row of the table.
        unsafe { (*c.as_ptr()).pid = 33 };
        assert_eq!(table.load(c).pid, 33);
    }

    #[test]
    fn each_layout_has_its_own_numbers() {
        let process = Process {
            pid: 5,
            options: options::WORKER,
            ipc_fd: [6, 7],
            reloads: 8,
            failed_reloads: 9,
            timestamp: 10,
            relative_pid: 2,
        };
        let mut table = ListTable::own(Layout::of(Generation::haproxy(2, 6)));
        let row = table.append(process, b"", b"").expect("memory");
        assert_eq!(table.load(row), Process { relative_pid: 0, ..process });

        let mut table = ListTable::own(Layout::of(Generation::haproxy(2, 4)));
        let row = table.append(process, b"", b"").expect("memory");
        assert_eq!(table.load(row), Process { failed_reloads: 0, ..process });
        // SAFETY: a row of the table, in that layout.
        unsafe {
            let row = row.as_ptr().cast::<RowOf24>();
            assert_eq!(((*row).relative_pid, (*row).reloads, (*row).timestamp), (2, 8, 10));
            (*row).reloads = 11;
        }
        assert_eq!(table.load(row).reloads, 11);
    }
}

//! Descriptors: which survive an exec, and how they go to another process.

use super::{check, uninterrupted};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

/// A connected pair of sockets that keep messages whole, closed by an exec.
///
/// # Errors
/// The system's.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(libc::SOCK_SEQPACKET)
}

/// A connected pair of stream sockets, closed by an exec.
///
/// # Errors
/// The system's.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(libc::SOCK_STREAM)
}

fn pair(kind: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: two descriptors are written into an array of two.
    check(unsafe {
        libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
    })?;
    // SAFETY: new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Closes a descriptor that a row of the table owned. Nothing for -1, nor for
/// one that the host's own code has closed already, as HAProxy's does with the
/// listener of a worker that was never forked.
///
/// # Safety
/// Nobody uses the descriptor any more.
pub unsafe fn close_raw(fd: RawFd) {
    if fd >= 0 {
        // SAFETY: the caller gives it up.
        unsafe { libc::close(fd) };
    }
}

/// Closes descriptors that rows of the table owned, those with numbers in a row at once.
///
/// # Safety
/// Nobody uses them any more.
pub unsafe fn close_all(mut fds: Vec<RawFd>) {
    fds.retain(|fd| *fd >= 0);
    fds.sort_unstable();
    for run in fds.chunk_by(|a, b| *b - *a <= 1) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let (from, to) = (first.unsigned_abs(), last.unsigned_abs());
        // SAFETY: the caller gives them up.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } != 0 {
            // A kernel before 5.9.
            // SAFETY: as above.
            run.iter().for_each(|fd| unsafe { close_raw(*fd) });
        }
    }
}

/// Returns the lowest number from 3 on that is free.
pub fn lowest_free() -> io::Result<RawFd> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: makes a descriptor, which is owned from here on.
    let free = unsafe {
        let fd = libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    Ok(free.as_raw_fd().min(null.as_raw_fd()))
}

/// The lowest number that `fd` can have; it is closed under its own, if that is another.
///
/// # Safety
/// Nobody else has its number.
pub unsafe fn lower(fd: RawFd) -> RawFd {
    // SAFETY: makes a descriptor; one that isn't open gives an error.
    let new = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    let (kept, other) = if new >= 0 && new < fd { (new, fd) } else { (fd, new) };
    // SAFETY: by the caller's promise, or it is new.
    unsafe { close_raw(other) };
    kept
}

/// Borrows the descriptor of a row.
///
/// # Safety
/// `fd` is open for as long as the result is used.
pub unsafe fn borrow_raw<'a>(fd: RawFd) -> Option<BorrowedFd<'a>> {
    // SAFETY: open by the caller's promise, and not -1.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Sets or clears close-on-exec.
///
/// # Errors
/// The system's.
pub fn set_close_on_exec(fd: RawFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: changes a flag only; a descriptor that isn't open gives an error.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }).map(drop)
}

/// Makes reads and writes return at once.
///
/// # Errors
/// The system's.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open; only flags are read.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above, only flags are written.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// Limits how long a socket waits: `SO_RCVTIMEO` or `SO_SNDTIMEO`.
///
/// # Errors
/// The system's.
pub fn set_timeout(
    socket: BorrowedFd<'_>,
    which: libc::c_int,
    time: std::time::Duration,
) -> io::Result<()> {
    let time = libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros() as _ };
    let size = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the value is ours and as large as is said.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            which,
            (&raw const time).cast(),
            size,
        )
    })
    .map(drop)
}

/// Which file a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: libc::dev_t,
    inode: libc::ino_t,
}

fn identity(fd: RawFd) -> Option<Identity> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fills `stat` in, or says that the descriptor isn't open.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it has been filled in.
    let stat = unsafe { stat.assume_init() };
    Some(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// The inode that a descriptor stands for, if it is open.
pub fn inode(fd: RawFd) -> Option<u64> {
    identity(fd).map(|identity| identity.inode)
}

/// How many bytes the file has that a descriptor stands for.
///
/// # Errors
/// It isn't open.
pub fn size(fd: RawFd) -> io::Result<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fills `stat` in, or says that the descriptor isn't open.
    check(unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: it has been filled in.
    let stat = unsafe { stat.assume_init() };
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

/// All of a memfd's seals: nobody can change it any more.
const SEALED: libc::c_int =
    libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// A file in memory that holds `text`, for good.
///
/// # Errors
/// The system's.
pub fn sealed(text: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: makes a descriptor; the name is a C string.
    let fd = check(unsafe { libc::memfd_create(c"mworker-table".as_ptr(), flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(text)?;
    // SAFETY: the descriptor is ours.
    check(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, SEALED) })?;
    Ok(file.into())
}

/// What [`sealed`] put into `fd`, which is closed.
///
/// # Errors
/// It is something else, and left open; or the system's.
///
/// # Safety
/// Nobody else uses the descriptor, if it is open.
pub unsafe fn unsealed(fd: RawFd) -> io::Result<Vec<u8>> {
    // SAFETY: asks only; a descriptor that isn't open gives an error.
    if check(unsafe { libc::fcntl(fd, libc::F_GET_SEALS) })? != SEALED {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: open, and given up by the caller.
    let file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let mut text = vec![0; usize::try_from(size(fd)?).unwrap_or(0)];
    file.read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Whether a descriptor is open.
pub fn is_open(fd: RawFd) -> bool {
    is_close_on_exec(fd).is_some()
}

/// Whether it stands for a file that has no name any more.
fn is_unlinked_file(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fills `stat` in, or says that the descriptor isn't open.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: it has been filled in.
    let stat = unsafe { stat.assume_init() };
    stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_nlink == 0
}

/// Whether an exec closes a descriptor; `None`: it isn't open.
pub fn is_close_on_exec(fd: RawFd) -> Option<bool> {
    // SAFETY: reads flags only.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    (flags >= 0).then_some(flags & libc::FD_CLOEXEC != 0)
}

/// Room for directory entries, aligned as the system writes them.
#[repr(C, align(8))]
struct Entries([u8; 16 * 1024]);

/// What one entry takes at most.
const LONGEST_ENTRY: usize = 64;

/// Calls `each` with every descriptor from 3 on that is open, in any order, and maybe with some
/// that aren't. Async-signal-safe.
pub fn each_open(mut each: impl FnMut(RawFd)) {
    let mut entries = Entries([0; 16 * 1024]);
    match listed(&mut entries.0) {
        Some((mut left, folder)) => {
            while let Some((entry, others)) = next_entry(left) {
                if let Some(fd) = entry.filter(|fd| *fd > 2 && *fd != folder) {
                    each(fd);
                }
                left = others;
            }
        }
        // To look at each number costs less than a list of many descriptors: the system makes an
        // inode for each entry.
        None => possible_descriptors().for_each(each),
    }
}

/// The entries of /proc/self/fd, and the descriptor that has read them. `None`: there are too
/// many, or /proc isn't mounted.
fn listed(entries: &mut [u8]) -> Option<(&[u8], RawFd)> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a C string.
    let folder = unsafe { libc::open(c"/proc/self/fd".as_ptr(), flags) };
    if folder < 0 {
        return None;
    }
    let (room, size) = (entries.as_mut_ptr(), entries.len());
    // SAFETY: at most `size` bytes are written; and the descriptor is this function's own.
    let read = unsafe {
        let read = libc::syscall(libc::SYS_getdents64, folder, room, size);
        libc::close(folder);
        read
    };
    let read = usize::try_from(read).ok().filter(|read| size - read > LONGEST_ENTRY)?;
    Some((entries.get(..read)?, folder))
}

/// The number that the first of `entries` is named by, if any, and the entries after it: struct
/// linux_dirent64, with its length at 16 and its name at 19.
fn next_entry(entries: &[u8]) -> Option<(Option<RawFd>, &[u8])> {
    let length = usize::from(u16::from_ne_bytes([*entries.get(16)?, *entries.get(17)?]));
    let (entry, others) = entries.split_at_checked(length)?;
    let mut number: Option<RawFd> = None;
    for digit in entry.get(19..)?.iter().take_while(|byte| **byte != 0) {
        let Some(digit) = char::from(*digit).to_digit(10) else { return Some((None, others)) };
        let digit = RawFd::try_from(digit).unwrap_or(0);
        number =
            number.unwrap_or(0).checked_mul(10).and_then(|number: RawFd| number.checked_add(digit));
    }
    Some((number, others))
}

/// All numbers that descriptors may have.
fn possible_descriptors() -> impl Iterator<Item = RawFd> {
    const MOST: u64 = 1 << 20;
    let limit = super::exec::limits::OpenFiles::get().map_or(MOST, |limit| limit.soft.min(MOST));
    let end = table_size().unwrap_or(limit);
    3..RawFd::try_from(end).unwrap_or(RawFd::MAX)
}

/// How many descriptors the system has room for in this process's table, which grows with the
/// highest one.
fn table_size() -> Option<u64> {
    let mut status = [0; 4096];
    // SAFETY: a C string, and at most as many bytes as there is room for.
    let read = unsafe {
        let fd = libc::open(c"/proc/self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let read = libc::read(fd, status.as_mut_ptr().cast(), status.len());
        libc::close(fd);
        read
    };
    let status = status.get(..usize::try_from(read).ok()?)?;
    let size = status.split(|byte| *byte == b'\n').find_map(|l| l.strip_prefix(b"FDSize:"))?;
    std::str::from_utf8(size.trim_ascii()).ok()?.parse().ok()
}

/// The descriptors that the process was started with: they belong to whoever
/// started it (`fd@` listeners, a supervisor's pipes) and are never closed.
#[derive(Debug, Default)]
pub struct Inherited {
    /// In ascending order; what each stands for, once that has been looked at.
    known: Vec<(RawFd, Option<Identity>)>,
}

impl Inherited {
    /// What is open now and would survive an exec. To be taken before anything
    /// else is opened.
    pub fn snapshot() -> Self {
        let mut known = Vec::new();
        each_open(|fd| {
            if is_close_on_exec(fd) == Some(false) {
                known.push((fd, None));
            }
        });
        known.sort_unstable_by_key(|(fd, _)| *fd);
        Self { known }
    }

    /// The descriptors that the former image named. It closed all others.
    pub fn named(mut fds: Vec<RawFd>) -> Self {
        fds.sort_unstable();
        fds.dedup();
        Self { known: fds.into_iter().map(|fd| (fd, None)).collect() }
    }

    /// `fds` turned out to be the process table's.
    pub fn forget(&mut self, fds: &[RawFd]) {
        let mut fds = fds.to_vec();
        fds.sort_unstable();
        self.known.retain(|(fd, _)| fds.binary_search(fd).is_err());
    }

    /// Looks at what they stand for: the process table's have been forgotten, and those may be
    /// very many.
    pub fn identify(&mut self) {
        self.known.retain_mut(|(fd, known)| {
            *known = identity(*fd);
            known.is_some()
        });
    }

    /// Closes one that a former image has left for one of its own generation: an unlinked file.
    /// Nothing if it is something else by now.
    pub fn close_left_file(&mut self, fd: RawFd) {
        if is_unlinked_file(fd) && self.still_open().any(|open| open == fd) {
            self.close(fd);
        }
    }

    /// Closes one that a former image has opened, if it still is what it was by its inode.
    pub fn close_lost(&mut self, fd: RawFd, was: u64) {
        if inode(fd) == Some(was) && self.still_open().any(|open| open == fd) {
            self.close(fd);
        }
    }

    fn close(&mut self, fd: RawFd) {
        self.forget(&[fd]);
        // SAFETY: nobody of this process has opened it, and nobody knows of it.
        unsafe { close_raw(fd) };
    }

    /// Those whose number has not been used for something else since.
    pub fn still_open(&self) -> impl Iterator<Item = RawFd> {
        let same = |fd: RawFd, was: &Option<Identity>| was.is_none() || identity(fd) == *was;
        self.known.iter().filter(move |(fd, was)| same(*fd, was)).map(|(fd, _)| *fd)
    }
}

const ROOM: usize = 64;

/// Room for one descriptor beside a message, aligned as the system wants it.
#[repr(C, align(8))]
struct Beside([u8; ROOM]);

/// Sends `text` and, if there is one, a descriptor beside it. Never waits.
///
/// # Errors
/// The system's: `WouldBlock` when the receiver doesn't keep up.
pub fn send(
    socket: BorrowedFd<'_>,
    text: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    send_with(socket, text, descriptor, libc::MSG_DONTWAIT)
}

/// The same, waiting as long as the socket's time limit lets it.
///
/// # Errors
/// The system's: `WouldBlock` when the time is over.
pub fn send_waiting(
    socket: BorrowedFd<'_>,
    text: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    send_with(socket, text, descriptor, 0)
}

fn send_with(
    socket: BorrowedFd<'_>,
    text: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
    let mut beside = Beside([0; ROOM]);
    // SAFETY: an all-zero msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        const SIZE: u32 = size_of::<RawFd>() as u32;
        message.msg_control = beside.0.as_mut_ptr().cast();
        // SAFETY: computes sizes only; both are below ROOM.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(SIZE) } as _;
        // SAFETY: the message has room for one header and one descriptor,
        // in aligned memory that outlives the call.
        unsafe {
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(SIZE) as _;
            libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
        }
    }
    uninterrupted(|| {
        // SAFETY: everything that the message points to is alive.
        let sent = unsafe {
            libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | flags)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// Receives a message of at most `room` bytes and the descriptor beside it.
/// An empty message with no descriptor: the other end is closed.
///
/// # Errors
/// The system's: `WouldBlock` when there is none yet and `wait` is off.
pub fn receive(
    socket: BorrowedFd<'_>,
    room: usize,
    wait: bool,
) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut text = vec![0; room];
    let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: room };
    let mut beside = Beside([0; ROOM]);
    // SAFETY: an all-zero msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = beside.0.as_mut_ptr().cast();
    message.msg_controllen = ROOM as _;
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    let got = uninterrupted(|| {
        // SAFETY: everything that the message points to is alive and as large
        // as it says.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    })?;
    text.truncate(got);
    Ok((text, first_descriptor(&message)))
}

/// The first descriptor beside a message; any more are closed.
fn first_descriptor(message: &libc::msghdr) -> Option<OwnedFd> {
    let mut first = None;
    // SAFETY: recvmsg() filled the message in; the macros stay within what it
    // says, and each descriptor in it is new and owned by nobody else.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(std::ptr::from_ref(message));
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                #[allow(clippy::unnecessary_cast, reason = "its type differs between libcs")]
                let bytes = (*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(head).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    let fd = OwnedFd::from_raw_fd(data.add(index).read_unaligned());
                    first.get_or_insert(fd);
                }
            }
            head = libc::CMSG_NXTHDR(std::ptr::from_ref(message), head);
        }
    }
    first
}

/// Held by tests that change the flags of all descriptors of the process, or rely
/// on them.
#[cfg(test)]
pub fn all_descriptors() -> std::sync::MutexGuard<'static, ()> {
    static ALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_goes_with_a_message() {
        let (a, b) = message_pair().expect("a pair");
        let (c, d) = stream_pair().expect("a pair");
        send(a.as_fd(), b"x", Some(c.as_fd())).expect("sent");
        drop(c);
        let (text, fd) = receive(b.as_fd(), 16, false).expect("received");
        assert_eq!(text, b"x");
        let c = fd.expect("a descriptor");
        assert_eq!(is_close_on_exec(c.as_raw_fd()), Some(true));
        send(c.as_fd(), b"hello", None).expect("sent");
        assert_eq!(receive(d.as_fd(), 16, false).expect("received").0, b"hello");
        let error = receive(b.as_fd(), 16, false).expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert!(receive(b.as_fd(), 16, false).expect("end").0.is_empty());
    }

    #[test]
    fn open_descriptors_are_found() {
        let _all = all_descriptors();
        let (a, b) = stream_pair().expect("a pair");
        let mut found = Vec::new();
        each_open(|fd| found.push(fd));
        for fd in [a.as_raw_fd(), b.as_raw_fd()] {
            assert_eq!(found.iter().filter(|found| **found == fd).count(), 1, "{found:?}");
        }
        assert!(found.iter().all(|fd| *fd > 2));
        // Where /proc isn't mounted as well.
        assert!(possible_descriptors().any(|fd| fd == a.as_raw_fd()));
    }

    #[test]
    fn inherited_descriptors_are_known_by_what_they_are() {
        let _all = all_descriptors();
        let (a, _b) = stream_pair().expect("a pair");
        let (c, _d) = stream_pair().expect("a pair");
        set_close_on_exec(a.as_raw_fd(), false).expect("flag");
        set_close_on_exec(c.as_raw_fd(), false).expect("flag");
        let mut inherited = Inherited::snapshot();
        inherited.identify();
        let fd = a.as_raw_fd();
        assert!(inherited.still_open().any(|f| f == fd));
        inherited.forget(&[c.as_raw_fd()]);
        assert!(!inherited.still_open().any(|f| f == c.as_raw_fd()));
        // The number now stands for something else.
        // SAFETY: both are ours, and `a` goes on owning its number.
        assert_eq!(unsafe { libc::dup2(c.as_raw_fd(), fd) }, fd);
        assert!(!inherited.still_open().any(|f| f == fd));
    }
}

//! Memory that a master shares with its workers: what they tell of themselves.
//!
//! A memfd that goes over every exec. It begins with a directory of the master's,
//! whose entry `n` is the PID that page `n` belongs to. A worker has nothing but
//! its own page, mapped before the fork: telling is a relaxed store into it,
//! without a system call or a lock, by any of its threads, and whatever a worker
//! writes there, other pages and the directory are out of its reach.

use super::{check, fd};
use crate::core::figures::WorkerFigures;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Workers that have a page; more go without.
const PAGES: usize = 16 * 1024;
const PAGE: usize = 4096;
const DIRECTORY: usize = PAGES * size_of::<AtomicI32>();
const SIZE: usize = DIRECTORY + PAGES * PAGE;
/// The memory is never cut or sealed further: who has it can rely on it.
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Counters of one worker.
pub const COUNTERS: usize = 32;
/// Bytes of a counter's name.
pub const LONGEST_NAME: usize = 32;
const NAME_WORDS: usize = LONGEST_NAME / 8;

/// What a worker tells. All zero at first.
#[repr(C)]
pub struct Page {
    /// One more than there are; 0: it has never told.
    connections: AtomicU64,
    beat: AtomicU64,
    /// How many counters have a name. Names are written before.
    named: AtomicU32,
    names: [[AtomicU64; NAME_WORDS]; COUNTERS],
    values: [AtomicU64; COUNTERS],
}

const _: () = assert!(size_of::<Page>() <= PAGE);

impl Page {
    /// How many connections there are now. Any thread.
    pub fn set_connections(&self, count: u64) {
        self.connections.store(count.saturating_add(1), Ordering::Relaxed);
    }

    /// A sign of life. Any thread.
    pub fn beat(&self) {
        self.beat.fetch_add(1, Ordering::Relaxed);
    }

    /// Names counters, once: the first `names.len()` ones. Gives `false` when
    /// they have names already, or there are too many, or one is too long.
    pub fn name_counters(&self, names: &[&[u8]]) -> bool {
        let fits = names.len() <= COUNTERS && names.iter().all(|n| n.len() <= LONGEST_NAME);
        if !fits || self.named.load(Ordering::Relaxed) != 0 {
            return false;
        }
        for (words, name) in self.names.iter().zip(names) {
            let mut bytes = [0; LONGEST_NAME];
            bytes[..name.len()].copy_from_slice(name);
            for (word, part) in words.iter().zip(bytes.chunks_exact(8)) {
                let part = part.try_into().unwrap_or([0; 8]);
                word.store(u64::from_ne_bytes(part), Ordering::Relaxed);
            }
        }
        self.named.store(names.len() as u32, Ordering::Release);
        true
    }

    /// Sets the first `values.len()` counters. Gives `false` when so many have
    /// no name. Any thread.
    pub fn set_counters(&self, values: &[u64]) -> bool {
        if values.len() > self.named.load(Ordering::Relaxed) as usize {
            return false;
        }
        for (counter, value) in self.values.iter().zip(values) {
            counter.store(*value, Ordering::Relaxed);
        }
        true
    }

    /// Of worker `pid`. Nothing in it is to be trusted.
    fn figures(&self, pid: i32) -> WorkerFigures {
        let named = (self.named.load(Ordering::Acquire) as usize).min(COUNTERS);
        let counters = self.names.iter().zip(&self.values).take(named);
        WorkerFigures {
            pid,
            connections: self.connections.load(Ordering::Relaxed).checked_sub(1),
            beat: self.beat.load(Ordering::Relaxed),
            counters: counters
                .map(|(name, value)| (text(name), value.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

fn text(words: &[AtomicU64; NAME_WORDS]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|w| w.load(Ordering::Relaxed).to_ne_bytes()).collect();
    let name = bytes.split(|b| *b == 0).next().unwrap_or_default();
    name.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}

/// A mapping, gone when it is dropped.
struct Map {
    start: NonNull<u8>,
    length: usize,
}

impl Map {
    fn new(fd: BorrowedFd<'_>, offset: usize, length: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
        // SAFETY: a new mapping, at an address of the system's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).map(|start| Self { start, length }).ok_or_else(|| {
            // A mapping at address 0 is not for use.
            io::Error::from_raw_os_error(libc::ENOMEM)
        })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever had a reference into it had
        // it of the owner.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The page of a worker to be.
pub struct Reserved {
    number: usize,
    map: Map,
}

impl Reserved {
    /// In the worker: it is there for as long as the process is.
    pub fn into_page(self) -> &'static Page {
        let page = std::mem::ManuallyDrop::new(self.map).start.cast();
        // SAFETY: as large and aligned as a page is, never unmapped, its size
        // sealed; every bit pattern is a valid one, and all access is atomic.
        unsafe { page.as_ref() }
    }
}

/// The master's side.
pub struct Memory {
    fd: OwnedFd,
    map: Map,
}

impl Memory {
    /// New memory. It is only used as far as there are workers.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: makes a descriptor; the name is a C string.
        let fd = check(unsafe { libc::memfd_create(c"mworker".as_ptr(), flags) })?;
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the descriptor is ours.
        check(unsafe { libc::ftruncate(fd.as_raw_fd(), SIZE as libc::off_t) })?;
        // SAFETY: as above.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
        Self::mapped(fd)
    }

    /// What a former image made, if that is what `fd` is.
    ///
    /// # Errors
    /// It is something else, and left alone; or the system's.
    ///
    /// # Safety
    /// Nobody else uses the descriptor, if it is open.
    pub unsafe fn adopt(fd: RawFd) -> io::Result<Self> {
        // SAFETY: asks only; a descriptor that isn't open gives an error.
        let seals = check(unsafe { libc::fcntl(fd, libc::F_GET_SEALS) })?;
        let size = fd::size(fd)?;
        if seals != SEALS || size != SIZE as u64 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: open, and given up by the caller.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        fd::set_close_on_exec(fd.as_raw_fd(), true)?;
        Self::mapped(fd)
    }

    fn mapped(fd: OwnedFd) -> io::Result<Self> {
        let map = Map::new(fd.as_fd(), 0, SIZE)?;
        Ok(Self { fd, map })
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn directory(&self) -> &[AtomicI32] {
        // SAFETY: mapped for as long as `self` is, page-aligned; every bit
        // pattern is valid and all access is atomic.
        unsafe { std::slice::from_raw_parts(self.map.start.cast().as_ptr(), PAGES) }
    }

    fn page(&self, number: usize) -> &Page {
        let offset = DIRECTORY + number.min(PAGES - 1) * PAGE;
        // SAFETY: within the mapping, aligned to a page; else as above.
        unsafe { self.map.start.add(offset).cast().as_ref() }
    }

    /// A page for the worker that is forked next. In the master it is dropped
    /// after [`Self::assign`].
    ///
    /// # Errors
    /// No page is left, or the system's.
    pub fn reserve(&self) -> io::Result<Reserved> {
        let number = self
            .directory()
            .iter()
            .position(|pid| pid.load(Ordering::Relaxed) == 0)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSPC))?;
        self.clear(number)?;
        let map = Map::new(self.fd.as_fd(), DIRECTORY + number * PAGE, PAGE)?;
        Ok(Reserved { number, map })
    }

    /// All zero again, and no memory used.
    fn clear(&self, number: usize) -> io::Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let offset = (DIRECTORY + number * PAGE) as libc::off_t;
        // SAFETY: the descriptor is ours.
        check(unsafe { libc::fallocate(self.fd(), mode, offset, PAGE as libc::off_t) }).map(drop)
    }

    /// The reserved page is worker `pid`'s.
    pub fn assign(&self, reserved: &Reserved, pid: i32) {
        if let Some(owner) = self.directory().get(reserved.number) {
            owner.store(pid, Ordering::Relaxed);
        }
    }

    /// Takes back the pages of everybody of whom `is_gone` says so.
    pub fn release(&self, is_gone: impl Fn(i32) -> bool) {
        for (number, owner) in self.directory().iter().enumerate() {
            let pid = owner.load(Ordering::Relaxed);
            if pid != 0 && is_gone(pid) {
                owner.store(0, Ordering::Relaxed);
                // At the latest it is cleared when it is used again.
                let _ = self.clear(number);
            }
        }
    }

    /// What workers tell, without those that have no page.
    pub fn figures(&self) -> Vec<WorkerFigures> {
        let owned = self.directory().iter().enumerate();
        owned
            .map(|(number, owner)| (number, owner.load(Ordering::Relaxed)))
            .filter(|(_, pid)| *pid > 0)
            .map(|(number, pid)| self.page(number).figures(pid))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_page_is_seen_by_the_master_and_by_its_next_image() {
        let memory = Memory::new().expect("memory");
        let [one, two] = [41, 42].map(|pid| {
            let reserved = memory.reserve().expect("a page");
            memory.assign(&reserved, pid);
            reserved.into_page()
        });
        assert_eq!(memory.figures()[0].connections, None);
        one.set_connections(0);
        two.set_connections(7);
        two.beat();
        assert!(two.name_counters(&[b"requests", &[b'x'; LONGEST_NAME], b"a b"]));
        assert!(!two.name_counters(&[b"again"]), "they have names");
        assert!(two.set_counters(&[5, 6]));
        assert!(!two.set_counters(&[0; 4]), "so many have no name");
        assert!(two.set_counters(&[5, 6, 1]));

        let fd = memory.fd.try_clone().expect("a descriptor");
        drop(memory);
        // SAFETY: a new descriptor of this test's.
        let next = unsafe { Memory::adopt(fd.into_raw_fd()) }.expect("the same memory");
        let figures = next.figures();
        assert_eq!(figures.iter().map(|f| f.pid).collect::<Vec<_>>(), [41, 42]);
        assert_eq!(figures[0].connections, Some(0));
        assert_eq!((figures[1].connections, figures[1].beat), (Some(7), 1));
        let counters: Vec<(&str, u64)> =
            figures[1].counters.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(counters, [("requests", 5), (&"x".repeat(32), 6), ("a?b", 1)]);

        next.release(|pid| pid == 42);
        assert_eq!(next.figures().len(), 1);
        assert_eq!(next.page(1).figures(42), WorkerFigures { pid: 42, ..Default::default() });
    }

    #[test]
    fn something_else_is_not_adopted() {
        let file = std::fs::File::open("/proc/self/exe").expect("opened");
        // SAFETY: not adopted, so it stays the file's.
        assert!(unsafe { Memory::adopt(file.as_raw_fd()) }.is_err());
        // SAFETY: not open.
        assert!(unsafe { Memory::adopt(999_999) }.is_err());
    }
}

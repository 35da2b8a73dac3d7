//! One row of the process table: the numbers that HAProxy keeps of a process.

/// What a process is and in which state. HAProxy's own bits, since its C reads
/// and writes them in the same word.
pub mod options {
    /// The master itself.
    pub const MASTER: i32 = 0x1;
    /// A worker.
    pub const WORKER: i32 = 0x2;
    /// A program that the master looks after (HAProxy up to 3.2).
    pub const PROGRAM: i32 = 0x4;
    /// Replaced by a newer worker, and expected to leave.
    pub const LEAVING: i32 = 0x10;
    /// Forked, but has not yet said READY (HAProxy 3.1 and later, native hosts).
    pub const INIT: i32 = 0x20;
    /// A program that is started anew at each reload.
    pub const START_RELOAD: i32 = 0x100;
    /// Any child.
    pub const CHILD: i32 = WORKER | PROGRAM;
}

/// The PID of a process that may be sent a signal: never 0, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// `None` for what `kill()` would take for a group or for everybody.
    pub const fn new(number: i32) -> Option<Self> {
        if number > 0 { Some(Self(number)) } else { None }
    }

    /// The number, above 0.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The numbers of a row. C code may have written anything into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its PID, -1 before it is forked.
    pub pid: i32,
    /// See [`options`].
    pub options: i32,
    /// Descriptors of its socketpair, -1 where there is none: the master's end,
    /// then the worker's. Of the master's row: the pair in which the client of
    /// a `reload` waits over the exec.
    pub ipc_fd: [i32; 2],
    /// How many reloads it has lived through; the master's counts all of them.
    pub reloads: i32,
    /// Reloads that failed since the last one that succeeded.
    pub failed_reloads: i32,
    /// When it was started, in seconds since 1970, cut to 32 bits as HAProxy does.
    pub timestamp: i32,
    /// Which of the workers of one start it is, from 1 on (HAProxy up to 2.4,
    /// which has `nbproc`); else 0.
    pub relative_pid: i32,
}

impl Default for Process {
    /// A process that is not there yet.
    fn default() -> Self {
        Self {
            pid: -1,
            options: 0,
            ipc_fd: [-1, -1],
            reloads: 0,
            failed_reloads: 0,
            timestamp: -1,
            relative_pid: 0,
        }
    }
}

impl Process {
    /// Whether any bit of `mask` is set.
    pub const fn is(&self, mask: i32) -> bool {
        self.options & mask != 0
    }

    /// A worker or a program.
    pub const fn is_child(&self) -> bool {
        self.is(options::CHILD)
    }

    /// A child that no newer one has replaced.
    pub const fn is_current_child(&self) -> bool {
        self.is_child() && !self.is(options::LEAVING)
    }

    /// A worker that takes new connections.
    pub const fn is_in_service(&self) -> bool {
        self.is(options::WORKER) && !self.is(options::LEAVING | options::INIT) && self.pid > 0
    }

    /// A worker that has been forked but has not said READY.
    pub const fn is_starting(&self) -> bool {
        self.is(options::WORKER) && self.is(options::INIT)
    }

    /// Where signals for it go; `None` before it is forked.
    pub const fn target(&self) -> Option<Pid> {
        if self.is_child() { Pid::new(self.pid) } else { None }
    }

    /// Its letter in the hand-over.
    pub const fn letter(&self) -> char {
        if self.is(options::MASTER) {
            'm'
        } else if self.is(options::PROGRAM) {
            'e'
        } else if self.is(options::WORKER) {
            'w'
        } else {
            '?'
        }
    }
}

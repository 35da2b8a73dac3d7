//! The signals that mean something to a master.

/// One of them. [`crate::sys::signals`] knows the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Stop at once.
    Term,
    /// Stop at once, from a terminal.
    Int,
    /// Stop softly: let connections end.
    Usr1,
    /// Reload.
    Usr2,
    /// Reload.
    Hup,
    /// Give the listeners up for a while, told to the workers.
    Ttou,
    /// Take the listeners back, told to the workers.
    Ttin,
    /// A child ended.
    Chld,
    /// Ends a child that listens to nothing. Masters are never told of one.
    Kill,
}

/// What a signal asks of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Leave: tell every child with the same signal.
    Stop,
    /// Reload softly.
    Reload,
    /// Send it to every child but a worker that starts.
    Broadcast,
    /// Look after children.
    Reap,
    /// Nothing: no process can catch it.
    None,
}

impl Signal {
    /// All that a master is sent.
    pub const ALL: [Self; 8] = [
        Self::Term,
        Self::Int,
        Self::Usr1,
        Self::Usr2,
        Self::Hup,
        Self::Ttou,
        Self::Ttin,
        Self::Chld,
    ];

    /// What it asks for.
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::Term | Self::Int | Self::Usr1 => Meaning::Stop,
            Self::Usr2 | Self::Hup => Meaning::Reload,
            Self::Ttin | Self::Ttou => Meaning::Broadcast,
            Self::Chld => Meaning::Reap,
            Self::Kill => Meaning::None,
        }
    }
}

/// The status of a child that ended, as a shell counts it: its exit code, or
/// 128 plus the number of the signal that ended it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    /// 0 to 255.
    pub code: i32,
    /// "Exit", or the name of signal `code - 128`.
    pub reason: String,
}

impl Ending {
    /// Codes that a child may end with without anything being wrong: it left by
    /// itself, or it was sent SIGINT or SIGTERM.
    pub const fn is_normal(&self) -> bool {
        matches!(self.code, 0 | 130 | 143)
    }

    /// SIGUSR1 has ended it, by which HAProxy asks to leave.
    pub const fn is_of_soft_stop(&self) -> bool {
        self.code == 138
    }

    /// Whether the master has to leave with it too. SIGINT is told on, SIGTERM
    /// is how services are stopped.
    pub const fn is_reported(&self) -> bool {
        !matches!(self.code, 0 | 143)
    }
}

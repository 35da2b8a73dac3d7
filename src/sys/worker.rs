//! The worker's side of its socketpair with the master.
//!
//! Each message is a tag, what belongs to it, and maybe a descriptor beside it.

use super::{fd, listeners};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// From the master or a new worker: beside it is where listeners are awaited.
pub const ASKS_FOR_LISTENERS: u8 = b'L';
/// From the master: beside it is a connection of the master CLI.
pub const CLI_CONNECTION: u8 = b'C';
/// From a worker: it serves now.
pub const READY: u8 = b'R';
/// From a worker that starts: a line for the log of the start.
pub const LOG: u8 = b'M';
/// The longest message.
pub const LONGEST: usize = 4096;

/// What the master had to say.
#[derive(Debug)]
pub enum Said {
    /// Nothing for the host.
    Nothing,
    /// Somebody wants to talk to this worker.
    Connection(OwnedFd),
    /// The master is gone, without telling the worker to leave.
    MasterGone,
}

/// A worker.
pub struct Worker {
    master: OwnedFd,
    previous: Option<OwnedFd>,
    inherited: Option<Vec<listeners::Listener>>,
    published: Vec<(String, i32)>,
    ready: bool,
}

impl Worker {
    /// With its end of the pair, and the former worker's master end if there is
    /// one to ask for listeners.
    pub fn new(master: OwnedFd, previous: Option<OwnedFd>) -> Self {
        Self { master, previous, inherited: None, published: Vec::new(), ready: false }
    }

    /// To poll for [`Self::receive`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Whether it has said READY.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The former worker's listener `name`, once.
    ///
    /// # Errors
    /// The system's, when the former worker doesn't answer.
    pub fn inherit(&mut self, name: &str) -> io::Result<Option<OwnedFd>> {
        let inherited = match &mut self.inherited {
            Some(inherited) => inherited,
            None => {
                let asked = match &self.previous {
                    Some(previous) => listeners::ask(previous.as_fd()),
                    None => Ok(Vec::new()),
                };
                // Asked once, whatever came of it.
                let (listeners, error) = match asked {
                    Ok(listeners) => (listeners, None),
                    Err(error) => (Vec::new(), Some(error)),
                };
                let inherited = self.inherited.insert(listeners);
                if let Some(error) = error {
                    return Err(error);
                }
                inherited
            }
        };
        let at = inherited.iter().position(|l| l.name == name);
        Ok(at.map(|at| inherited.swap_remove(at).socket))
    }

    /// The next worker may have `socket`, as `name`. -1 takes it back.
    pub fn publish(&mut self, name: &str, socket: i32) {
        self.published.retain(|(known, _)| known != name);
        if socket >= 0 {
            self.published.push((name.to_owned(), socket));
        }
    }

    /// Tells the master that this worker serves. Listeners of the former worker
    /// that were not asked for are closed.
    ///
    /// # Errors
    /// The system's.
    pub fn say_ready(&mut self) -> io::Result<()> {
        self.previous = None;
        self.inherited = Some(Vec::new());
        fd::send(self.fd(), &[READY], None)?;
        self.ready = true;
        Ok(())
    }

    /// Adds a line to what the master answers to `reload`.
    pub fn tell_start_log(&self, line: &str) {
        if !self.ready {
            let mut text = vec![LOG];
            text.extend(line.bytes().take(LONGEST - 1));
            // Only for the record: not worth failing for.
            let _ = fd::send(self.fd(), &text, None);
        }
    }

    /// What the master said, if it did.
    ///
    /// # Errors
    /// The system's.
    pub fn receive(&self) -> io::Result<Said> {
        match fd::receive(self.fd(), LONGEST, false) {
            Ok((text, Some(socket))) if text == [CLI_CONNECTION] => Ok(Said::Connection(socket)),
            Ok((text, Some(socket))) if text == [ASKS_FOR_LISTENERS] => {
                let published = self.published.iter().filter_map(|(name, fd)| {
                    // SAFETY: whoever published it keeps it open, as promised.
                    Some((name.as_str(), unsafe { fd::borrow_raw(*fd) }?))
                });
                // If the new worker is gone, that is its own matter.
                let _ = listeners::answer(socket.as_fd(), published);
                Ok(Said::Nothing)
            }
            Ok((text, None)) if text.is_empty() => Ok(Said::MasterGone),
            // Of a master that knows more than this worker.
            Ok(_) => Ok(Said::Nothing),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Said::Nothing),
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => Ok(Said::MasterGone),
            Err(error) => Err(error),
        }
    }
}

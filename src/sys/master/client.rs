//! Whoever asked for a reload, and waits for its end.

use super::{Host, Master};
use crate::core::cli;
use crate::core::lifecycle::{Event, Hardness, Refusal};
use crate::core::table::Table;
use crate::sys::fd;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Reloads for `client`, which is answered once it is known how the reload ended, by
    /// whichever image that is in.
    ///
    /// # Errors
    /// Why not now. The client isn't answered.
    pub fn reload_for(&mut self, client: OwnedFd, hardness: Hardness) -> Result<(), Refusal> {
        self.asking = Some(client);
        let begun = self.handle(Event::ReloadNow(hardness));
        if begun.is_err() {
            self.asking = None;
        }
        begun
    }

    /// The client that asked for a reload waits in the master's own pair, over the exec.
    pub(super) fn park(&mut self) {
        let Some(client) = self.asking.take() else { return };
        let parked = match self.parking(0) {
            Some(to) => fd::send(to, b"C", Some(client.as_fd())),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        };
        if parked.is_err() {
            // It is answered if there is no exec.
            self.asking = Some(client);
        }
    }

    /// Makes sure that the master's row has the pair in which clients wait.
    ///
    /// # Errors
    /// The system's; `NotFound`: the table has no row of the master.
    pub fn make_parking(&mut self) -> io::Result<()> {
        let row = self.table.master().ok_or(io::ErrorKind::NotFound)?;
        let mut process = self.table.load(row);
        if process.ipc_fd.iter().any(|fd| *fd < 0) {
            let (a, b) = fd::message_pair()?;
            process.ipc_fd = [a.into_raw_fd(), b.into_raw_fd()];
            self.table.store(row, process);
        }
        Ok(())
    }

    pub(super) fn parking(&self, end: usize) -> Option<BorrowedFd<'_>> {
        let row = self.table.master()?;
        let number = *self.table.load(row).ipc_fd.get(end)?;
        // SAFETY: the row owns it for as long as it is in the table.
        unsafe { fd::borrow_raw(number) }
    }

    /// Tells whoever asked for a reload how it ended, and what was logged.
    pub(super) fn answer(&mut self, success: bool) {
        if !self.generation().native {
            return;
        }
        let text = cli::reload_answer(success, &std::mem::take(&mut self.start_log));
        let mut clients: Vec<OwnedFd> = self.asking.take().into_iter().collect();
        while let Some((_, Some(client))) =
            self.parking(1).and_then(|from| fd::receive(from, 16, false).ok())
        {
            clients.push(client);
        }
        for mut client in clients.into_iter().map(UnixStream::from) {
            // A client that is gone, or reads nothing of what it asked for, is
            // not waited for.
            let _ = client.set_nonblocking(true).and_then(|()| client.write_all(text.as_bytes()));
        }
    }
}

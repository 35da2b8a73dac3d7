//! Whoever asked for a reload, and waits for its end.

use super::{Host, Master};
use crate::core::cli;
use crate::core::table::Table;
use crate::sys::fd;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// The client of a reload waits in the master's own pair, over the exec. It
    /// stays there until it is answered; HAProxy does so itself.
    ///
    /// # Errors
    /// The system's.
    pub fn park(&self, client: BorrowedFd<'_>) -> io::Result<()> {
        match self.parking(0) {
            Some(to) => fd::send(to, b"C", Some(client)),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
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
        let Some(from) = self.parking(1) else { return };
        while let Ok((_, Some(client))) = fd::receive(from, 16, false) {
            let mut client = UnixStream::from(client);
            // A client that is gone, or reads nothing of what it asked for, is
            // not waited for.
            let _ = client.set_nonblocking(true).and_then(|()| client.write_all(text.as_bytes()));
        }
    }
}

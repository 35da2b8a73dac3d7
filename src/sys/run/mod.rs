//! The loop of masters that have none of their own.
//!
//! Everything it waits for hangs on one descriptor, so a host with a loop can
//! wait for that one and call [`Runner::turn`].

mod cli;
mod client;

pub use cli::Server;

use super::fd;
use super::master::{Host, Master};
use super::poll::Poll;
use super::signals::{self, Set, SignalFd};
use super::worker;
use crate::core::lifecycle::{Event, Hardness};
use crate::core::table::Table;
use client::{Client, Wants};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
const STARTING: u64 = 2;
/// Two for each client from here on: its connection, and its worker's.
const CLIENTS: u64 = 16;

/// The loop's state.
pub struct Runner {
    poll: Poll,
    signals: SignalFd,
    server: Option<Server>,
    clients: HashMap<u64, Client>,
    next_client: u64,
}

impl Runner {
    /// Holds every signal of a master back, to be read from a descriptor.
    ///
    /// # Errors
    /// The system's.
    pub fn new<T: Table, H: Host<T::Row>>(
        server: Option<Server>,
        master: &mut Master<T, H>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        signals::block(&Set::all());
        let signals = SignalFd::new()?;
        poll.want(signals.fd(), SIGNALS, true, false)?;
        if let Some(server) = &server {
            poll.want(server.fd(), LISTENER, true, false)?;
        }
        master.returns = true;
        let new = Self { poll, signals, server, clients: HashMap::new(), next_client: 0 };
        new.enter(master)?;
        Ok(new)
    }

    /// Becomes ready for what the last image left, and for what happened
    /// before there was a loop.
    fn enter<T: Table, H: Host<T::Row>>(&self, master: &mut Master<T, H>) -> io::Result<()> {
        if let Some(fd) = starting_fd(master) {
            // SAFETY: the row owns it for as long as it is in the table.
            if let Some(fd) = unsafe { fd::borrow_raw(fd) } {
                self.poll.want(fd, STARTING, true, false)?;
            }
        }
        // Some may have ended while nobody looked.
        master.reap();
        Ok(())
    }

    /// To wait for with others.
    pub fn fd(&self) -> &OwnedFd {
        self.poll.fd()
    }

    /// Waits up to `timeout` milliseconds (-1: for ever) and does what is due.
    /// Gives the status to leave with once the master has to.
    ///
    /// # Errors
    /// The system's.
    pub fn turn<T: Table, H: Host<T::Row>>(
        &mut self,
        master: &mut Master<T, H>,
        timeout: libc::c_int,
    ) -> io::Result<Option<i32>> {
        if master.exit_status().is_none() {
            for ready in self.poll.wait(sooner(timeout, master.timeout()))? {
                match ready.token {
                    SIGNALS => self.read_signals(master),
                    LISTENER => self.accept(),
                    STARTING => self.hear_starting(master),
                    token => self.serve(token, ready.hung_up, master),
                }
            }
        }
        if master.timeout() == 0 {
            master.tick();
            self.listen_again();
        }
        let status = master.exit_status();
        if let Some(server) = self.server.take_if(|_| status.is_some()) {
            server.remove();
        }
        Ok(status)
    }

    fn read_signals<T: Table, H: Host<T::Row>>(&mut self, master: &mut Master<T, H>) {
        while let Some(signal) = self.signals.next() {
            // Who ended may have said READY before.
            self.hear_starting(master);
            master.signal(signal);
        }
        // With a child go its descriptors.
        self.listen_again();
    }

    /// The worker that starts says that it serves, or why it can't.
    fn hear_starting<T: Table, H: Host<T::Row>>(&mut self, master: &mut Master<T, H>) {
        while let Some(number) = starting_fd(master) {
            // SAFETY: the row owns it for as long as it is in the table.
            let Some(fd) = (unsafe { fd::borrow_raw(number) }) else { return };
            match fd::receive(fd, worker::LONGEST, false) {
                Ok((text, _)) => match text.split_first() {
                    Some((&worker::READY, _)) => {
                        self.poll.forget(number);
                        let pid = master.table.starting().map(|row| master.table.load(row).pid);
                        master.happens(Event::Ready { pid: pid.unwrap_or(-1) });
                    }
                    Some((&worker::LOG, line)) => {
                        master.remember(&String::from_utf8_lossy(line));
                    }
                    // Of a worker that knows more than this master.
                    Some(_) => {}
                    // It is gone; its end will be reaped.
                    None => return self.poll.forget(number),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.poll.forget(number),
            }
        }
    }

    fn accept(&mut self) {
        while let Some(server) = &self.server {
            match server.accept() {
                Ok(stream) => self.adopt(Client::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Out of descriptors: it would be told again and again, until
                // a client or a child goes.
                Err(_) => return self.poll.forget(server.fd().as_raw_fd()),
            }
        }
    }

    /// Looks after `client` from now on.
    fn adopt(&mut self, client: Client) {
        let id = self.next_client;
        self.next_client += 1;
        self.clients.insert(id, client);
        self.watch(id);
    }

    fn watch(&mut self, id: u64) {
        let Some(client) = self.clients.get(&id) else { return };
        let token = CLIENTS + id * 2;
        let (read, write) = client.wants_io();
        let mut watched = self.poll.want(client.fd(), token, read, write);
        if let Some(relay) = client.relay() {
            // One that is gone would be told again and again.
            if client.has_room() {
                watched = watched.and(self.poll.want(relay, token + 1, true, false));
            } else {
                self.poll.forget(relay.as_raw_fd());
            }
        }
        if watched.is_err() {
            self.drop_client(id);
        }
    }

    fn drop_client(&mut self, id: u64) {
        if let Some(client) = self.clients.remove(&id) {
            // Others may hold the same connection: closing isn't enough.
            self.poll.forget(client.fd().as_raw_fd());
        }
        self.listen_again();
    }

    /// It may have been out of descriptors. If not, nothing changes.
    fn listen_again(&self) {
        if let Some(server) = &self.server {
            let _ = self.poll.want(server.fd(), LISTENER, true, false);
        }
    }

    fn serve<T: Table, H: Host<T::Row>>(
        &mut self,
        token: u64,
        hung_up: bool,
        master: &mut Master<T, H>,
    ) {
        let id = (token - CLIENTS) / 2;
        let Some(client) = self.clients.get_mut(&id) else { return };
        match (token % 2 == CLIENTS % 2, hung_up) {
            (true, true) => return self.drop_client(id),
            (true, false) => client.read(),
            (false, _) => client.read_relay(),
        }
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            match client.proceed(master) {
                Wants::Io => return self.watch(id),
                Wants::Close => return self.drop_client(id),
                Wants::Reload(hardness) => self.reload(id, hardness, master),
            }
        }
    }

    /// The client's connection goes where it is answered from, whichever image
    /// does so.
    fn reload<T: Table, H: Host<T::Row>>(
        &mut self,
        id: u64,
        hardness: Hardness,
        master: &mut Master<T, H>,
    ) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let asking = match client.fd().try_clone() {
            Ok(asking) => asking.into(),
            Err(error) => {
                let why = super::describe(&error);
                return client.answer_reload(&format!("The client can't wait for it: {why}."));
            }
        };
        match master.reload_for(asking, hardness) {
            // The exec failed, and the client has been answered.
            Ok(()) => self.drop_client(id),
            Err(refusal) => client.answer_reload(refusal.text()),
        }
    }
}

/// The shorter of two timeouts; -1 is none.
fn sooner(one: libc::c_int, other: libc::c_int) -> libc::c_int {
    if one < 0 || other < 0 { one.max(other) } else { one.min(other) }
}

/// The master's end of the pair with the worker that starts.
fn starting_fd<T: Table, H: Host<T::Row>>(master: &Master<T, H>) -> Option<RawFd> {
    let row = master.table.starting()?;
    Some(master.table.load(row).ipc_fd[0]).filter(|fd| *fd >= 0)
}

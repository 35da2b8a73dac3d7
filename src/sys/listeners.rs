//! Listening sockets, from one worker to the next.
//!
//! The new worker sends a socket to the old one and gets one message for each
//! listener: its name, and the descriptor beside it. The old one closes when it
//! has sent all.

use super::fd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The longest name.
pub const LONGEST_NAME: usize = 255;

/// How long an old worker may take to answer; without an answer a new worker
/// binds for itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// A listener with its name.
#[derive(Debug)]
pub struct Listener {
    /// What the host calls it.
    pub name: String,
    /// The listening socket.
    pub socket: OwnedFd,
}

/// Asks the worker at the other end of `worker` for its listeners.
///
/// # Errors
/// The system's, when it can't be asked or doesn't answer in time.
pub fn ask(worker: BorrowedFd<'_>) -> io::Result<Vec<Listener>> {
    let (mine, theirs) = fd::message_pair()?;
    fd::send(worker, &[super::worker::ASKS_FOR_LISTENERS], Some(theirs.as_fd()))?;
    drop(theirs);
    fd::set_timeout(mine.as_fd(), libc::SO_RCVTIMEO, PATIENCE)?;
    let mut listeners = Vec::new();
    loop {
        match fd::receive(mine.as_fd(), LONGEST_NAME, true)? {
            (name, Some(socket)) => {
                listeners.push(Listener { name: String::from_utf8_lossy(&name).into(), socket });
            }
            (_, None) => return Ok(listeners),
        }
    }
}

/// Sends `listeners` to the new worker that asked over `to`.
///
/// # Errors
/// The system's.
pub fn answer<'a>(
    to: BorrowedFd<'_>,
    listeners: impl IntoIterator<Item = (&'a str, BorrowedFd<'a>)>,
) -> io::Result<()> {
    // A new worker reads at once; more than fit are waited for, but not long.
    fd::set_timeout(to, libc::SO_SNDTIMEO, PATIENCE)?;
    for (name, socket) in listeners {
        fd::send_waiting(to, name.as_bytes(), Some(socket))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listeners_arrive_under_their_names() {
        let (worker, master) = fd::message_pair().expect("a pair");
        let a = TcpListener::bind("127.0.0.1:0").expect("bound");
        let b = TcpListener::bind("127.0.0.1:0").expect("bound");
        let old = std::thread::spawn(move || {
            let (text, asker) = fd::receive(worker.as_fd(), 16, true).expect("asked");
            assert_eq!(text, [crate::sys::worker::ASKS_FOR_LISTENERS]);
            let asker = asker.expect("a socket");
            answer(asker.as_fd(), [("a", a.as_fd()), ("b", b.as_fd())]).expect("answered");
            (a, b)
        });
        let got = ask(master.as_fd()).expect("listeners");
        let (a, _) = old.join().expect("joined");
        let names: Vec<&str> = got.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let first = got.into_iter().next().expect("one");
        let socket = TcpListener::from(first.socket);
        assert_eq!(socket.local_addr().expect("address"), a.local_addr().expect("address"));
    }

    #[test]
    fn no_worker_is_no_listener() {
        let (worker, master) = fd::message_pair().expect("a pair");
        drop(worker);
        assert!(ask(master.as_fd()).is_err());
    }
}

//! A client that stays: a connection through a proxy to an echo backend, which keeps its worker
//! from leaving until it is dropped.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::PATIENCE;

/// The connection.
#[derive(Debug)]
pub struct Held {
    stream: BufReader<TcpStream>,
    sent: u32,
    answered: u32,
    resets: bool,
}

impl Held {
    /// Connects. Whether a worker has accepted the connection only [`Held::exchange`] shows.
    pub fn connect(addr: SocketAddr) -> io::Result<Held> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Held { stream: BufReader::new(stream), sent: 0, answered: 0, resets: false })
    }

    /// Connects, and has a first line sent back, so that a worker surely has the connection.
    pub fn open(addr: SocketAddr) -> io::Result<Held> {
        let mut held = Held::connect(addr)?;
        held.exchange()?;
        Ok(held)
    }

    /// Makes the connection end with a reset.
    pub fn ends_with_a_reset(mut self) -> Held {
        self.resets = true;
        self
    }

    /// Sends a line and reads it back.
    pub fn exchange(&mut self) -> io::Result<()> {
        self.send_line()?;
        self.read_line(PATIENCE)
    }

    /// Whether a line that is sent comes back.
    pub fn works(&mut self) -> bool {
        self.exchange().is_ok()
    }

    /// Sends a line; whether that went well.
    pub fn send(&mut self) -> bool {
        self.send_line().is_ok()
    }

    /// Whether the next line that was sent comes back within `limit`.
    pub fn comes_back(&mut self, limit: Duration) -> bool {
        self.read_line(limit).is_ok()
    }

    /// Waits until the other side ends the connection, one way or another.
    pub fn wait_end(mut self) -> io::Result<()> {
        let mut back = String::new();
        match self.stream.read_line(&mut back) {
            Ok(0) => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Err(err) => Err(err),
            Ok(_) => Err(io::Error::other(format!("{back:?} came, unasked for"))),
        }
    }

    fn send_line(&mut self) -> io::Result<()> {
        let line = line(self.sent);
        self.stream.get_mut().write_all(line.as_bytes())?;
        self.sent += 1;
        Ok(())
    }

    fn read_line(&mut self, limit: Duration) -> io::Result<()> {
        let mut back = String::new();
        self.stream.get_ref().set_read_timeout(Some(limit))?;
        self.stream.read_line(&mut back)?;
        if back != line(self.answered) {
            return Err(io::Error::other(format!("{back:?} came back")));
        }
        self.answered += 1;
        Ok(())
    }
}

/// The number shows an answer to an earlier line. 13 bytes each, which some tests count.
fn line(number: u32) -> String {
    format!("there? {number:05}\n")
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closed with something that wasn't read.
        if self.resets && self.stream.get_mut().write_all(b"unread\n").is_ok() {
            let _ = self.stream.get_ref().peek(&mut [0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    fn lines_come_back_in_order() {
        let echo = Backend::echo();
        let mut held = Held::open(echo.addr()).unwrap();
        assert!(held.send() && held.send());
        assert!(held.comes_back(PATIENCE) && held.comes_back(PATIENCE) && held.works());
    }

    #[test]
    fn an_end_is_no_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut held = Held::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        assert!(!held.works());
        held.wait_end().unwrap();
    }
}

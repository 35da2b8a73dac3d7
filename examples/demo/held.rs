//! A client that stays: a connection through the proxy, kept open as long as one likes.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use mworker_kit::PATIENCE;

/// A connection to the echo backend.
pub struct Held {
    stream: BufReader<TcpStream>,
    sent: u32,
}

impl Held {
    /// Connects, and has a first line sent back, so that a worker surely has it.
    pub fn open(addr: SocketAddr) -> io::Result<Held> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut held = Held { stream: BufReader::new(stream), sent: 0 };
        held.exchange()?;
        Ok(held)
    }

    /// Sends a line and reads it back.
    pub fn exchange(&mut self) -> io::Result<()> {
        self.sent += 1;
        let line = format!("held {}\n", self.sent);
        let mut back = String::new();
        self.stream.get_mut().write_all(line.as_bytes())?;
        self.stream.read_line(&mut back)?;
        if back == line { Ok(()) } else { Err(io::Error::other(format!("{back:?} came back"))) }
    }

    /// Waits until the other side ends it, one way or another.
    pub fn wait_end(mut self) -> io::Result<()> {
        let mut back = String::new();
        match self.stream.read_line(&mut back) {
            Ok(0) => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Err(err) => Err(err),
            Ok(_) => Err(io::Error::other(format!("{back:?} came, unasked for"))),
        }
    }
}

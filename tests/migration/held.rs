//! A client that stays.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use mworker_kit::PATIENCE;

/// A connection through the tcp frontend, which keeps its worker from leaving.
#[derive(Debug)]
pub struct Held {
    stream: BufReader<TcpStream>,
}

impl Held {
    /// Connects, and has a line sent back, so that a worker surely has it.
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Held {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set_read_timeout");
        let mut held = Held { stream: BufReader::new(stream) };
        if let Err(err) = held.exchange() {
            panic!("a fresh connection does not echo: {err}");
        }
        held
    }

    /// Sends a line and reads it back.
    pub fn exchange(&mut self) -> io::Result<()> {
        let mut back = String::new();
        self.stream.get_mut().write_all(b"still there?\n")?;
        self.stream.read_line(&mut back)?;
        if back == "still there?\n" {
            return Ok(());
        }
        Err(io::Error::other(format!("{back:?} came back")))
    }
}

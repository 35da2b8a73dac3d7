//! One connection to a master's CLI.

use crate::address::Address;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// `sun_path` without the zero that it begins with.
const LONGEST_NAME: usize = 107;

pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Connects. On a unix socket that waits for as long as the queue is full, and nothing
    /// limits it, so a thread does it, which is left alone when it takes too long.
    pub fn open(address: &Address, limit: Duration) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let address = address.clone();
        thread::Builder::new().spawn(move || {
            // Nobody listens when it has taken too long.
            let _ = sender.send(Self::connect(&address));
        })?;
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        receiver.recv_timeout(limit).unwrap_or_else(late)
    }

    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Path(path) => UnixStream::connect(path).map(Self::Unix),
            Address::Abstract { name, filled } => {
                let mut name = name.clone().into_bytes();
                if *filled {
                    name.resize(name.len().max(LONGEST_NAME), 0);
                }
                let address = SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(Self::Unix)
            }
            Address::Tcp { host, port } => {
                TcpStream::connect((host.as_str(), *port)).map(Self::Tcp)
            }
        }
    }

    /// Sends a line, and that it is the last.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        match self {
            Self::Unix(stream) => {
                stream.write_all(line.as_bytes())?;
                stream.shutdown(Shutdown::Write)
            }
            Self::Tcp(stream) => {
                stream.write_all(line.as_bytes())?;
                stream.shutdown(Shutdown::Write)
            }
        }
    }

    /// Reads more of the answer until `end`; nothing at its end, and `WouldBlock` when there
    /// is none in time.
    pub fn read(&mut self, text: &mut Vec<u8>, end: Instant) -> io::Result<usize> {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut chunk = [0; 16 * 1024];
        let size = match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(&mut chunk)?
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(&mut chunk)?
            }
        };
        text.extend(chunk.iter().take(size));
        Ok(size)
    }
}

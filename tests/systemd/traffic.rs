//! What proxies relay to, and who asks them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Once;
use std::thread;

use mworker_kit::PATIENCE;

/// Where every address of 127.0.0.0/8 tells which one it is.
const TELLS: u16 = 7000;

/// The backend of a proxy that can't answer on its own: its configurations are told apart by
/// the address that they relay to.
pub fn tell_addresses() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let listener = TcpListener::bind(("0.0.0.0", TELLS)).expect("bind");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if let Ok(IpAddr::V4(addr)) = stream.local_addr().map(|addr| addr.ip()) {
                    let [_, _, high, low] = addr.octets();
                    let _ = writeln!(stream, "{}", u16::from_be_bytes([high, low]));
                }
            }
        });
    });
}

/// The address that tells this number.
pub fn telling(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([127, 0, high, low], TELLS))
}

/// Asks what [`tell_addresses`] tells.
pub fn told(addr: SocketAddr) -> io::Result<u16> {
    let mut stream = connect(addr)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| io::Error::other(format!("told {text:?}")))
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A connection through a proxy to a backend that sends all back.
pub struct Held {
    stream: BufReader<TcpStream>,
}

impl Held {
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Held {
        let stream = connect(addr).unwrap_or_else(|err| panic!("cannot connect: {err}"));
        let mut held = Held { stream: BufReader::new(stream) };
        assert!(held.works(), "a new connection is not relayed");
        held
    }

    /// Whether what is sent comes back.
    pub fn works(&mut self) -> bool {
        let mut back = String::new();
        self.stream.get_mut().write_all(b"still there?\n").is_ok()
            && self.stream.read_line(&mut back).is_ok()
            && back == "still there?\n"
    }
}

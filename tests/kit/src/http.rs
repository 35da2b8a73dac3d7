//! As much of HTTP/1.1 as the backend, the load and held connections need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A response, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status, e.g. 200.
    pub status: u16,
    /// The body, as long as `Content-Length` says.
    pub body: String,
    /// Whether the connection serves another request.
    pub keeps: bool,
}

/// A connection to a server of HTTP.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; every later step has the same limit.
    pub fn open(addr: SocketAddr, limit: Duration) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends text as it is, e.g. half a request.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// Reads a response; none, when the server has closed before its first byte.
    pub fn response(&mut self) -> io::Result<Option<Response>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
        let head = read_head(&mut self.stream)?;
        let mut body = vec![0; head.length];
        self.stream.read_exact(&mut body).map_err(|err| match err.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(err.kind(), "short body"),
            _ => err,
        })?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Some(Response { status, body, keeps: !head.close }))
    }

    /// Asks for a path and reads the response.
    pub fn get(&mut self, path: &str) -> io::Result<Option<Response>> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        self.response()
    }
}

/// Asks once, over a connection of its own.
pub fn get(addr: SocketAddr, path: &str, limit: Duration) -> io::Result<Response> {
    let mut connection = Connection::open(addr, limit)?;
    connection.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))?;
    connection.response()?.ok_or_else(|| io::Error::other("closed without a response"))
}

/// What of a head matters here.
pub(crate) struct Head {
    pub length: usize,
    pub close: bool,
}

/// Reads header lines up to the empty one.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Head> {
    let mut head = Head { length: 0, close: false };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within the head"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(head);
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                head.length = value.trim().parse().map_err(io::Error::other)?;
            }
            "connection" => head.close = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

#[cfg(test)]
impl Connection {
    /// Whether the server has closed and nothing is left to be read.
    pub(crate) fn peek_end(&mut self) -> io::Result<bool> {
        let mut byte = [0];
        self.stream.get_ref().set_nonblocking(true)?;
        let seen = self.stream.get_ref().peek(&mut byte);
        self.stream.get_ref().set_nonblocking(false)?;
        Ok(seen? == 0)
    }
}

//! Servers for a proxy to send its traffic to.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::http::read_head;

/// A server on 127.0.0.1, one thread a connection. Dropping it ends them all.
#[derive(Debug)]
pub struct Backend {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    served: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Backend {
    /// One that answers each request with 200 and `body`, and keeps connections alive as
    /// long as the client wishes.
    pub fn http(body: &str) -> Backend {
        let body = body.to_owned();
        Backend::start(move |stream, shared| serve_http(stream, &body, shared))
    }

    /// One that sends each line back.
    pub fn echo() -> Backend {
        Backend::start(serve_echo)
    }

    fn start(
        serve: impl Fn(TcpStream, &Shared) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
        let addr = listener.local_addr().expect("local_addr");
        let shared = Arc::new(Shared::default());
        let for_acceptor = Arc::clone(&shared);
        let serve = Arc::new(serve);
        let acceptor = thread::spawn(move || {
            let shared = for_acceptor;
            let mut connections = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopping.load(Ordering::Acquire) {
                    break;
                }
                let Ok(clone) = stream.try_clone() else { continue };
                shared.open.lock().expect("no thread panics holding it").push(clone);
                let (serve, shared) = (Arc::clone(&serve), Arc::clone(&shared));
                connections.push(thread::spawn(move || {
                    let peer = stream.peer_addr().ok();
                    // Clients may vanish as they like.
                    let _ = serve(stream, &shared);
                    let mut open = shared.open.lock().expect("no thread panics holding it");
                    if let Some(at) = open.iter().position(|s| s.peer_addr().ok() == peer) {
                        let _ = open.swap_remove(at).shutdown(Shutdown::Both);
                    }
                }));
                connections.retain(|thread| !thread.is_finished());
            }
            for stream in shared.open.lock().expect("no thread panics holding it").iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for connection in connections {
                let _ = connection.join();
            }
        });
        Backend { addr, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests or lines it has answered.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve_http(stream: TcpStream, body: &str, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let head = read_head(&mut reader)?;
        io::copy(&mut io::Read::take(&mut reader, head.length as u64), &mut io::sink())?;
        let close = head.close || request.trim_end().ends_with("HTTP/1.0");
        let connection = if close { "close" } else { "keep-alive" };
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
            body.len()
        );
        shared.served.fetch_add(1, Ordering::Relaxed);
        reader.get_mut().write_all(response.as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

fn serve_echo(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        shared.served.fetch_add(1, Ordering::Relaxed);
        reader.get_mut().write_all(&line)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;
    use crate::http::Connection;

    #[test]
    fn keeps_connections_alive() {
        let backend = Backend::http("body");
        let mut connection = Connection::open(backend.addr(), PATIENCE).unwrap();
        for _ in 0..3 {
            let response = connection.get("/").unwrap().unwrap();
            assert_eq!((response.status, response.body.as_str()), (200, "body"));
            assert!(response.keeps);
        }
        assert_eq!(backend.served(), 3);
        drop(backend);
        assert!(matches!(connection.response(), Ok(None)), "still open after the drop");
    }

    #[test]
    fn echoes_lines() {
        let backend = Backend::echo();
        let mut stream = TcpStream::connect(backend.addr()).unwrap();
        stream.write_all(b"one\ntwo\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert_eq!(lines.next().unwrap().unwrap(), "two");
    }
}

//! Traffic through a proxy, every request checked.
//!
//! What counts as a failure: a connection refused, a reset, a response cut short, a wrong
//! status or body, a time limit passed.
//!
//! What does not: a kept-alive connection found closed, without one byte of a response,
//! when the next request is sent on it. A server may close an idle connection whenever it
//! likes (RFC 9112, 9.3.1 and 9.5), a stopping worker does, and every HTTP client sends
//! that request again on a new connection; so does this one, and counts it as `retried`.
//! The same on a new connection is a failure, and so is a reset instead of a clean end.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::deadline::{PATIENCE, wait_until};
use crate::http::Connection;

/// How many reasons of failures a [`Report`] keeps.
const REASONS: usize = 10;

/// What to send where.
#[derive(Clone, Debug)]
pub struct Plan {
    target: SocketAddr,
    traffic: Traffic,
    threads: usize,
    pause: Duration,
    limit: Duration,
    bound: Duration,
}

#[derive(Clone, Debug)]
enum Traffic {
    /// Half of the threads connect anew for each request, the others keep theirs alive.
    Http { body: Option<String> },
    /// Lines over a connection, a new one after so many.
    Echo { lines: usize },
}

impl Plan {
    /// HTTP requests; each must be answered 200, with this body if given.
    pub fn http(target: SocketAddr, body: Option<&str>) -> Plan {
        Plan::new(target, Traffic::Http { body: body.map(str::to_owned) })
    }

    /// Lines of text which must come back, `lines` of them over each connection. A worker
    /// that stops goes on serving the connections it has, so here no end is clean but ours.
    pub fn echo(target: SocketAddr, lines: usize) -> Plan {
        Plan::new(target, Traffic::Echo { lines: lines.max(1) })
    }

    fn new(target: SocketAddr, traffic: Traffic) -> Plan {
        Plan {
            target,
            traffic,
            threads: 4,
            pause: Duration::from_millis(1),
            limit: Duration::from_secs(10),
            bound: Duration::from_secs(300),
        }
    }

    /// How many threads send (4).
    pub fn threads(mut self, threads: usize) -> Plan {
        self.threads = threads;
        self
    }

    /// How long each thread pauses between two requests (1 ms): enough to leave the
    /// processor to those under test.
    pub fn pause(mut self, pause: Duration) -> Plan {
        self.pause = pause;
        self
    }

    /// How long one request may take (10 s).
    pub fn limit(mut self, limit: Duration) -> Plan {
        self.limit = limit;
        self
    }

    /// How long the whole load may go on, if nobody stops it (5 min).
    pub fn bound(mut self, bound: Duration) -> Plan {
        self.bound = bound;
        self
    }

    /// Begins.
    pub fn start(self) -> Load {
        let shared = Arc::new(Shared::default());
        let end = Instant::now() + self.bound;
        let threads = (0..self.threads)
            .map(|number| {
                let (plan, shared) = (self.clone(), Arc::clone(&shared));
                thread::spawn(move || plan.run(number, end, &shared))
            })
            .collect();
        Load { shared, threads }
    }

    fn run(&self, number: usize, end: Instant, shared: &Shared) {
        let mut sender = Sender { plan: self, keep: number % 2 == 1, http: None, echo: None };
        while !shared.stopping.load(Ordering::Acquire) && Instant::now() < end {
            let started = Instant::now();
            let outcome = match &self.traffic {
                Traffic::Http { body } => sender.request(body.as_deref(), shared),
                Traffic::Echo { lines } => sender.line(*lines, shared),
            };
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let took = started.elapsed();
            shared.slowest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
            if let Err(reason) = outcome {
                shared.failures.fetch_add(1, Ordering::Relaxed);
                let mut reasons = shared.reasons.lock().expect("no thread panics holding it");
                if reasons.len() < REASONS {
                    reasons.push(format!("thread {number} after {took:?}: {reason}"));
                }
            }
            thread::park_timeout(self.pause);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    requests: AtomicU64,
    failures: AtomicU64,
    connections: AtomicU64,
    retried: AtomicU64,
    slowest_us: AtomicU64,
    reasons: Mutex<Vec<String>>,
}

struct Sender<'a> {
    plan: &'a Plan,
    keep: bool,
    http: Option<Connection>,
    echo: Option<(BufReader<TcpStream>, usize)>,
}

impl Sender<'_> {
    fn request(&mut self, body: Option<&str>, shared: &Shared) -> Result<(), String> {
        if let Some(mut connection) = self.http.take() {
            match connection.get("/") {
                Ok(None) => {}
                // The other side had closed before; its end was seen while sending.
                Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {}
                other => return self.judge(connection, other, body),
            }
            shared.retried.fetch_add(1, Ordering::Relaxed);
        }
        let mut connection = Connection::open(self.plan.target, self.plan.limit)
            .map_err(|err| format!("cannot connect: {err}"))?;
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let outcome = if self.keep {
            connection.get("/")
        } else {
            connection
                .send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                .and_then(|()| connection.response())
        };
        self.judge(connection, outcome, body)
    }

    fn judge(
        &mut self,
        connection: Connection,
        outcome: io::Result<Option<crate::http::Response>>,
        body: Option<&str>,
    ) -> Result<(), String> {
        let how = if self.keep { "kept-alive" } else { "single" };
        let response = outcome
            .map_err(|err| format!("{how} request: {err}"))?
            .ok_or_else(|| format!("{how} request: closed without a response"))?;
        if response.status != 200 || body.is_some_and(|body| body != response.body) {
            return Err(format!("{how} request: unexpected response {response:?}"));
        }
        if self.keep && response.keeps {
            self.http = Some(connection);
        }
        Ok(())
    }

    fn line(&mut self, lines: usize, shared: &Shared) -> Result<(), String> {
        let (mut stream, sent) = match self.echo.take() {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect_timeout(&self.plan.target, self.plan.limit)
                    .map_err(|err| format!("cannot connect: {err}"))?;
                shared.connections.fetch_add(1, Ordering::Relaxed);
                (|| {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(self.plan.limit))?;
                    stream.set_write_timeout(Some(self.plan.limit))
                })()
                .map_err(|err| format!("cannot set up the connection: {err}"))?;
                (BufReader::new(stream), 0)
            }
        };
        let line = format!("line {sent}\n");
        let mut back = String::new();
        let where_ = || format!("line {sent} of a connection");
        stream
            .get_mut()
            .write_all(line.as_bytes())
            .and_then(|()| stream.read_line(&mut back))
            .map_err(|err| format!("{}: {err}", where_()))?;
        if back != line {
            return Err(format!("{}: {back:?} came back", where_()));
        }
        if sent + 1 < lines {
            self.echo = Some((stream, sent + 1));
        }
        Ok(())
    }
}

/// Load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// How many requests have ended so far, one way or the other.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many failed so far.
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Waits for so many more requests.
    #[track_caller]
    pub fn wait_more(&self, more: u64) {
        let goal = self.requests() + more;
        wait_until(PATIENCE, "more requests to end", || self.requests() >= goal);
    }

    /// Ends it and tells how it went.
    pub fn stop(mut self) -> Report {
        self.finish();
        let reasons = self.shared.reasons.lock().expect("no thread panics holding it").clone();
        Report {
            requests: self.requests(),
            failures: self.failures(),
            connections: self.shared.connections.load(Ordering::Relaxed),
            retried: self.shared.retried.load(Ordering::Relaxed),
            slowest: Duration::from_micros(self.shared.slowest_us.load(Ordering::Relaxed)),
            reasons,
        }
    }

    fn finish(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How a load went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them which failed.
    pub failures: u64,
    /// Connections opened.
    pub connections: u64,
    /// Requests sent again because an idle connection had been closed cleanly.
    pub retried: u64,
    /// The longest time a request took.
    pub slowest: Duration,
    /// Why the first few failed.
    pub reasons: Vec<String>,
}

impl Report {
    /// Panics unless there was traffic and all of it went well.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.requests > 0, "no request was sent");
        assert!(self.failures == 0, "requests failed: {self:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use std::io::Read;
    use std::net::TcpListener;

    /// A server which gives every connection to `serve` and ends after `count` of them.
    fn server(count: usize, serve: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(count) {
                serve(&mut stream.unwrap());
            }
        });
        addr
    }

    fn read_request(stream: &mut TcpStream) {
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[test]
    fn counts_what_went_well() {
        let backend = Backend::http("ok");
        let load = Plan::http(backend.addr(), Some("ok")).start();
        load.wait_more(100);
        let report = load.stop();
        report.assert_clean();
        assert_eq!(report.requests, backend.served());
        assert!(report.connections < report.requests, "no connection was kept: {report:?}");

        let backend = Backend::echo();
        let load = Plan::echo(backend.addr(), 10).start();
        load.wait_more(100);
        load.stop().assert_clean();
    }

    #[test]
    fn an_idle_connection_closed_cleanly_is_no_failure() {
        let addr = server(3, |stream| {
            read_request(stream);
            stream.write_all(OK).unwrap();
        });
        let plan = Plan::http(addr, None).pause(Duration::from_millis(20));
        let shared = Shared::default();
        let mut sender = Sender { plan: &plan, keep: true, http: None, echo: None };
        for _ in 0..3 {
            assert_eq!(sender.request(None, &shared), Ok(()));
            wait_until(PATIENCE, "the end of the connection", || {
                let mut connection = sender.http.take().unwrap();
                let closed = matches!(connection.peek_end(), Ok(true));
                sender.http = Some(connection);
                closed
            });
        }
        assert_eq!(shared.retried.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn everything_else_is_a_failure() {
        let shared = Shared::default();
        let outcome = |addr| {
            let plan = Plan::http(addr, Some("ok")).limit(Duration::from_millis(200));
            let mut sender = Sender { plan: &plan, keep: true, http: None, echo: None };
            sender.request(Some("ok"), &shared).unwrap_err()
        };
        let closed = server(1, read_request);
        assert!(outcome(closed).contains("closed without a response"));
        let short = server(1, |stream| {
            read_request(stream);
            stream.write_all(&OK[..OK.len() - 1]).unwrap();
        });
        assert!(outcome(short).contains("short body"));
        let other = server(1, |stream| {
            read_request(stream);
            stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        assert!(outcome(other).contains("503"));
        let silent = server(1, |stream| {
            read_request(stream);
            // Until the client has given up.
            let _ = stream.read(&mut [0; 1]);
        });
        outcome(silent);
        let port = crate::Port::reserve();
        assert!(outcome(port.addr()).contains("cannot connect"));
    }
}

//! A plain process, without a master: what it does with connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mworker_kit::{PATIENCE, Signal, procfs, wait_until};

use crate::scene::{Held, Scene, listens};

/// A server for one connection, which joins to what `serve` made of it.
fn server<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
    let addr = listener.local_addr().expect("local_addr");
    (addr, thread::spawn(move || serve(listener.accept().expect("accept").0)))
}

fn connect(scene: &Scene) -> TcpStream {
    let stream = TcpStream::connect(scene.port.addr()).expect("connect to the proxy");
    stream.set_read_timeout(Some(PATIENCE)).expect("set_read_timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("set_write_timeout");
    stream
}

/// A plain process which relays to `backend`.
fn relaying(backend: SocketAddr) -> Scene {
    let scene = Scene::new();
    scene.configure(&format!("listen {} backend {backend}\n", scene.port.addr()));
    started(scene)
}

/// A plain process which relays to the echo backend.
fn echoing() -> Scene {
    started(Scene::new())
}

fn started(mut scene: Scene) -> Scene {
    let launch = scene.launch([]);
    scene.spawn(launch);
    wait_until(PATIENCE, "the process to listen", || listens(scene.master()));
    scene
}

/// Bytes that differ from place to place.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The end of what one side sends gets to the other, which may still answer.
#[test]
fn half_close() {
    let (backend, served) = server(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).expect("a whole request");
        stream.write_all(&request).expect("a client that reads");
    });
    let mut scene = relaying(backend);
    let sent = bytes(3_000_000);
    let mut client = connect(&scene);
    client.write_all(&sent).expect("a proxy that reads");
    client.shutdown(Shutdown::Write).expect("shutdown");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("a whole answer");
    assert!(back == sent, "{} of {} bytes came back, or others", back.len(), sent.len());
    served.join().expect("served");
    scene.stop();
}

/// The backend may end first: what it sent arrives, and the client's is still taken.
#[test]
fn half_close_by_the_backend() {
    let (backend, served) = server(|mut stream| {
        stream.write_all(b"goodbye").expect("a client");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the rest");
        rest
    });
    let mut scene = relaying(backend);
    let mut client = connect(&scene);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the answer");
    assert_eq!(text, "goodbye");
    client.write_all(b"and thanks").expect("a proxy that reads");
    drop(client);
    assert_eq!(served.join().expect("served"), "and thanks");
    scene.stop();
}

/// Who doesn't read slows who writes; the proxy stores little, and serves others.
#[test]
fn slow_reader() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (backend, served) = server(move |mut stream| {
        gone.recv().expect("a word from the test");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("all of it");
        received
    });
    let scene = Scene::new();
    let slow = scene.spare.addr();
    scene.configure(&format!("{}listen {slow} backend {backend}\n", scene.rule()));
    let mut scene = started(scene);

    let mut client = TcpStream::connect(slow).expect("connect to the proxy");
    client.set_write_timeout(Some(Duration::from_millis(300))).expect("set_write_timeout");
    let piece = bytes(1 << 20);
    let mut sent = Vec::new();
    let stalled = loop {
        match client.write(&piece) {
            Ok(count) => sent.extend_from_slice(&piece[..count]),
            Err(err) => break err,
        }
        assert!(sent.len() < 256 << 20, "nothing slows the writer");
    };
    assert_eq!(stalled.kind(), ErrorKind::WouldBlock);
    scene.assert_serves();
    let status = procfs::status(scene.master()).expect("a living process");
    let memory: u64 = status["VmRSS"].trim_end_matches(" kB").parse().expect("a number of kB");
    assert!(memory < 64 << 10, "{memory} kB used with {} bytes sent", sent.len());

    go.send(()).expect("a backend");
    client.shutdown(Shutdown::Write).expect("shutdown");
    let received = served.join().expect("served");
    assert!(received == sent, "{} of {} bytes arrived, or others", received.len(), sent.len());
    scene.stop();
}

/// A client must not take the end of a relay for the end of an answer.
#[test]
fn backend_refuses_or_resets() {
    let scene = Scene::new();
    let refusing = scene.spare.addr();
    scene.configure(&format!("listen {} backend {refusing}\n", scene.port.addr()));
    let mut scene = started(scene);
    let reset = |scene: &Scene, sent: &[u8]| {
        let mut client = connect(scene);
        // It may be over already.
        let _ = client.write_all(sent);
        client.read(&mut [0; 16]).map_err(|err| err.kind())
    };
    assert_eq!(reset(&scene, b""), Err(ErrorKind::ConnectionReset));
    scene.stop();

    let (backend, served) = server(|mut stream| {
        // What isn't read makes the close a reset.
        stream.read_exact(&mut [0; 1]).expect("a first byte");
        wait_until(PATIENCE, "more bytes", || stream.peek(&mut [0; 1]).is_ok_and(|n| n > 0));
    });
    let mut scene = relaying(backend);
    assert_eq!(reset(&scene, b"a request"), Err(ErrorKind::ConnectionReset));
    served.join().expect("served");
    scene.stop();
}

/// More clients than descriptors: they wait their turn, and nobody spins.
#[test]
fn more_clients_than_descriptors() {
    let mut scene = Scene::new();
    let launch = scene.launch([]).nofile(64, 64);
    scene.spawn(launch);
    wait_until(PATIENCE, "the process to listen", || listens(scene.master()));
    let mut clients: Vec<Held> =
        (0..60).map(|_| Held::connect(scene.port.addr()).expect("connect")).collect();
    for client in &mut clients {
        assert!(client.send(), "a client could not send");
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        assert!(client.comes_back(PATIENCE), "client {number} was not served");
    }
    scene.stop();
}

/// USR1: no new connections, and the end comes with the last old one.
#[test]
fn soft_stop_drains() {
    let mut scene = echoing();
    let mut held = scene.hold();
    scene.signal(Signal::USR1);
    wait_until(PATIENCE, "the listener to be closed", || !listens(scene.master()));
    assert!(!scene.serves(), "it still accepts");
    assert!(held.works(), "the old connection is dead");
    assert_eq!(scene.proxy().try_exit(), None);
    drop(held);
    scene.expect_exit(0);
    scene.expect_nothing();
}

#[test]
fn stops_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = echoing();
        let mut held = scene.hold();
        scene.signal(signal);
        scene.expect_exit(0);
        assert!(!held.works());
    }
}

/// TTOU pauses, TTIN resumes; who came meanwhile is served.
#[test]
fn pauses_and_resumes() {
    let mut scene = echoing();
    let mut held = scene.hold();
    scene.signal(Signal::TTOU);
    wait_until(PATIENCE, "TTOU to be taken", || {
        let signals = procfs::signals(scene.master()).expect("a living process");
        !signals.pending.has(Signal::TTOU)
    });
    // Whatever came with the signal in one round has been dealt with after this.
    assert!(held.works(), "an old connection is dead");
    let mut waiting = Held::connect(scene.port.addr()).expect("connect");
    assert!(waiting.send());
    assert!(held.works(), "an old connection is dead");
    assert!(!waiting.comes_back(Duration::from_millis(50)), "served while paused");
    scene.signal(Signal::TTIN);
    assert!(waiting.comes_back(PATIENCE), "not served after the pause");
    scene.stop();
}

/// A connection for which the proxy has no more use costs no processor time.
#[test]
fn idle_when_idle() {
    let mut scene = echoing();
    let held = scene.hold();
    let stalled = connect(&scene);
    stalled.shutdown(Shutdown::Read).expect("shutdown");
    let switches = |pid| -> u64 {
        let status = procfs::status(pid).expect("a living process");
        status["voluntary_ctxt_switches"].parse::<u64>().expect("a number")
            + status["nonvoluntary_ctxt_switches"].parse::<u64>().expect("a number")
    };
    let before = switches(scene.master());
    // Another process at work meanwhile: long enough for a loop that spins to show.
    let mut other = echoing();
    for _ in 0..200 {
        other.assert_serves();
    }
    other.stop();
    let more = switches(scene.master()) - before;
    assert!(more < 100, "{more} context switches while nothing happened");
    drop((held, stalled));
    scene.stop();
}

//! A stand-in for systemd's side of `NOTIFY_SOCKET`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::deadline::{PATIENCE, try_wait_for};
use crate::host::Host;
use crate::{Pid, sys};

/// One datagram.
#[derive(Debug)]
pub struct Message {
    /// When it was read here, which is not before it was sent.
    pub at: Instant,
    /// Who sent it, says the kernel; systemd goes by the same.
    pub sender: Pid,
    /// The whole of it.
    pub raw: Vec<u8>,
    /// Descriptors that came along (`FDSTORE=1`, `BARRIER=1`).
    pub fds: Vec<OwnedFd>,
}

impl Message {
    /// The datagram as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// Its fields in order.
    pub fn fields(&self) -> Vec<(String, String)> {
        self.text()
            .lines()
            .map(|line| match line.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => (line.to_owned(), String::new()),
            })
            .collect()
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Whether it has this field with this value, e.g. `("READY", "1")`.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.get(name).as_deref() == Some(value)
    }

    /// Whether it tells how the service is, and not that something has happened to it.
    pub fn is_live(&self) -> bool {
        let only = |name: &str| self.fields().iter().all(|(field, _)| field == name);
        only("STATUS") || only("EXTEND_TIMEOUT_USEC") || only("WATCHDOG")
    }

    /// The whole datagram in one line, what differs from run to run replaced: fields in
    /// order with ` | ` between them, a final newline as `\n`, the number of `MAINPID` by
    /// what `pid_name` calls it, other numbers of time by `<usec>`.
    pub fn normalised(&self, pid_name: impl Fn(Pid) -> String) -> String {
        let text = self.text();
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\\n"),
            None => (text.as_str(), ""),
        };
        let fields: Vec<String> = body
            .split('\n')
            .map(|line| match line.split_once('=') {
                Some(("MAINPID", pid)) => match pid.parse() {
                    Ok(pid) => format!("MAINPID={}", pid_name(pid)),
                    Err(_) => line.to_owned(),
                },
                Some((name, value)) if name.ends_with("_USEC") && value.parse::<u64>().is_ok() => {
                    format!("{name}=<usec>")
                }
                _ => line.to_owned(),
            })
            .collect();
        format!("{}{end}", fields.join(" | "))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {}: {:?}", self.sender, self.text())
    }
}

/// The receiving socket, and everything received so far.
///
/// It must be read along: the kernel queues `net.unix.max_dgram_qlen` datagrams, 10 as a
/// rule, and a master which sends one more blocks until there is room.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    address: OsString,
    path: Option<PathBuf>,
    messages: Vec<Message>,
    live: Vec<Message>,
}

impl NotifySocket {
    /// One with a path, in the host's folder.
    pub fn at_path(host: &Host) -> NotifySocket {
        let path = host.path("notify.sock");
        let socket = UnixDatagram::bind(&path)
            .unwrap_or_else(|err| panic!("cannot bind {}: {err}", path.display()));
        NotifySocket::from(socket, path.clone().into_os_string(), Some(path))
    }

    /// One with an abstract name, `@...`.
    pub fn abstract_name(host: &Host) -> NotifySocket {
        let folder = host.dir().file_name().expect("a host's folder has a name");
        let name = format!("{}-notify", folder.to_string_lossy());
        let addr = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&addr)
            .unwrap_or_else(|err| panic!("cannot bind @{name}: {err}"));
        NotifySocket::from(socket, format!("@{name}").into(), None)
    }

    fn from(socket: UnixDatagram, address: OsString, path: Option<PathBuf>) -> NotifySocket {
        socket.set_nonblocking(true).expect("set_nonblocking");
        sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, 1)
            .expect("SO_PASSCRED");
        NotifySocket { socket, address, path, messages: Vec::new(), live: Vec::new() }
    }

    /// What `NOTIFY_SOCKET` is to be set to.
    pub fn address(&self) -> &OsString {
        &self.address
    }

    /// The path, unless it is abstract.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads what waits, without blocking, and returns all received so far.
    pub fn messages(&mut self) -> &[Message] {
        while let Some(message) = receive(&self.socket).expect("recvmsg") {
            let list = if message.is_live() { &mut self.live } else { &mut self.messages };
            list.push(message);
        }
        &self.messages
    }

    /// The same of those that come by the clock, see [`Message::is_live`]. They are no part
    /// of the others: how many there are depends on how long a test takes.
    pub fn live(&mut self) -> &[Message] {
        self.messages();
        &self.live
    }

    /// Waits for the next of those, from the one numbered `from` on, that satisfies `cond`;
    /// gives its number. Panics naming `what` and showing them otherwise.
    #[track_caller]
    pub fn wait_for_live(
        &mut self,
        what: &str,
        from: usize,
        cond: impl Fn(&Message) -> bool,
    ) -> usize {
        let found = try_wait_for(PATIENCE, || {
            let later = self.live().iter().enumerate().skip(from);
            later.filter(|(_, message)| cond(message)).map(|(at, _)| at).next()
        });
        found.unwrap_or_else(|| {
            let seen: Vec<String> = self.live.iter().map(Message::to_string).collect();
            panic!("waited {PATIENCE:?} in vain for {what}; so far: {seen:#?}")
        })
    }

    /// Reads what waits, and hands over all that was not handed over yet.
    pub fn take(&mut self) -> Vec<Message> {
        self.messages();
        mem::take(&mut self.messages)
    }

    /// Waits until the messages received so far (and not taken) satisfy `cond`; panics
    /// naming `what` and showing them otherwise.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, cond: impl Fn(&[Message]) -> bool) {
        if try_wait_for(PATIENCE, || cond(self.messages()).then_some(())).is_none() {
            let seen: Vec<String> = self.messages.iter().map(Message::to_string).collect();
            panic!("waited {PATIENCE:?} in vain for {what}; notified so far: {seen:#?}");
        }
    }

    /// How many of the messages received so far (and not taken) hold this field.
    pub fn count(&mut self, name: &str, value: &str) -> usize {
        self.messages().iter().filter(|message| message.has(name, value)).count()
    }

    /// Sends datagrams to itself until the queue is full, so that a sender which blocks
    /// hangs. Says how many fitted.
    pub fn clog(&self) -> usize {
        let sender = UnixDatagram::unbound().expect("socket");
        sender.set_nonblocking(true).expect("set_nonblocking");
        sender
            .connect_addr(&self.socket.local_addr().expect("local_addr"))
            .expect("connect to the notify socket");
        let mut sent = 0;
        while sender.send(b"CLOG=1").is_ok() {
            sent += 1;
        }
        sent
    }
}

/// Room for the sender's credentials and a good number of descriptors, aligned as headers
/// must be.
#[repr(align(8))]
struct Control([u8; 512]);

fn receive(socket: &UnixDatagram) -> io::Result<Option<Message>> {
    let mut raw = vec![0u8; 64 * 1024];
    let mut control = Control([0; 512]);
    let mut part = libc::iovec { iov_base: raw.as_mut_ptr().cast(), iov_len: raw.len() };
    // SAFETY: all-zero is a valid msghdr: no address, no parts, no control data.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len();
    // SAFETY: the header describes buffers which outlive the call.
    let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) };
    if size < 0 {
        let err = io::Error::last_os_error();
        return if err.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(err) };
    }
    raw.truncate(size as usize);
    let mut sender = 0;
    let mut fds = Vec::new();
    // SAFETY: the CMSG functions walk the control data the kernel has just written into the
    // header's buffer, and stop at its end; the descriptors in it are new, hence ours.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&header);
        while !item.is_null() {
            let data = libc::CMSG_DATA(item);
            let len = (*item).cmsg_len - libc::CMSG_LEN(0) as usize;
            match ((*item).cmsg_level, (*item).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    sender = data.cast::<libc::ucred>().read_unaligned().pid;
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for i in 0..len / mem::size_of::<i32>() {
                        let fd = data.cast::<i32>().add(i).read_unaligned();
                        fds.push(OwnedFd::from_raw_fd(fd));
                    }
                }
                _ => {}
            }
            item = libc::CMSG_NXTHDR(&header, item);
        }
    }
    Ok(Some(Message { at: Instant::now(), sender, raw, fds }))
}

/// Now, on the clock of `MONOTONIC_USEC`.
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    fn sender_to(socket: &NotifySocket) -> UnixDatagram {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect_addr(&socket.socket.local_addr().unwrap()).unwrap();
        sender
    }

    #[test]
    fn keeps_datagrams_apart_and_in_order() {
        let host = Host::new();
        for mut socket in [NotifySocket::at_path(&host), NotifySocket::abstract_name(&host)] {
            assert!(socket.messages().is_empty());
            let sender = sender_to(&socket);
            sender.send(b"RELOADING=1\nMONOTONIC_USEC=42\n").unwrap();
            sender.send(b"READY=1\nMAINPID=7\nSTATUS=a=b").unwrap();
            socket.wait_for("two messages", |seen| seen.len() == 2);
            assert_eq!(socket.count("READY", "1"), 1);
            let seen = socket.take();
            assert_eq!(seen[0].sender, process::id() as Pid);
            let name = |pid| format!("<{pid}>");
            assert_eq!(seen[0].normalised(name), "RELOADING=1 | MONOTONIC_USEC=<usec>\\n");
            assert_eq!(seen[1].normalised(name), "READY=1 | MAINPID=<7> | STATUS=a=b");
            assert_eq!(seen[1].get("STATUS").unwrap(), "a=b");
            assert!(socket.messages().is_empty());
        }
    }

    #[test]
    fn a_clogged_one_takes_no_more() {
        let host = Host::new();
        let mut socket = NotifySocket::at_path(&host);
        let fitted = socket.clog();
        let sender = sender_to(&socket);
        sender.set_nonblocking(true).unwrap();
        assert_eq!(sender.send(b"READY=1").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(socket.messages().len(), fitted);
        sender.send(b"READY=1").unwrap();
        assert_eq!(socket.count("READY", "1"), 1);
    }
}

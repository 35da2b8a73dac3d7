//! systemd's notify socket.
//!
//! Not the crate's `notify()`: that one knows no abstract sockets and waits
//! when nobody reads, and a master may never wait.

use super::exec::load_guard::Datagram;
use super::{check, environment};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Where messages go.
#[derive(Clone, Copy)]
struct Address {
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum Error {
    /// The variable names nothing that this build can send to.
    Address {
        /// Its value.
        socket: String,
        /// The system's number for it.
        errno: libc::c_int,
        /// What is wrong.
        why: &'static str,
    },
    /// The system refused; `WouldBlock` when nobody reads.
    System {
        /// The variable's value.
        socket: String,
        /// The system's error.
        error: io::Error,
    },
}

impl Error {
    /// There may be room later.
    pub fn nobody_reads(&self) -> bool {
        matches!(self, Self::System { error, .. } if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As errno has it.
    pub fn errno(&self) -> libc::c_int {
        match self {
            Self::Address { errno, .. } => *errno,
            Self::System { error, .. } => error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address { socket, why, .. } => write!(f, "{SOCKET}={socket}: {why}"),
            Self::System { socket, error } if error.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "{SOCKET}={socket}: nobody reads from it, the message has to wait")
            }
            Self::System { socket, error } => {
                write!(f, "{SOCKET}={socket}: {}", super::describe(error))
            }
        }
    }
}

impl Address {
    fn parse(socket: &[u8]) -> Result<Self, (libc::c_int, &'static str)> {
        // SAFETY: an all-zero address is a valid one.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        if !matches!(socket.first(), Some(b'/' | b'@')) {
            return Err((libc::EAFNOSUPPORT, "only '/path' and '@abstract' are supported"));
        }
        if socket.len() >= address.sun_path.len() {
            return Err((libc::E2BIG, "the name is too long for a socket"));
        }
        for (to, from) in address.sun_path.iter_mut().zip(socket) {
            *to = *from as libc::c_char;
        }
        if socket[0] == b'@' {
            address.sun_path[0] = 0;
        }
        let length = offset_of!(libc::sockaddr_un, sun_path) + socket.len();
        Ok(Self { address, length: length as libc::socklen_t })
    }
}

/// Sends one datagram. `Ok(false)`: not started by systemd, nothing to tell.
/// Never waits: a socket that nobody reads is an error.
///
/// # Errors
/// Why it was not sent.
///
/// # Safety
/// No other thread changes the environment meanwhile.
pub unsafe fn send(message: &[u8]) -> Result<bool, Error> {
    // SAFETY: by the caller's promise.
    let Some(socket) = (unsafe { environment::get(c"NOTIFY_SOCKET") }) else {
        return Ok(false);
    };
    let name = || String::from_utf8_lossy(&socket).into_owned();
    let address = Address::parse(&socket).map_err(|(errno, why)| Error::Address {
        socket: name(),
        errno,
        why,
    })?;
    send_to(&address, message).map_err(|error| Error::System { socket: name(), error })?;
    Ok(true)
}

/// The message, to be sent by a signal handler; nothing where there is nobody
/// to tell. Its socket stays open for as long as the process.
///
/// # Safety
/// No other thread changes the environment meanwhile.
pub unsafe fn prepared(text: Vec<u8>) -> Option<Datagram> {
    // SAFETY: by the caller's promise.
    let name = unsafe { environment::get(c"NOTIFY_SOCKET") }?;
    let Address { address, length } = Address::parse(&name).ok()?;
    Some(Datagram { socket: socket().ok()?.into_raw_fd(), address, length, text })
}

/// Forgets the socket, for this process and those that it starts.
///
/// # Safety
/// No other thread uses the environment meanwhile.
pub unsafe fn forget() {
    // SAFETY: by the caller's promise.
    unsafe { environment::remove(SOCKET) }
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a socket.
    let fd =
        check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send_to(to: &Address, message: &[u8]) -> io::Result<()> {
    let socket = socket()?;
    super::uninterrupted(|| {
        // SAFETY: message and address are alive and as long as is said.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const to.address).cast(),
                to.length,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) if sent == message.len() => Ok(()),
            Ok(_) => Err(io::Error::from_raw_os_error(libc::EPROTO)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let name = format!("mworker-test-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let _ = std::fs::remove_file(&path);
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("name");
        for (receiver, socket) in [
            (UnixDatagram::bind(&path).expect("bound"), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).expect("bound"), format!("@{name}")),
        ] {
            let Ok(address) = Address::parse(socket.as_bytes()) else { panic!("an address") };
            send_to(&address, b"READY=1").expect("sent");
            let mut got = [0; 64];
            let length = receiver.recv(&mut got).expect("received");
            assert_eq!(&got[..length], b"READY=1");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_socket_that_nobody_reads_does_not_block() {
        let name = format!("mworker-full-{}", std::process::id());
        let receiver = SocketAddr::from_abstract_name(&name).expect("name");
        let _receiver = UnixDatagram::bind_addr(&receiver).expect("bound");
        let Ok(address) = Address::parse(format!("@{name}").as_bytes()) else {
            panic!("an address")
        };
        let error = (0..10_000).find_map(|_| send_to(&address, &[b'x'; 1000]).err());
        assert_eq!(error.map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn what_names_no_socket_is_told_so() {
        let errno = |name: &[u8]| Address::parse(name).err().map(|e| e.0);
        assert_eq!(errno(b"vsock:2:1"), Some(libc::EAFNOSUPPORT));
        assert_eq!(errno(b""), Some(libc::EAFNOSUPPORT));
        assert_eq!(errno(&[b'/'; 200]), Some(libc::E2BIG));
    }
}

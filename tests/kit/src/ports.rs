//! TCP ports of 127.0.0.1 that stay ours.

use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::sys;

/// A port picked by the kernel and kept: the socket that got it stays bound, but never
/// listens. Both `SO_REUSEADDR` and `SO_REUSEPORT` are set on it, so a proxy which sets
/// either can bind and listen there, while the kernel gives the port to nobody who binds
/// port 0 or connects. A port merely closed again would be anybody's.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: OwnedFd,
}

impl Port {
    /// Takes one.
    pub fn reserve() -> Port {
        let held = sys::socket(libc::AF_INET, libc::SOCK_STREAM).expect("socket");
        for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
            sys::set_option(held.as_fd(), libc::SOL_SOCKET, option, 1).expect("setsockopt");
        }
        let mut addr = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
            sin_zero: [0; 8],
        };
        let mut size = mem::size_of_val(&addr) as libc::socklen_t;
        // SAFETY: pointer and size describe `addr`, which outlives both calls.
        unsafe {
            sys::check(libc::bind(held.as_raw_fd(), (&raw const addr).cast(), size))
                .expect("bind to 127.0.0.1:0");
            sys::check(libc::getsockname(held.as_raw_fd(), (&raw mut addr).cast(), &mut size))
                .expect("getsockname");
        }
        Port { number: u16::from_be(addr.sin_port), _held: held }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 and the number.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn can_be_listened_on_while_reserved() {
        let port = Port::reserve();
        assert!(TcpStream::connect(port.addr()).is_err(), "a reservation must not listen");
        // std sets SO_REUSEADDR only, the weaker of the two cases.
        let listener = TcpListener::bind(port.addr()).expect("bind to the reserved port");
        TcpStream::connect(port.addr()).expect("connect to the listener");
        drop(listener);
    }

    #[test]
    fn is_never_given_twice() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}

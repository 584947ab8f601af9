//! System calls on sockets: listen, options, send, addresses, shutdown.
//! Nothing here waits: every call returns at once.
//! Listeners of all cores share their port by SO_REUSEPORT: see socket(7).

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

/// A listening socket; several cores may listen on one address.
///
/// # Errors
/// The system's, for instance when another program has the port.
pub fn listen(address: SocketAddr, backlog: i32, shared: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Sets what every accepted connection has: no delay for small replies, and probes for peers that vanish.
pub fn prepare(descriptor: BorrowedFd<'_>, keepalive_s: u64) {
    let socket = SockRef::from(&descriptor);
    // A connection that is already gone refuses these; the next receive says so.
    let _ = socket.set_tcp_nodelay(true);
    if keepalive_s > 0 {
        let probe = Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(keepalive_s))
            .with_interval(probe)
            .with_retries(3);
        let _ = socket.set_tcp_keepalive(&keepalive);
    }
}

/// Sends what the socket takes now; `WouldBlock` when that is nothing.
///
/// # Errors
/// The system's.
pub fn send(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(&descriptor).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

/// Ends both directions, so that a pending receive finishes.
pub fn shutdown(descriptor: BorrowedFd<'_>) {
    // Already closed by the peer: nothing to do.
    let _ = SockRef::from(&descriptor).shutdown(Shutdown::Both);
}

/// Peer and local address as text, `?:0` where unknown.
pub fn addresses(descriptor: BorrowedFd<'_>) -> (Box<str>, Box<str>) {
    let socket = SockRef::from(&descriptor);
    (text(socket.peer_addr()), text(socket.local_addr()))
}

fn text(address: io::Result<SockAddr>) -> Box<str> {
    match address.ok().and_then(|address| address.as_socket()) {
        Some(address) => address.to_string().into(),
        None => "?:0".into(),
    }
}

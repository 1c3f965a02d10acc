//! What only the kernel knows of a socket. The one module with `unsafe`: no safe wrapper has these queries.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

use adieu_proto::fate::Receipt;
#[cfg(target_os = "linux")]
use adieu_proto::fate::Socket;
use socket2::SockRef;

use super::Peek;

/// Whether a read would not wait, without reading. One system call.
pub(super) fn peek(socket: SockRef<'_>) -> Peek {
    match socket.peek(&mut [MaybeUninit::uninit(); 1]) {
        Ok(0) => Peek::End,
        Ok(_) => Peek::Something,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Nothing,
        Err(error) => Peek::Broken(error.kind()),
    }
}

/// Bytes in the send queue that the peer's kernel has not acknowledged (SIOCOUTQ). One system call.
#[cfg(target_os = "linux")]
pub(super) fn unacknowledged(socket: &impl std::os::fd::AsRawFd) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int to the address it is given; the descriptor is borrowed from
    // a live socket and outlives the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { u64::try_from(bytes).ok() } else { None }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged<T>(_: &T) -> Option<u64> {
    None
}

/// Whether a socket speaks TCP and nothing else: of MPTCP, a kernel tells about one path only.
#[cfg(target_os = "linux")]
pub(super) fn is_tcp(socket: &SockRef<'_>) -> bool {
    use socket2::{Domain, Protocol};
    let family = socket.domain().is_ok_and(|domain| domain == Domain::IPV4 || domain == Domain::IPV6);
    family && socket.protocol().is_ok_and(|protocol| protocol == Some(Protocol::TCP))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_tcp(_: &SockRef<'_>) -> bool {
    false
}

/// What a kernel tells of a TCP connection (TCP_INFO): the beginning of `struct tcp_info` in `linux/tcp.h`, to which
/// kernels only ever add.
#[cfg(target_os = "linux")]
struct TcpInfo([u8; TCP_INFO]);

/// Up to `tcpi_bytes_acked`; a kernel before 4.1 gives less.
#[cfg(target_os = "linux")]
const TCP_INFO: usize = 128;

#[cfg(target_os = "linux")]
impl TcpInfo {
    const STATE: usize = 0;
    const LAST_ACK_RECEIVED: usize = 56;
    const ROUND_TRIP: usize = 68;
    const BYTES_ACKED: usize = 120;
    /// `TCP_CLOSE` in `net/tcp_states.h`.
    const CLOSE: u8 = 7;

    fn of(socket: &impl std::os::fd::AsRawFd) -> Option<Self> {
        let mut info = [0_u8; TCP_INFO];
        let mut length = libc::socklen_t::try_from(TCP_INFO).ok()?;
        // SAFETY: the kernel writes at most `length` bytes to `info`, which has so many, and the number of them to
        // `length`; both are ours and outlive the call, and the descriptor is borrowed from a live socket.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        (answer == 0 && length as usize >= TCP_INFO).then_some(Self(info))
    }

    fn number<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }
}

/// What the peer's kernel acknowledged of a TCP connection. One system call.
#[cfg(target_os = "linux")]
pub(super) fn receipt(socket: &impl std::os::fd::AsRawFd) -> Option<Receipt> {
    use std::time::Duration;
    let info = TcpInfo::of(socket)?;
    let [state] = info.number(TcpInfo::STATE)?;
    let acknowledged = u64::from_ne_bytes(info.number(TcpInfo::BYTES_ACKED)?);
    let round_trip = Duration::from_micros(u32::from_ne_bytes(info.number(TcpInfo::ROUND_TRIP)?).into());
    let silence = Duration::from_millis(u32::from_ne_bytes(info.number(TcpInfo::LAST_ACK_RECEIVED)?).into());
    let socket = if state == TcpInfo::CLOSE { Socket::Closed } else { Socket::Alive };
    Some(Receipt::new(acknowledged, socket, round_trip, silence))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn receipt<T>(_: &T) -> Option<Receipt> {
    None
}

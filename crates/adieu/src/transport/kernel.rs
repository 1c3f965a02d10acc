//! What only the kernel knows of a socket. The one module with `unsafe`: no safe wrapper has these queries.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

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

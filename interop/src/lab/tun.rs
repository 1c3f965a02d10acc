//! A TUN device: a network device whose packets a program reads and writes. The one file with `unsafe`: opening one takes
//! a request to the kernel that has no safe wrapper.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

/// Where the kernel gives them out.
pub(super) const PATH: &str = "/dev/net/tun";

/// Makes a device of that name in the calling thread's namespace. Each read and each write is one IP packet, without
/// anything before it, and neither waits. The device is gone when the file is closed.
pub(super) fn open(name: &str) -> io::Result<File> {
    let device = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(PATH)?;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // The last byte stays zero.
    for (to, from) in ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    let mut request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags } };
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, and this is one, alive and borrowed by nobody else until the call
    // returns. The descriptor is that of an open file. The name ends with a zero byte.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(device) }
}

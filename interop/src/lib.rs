//! Real servers as judges: nginx, Apache, HAProxy and `openssl s_server`, started by the tests themselves.
//!
//! Each server runs on a free loopback port with a generated configuration in a directory of its own. Both are gone
//! when its value is dropped, however the test ends, and also when the whole test program is killed.
//!
//! | file | what it is for |
//! |---|---|
//! | `skip` | what becomes of a test whose program is not on this machine |
//! | `place` | a server's directory and its port |
//! | `program` | a child process: started, signalled, killed, its output awaited |
//! | `output` | what a program said, and a wait for what it will say |
//! | `nginx`, `apache`, `haproxy`, `s_server` | the four servers |
//! | `tinyproxy`, `microsocks` | an HTTP proxy and a SOCKS5 proxy |
//! | `pki` | certificates, good and bad |
//! | `capture` | the second witness: what went over the wire, by tcpdump and tshark |
//! | `sockets` | the third: what the kernel knows of a server's connections |
//! | `lab` | two hosts and a slow wire: what happens while something is on its way |
//!
//! Starting a server gives `None` where the test is to be skipped; the skip is told by then. A lab says why there is none,
//! and leaves it to the test to skip.

#![deny(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in here fails the test, and says where"
)]

mod apache;
mod capture;
mod haproxy;
mod lab;
mod microsocks;
mod nginx;
mod output;
mod pki;
mod place;
mod program;
mod s_server;
mod skip;
mod sockets;
mod tinyproxy;

pub use apache::{Apache, ApacheConfig};
pub use capture::{Capture, Packet, Sender, SessionKeys};
pub use haproxy::{Haproxy, HaproxyConfig};
pub use lab::{Host, Lab, LabConfig, Unavailable};
pub use microsocks::Microsocks;
pub use nginx::{Nginx, NginxConfig};
pub use output::Output;
pub use pki::{Identity, Pki};
pub use s_server::{OpensslConfig, OpensslServer};
pub use sockets::Sockets;
pub use tinyproxy::Tinyproxy;

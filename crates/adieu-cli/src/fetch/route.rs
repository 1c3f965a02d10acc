//! From a host name to an open socket.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::failure::Failure;
use super::target::Target;
use super::voice::Opening;
use crate::clock;
use crate::exit::Exit;

/// How to get to an origin.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) family: Family,
    pub(super) overrides: Vec<Override>,
    pub(super) unix_socket: Option<PathBuf>,
    /// For all of it, TLS included; `None`: 15 s to resolve, 10 s to connect, 10 s for TLS.
    pub(super) limit: Option<Duration>,
}

/// Which addresses are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// One `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Override {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// An open socket.
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Override {
    /// `HOST:PORT:ADDR[,ADDR]`; addresses of IPv6 may stand in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let (host, rest) = match text.strip_prefix('[') {
            Some(v6) => v6.split_once("]:")?,
            None => text.split_once(':')?,
        };
        let (port, addresses) = rest.split_once(':')?;
        let addresses: Option<Vec<_>> =
            addresses.split(',').map(|address| address.trim_matches(['[', ']']).parse().ok()).collect();
        Some(Self { host: host.to_ascii_lowercase(), port: port.parse().ok()?, addresses: addresses? })
    }
}

impl Family {
    fn takes(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl Route {
    /// When everything that begins now must be done, if that is limited.
    pub(super) fn until(&self) -> Option<Instant> {
        self.limit.map(|limit| clock::now() + limit)
    }

    /// Resolves and connects.
    pub(super) async fn dial(
        &self,
        target: &Target,
        until: Option<Instant>,
        opening: &Opening,
    ) -> Result<Socket, Failure> {
        #[cfg(unix)]
        if let Some(path) = &self.unix_socket {
            opening.begins(format!("connecting to {}", path.display()));
            let began = clock::now();
            let connected = within(left(until, CONNECT), UnixStream::connect(path)).await;
            let socket = connected.map_err(|error| no_connection(path.display(), &error))?;
            tell_connected(path.display(), began, opening);
            return Ok(Socket::Unix(socket));
        }
        let addresses = self.addresses(target, left(until, RESOLVE), opening).await?;
        let until = until.unwrap_or_else(|| clock::now() + CONNECT);
        connect(&addresses, until, opening).await.map(Socket::Tcp)
    }

    async fn addresses(
        &self,
        target: &Target,
        limit: Duration,
        opening: &Opening,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = (target.host(), target.port());
        let overridden =
            self.overrides.iter().rev().find(|o| (o.host == host || o.host == "*") && o.port == port);
        let found: Vec<_> = if let Some(overridden) = overridden {
            overridden.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
        } else if let Ok(ip) = host.parse() {
            vec![SocketAddr::new(ip, port)]
        } else {
            opening.begins(format!("resolving {host}"));
            match within(limit, tokio::net::lookup_host((&*host, port))).await {
                Ok(found) => found.collect(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(Failure::before(Exit::TIMEOUT, format!("timed out: resolving {host}")));
                }
                Err(error) => {
                    return Err(Failure::before(Exit::HOST, format!("resolving {host}: {error}")));
                }
            }
        };
        let taken: Vec<_> = found.into_iter().filter(|address| self.family.takes(address)).collect();
        if taken.is_empty() {
            let family = match self.family {
                Family::Any => "no address",
                Family::V4 => "no IPv4 address",
                Family::V6 => "no IPv6 address",
            };
            return Err(Failure::before(Exit::HOST, format!("{host} has {family}")));
        }
        Ok(taken)
    }
}

/// Tries one address after the other, each with its share of the time that is left.
async fn connect(addresses: &[SocketAddr], until: Instant, opening: &Opening) -> Result<TcpStream, Failure> {
    let mut failed = Failure::before(Exit::CONNECT, "no address to connect to");
    for (tried, address) in addresses.iter().enumerate() {
        opening.begins(format!("connecting to {address}"));
        let began = clock::now();
        let others = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(clock::now()) / others;
        let connected = within(share, TcpStream::connect(address)).await;
        match connected.and_then(|socket| socket.set_nodelay(true).map(|()| socket)) {
            Ok(socket) => {
                tell_connected(address, began, opening);
                return Ok(socket);
            }
            Err(error) => {
                failed = no_connection(address, &error);
                opening.tell(&failed.what);
            }
        }
    }
    Err(failed)
}

fn tell_connected(whereto: impl fmt::Display, began: Instant, opening: &Opening) {
    opening.tell(format_args!("connected to {whereto} ({:.3} ms)", clock::millis(began.elapsed())));
}

fn no_connection(whereto: impl fmt::Display, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::TimedOut {
        return Failure::before(Exit::TIMEOUT, format!("timed out: connecting to {whereto}"));
    }
    Failure::before(Exit::CONNECT, format!("connecting to {whereto}: {error}"))
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn left(until: Option<Instant>, otherwise: Duration) -> Duration {
    until.map_or(otherwise, |until| until.saturating_duration_since(clock::now()))
}

const RESOLVE: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_names_host_port_and_addresses() {
        let parsed = Override::parse("Example.com:80:127.0.0.1,[::1]").unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.addresses.len()), ("example.com", 80, 2));
        assert_eq!(Override::parse("[::1]:80:127.0.0.1").unwrap().host, "::1");
        for bad in ["example.com", "example.com:80", "example.com:x:127.0.0.1", "example.com:80:nowhere"] {
            assert_eq!(Override::parse(bad), None, "{bad}");
        }
    }
}

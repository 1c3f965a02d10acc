//! From names to addresses: who is asked, and what is known without asking.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::lifecycle::Phase;

use super::interleave::interleaved;
use crate::error::{BoxError, Error, ErrorKind};
use crate::observe::{Happening, Teller};
use crate::rt;

/// Turns names into addresses. Addresses never come here, and neither does `localhost`.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name (lower case, no port), best first. No address at all is an error of its own.
    ///
    /// Dropping the future gives up.
    fn resolve(&self, host: &str) -> Resolving;
}

/// Addresses to come.
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, BoxError>> + Send>>;

/// Asks the operating system (`getaddrinfo`), off the runtime's own threads: so hosts files, search domains and
/// whatever else the system is set up with count. The default.
///
/// A question to the system cannot be taken back: after a drop its thread goes on until the system gives up.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to it")]
pub struct SystemResolver;

/// Names whose addresses are known beforehand: nobody is asked for them.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr, SocketAddr};
/// use adieu::connect::Overrides;
///
/// let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// let overrides = Overrides::new()
///     .host("example.com", [here])                            // the port stays that of the target
///     .host_port("example.com", 443, [SocketAddr::new(here, 8443)]);
/// # drop(overrides);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// By name and, where it was said, port.
    places: HashMap<(String, Option<u16>), Vec<Place>>,
}

/// Where a name leads: an address and, where it is not that of the target, a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    address: IpAddr,
    port: Option<u16>,
}

/// Which addresses are connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Origin,
    Proxy,
}

/// All that names are looked up with.
pub(super) struct Book {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) overrides: Overrides,
    pub(super) family: Family,
    pub(super) limit: Option<Duration>,
}

impl Overrides {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leads `host` to these places, whatever the port. `*` stands for every name. What was said of that host before is
    /// replaced.
    #[must_use]
    pub fn host<P: Into<Place>>(self, host: &str, places: impl IntoIterator<Item = P>) -> Self {
        self.put(host, None, places)
    }

    /// The same for one port alone; this goes before what is said of the host as such.
    #[must_use]
    pub fn host_port<P: Into<Place>>(
        self,
        host: &str,
        port: u16,
        places: impl IntoIterator<Item = P>,
    ) -> Self {
        self.put(host, Some(port), places)
    }

    fn put<P: Into<Place>>(
        mut self,
        host: &str,
        port: Option<u16>,
        places: impl IntoIterator<Item = P>,
    ) -> Self {
        let places = places.into_iter().map(Into::into).collect();
        self.places.insert((bare(host).to_ascii_lowercase(), port), places);
        self
    }

    fn of(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if self.places.is_empty() {
            return None;
        }
        let keys = [(host, Some(port)), (host, None), ("*", Some(port)), ("*", None)];
        let places = keys.into_iter().find_map(|(host, port)| self.places.get(&(host.to_owned(), port)))?;
        let address = |place: &Place| SocketAddr::new(place.address, place.port.unwrap_or(port));
        Some(places.iter().map(address).collect())
    }
}

impl Book {
    /// The addresses of `host` in the order in which they are to be tried; at least one.
    pub(super) async fn look_up(
        &self,
        host: &str,
        port: u16,
        whose: Whose,
        teller: &Teller,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = host.parse() {
            return self.usable(vec![SocketAddr::new(address, port)], host, whose);
        }
        let began = rt::now();
        teller.tell(began, || Happening::Resolving { host: host.into() });
        let found = match self.known(host, port) {
            Some(known) => known,
            None => self.ask(host, port, whose).await?,
        };
        let addresses = interleaved(self.usable(found, host, whose)?);
        let now = rt::now();
        let took = now.saturating_duration_since(began);
        teller.tell(now, || Happening::Resolved { addresses: addresses.as_slice().into(), took });
        Ok(addresses)
    }

    /// What of it may be connected to: something, or an error.
    fn usable(&self, mut found: Vec<SocketAddr>, host: &str, whose: Whose) -> Result<Vec<SocketAddr>, Error> {
        found.retain(|address| self.family.has(address));
        match found.is_empty() {
            true => Err(Error::new(whose.unknown()).with(format!("{host} has no {}address", self.family))),
            false => Ok(found),
        }
    }

    /// What need not be asked.
    fn known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let name = bare(host);
        self.overrides.of(name, port).or_else(|| {
            // RFC 6761 section 6.3: "Name resolution APIs and libraries SHOULD recognize localhost names as special and
            // SHOULD always return the IP loopback address for address queries".
            let here = name == "localhost" || name.ends_with(".localhost");
            here.then(|| LOOPBACK.map(|address| SocketAddr::new(address, port)).to_vec())
        })
    }

    async fn ask(&self, host: &str, port: u16, whose: Whose) -> Result<Vec<SocketAddr>, Error> {
        match rt::within(self.limit, self.resolver.resolve(host)).await {
            Some(Ok(found)) => Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect()),
            Some(Err(source)) => Err(Error::new(whose.unknown()).with(Unresolved::new(host, source))),
            None => Err(Error::new(ErrorKind::Timeout(Phase::Resolve))
                .with(format!("{host}: no answer within {:?}", self.limit.unwrap_or_default()))),
        }
    }
}

impl Family {
    fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl Whose {
    fn unknown(self) -> ErrorKind {
        match self {
            Self::Origin => ErrorKind::Resolve,
            Self::Proxy => ErrorKind::ProxyResolve,
        }
    }
}

/// A name without the dot that marks the root.
fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Why a name has no address: its name, then what the resolver says.
#[derive(Debug)]
struct Unresolved {
    host: Box<str>,
    source: BoxError,
}

impl Unresolved {
    fn new(host: &str, source: BoxError) -> Self {
        Self { host: host.into(), source }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl From<IpAddr> for Place {
    fn from(address: IpAddr) -> Self {
        Self { address, port: None }
    }
}

impl From<Ipv4Addr> for Place {
    fn from(address: Ipv4Addr) -> Self {
        Self { address: address.into(), port: None }
    }
}

impl From<Ipv6Addr> for Place {
    fn from(address: Ipv6Addr) -> Self {
        Self { address: address.into(), port: None }
    }
}

impl From<SocketAddr> for Place {
    fn from(place: SocketAddr) -> Self {
        Self { address: place.ip(), port: Some(place.port()) }
    }
}

/// As a word before another.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "",
            Self::V4 => "IPv4 ",
            Self::V6 => "IPv6 ",
        })
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.source)
    }
}

impl std::error::Error for Unresolved {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// In the order of the policy table of RFC 6724 section 2.1.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

//! A resolver that asks name servers itself (hickory-resolver).

use std::fmt;
use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::resolve::{Resolve, Resolving};
use crate::error::{Error, ErrorKind};

/// Asks name servers itself, both families at once (AAAA before A), and remembers answers as long as they say. Hosts files
/// count. Cheap to clone; clones share what they remember.
///
/// Its questions run as tasks of the runtime on which the first of them was asked, so it belongs to that runtime. Dropping
/// a future gives its question up.
#[derive(Clone)]
pub struct HickoryResolver(TokioResolver);

impl HickoryResolver {
    /// With the name servers and search domains of the system: `/etc/resolv.conf`, or the registry on Windows. It is read
    /// here, once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Resolve`]: these settings cannot be read.
    pub fn from_system() -> Result<Self, Error> {
        let builder = TokioResolver::builder_tokio().map_err(unusable)?;
        builder.build().map(Self).map_err(unusable)
    }

    /// With these name servers, by UDP and, where an answer is too long for that, TCP. No search domains.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Resolve`]: no resolver can be made of it.
    pub fn with_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Result<Self, Error> {
        let servers = servers.into_iter().map(|server| {
            let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            NameServerConfig::new(server.ip(), true, ways)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.build().map(Self).map_err(unusable)
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Resolve).with(error)
}

impl Resolve for HickoryResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let (resolver, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move { Ok(resolver.lookup_ip(host).await?.iter().collect()) })
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver").finish_non_exhaustive()
    }
}

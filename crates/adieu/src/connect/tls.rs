//! TLS on top of what was connected.

use std::sync::Arc;

use super::target::{Scheme, Target};
use super::user::{Connect, Connecting};
use crate::error::Error;
use crate::transport::Transport;
use crate::transport::tls::TlsConnector;

/// What makes TLS of a transport.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls(Option<TlsConnector>);

impl Tls {
    /// With this connector.
    pub(super) fn new(connector: TlsConnector) -> Self {
        Self(Some(connector))
    }

    /// The defaults where nothing was said. What stands in their way is told by [`ready`](Self::ready), for plain HTTP
    /// needs none of it.
    pub(super) fn or_default(self) -> Self {
        Self(self.0.or_else(|| TlsConnector::new().ok()))
    }

    /// The same for proxies where nothing was said of them.
    pub(super) fn or_as_for_origins(self, origins: &Self) -> Self {
        Self(self.0.or_else(|| origins.0.as_ref().map(TlsConnector::without_alpn)))
    }

    /// The connector; an error tells why there is none.
    pub(super) fn ready(&self) -> Result<TlsConnector, Error> {
        self.0.clone().map_or_else(TlsConnector::new, Ok)
    }

    /// Shakes hands with `host` over `io`.
    pub(super) async fn over(&self, host: &str, io: Box<dyn Transport>) -> Result<Box<dyn Transport>, Error> {
        Ok(Box::new(self.ready()?.shake_hands(host, io).await?))
    }
}

/// Adds TLS to a [`Connect`] of your own that does not do it itself: for `https` targets, and for these alone.
///
/// ALPN is the connector's: offer what will be spoken.
///
/// ```
/// use adieu::connect::{Connector, OverTls};
/// use adieu::transport::tls::TlsConnector;
///
/// # fn example(mine: impl adieu::connect::Connect) -> Result<(), adieu::Error> {
/// let connector = Connector::builder().connect(OverTls::new(mine, TlsConnector::new()?)).build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OverTls<C> {
    connect: Arc<C>,
    tls: TlsConnector,
}

impl<C: Connect> OverTls<C> {
    /// TLS by `tls` over what `connect` gives.
    pub fn new(connect: C, tls: TlsConnector) -> Self {
        Self { connect: Arc::new(connect), tls }
    }
}

impl<C: Connect> Connect for OverTls<C> {
    fn connect(&self, target: &Target) -> Connecting {
        let connecting = self.connect.connect(target);
        if target.scheme() == Scheme::Http {
            return connecting;
        }
        let (tls, target) = (self.tls.clone(), target.clone());
        Box::pin(async move {
            let stream = tls.shake_hands(target.tls_name(), connecting.await?).await?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

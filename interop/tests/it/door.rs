//! The three ways in: plain, TLS 1.2, TLS 1.3.

use std::net::SocketAddr;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::transport::tls::{TlsBuilder, TlsConnector, TlsVersions};
use adieu::{Client, ClientBuilder, CloseReport, Signal};
use adieu_testkit::peer::Peer;
use interop::{ApacheConfig, HaproxyConfig, Identity, NginxConfig, Pki};

use crate::support::tcp;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls12,
    Tls13,
}

/// A way, and whom to trust on it.
pub(crate) struct Door {
    way: Way,
    pki: Pki,
    tls: TlsConnector,
}

/// A test for each way of these scenes: `plain`, `tls12`, `tls13`.
macro_rules! each_way {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use $crate::door::{Door, Way};

            #[test]
            fn plain() {
                $crate::support::play(async || super::$name(Door::new(Way::Plain)).await);
            }

            #[test]
            fn tls12() {
                $crate::support::play(async || super::$name(Door::new(Way::Tls12)).await);
            }

            #[test]
            fn tls13() {
                $crate::support::play(async || super::$name(Door::new(Way::Tls13)).await);
            }
        })*
    };
}
pub(crate) use each_way;

/// One test for all ways at the same time: where there is much to wait for.
macro_rules! all_ways {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use $crate::door::{Door, Way};

            #[test]
            fn all_ways() {
                $crate::support::play(async || {
                    let [plain, tls12, tls13] =
                        [Way::Plain, Way::Tls12, Way::Tls13].map(|way| super::$name(Door::new(way)));
                    tokio::join!(plain, tls12, tls13);
                });
            }
        })*
    };
}
pub(crate) use all_ways;

impl Door {
    pub(crate) fn new(way: Way) -> Self {
        let pki = Pki::new();
        let versions = match way {
            Way::Plain => TlsVersions::All,
            Way::Tls12 => TlsVersions::Only12,
            Way::Tls13 => TlsVersions::Only13,
        };
        let tls = trusting(&pki).versions(versions).build().unwrap();
        Self { way, pki, tls }
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// A certificate that is trusted, whether or not this is TLS.
    pub(crate) fn trusted(&self) -> Identity {
        self.pki.server()
    }

    /// The certificate to show, where this is TLS.
    pub(crate) fn identity(&self) -> Option<Identity> {
        (self.way != Way::Plain).then(|| self.trusted())
    }

    /// An nginx with this door.
    pub(crate) fn nginx(&self) -> NginxConfig {
        let config = NginxConfig::new();
        match self.identity() {
            Some(identity) => config.tls(identity).http("ssl_protocols TLSv1.2 TLSv1.3;"),
            None => config,
        }
    }

    /// An Apache with this door.
    pub(crate) fn apache(&self) -> ApacheConfig {
        let config = ApacheConfig::new();
        match self.identity() {
            Some(identity) => config.tls(identity),
            None => config,
        }
    }

    /// A HAProxy with this door.
    pub(crate) fn haproxy(&self, behind: &Peer) -> HaproxyConfig {
        let config = HaproxyConfig::to(behind.address());
        match self.identity() {
            Some(identity) => config.tls(identity, ""),
            None => config,
        }
    }

    /// Our goodbye, or the peer's, where all is said that this way has.
    pub(crate) fn goodbye(&self) -> &'static str {
        match self.way {
            Way::Plain => "FIN",
            _ => "close_notify+FIN",
        }
    }

    /// The story of a connection on which the peer said goodbye in the middle of the only response. Under TLS it may
    /// have let go of its socket before our close_notify came, which is then answered with a reset.
    pub(crate) fn cut(&self, report: &CloseReport) -> String {
        let goodbye = self.goodbye();
        let answer = match report.received.contains(Signal::Rst) && self.way != Way::Plain {
            true => format!("truncated; sent {goodbye}, received close_notify+RST"),
            false => format!("truncated; sent {goodbye}, received {goodbye}"),
        };
        format!("peer_ended_early by the peer: {answer}; 0 done, 1 failed")
    }

    /// A client that knows whom to trust, and no proxy.
    pub(crate) fn client(&self) -> ClientBuilder {
        Client::builder().no_proxies().tls_connector(self.tls.clone())
    }

    /// What the client asks for.
    pub(crate) fn url(&self, address: SocketAddr, path: &str) -> String {
        let scheme = if self.way == Way::Plain { "http" } else { "https" };
        format!("{scheme}://{address}{path}")
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> (SendRequest, Connection) {
        self.connect_with(address, &Builder::new()).await
    }

    pub(crate) async fn connect_with(
        &self,
        address: SocketAddr,
        builder: &Builder,
    ) -> (SendRequest, Connection) {
        match self.way {
            Way::Plain => builder.handshake(tcp(address).await).await.unwrap(),
            _ => builder
                .handshake_on(self.tls.connect("localhost", tcp(address).await).await.unwrap())
                .await
                .unwrap(),
        }
    }
}

/// TLS that trusts this authority alone.
pub(crate) fn trusting(pki: &Pki) -> TlsBuilder {
    TlsConnector::builder().platform_roots(false).add_root_certificates(pki.root())
}

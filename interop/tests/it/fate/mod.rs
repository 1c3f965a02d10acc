//! What becomes of a request whose server ends the connection in each of many ways: over loopback, and over a slow wire.

mod server;
mod table;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use adieu::{Client, ClientBuilder};
use interop::{Lab, LabConfig, Pki, Unavailable};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use server::{Acknowledges, Ending, Server};

/// Where client and server are.
#[derive(Clone)]
enum Place {
    Loopback,
    /// 20 ms for a round trip.
    Slow(Arc<Lab>),
}

const ONE_WAY: Duration = Duration::from_millis(10);

impl Place {
    /// Where there is a slow wire; without one the test is skipped.
    fn slow() -> Option<Self> {
        let lab = Lab::start(LabConfig::new(ONE_WAY)).inspect_err(Unavailable::skip).ok()?;
        Some(Self::Slow(Arc::new(lab)))
    }

    fn server(&self, ending: Ending, acknowledges: Acknowledges, tls: Option<Arc<ServerConfig>>) -> Server {
        match self {
            Self::Loopback => Server::start(Ipv4Addr::LOCALHOST, ending, acknowledges, tls),
            Self::Slow(lab) => {
                lab.in_server(|| Server::start(lab.server_address(), ending, acknowledges, tls))
            }
        }
    }

    /// Plays the client's part.
    fn play(&self, scene: impl AsyncFnOnce() + Send) {
        let play = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), scene()).await.unwrap() });
        };
        match self {
            Self::Loopback => play(),
            Self::Slow(lab) => lab.in_client(play),
        }
    }
}

/// Whether there is TLS, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Plain,
    Tls,
}

impl Wire {
    const ALL: [Self; 2] = [Self::Plain, Self::Tls];

    fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }

    fn server(self, pki: &Pki) -> Option<Arc<ServerConfig>> {
        if self == Self::Plain {
            return None;
        }
        let identity = pki.server();
        let chain = CertificateDer::pem_slice_iter(identity.certificate().as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Some(Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()))
    }
}

/// A client that believes this authority, with `localhost` being there.
fn client(pki: &Pki, server: &Server, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let builder = Client::builder()
        .no_proxies()
        .resolve("localhost", [server.address])
        .tls(|tls| tls.platform_roots(false).add_root_certificates(pki.root()));
    set(builder).build().unwrap()
}

//! The scenes over TLS, and both sides of TLS in them.

use adieu::transport::tls::{TlsConnector, TlsStream};
use adieu::{CloseKind, Ended};
use adieu_testkit::tls::{Authority, TlsServer};
use tokio::net::TcpStream;

use super::Trouble;
use super::scene::{Act, Expected, Scene, clean, reset};

/// The peer's side of TLS, and ours; both remember sessions from scene to scene.
pub(super) struct Tls {
    server: TlsServer,
    connector: TlsConnector,
}

impl Tls {
    /// With an authority of its own, which only our side knows.
    pub(super) fn new() -> Result<Self, Trouble> {
        let authority = Authority::new()?;
        let server = TlsServer::new(authority.issue([HOST])?);
        let connector = TlsConnector::builder().platform_roots(false).add_root_certificates(authority.pem());
        Ok(Self { server, connector: connector.build()? })
    }

    pub(super) fn server(&self) -> &TlsServer {
        &self.server
    }

    pub(super) async fn connect(&self, socket: TcpStream) -> Result<TlsStream, Trouble> {
        Ok(self.connector.connect(HOST, socket).await?)
    }
}

/// Both sides said close_notify, then FIN.
const fn both(reason: &'static str) -> Expected {
    Expected { sent: BOTH, received: BOTH, peer_saw: BOTH, ..clean(reason) }
}

/// The scenes over TLS, in the order in which they are played.
pub(super) const OVER_TLS: [Scene; 7] = [
    Scene {
        name: "TLS: graceful",
        mode: "graceful",
        story: "Over TLS there are two ends to say, one inside the other: close_notify, then FIN. The peer answers with both.",
        act: Act::Idle(CloseKind::Graceful),
        expected: both("user_graceful"),
    },
    Scene {
        name: "TLS: no close_notify",
        mode: "graceful",
        story: "This peer answers with FIN alone, as many do. Nothing was under way, so that nothing is lost; the report \
                tells it.",
        act: Act::BareFin,
        expected: Expected { received: "FIN", ..both("user_graceful") },
    },
    Scene {
        name: "TLS: a silent peer",
        mode: "graceful",
        story: "And this one never answers at all. We wait for it, 150 ms here, and leave.",
        act: Act::Silent,
        expected: Expected { ended: Ended::PeerSilent, received: "nothing", ..both("user_graceful") },
    },
    Scene {
        name: "TLS: a body cut off",
        mode: "-",
        story: "The response has no length, its body ends with the connection, and the end is a FIN without close_notify: \
                anybody on the way may have cut it off. The reader gets an error, not half a body that looks whole.",
        act: Act::CutOff,
        expected: Expected {
            ended: Ended::Truncated,
            received: "FIN",
            exchanges: (0, 1),
            ..both("tls_truncated")
        },
    },
    Scene {
        name: "TLS: a body with length",
        mode: "-",
        story: "The same FIN without close_notify after a body that said its length: it is whole, and no error.",
        act: Act::PeerAsksClose,
        expected: Expected { received: "FIN", ..both("peer_asked_close") },
    },
    Scene {
        name: "TLS: an end too early",
        mode: "-",
        story: "A close_notify in the middle of a body that said its length: in order, and too early all the same.",
        act: Act::EndsInside,
        expected: Expected { ended: Ended::Truncated, exchanges: (0, 1), ..both("peer_ended_early") },
    },
    Scene {
        name: "TLS: an upload cut short",
        mode: "now",
        story: "We give up in the middle of an upload: a reset, no FIN, and no close_notify either, which would vouch for \
                the half of it.",
        act: Act::CutUpload,
        expected: Expected { exchanges: (0, 1), ..reset("user_now") },
    },
];

const BOTH: &str = "close_notify+FIN";
const HOST: &str = "localhost";

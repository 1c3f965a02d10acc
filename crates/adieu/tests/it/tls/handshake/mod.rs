//! The start: what is agreed upon, whom we trust, and every way in which it fails.

mod agreed;
mod certificates;
mod failing;
mod slow;

use adieu::transport::tls::{TlsBuilder, TlsConnector, TlsStream};
use adieu::{CloseMode, CloseReport, Error, ErrorKind};
use adieu_testkit::peer::{Peer, Script, Seen, response};
use adieu_testkit::tls::TlsServer;

use super::support::{AUTHORITY, socket};
use crate::props::seen;
use crate::support::{get, read};

/// How each failure of a handshake begins, whatever it is.
const FAILED: &str = "the TLS handshake failed: ";

/// Trusts the authority alone.
fn trusting() -> TlsBuilder {
    TlsConnector::builder().platform_roots(false).add_root_certificates(AUTHORITY.pem())
}

/// A server that answers everything.
fn answering(server: &TlsServer) -> Peer {
    let script = Script::new().answer_all(response(200, "ok")).goodbye().or_end().repeat();
    Peer::builder().tls(server).script(script).tcp().unwrap()
}

/// A server that is to be refused, or refuses.
fn refused(server: &TlsServer) -> Peer {
    Peer::builder().tls(server).script(Script::new()).tcp().unwrap()
}

async fn shake(connector: &TlsConnector, host: &str, peer: &Peer) -> Result<TlsStream, Error> {
    connector.connect(host, socket(peer).await).await
}

/// One exchange, and a close in order.
async fn exchange(stream: TlsStream) -> CloseReport {
    let (mut sender, connection) = adieu::conn::http1::handshake_on(stream).await.unwrap();
    assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
    let report = connection.close(CloseMode::graceful()).await;
    super::support::check(&report);
    report
}

/// What a person is told of a handshake that failed.
#[track_caller]
fn told(error: &Error, kind: ErrorKind) -> String {
    assert_eq!(error.kind(), kind, "{error:?}");
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("Error"), "{line}");
    line.strip_prefix(FAILED).unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The peer saw our end in order, whatever came before it.
async fn saw_fin(peer: Peer) -> Seen {
    let seen = seen(peer).await;
    seen.assert_fin();
    seen
}

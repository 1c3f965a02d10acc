//! TLS on top: with the origin, with an HTTPS proxy, within a tunnel.

use std::sync::LazyLock;
use std::time::Duration;

use adieu::connect::{Connect, Connecting, Connector, ConnectorBuilder, OverTls, Overrides, Target};
use adieu::transport::tls::TlsConnector;
use adieu::{ErrorKind, Layer, Phase};
use adieu_testkit::peer::{Peer, Script};
use adieu_testkit::tls::{Authority, TlsServer};

use super::{behind, kind_and_text, open, read, refused};

/// Signs for every peer here.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().unwrap());

/// Trusts the authority.
static CONNECTOR: LazyLock<TlsConnector> = LazyLock::new(|| offering(&[]));

fn for_name(name: &str) -> TlsServer {
    TlsServer::new(AUTHORITY.issue([name]).unwrap())
}

fn trusting(builder: ConnectorBuilder) -> Connector {
    builder.tls(CONNECTOR.clone()).build()
}

/// Trusts the authority, and offers these protocols.
fn offering(protocols: &[&str]) -> TlsConnector {
    let builder = TlsConnector::builder().platform_roots(false).add_root_certificates(AUTHORITY.pem());
    builder.alpn(protocols.iter().copied()).build().unwrap()
}

#[tokio::test]
async fn https_is_tls_with_the_origin_by_its_name() {
    let peer = Peer::builder().tls(&for_name("secure.example")).script(Script::new().send("hi"));
    let peer = peer.tcp().unwrap();
    let overrides = Overrides::new().host("*", [peer.address()]);
    let connector = trusting(Connector::builder().overrides(overrides));
    let mut io = open(&connector, "https://Secure.Example./").await.unwrap();
    assert!(io.tls().is_some());
    assert_eq!(read(&mut io, 2).await, b"hi");
    drop(io);
    let seen = peer.finish_async().await.unwrap();
    assert_eq!(seen[0].handshake().unwrap().server_name.as_deref(), Some("secure.example"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let peer = Peer::builder().tls(&for_name("other.example")).script(Script::new()).tcp().unwrap();
    let overrides = Overrides::new().host("*", [peer.address()]);
    let error =
        refused(&trusting(Connector::builder().overrides(overrides)), "https://secure.example/").await;
    assert_eq!(error.kind(), ErrorKind::Certificate, "{error}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
#[cfg(unix)]
async fn tls_goes_over_a_unix_socket_too() {
    let peer = Peer::unix(Script::new().start_tls(&for_name("secure.example")).send("hi")).unwrap();
    let connector = trusting(Connector::builder().unix_socket(peer.path().unwrap()));
    let mut io = open(&connector, "https://secure.example/").await.unwrap();
    assert_eq!(read(&mut io, 2).await, b"hi");
    let layers: Vec<_> = io.layers().iter().map(|layer| layer.layer).collect();
    assert_eq!(layers, [Layer::Tls, Layer::Unix]);
    drop(io);
    peer.finish_async().await.unwrap();
}

const DONE: &str = "HTTP/1.1 200 OK\r\n\r\n";

#[tokio::test]
async fn an_https_target_is_reached_through_a_tunnel() {
    let script = Script::new().read_head().send(DONE).start_tls(&for_name("secure.example")).send("hi");
    let peer = Peer::tcp(script).unwrap();
    let mut io = open(&trusting(behind("http", "", &peer)), "https://secure.example/").await.unwrap();
    assert_eq!(read(&mut io, 2).await, b"hi");
    let layers: Vec<_> = io.layers().iter().map(|layer| layer.layer).collect();
    assert_eq!(layers, [Layer::Tls, Layer::Tunnel, Layer::Tcp]);
    drop(io);
    let seen = peer.finish_async().await.unwrap();
    assert_eq!(seen[0].requests()[0].target(), "secure.example:443");
}

#[tokio::test]
async fn an_https_target_is_reached_through_socks() {
    let script = Script::new().read_exactly(3).send([5, 0]).read_exactly(21);
    let script =
        script.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).start_tls(&for_name("secure.example")).send("hi");
    let peer = Peer::tcp(script).unwrap();
    let mut io = open(&trusting(behind("socks5h", "", &peer)), "https://secure.example/").await.unwrap();
    assert_eq!(read(&mut io, 2).await, b"hi");
    drop(io);
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn an_https_proxy_is_spoken_to_over_tls_and_never_offered_h2() {
    let proxy = for_name("127.0.0.1").alpn(["h2", "http/1.1"]);
    let origin = for_name("secure.example").alpn(["h2"]);
    let script = Script::new().start_tls(&proxy).read_head().send(DONE).start_tls(&origin).send("hi");
    let peer = Peer::tcp(script).unwrap();
    let connector = behind("https", "user:secret@", &peer).tls(offering(&["h2", "http/1.1"])).build();
    let mut io = open(&connector, "https://secure.example/").await.unwrap();
    assert_eq!(io.tls().unwrap().alpn.as_deref(), Some("h2"));
    assert_eq!(read(&mut io, 2).await, b"hi");
    let layers: Vec<_> = io.layers().iter().map(|layer| layer.layer).collect();
    assert_eq!(layers, [Layer::Tls, Layer::Tunnel, Layer::Tls, Layer::Tcp]);
    drop(io);
    let seen = peer.finish_async().await.unwrap();
    let alpn: Vec<_> = seen[0].handshakes().map(|handshake| handshake.alpn.clone()).collect();
    assert_eq!(alpn, [None, Some("h2".to_owned())]);
}

#[tokio::test]
async fn a_proxy_whose_certificate_is_not_accepted_is_named() {
    let peer = Peer::builder().tls(&for_name("other.example")).script(Script::new()).tcp().unwrap();
    let error = refused(&trusting(behind("https", "user:secret@", &peer)), "https://secure.example/").await;
    let named = format!(": with the proxy https://{}: it is not for 127.0.0.1 but for", peer.address());
    assert!(error.kind() == ErrorKind::Certificate && error.to_string().contains(&named), "{error}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn an_https_proxy_that_speaks_plainly_is_told() {
    let peer = Peer::tcp(Script::new().send("HTTP/1.1 400 Bad Request\r\n\r\n").read_to_end()).unwrap();
    let error = refused(&trusting(behind("https", "", &peer)), "https://secure.example/").await;
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains("with the proxy https://"), "{error}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn a_tls_handshake_has_its_own_limit() {
    let peer = Peer::tcp(Script::new().read_to_end()).unwrap();
    let tls = TlsConnector::builder().handshake_timeout(Some(Duration::from_millis(80))).build().unwrap();
    let connector = behind("https", "", &peer).tls(tls).build();
    let error = refused(&connector, "https://secure.example/").await;
    let expected =
        format!("timed out: the TLS handshake: with the proxy https://{}: it took too long", peer.address());
    assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::TlsHandshake), expected));
    peer.finish_async().await.unwrap();
}

/// Leads everything to one peer.
struct To(std::net::SocketAddr);

impl Connect for To {
    fn connect(&self, _: &Target) -> Connecting {
        let connecting = tokio::net::TcpStream::connect(self.0);
        Box::pin(async { Ok(adieu::transport::from_io(connecting.await?)) })
    }
}

#[tokio::test]
async fn over_tls_adds_tls_for_https_alone() {
    let script = Script::new().start_tls(&for_name("secure.example")).send("hi");
    let peer = Peer::builder().script(script).script(Script::new().send("hi")).tcp().unwrap();
    let connect = OverTls::new(To(peer.address()), CONNECTOR.clone());
    let connector = Connector::builder().connect(connect).build();
    for (uri, tls) in [("https://secure.example/", true), ("http://secure.example/", false)] {
        let mut io = open(&connector, uri).await.unwrap();
        assert_eq!(io.tls().is_some(), tls);
        assert_eq!(read(&mut io, 2).await, b"hi");
    }
    peer.finish_async().await.unwrap();
}

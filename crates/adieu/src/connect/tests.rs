//! What the pool is given, and what is told on the way there.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adieu_proto::codec::request::TargetForm;
use adieu_proto::lifecycle::ConnectionId;
use adieu_testkit::peer::{Peer, Script};

use super::connector::Opened;
use super::*;
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Happening, Observer, Observers, Teller};

/// What was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Happening>>>);

impl Told {
    fn teller(&self) -> Teller {
        let told = self.0.clone();
        let hook: Arc<dyn Observer> =
            Arc::new(move |event: &Event| told.lock().unwrap().push(event.what.clone()));
        Teller::new(Observers::new(vec![hook]), ConnectionId::new(1), "http://example.com".into())
    }

    /// The first word or two of each.
    fn words(&self) -> Vec<String> {
        let told = self.0.lock().unwrap();
        let first = |happening: &Happening| happening.to_string().split(" in ").next().unwrap().to_owned();
        told.iter().map(first).collect()
    }
}

async fn open(connector: &Connector, uri: &str) -> (Result<Opened, Error>, Told) {
    let told = Told::default();
    let target = Target::of(&uri.parse().unwrap()).unwrap();
    (connector.open(&target, &told.teller()).await, told)
}

fn proxies(scheme: &str, at: SocketAddr) -> Proxies {
    Proxies::new().all(Proxy::parse(&format!("{scheme}://user:secret@{at}")).unwrap())
}

#[tokio::test]
async fn a_plain_target_behind_an_http_proxy_is_forwarded() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let connector = Connector::builder().proxies(proxies("http", peer.address())).build();
    let (opened, told) = open(&connector, "http://example.com/").await;
    let opened = opened.unwrap();
    assert_eq!(opened.form, TargetForm::Absolute);
    assert_eq!(opened.authorization.unwrap(), "Basic dXNlcjpzZWNyZXQ=");
    let at = peer.address();
    assert_eq!(told.words(), [format!("connecting to {at}"), format!("connected to {at}")]);
    drop(opened.transport);
    // Nothing was said to it.
    peer.finish_async().await.unwrap()[0].assert_received("");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_plain_target_behind_an_https_proxy_is_forwarded_over_tls() {
    use crate::transport::tls::TlsConnector;
    use adieu_testkit::tls::{Authority, TlsServer};

    let authority = Authority::new().unwrap();
    let server = TlsServer::new(authority.issue(["127.0.0.1"]).unwrap());
    let peer = Peer::tcp(Script::new().start_tls(&server).read_to_end()).unwrap();
    let tls = TlsConnector::builder().platform_roots(false).add_root_certificates(authority.pem());
    let connector = Connector::builder().proxies(proxies("https", peer.address()));
    let connector = connector.proxy_tls(tls.build().unwrap()).build();
    let (opened, _) = open(&connector, "http://example.com/").await;
    let opened = opened.unwrap();
    assert!(opened.transport.tls().is_some() && opened.authorization.is_some());
    assert_eq!(opened.form, TargetForm::Absolute);
    drop(opened.transport);
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn what_a_tunnel_or_socks_gives_is_a_server() {
    let socks = Script::new().read_exactly(4).send([5, 0]).read_exactly(18);
    let socks = Peer::tcp(socks.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])).unwrap();
    let at = socks.address();
    let connector = Connector::builder().proxies(proxies("socks5h", at)).build();
    let (opened, told) = open(&connector, "http://example.com/").await;
    let opened = opened.unwrap();
    assert_eq!((opened.form, opened.authorization), (TargetForm::Origin, None));
    let through = format!("through socks5h://{at}");
    assert_eq!(told.words(), [format!("connecting to {at}"), format!("connected to {at}"), through]);
    drop(opened.transport);
    socks.finish_async().await.unwrap();
}

#[tokio::test]
async fn each_step_is_told() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let at = peer.address();
    let refuses = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let overrides = Overrides::new().host("example.com", [refuses, at]);
    let connector = Connector::builder().overrides(overrides).build();
    let (opened, told) = open(&connector, "http://example.com/").await;
    drop(opened.unwrap());
    let expected = [
        "resolving example.com".to_owned(),
        "resolved".to_owned(),
        format!("connecting to {refuses}"),
        format!("could not connect to {refuses}: connection refused"),
        format!("connecting to {at}"),
        format!("connected to {at}"),
    ];
    assert_eq!(told.words(), expected);
    peer.finish_async().await.unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn an_https_target_in_a_tunnel_of_an_https_proxy_tells_of_both_handshakes() {
    use crate::transport::tls::TlsConnector;
    use adieu_testkit::tls::{Authority, TlsServer};

    let authority = Authority::new().unwrap();
    let server = TlsServer::new(authority.issue(["127.0.0.1", "example.com"]).unwrap());
    let script = Script::new().start_tls(&server).read_head().send("HTTP/1.1 200 OK\r\n\r\n");
    let peer = Peer::tcp(script.start_tls(&server).read_to_end()).unwrap();
    let tls = TlsConnector::builder().platform_roots(false).add_root_certificates(authority.pem());
    let connector = Connector::builder().proxies(proxies("https", peer.address()));
    let connector = connector.tls(tls.resumption(false).build().unwrap()).build();
    let (opened, told) = open(&connector, "https://example.com/").await;
    let opened = opened.unwrap();
    assert_eq!((opened.form, opened.authorization), (TargetForm::Origin, None));
    let words = told.words();
    let expected = ["connecting", "connected", "TLSv1.3", "through", "TLSv1.3"];
    let first: Vec<_> = words.iter().map(|told| told.split(' ').next().unwrap()).collect();
    assert_eq!(first, expected, "{words:?}");
    drop(opened.transport);
    peer.finish_async().await.unwrap();
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_tls_an_https_target_is_an_error_before_anything_is_asked() {
    let (opened, told) = open(&Connector::new(), "https://example.com/").await;
    let error = opened.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TlsSetup);
    let expected = "TLS cannot be set up: adieu was built without TLS: enable its feature `tls`";
    assert_eq!(error.to_string(), expected);
    assert!(told.words().is_empty());
}

#[tokio::test]
async fn addresses_are_those_that_would_be_connected_to() {
    let (origin, proxy) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:3128".parse().unwrap());
    let overrides = Overrides::new().host("example.com", [origin]);
    let target = Target::of(&"http://example.com/".parse().unwrap()).unwrap();
    let direct = Connector::builder().overrides(overrides.clone());
    assert_eq!(direct.build().addresses(&target).await.unwrap(), [origin]);
    let behind = Connector::builder().overrides(overrides).proxies(proxies("http", proxy));
    assert_eq!(behind.build().addresses(&target).await.unwrap(), [proxy]);
    #[cfg(unix)]
    assert_eq!(Connector::builder().unix_socket("/x").build().addresses(&target).await.unwrap(), []);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_connected_to_is_listed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connector = Connector::builder().proxies(proxies("http", closed)).build();
    let (opened, _) = open(&connector, "http://example.com/").await;
    let error = opened.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.to_string(), format!("could not connect: {closed}: connection refused"));
}

/// Whatever is written for a proxy, a list of exceptions or an authority: no panic.
#[test]
fn anything_can_be_tried_to_be_read() {
    let pieces = [
        "http", "socks5", "://", ":", "/", "@", "[", "]", "%", "%4", ".", ",", "*", " ", "1", "::", "a",
        "\u{e9}",
    ];
    let mut state = 0x0bad_cafe_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..state % 9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[usize::try_from(state >> 33).unwrap() % pieces.len()]);
        }
        state = state.wrapping_add(1);
        let target = Target::of(&"http://a.1:80/".parse().unwrap()).unwrap();
        let _ = Proxies::new().all(Proxy::parse("p").unwrap()).no_proxy(&text).proxy_for(&target);
        if let Ok(proxy) = Proxy::parse(&text) {
            assert!(Proxy::parse(&proxy.to_string()).is_ok(), "{text} became {proxy}");
        }
        if let Ok(uri) = text.parse()
            && let Ok(target) = Target::of(&uri)
        {
            assert_eq!(Target::of(&target.to_string().parse().unwrap()).unwrap(), target);
        }
    }
}

//! A client behind an HTTPS proxy: its tunnel has layers, each of which ends for itself.

use std::time::Duration;

use adieu::connect::{Proxies, Proxy};
use adieu::{Client, CloseMode, Ended, Layer, ResponseExt, Signal};
use adieu_testkit::peer::{Peer, Script, response};
use adieu_testkit::tls::{Authority, TlsServer};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_close_ends_tls_tunnel_tls_and_tcp_in_this_order_and_reports_each() {
    let authority = Authority::new().unwrap();
    let (proxy, origin) = (
        TlsServer::new(authority.issue(["127.0.0.1"]).unwrap()),
        TlsServer::new(authority.issue(["secure.example"]).unwrap()),
    );
    let script = Script::new()
        .start_tls(&proxy)
        .read_head()
        .send("HTTP/1.1 200 OK\r\n\r\n")
        .start_tls(&origin)
        .read_head()
        .send(response(200, "one"))
        .read_head()
        .send(response(200, "two"))
        .expect_close_notify(SOON)
        .goodbye();
    let peer = Peer::tcp(script).unwrap();
    let through = Proxy::parse(&format!("https://user:secret@{}", peer.address())).unwrap();
    let client = Client::builder()
        .proxies(Proxies::new().https(through))
        .tls(|tls| tls.platform_roots(false).add_root_certificates(authority.pem()))
        .build()
        .unwrap();
    for expected in ["one", "two"] {
        let response = client.get("https://secure.example/").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let report = client.close(CloseMode::graceful()).await;
    let [connection] = &report.connections[..] else { panic!("one connection: {report}") };
    assert_eq!((connection.ended, connection.exchanges), (Ended::Clean, 2), "{connection}");
    assert_eq!(connection.origin.as_deref(), Some("https://secure.example"));
    let layers: Vec<_> = connection.layers.iter().map(|layer| layer.layer).collect();
    assert_eq!(layers, [Layer::Tls, Layer::Tunnel, Layer::Tls, Layer::Tcp]);
    for layer in connection.layers.iter().filter(|layer| layer.layer == Layer::Tls) {
        assert!(
            layer.sent.contains(Signal::CloseNotify) && layer.received.contains(Signal::CloseNotify),
            "{layer}"
        );
    }
    let tcp = &connection.layers[3];
    // Theirs may come after both close_notify: an upgrade that both have ended waits for no more.
    assert!(tcp.sent.contains(Signal::Fin), "{tcp}");
    let seen = peer.finish_async().await.unwrap().remove(0);
    seen.assert_close_notify_then_fin();
    let [connect, first, second] = seen.requests() else { panic!("three requests: {seen}") };
    assert_eq!(connect.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="), "{seen}");
    for inside in [first, second] {
        assert_eq!(inside.header("proxy-authorization"), None, "it is the proxy's alone");
    }
}

//! Through a CONNECT tunnel of Apache to an nginx with TLS; over TLS to Apache that is TLS in TLS.
//!
//! Neither answers a close_notify here. To the inner connection, whose responses have lengths, that is nothing; of a
//! tunnel nobody knows whether more was to come.

use adieu::conn::http1;
use adieu::{Body, CloseMode, CloseReport};
use http::Request;
use interop::{Apache, Nginx, NginxConfig, Pki};

use crate::door::{Door, Way, each_way, trusting};
use crate::support::{ask, get, story};

each_way!(a_tunnel_ends_layer_by_layer);

async fn a_tunnel_ends_layer_by_layer(door: Door) {
    let pki = Pki::new();
    let Some(nginx) = Nginx::start(NginxConfig::new().tls(pki.server())).await else { return };
    let port = nginx.address().port();
    let proxy = format!("ProxyRequests On\nAllowCONNECT {port}\n<Proxy *>\nRequire all granted\n</Proxy>");
    let Some(apache) = Apache::start(door.apache().directives(&proxy)).await else { return };
    let tls = trusting(&pki).build().unwrap();

    for (mode, name) in
        [(CloseMode::graceful(), "graceful"), (CloseMode::now(), "now"), (CloseMode::abort(), "abort")]
    {
        let (mut sender, outer) = door.connect(apache.address()).await;
        let connect = Request::connect(format!("127.0.0.1:{port}")).body(Body::empty()).unwrap();
        let response = sender.send_request(connect).await.unwrap();
        assert_eq!(response.status(), 200);
        let tunnel = response.into_body().into_upgraded().unwrap();
        let stream = tls.connect_on("localhost", tunnel).await.unwrap();
        let (mut sender, inner) = http1::handshake_on(stream).await.unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&mut sender, get("/hello")).await, (200, "hello, world\n".into()));
        }
        let (inside, outside) = (inner.close(mode).await, outer.closed().await);
        let (ours, theirs) = if name == "abort" { ("RST", "nothing") } else { ("FIN", "FIN") };
        let word = if name == "abort" { "nothing" } else { "close_notify" };
        let mut below = vec![format!("TCP: sent {ours}, received {theirs}")];
        if door.way() != Way::Plain {
            below.insert(0, format!("TLS: sent {word}, received nothing"));
        }
        assert_eq!(layers(&outside), below);
        below.insert(0, format!("tunnel {}: sent {ours}, received {theirs}", outer.id()));
        below.insert(0, format!("TLS: sent {word}, received nothing"));
        assert_eq!(layers(&inside), below);

        let how = match name {
            "abort" => "aborted; sent RST, received nothing",
            _ => "clean; sent close_notify+FIN, received FIN",
        };
        assert_eq!(story(&inside), format!("user_{name} by us: {how}; 2 done, 0 failed"));
        let how = match (name, door.way()) {
            ("abort", _) => "request_cancelled by us: aborted; sent RST, received nothing",
            (_, Way::Plain) => "upgraded by us: clean; sent FIN, received FIN",
            _ => "tls_truncated by the peer: truncated; sent close_notify+FIN, received FIN",
        };
        assert_eq!(story(&outside), format!("{how}; 1 done, 0 failed"));
    }
    apache.logged(&format!("CONNECT 127.0.0.1:{port} 200")).await;
}

/// The layers of a connection, from the top down.
fn layers(report: &CloseReport) -> Vec<String> {
    report.layers.iter().map(ToString::to_string).collect()
}

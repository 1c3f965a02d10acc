//! A second witness: what went over the wire, against what the report says.

use std::sync::Arc;
use std::time::Duration;

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::transport::tls::TlsConnector;
use adieu::{CloseMode, ErrorKind};
use interop::{Capture, Identity, Nginx, NginxConfig, Packet, Pki, Sender};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::support::{ANNOUNCED, ask, beside, bytes, get, handed_body, play, request, story, tcp};

/// TLS whose secrets the capture knows.
fn transparent(pki: &Pki, version: &'static SupportedProtocolVersion, capture: &Capture) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.root().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.key_log = capture.keys();
    TlsConnector::builder().rustls_config(Arc::new(config)).build().unwrap()
}

/// Captures what goes to and from the port, or leaves the test where that is not possible.
macro_rules! on_stage {
    ($config:expr) => {{
        let Some(nginx) = Nginx::start($config).await else { return };
        let Some(capture) = Capture::start(nginx.address()).await else { return };
        (nginx, capture)
    }};
}

/// What each side said of its end on that connection, in order. A kernel may say it again: once is enough.
fn ends(packets: &[Packet], connection: usize) -> Vec<String> {
    let mut ends = Vec::new();
    for packet in packets.iter().filter(|packet| packet.connection == connection) {
        let who = if packet.from == Sender::Client { "we" } else { "nginx" };
        let alerts = packet.alerts.iter().map(|alert| match alert {
            0 => "close_notify".to_owned(),
            48 => "unknown_ca".to_owned(),
            other => format!("alert {other}"),
        });
        let fin = packet.fin.then(|| "FIN".to_owned());
        let rst = packet.rst.then(|| "RST".to_owned());
        for what in alerts.chain(fin).chain(rst) {
            let end = format!("{who}: {what}");
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
    }
    ends
}

/// Our last word in TLS, then a FIN of each side: nginx ends as soon as it sees the word, which may be before our
/// FIN is on the wire.
#[track_caller]
fn assert_word_then_fins(mut ends: Vec<String>, word: &str) {
    ends[1..].sort();
    assert_eq!(ends, [word, "nginx: FIN", "we: FIN"]);
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An upload that was begun and is not whole; the hand keeps it open.
async fn begun(sender: &mut SendRequest, connection: &Connection) -> impl Sized {
    let (hand, body) = handed_body();
    hand.send(bytes(50_000).into()).unwrap();
    let exchange = beside(sender.send_request(request("PUT", "/up", body)));
    while connection.snapshot().bytes_sent < 50_000 {
        tokio::task::yield_now().await;
    }
    (hand, exchange)
}

#[test]
fn a_graceful_close_is_close_notify_then_fin_and_no_reset() {
    play(async || {
        let pki = Pki::new();
        let (nginx, capture) = on_stage!(NginxConfig::new().tls(pki.server()).http(PROTOCOLS));
        for version in VERSIONS {
            let tls = transparent(&pki, version, &capture);
            let stream = tls.connect("localhost", tcp(nginx.address()).await).await.unwrap();
            let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
            assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
            let report = connection.close(CloseMode::graceful()).await;
            assert_eq!(
                story(&report),
                "user_graceful by us: clean; sent close_notify+FIN, received FIN; 1 done, 0 failed"
            );
        }
        let packets = capture.finish().await;
        for connection in 0..VERSIONS.len() {
            assert_word_then_fins(ends(&packets, connection), "we: close_notify");
        }
    });
}

#[test]
fn nginx_ends_first_where_it_announced_the_end() {
    play(async || {
        let pki = Pki::new();
        let config = NginxConfig::new()
            .tls(pki.server())
            .http(PROTOCOLS)
            .server("keepalive_requests 1; lingering_close always;");
        let (nginx, capture) = on_stage!(config);
        for version in VERSIONS {
            let tls = transparent(&pki, version, &capture);
            let stream = tls.connect("localhost", tcp(nginx.address()).await).await.unwrap();
            let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
            assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
            assert_eq!(story(&connection.closed().await), ANNOUNCED);
        }
        let packets = capture.finish().await;
        for connection in 0..VERSIONS.len() {
            assert_eq!(
                ends(&packets, connection),
                ["nginx: close_notify", "nginx: FIN", "we: close_notify", "we: FIN"]
            );
        }
    });
}

#[test]
fn an_upload_cut_short_is_a_reset_and_nothing_else() {
    play(async || {
        let pki = Pki::new();
        let config =
            NginxConfig::new().tls(pki.server()).http(PROTOCOLS).server("location /up { dav_methods PUT; }");
        let (nginx, capture) = on_stage!(config);
        for version in VERSIONS {
            for mode in [CloseMode::now(), CloseMode::graceful().drain(Duration::ZERO)] {
                let tls = transparent(&pki, version, &capture);
                let stream = tls.connect("localhost", tcp(nginx.address()).await).await.unwrap();
                let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
                let _begun = begun(&mut sender, &connection).await;
                let story = story(&connection.close(mode).await);
                assert!(
                    story.ends_with(" by us: aborted; sent RST, received nothing; 0 done, 1 failed"),
                    "{story}"
                );
            }
        }
        let packets = capture.finish().await;
        for connection in 0..2 * VERSIONS.len() {
            assert_eq!(ends(&packets, connection), ["we: RST"]);
        }
    });
}

#[test]
fn without_tls_it_is_fin_and_fin_or_one_reset() {
    play(async || {
        let (nginx, capture) = on_stage!(NginxConfig::new().server("location /up { dav_methods PUT; }"));
        let enter = async || http1::handshake(tcp(nginx.address()).await).await.unwrap();

        let (mut sender, connection) = enter().await;
        assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
        let report = connection.close(CloseMode::graceful()).await;
        assert_eq!(story(&report), "user_graceful by us: clean; sent FIN, received FIN; 1 done, 0 failed");

        let (mut sender, connection) = enter().await;
        let _begun = begun(&mut sender, &connection).await;
        let report = connection.close(CloseMode::now()).await;
        assert_eq!(story(&report), "user_now by us: aborted; sent RST, received nothing; 0 done, 1 failed");

        let (mut sender, connection) = enter().await;
        assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
        let report = connection.close(CloseMode::abort()).await;
        assert_eq!(story(&report), "user_abort by us: aborted; sent RST, received nothing; 1 done, 0 failed");

        let packets = capture.finish().await;
        let all: Vec<_> = (0..3).map(|connection| ends(&packets, connection)).collect();
        assert_eq!(all, [&["we: FIN", "nginx: FIN"][..], &["we: RST"], &["we: RST"]]);
    });
}

#[test]
fn a_certificate_that_is_not_accepted_is_an_alert_then_fin() {
    play(async || {
        let pki = Pki::new();
        let (nginx, capture) = on_stage!(NginxConfig::new().tls(Identity::self_signed()).http(PROTOCOLS));
        for version in VERSIONS {
            let tls = transparent(&pki, version, &capture);
            let error = tls.connect("localhost", tcp(nginx.address()).await).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Certificate);
        }
        nginx.log().until_times("alert unknown ca", 2).await;
        // It lets go of its sockets a moment later, and at the latest when it is gone.
        nginx.stop();
        nginx.retired().await;
        let packets = capture.finish().await;
        for connection in 0..VERSIONS.len() {
            assert_word_then_fins(ends(&packets, connection), "we: unknown_ca");
        }
    });
}

const PROTOCOLS: &str = "ssl_protocols TLSv1.2 TLSv1.3;";

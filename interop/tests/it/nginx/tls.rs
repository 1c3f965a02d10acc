//! Handshakes with nginx: what is agreed upon, what is refused by whom, and in which words.

use adieu::conn::http1;
use adieu::transport::tls::{TlsConnector, TlsStream, TlsVersions};
use adieu::{Body, CloseMode, Error, ErrorKind};
use interop::{Identity, Nginx, NginxConfig, Pki};

use super::{HELLO, nginx};
use crate::door::trusting;
use crate::support::{ANNOUNCED, ask, get, play, story, tcp};

/// Answers with what nginx knows of the session.
const SESSION: &str = "location /session {
    return 200 '$ssl_protocol, reused $ssl_session_reused, $ssl_server_name, client $ssl_client_verify';
}";

const GRACEFUL: &str = "user_graceful by us: clean; sent close_notify+FIN, received FIN; 1 done, 0 failed";

fn config(identity: Identity) -> NginxConfig {
    NginxConfig::new().tls(identity).server(SESSION).http("ssl_protocols TLSv1.2 TLSv1.3;")
}

async fn shake_hands(tls: &TlsConnector, nginx: &Nginx) -> Result<TlsStream, Error> {
    tls.connect("localhost", tcp(nginx.address()).await).await
}

/// One exchange, and how the connection ended after it.
async fn visit(stream: TlsStream, path: &str) -> (u16, String, String) {
    let session = stream.session().clone();
    let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
    assert_eq!(connection.snapshot().tls.as_ref(), Some(&session));
    let (status, body) = ask(&mut sender, get(path)).await;
    let report = connection.close(CloseMode::graceful()).await;
    assert_eq!(report.tls.as_ref(), Some(&session));
    (status, String::from_utf8(body.to_vec()).unwrap(), story(&report))
}

/// A handshake that must fail: its error, and its one line.
async fn refused(tls: &TlsConnector, nginx: &Nginx) -> (ErrorKind, String) {
    let error = shake_hands(tls, nginx).await.unwrap_err();
    assert!(error.close_reason().is_none() && error.facts().is_none(), "{error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
    (error.kind(), error.to_string())
}

#[test]
fn both_sides_agree_on_what_was_agreed() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(config(pki.server()));
        for (versions, version) in [
            (TlsVersions::All, "TLSv1.3"),
            (TlsVersions::Only13, "TLSv1.3"),
            (TlsVersions::Only12, "TLSv1.2"),
        ] {
            for (offered, agreed) in
                [(&[][..], None), (&["http/1.1"], Some("http/1.1")), (&["h2", "http/1.1"], Some("http/1.1"))]
            {
                let tls = trusting(&pki).versions(versions).alpn(offered).build().unwrap();
                let stream = shake_hands(&tls, &nginx).await.unwrap();
                let session = stream.session();
                assert_eq!(
                    (session.version, session.alpn.as_deref(), session.resumed),
                    (version, agreed, false)
                );
                let suite = session.cipher_suite.starts_with("TLS13_");
                assert_eq!(suite, version == "TLSv1.3", "{session}");
                let (status, seen, story) = visit(stream, "/session").await;
                assert_eq!((status, story.as_str()), (200, GRACEFUL));
                assert_eq!(seen, format!("{version}, reused ., localhost, client NONE"));
            }
        }
        let nobody = trusting(&pki).alpn(["h2"]).build().unwrap();
        assert_eq!(
            refused(&nobody, &nginx).await,
            (
                ErrorKind::Tls,
                "the TLS handshake failed: the peer refused it with the alert no_application_protocol"
                    .to_owned()
            )
        );
    });
}

#[test]
fn a_session_is_resumed_unless_that_is_off() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(config(pki.server()));
        for (versions, version) in [(TlsVersions::Only13, "TLSv1.3"), (TlsVersions::Only12, "TLSv1.2")] {
            let resuming = trusting(&pki).versions(versions).build().unwrap();
            let forgetting = trusting(&pki).versions(versions).resumption(false).build().unwrap();
            for (tls, resumed) in [
                (&resuming, false),
                (&resuming, true),
                (&resuming.clone(), true),
                (&forgetting, false),
                (&forgetting, false),
            ] {
                let stream = shake_hands(tls, &nginx).await.unwrap();
                assert_eq!((stream.session().resumed, stream.session().version), (resumed, version));
                let (_, seen, story) = visit(stream, "/session").await;
                let reused = if resumed { "r" } else { "." };
                assert_eq!(seen, format!("{version}, reused {reused}, localhost, client NONE"));
                assert_eq!(story, GRACEFUL);
            }
        }
    });
}

#[test]
fn a_certificate_that_is_not_accepted_says_why_on_both_sides() {
    play(async || {
        let (pki, other) = (Pki::new(), Pki::new());
        for versions in [TlsVersions::Only13, TlsVersions::Only12] {
            for (identity, why, alert) in [
                (
                    pki.server_named("elsewhere.example"),
                    "it is not for localhost but for",
                    "alert bad certificate",
                ),
                (pki.expired(), "it has expired", "alert certificate expired"),
                (Identity::self_signed(), "authority", "alert unknown ca"),
                (other.server(), "authority", "alert unknown ca"),
            ] {
                let nginx = nginx!(config(identity));
                let tls = trusting(&pki).versions(versions).build().unwrap();
                let (kind, line) = refused(&tls, &nginx).await;
                assert_eq!(kind, ErrorKind::Certificate, "{line}");
                let begin = "the TLS handshake failed: the peer's certificate is not accepted: ";
                assert!(line.strip_prefix(begin).is_some_and(|line| line.contains(why)), "{line}");
                nginx.log().until(alert).await;
            }
        }
    });
}

#[test]
fn any_certificate_is_accepted_where_that_was_asked_for() {
    play(async || {
        let nginx = nginx!(config(Pki::new().expired()));
        let tls = TlsConnector::builder().dangerously_accept_any_certificate().build().unwrap();
        let (status, body, story) = visit(shake_hands(&tls, &nginx).await.unwrap(), "/hello").await;
        assert_eq!((status, body.as_str(), story.as_str()), (200, HELLO, GRACEFUL));
    });
}

#[test]
fn an_address_is_as_good_as_a_name() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(config(pki.server()));
        let tls = trusting(&pki).build().unwrap();
        let stream = tls.connect("127.0.0.1", tcp(nginx.address()).await).await.unwrap();
        // An address is never sent as a server's name (RFC 6066 section 3).
        assert_eq!(visit(stream, "/session").await.1, "TLSv1.3, reused ., , client NONE");
    });
}

#[test]
fn a_client_is_known_by_its_certificate() {
    play(async || {
        let (pki, clients, strangers) = (Pki::new(), Pki::new(), Pki::new());
        let verify = "ssl_client_certificate {dir}/clients.pem; ssl_verify_client on;";
        let nginx = nginx!(config(pki.server()).server(verify).file("clients.pem", clients.root()));
        for versions in [TlsVersions::Only13, TlsVersions::Only12] {
            let (known, stranger) = (clients.client(), strangers.client());
            let tls = || trusting(&pki).versions(versions);
            let with_known = tls().client_certificate(known.certificate(), known.key()).build().unwrap();
            let with_strange =
                tls().client_certificate(stranger.certificate(), stranger.key()).build().unwrap();
            let with_none = tls().build().unwrap();

            let (status, seen, story) =
                visit(shake_hands(&with_known, &nginx).await.unwrap(), "/session").await;
            assert_eq!((status, story.as_str()), (200, GRACEFUL));
            assert!(seen.ends_with("client SUCCESS"), "{seen}");
            // nginx shakes hands with everyone, and then says no in HTTP.
            for (tls, why) in [
                (with_none, "No required SSL certificate was sent"),
                (with_strange, "The SSL certificate error"),
            ] {
                let stream = shake_hands(&tls, &nginx).await.unwrap();
                let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
                let (status, body) = ask(&mut sender, get("/session")).await;
                assert!(status == 400 && String::from_utf8_lossy(&body).contains(why), "{status}, {body:?}");
                let report = connection.closed().await;
                assert_eq!(crate::support::story(&report), ANNOUNCED);
            }
        }
    });
}

#[test]
fn no_version_in_common_is_an_alert() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(NginxConfig::new().tls(pki.server()).http("ssl_protocols TLSv1.2;"));
        let tls = trusting(&pki).versions(TlsVersions::Only13).build().unwrap();
        assert_eq!(
            refused(&tls, &nginx).await,
            (
                ErrorKind::Tls,
                "the TLS handshake failed: the peer refused it with the alert protocol_version".to_owned()
            )
        );
    });
}

#[test]
fn tls_to_a_plain_port_is_told_as_such() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(NginxConfig::new());
        let (kind, line) = refused(&trusting(&pki).build().unwrap(), &nginx).await;
        assert_eq!(kind, ErrorKind::Tls);
        assert_eq!(
            line,
            "the TLS handshake failed: the peer answered in plain HTTP: this port does not speak TLS"
        );
    });
}

#[test]
fn plain_http_to_a_tls_port_is_answered_and_closed() {
    play(async || {
        let nginx = nginx!(config(Pki::new().server()));
        let (mut sender, connection) = http1::handshake(tcp(nginx.address()).await).await.unwrap();
        let response = sender.send_request(get("/hello")).await.unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["connection"], "close");
        drop::<Body>(response.into_body());
        let report = connection.closed().await;
        assert_eq!(
            story(&report),
            "peer_asked_close by the peer: clean; sent FIN, received FIN; 1 done, 0 failed"
        );
        assert_eq!(report.tls, None);
    });
}

#[test]
fn a_fresh_connection_says_goodbye_too() {
    play(async || {
        let pki = Pki::new();
        let nginx = nginx!(config(pki.server()));
        for versions in [TlsVersions::Only13, TlsVersions::Only12] {
            let tls = trusting(&pki).versions(versions).build().unwrap();
            let stream = shake_hands(&tls, &nginx).await.unwrap();
            let (_sender, connection) = http1::handshake_on(stream).await.unwrap();
            let report = connection.close(CloseMode::graceful()).await;
            assert_eq!(
                story(&report),
                "user_graceful by us: clean; sent close_notify+FIN, received FIN; 0 done, 0 failed"
            );
        }
    });
}

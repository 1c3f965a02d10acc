//! `openssl s_server`: what can be had from a keyboard only. Key updates, plain text in the middle of TLS, an end
//! without a word, and alerts that come when the handshake is long over.

use std::net::SocketAddr;

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::transport::tls::{TlsConnector, TlsVersions};
use adieu::{CloseMode, CloseReason, ErrorKind, TlsAlert};
use interop::{OpensslConfig, OpensslServer, Pki};

use crate::door::trusting;
use crate::support::{ANNOUNCED, ask, beside, get, play, read, story, tcp};

macro_rules! s_server {
    ($config:expr) => {
        match OpensslServer::start($config).await {
            Some(server) => server,
            None => return,
        }
    };
}

/// What a keyboard answers.
const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

const VERSIONS: [(TlsVersions, &str); 2] =
    [(TlsVersions::Only12, "TLSv1.2"), (TlsVersions::Only13, "TLSv1.3")];

async fn enter(tls: &TlsConnector, address: SocketAddr) -> (SendRequest, Connection) {
    http1::handshake_on(tls.connect("localhost", tcp(address).await).await.unwrap()).await.unwrap()
}

fn connector(pki: &Pki, versions: TlsVersions) -> TlsConnector {
    trusting(pki).versions(versions).build().unwrap()
}

/// One request, answered by hand once the server has shown it; the path tells it from others.
async fn by_hand(server: &mut OpensslServer, sender: &mut SendRequest, path: &str) {
    let exchange = beside(sender.send_request(get(path)));
    server.output().until(&format!("GET {path} HTTP/1.1\r\n")).await;
    server.write(OK);
    assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "ok");
}

#[test]
fn a_goodbye_is_answered_by_all_that_there_is() {
    play(async || {
        let pki = Pki::new();
        for (versions, _) in VERSIONS {
            let mut server = s_server!(OpensslConfig::new(pki.server(), &["-crlf"]));
            let (mut sender, connection) = enter(&connector(&pki, versions), server.address()).await;
            by_hand(&mut server, &mut sender, "/one").await;
            by_hand(&mut server, &mut sender, "/two").await;
            let report = connection.close(CloseMode::graceful()).await;
            assert_eq!(
                story(&report),
                "user_graceful by us: clean; sent close_notify+FIN, received close_notify+FIN; 2 done, 0 failed"
            );
            server.output().until("DONE").await;
        }
    });
}

#[test]
fn sessions_are_resumed_with_and_without_tickets() {
    play(async || {
        let pki = Pki::new();
        for (versions, version) in VERSIONS {
            for (flags, second) in [
                (&["-www"][..], "Reused"),
                (&["-www", "-no_ticket"], "Reused"),
                (&["-www", "-no_ticket", "-no_cache"], "New"),
            ] {
                let server = s_server!(OpensslConfig::new(pki.server(), flags));
                let tls = connector(&pki, versions);
                for reused in ["New", second] {
                    let (mut sender, connection) = enter(&tls, server.address()).await;
                    let session = connection.snapshot().tls.unwrap();
                    assert_eq!(
                        (session.resumed, session.version),
                        (reused == "Reused", version),
                        "{flags:?}"
                    );
                    let (status, page) = ask(&mut sender, get("/")).await;
                    let page = String::from_utf8_lossy(&page).into_owned();
                    assert!(
                        status == 200 && page.contains(&format!("{reused}, {version}, Cipher is ")),
                        "{flags:?}: {page}"
                    );
                    // It answers in HTTP/1.0, without a length.
                    assert_eq!(story(&connection.closed().await), ANNOUNCED);
                }
            }
        }
    });
}

#[test]
fn key_updates_are_no_data_and_are_answered_where_that_is_asked_for() {
    play(async || {
        let pki = Pki::new();
        for (key, answers) in [("k\n", 0), ("K\n", 2)] {
            let mut server = s_server!(OpensslConfig::new(pki.server(), &["-crlf", "-msg"]));
            let (mut sender, connection) =
                enter(&connector(&pki, TlsVersions::Only13), server.address()).await;
            by_hand(&mut server, &mut sender, "/before").await;
            // Idle.
            server.write(key);
            server.output().until(UPDATE_SENT).await;
            by_hand(&mut server, &mut sender, "/after").await;
            // While an answer is waited for.
            let exchange = beside(sender.send_request(get("/during")));
            server.output().until("GET /during").await;
            server.write(key);
            server.output().until_times(UPDATE_SENT, 2).await;
            server.write(OK);
            assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "ok");
            by_hand(&mut server, &mut sender, "/last").await;
            assert_eq!(
                story(&connection.close(CloseMode::graceful()).await),
                "user_graceful by us: clean; sent close_notify+FIN, received close_notify+FIN; 4 done, 0 failed"
            );
            server.output().until("DONE").await;
            assert_eq!(server.output().count(UPDATE_RECEIVED), answers, "{key}");
        }
    });
}

/// As `-msg` shows them.
const UPDATE_SENT: &str = ">>> TLS 1.3, Handshake [length 0005], KeyUpdate";
const UPDATE_RECEIVED: &str = "<<< TLS 1.3, Handshake [length 0005], KeyUpdate";

#[test]
fn an_end_without_a_word_in_the_middle_of_an_exchange() {
    play(async || {
        let pki = Pki::new();
        for (versions, _) in VERSIONS {
            let mut server = s_server!(OpensslConfig::new(pki.server(), &["-crlf"]));
            let (mut sender, connection) = enter(&connector(&pki, versions), server.address()).await;
            let exchange = beside(sender.send_request(get("/")));
            server.output().until("GET / ").await;
            server.write("HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf");
            let response = exchange.await.unwrap().unwrap();
            server.write("Q\n");
            assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::IncompleteBody);
            assert_eq!(
                story(&connection.closed().await),
                "peer_ended_early by the peer: truncated; sent close_notify+FIN, received FIN; 0 done, 1 failed"
            );
        }
    });
}

#[test]
fn plain_text_in_the_middle_of_tls_is_answered_with_an_alert() {
    play(async || {
        let pki = Pki::new();
        for (versions, _) in VERSIONS {
            let mut server = s_server!(OpensslConfig::new(pki.server(), &["-crlf"]));
            let (mut sender, connection) = enter(&connector(&pki, versions), server.address()).await;
            by_hand(&mut server, &mut sender, "/before").await;
            let exchange = beside(sender.send_request(get("/during")));
            server.output().until("GET /during").await;
            server.write("P\n");
            let error = exchange.await.unwrap().unwrap_err();
            assert!(matches!(error.close_reason(), Some(CloseReason::TlsBroken(_))), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Tls);
            let report = connection.closed().await;
            assert_eq!(
                story(&report),
                "tls_broken by the peer: clean; sent FIN, received FIN; 1 done, 1 failed"
            );
            // Told by ours, decode_error (RFC 8446 section 6).
            server.output().until("SSL alert number 50").await;
        }
    });
}

#[test]
fn a_half_close_ends_it() {
    play(async || {
        let pki = Pki::new();
        let server = s_server!(OpensslConfig::new(pki.server(), &["-crlf"]));
        let (mut sender, connection) = enter(&connector(&pki, TlsVersions::Only13), server.address()).await;
        let exchange = beside(sender.send_request(get("/")));
        server.output().until("GET / ").await;
        let closing = connection.close(CloseMode::half());
        assert_eq!(exchange.await.unwrap().unwrap_err().kind(), ErrorKind::HalfCloseRefused);
        assert_eq!(
            story(&closing.await),
            "half_close_refused by us: truncated; sent close_notify+FIN, received close_notify+FIN; 0 done, 1 failed"
        );
        server.output().until("DONE").await;
    });
}

#[test]
fn a_client_that_is_not_known_hears_so_in_the_handshake_or_after_it() {
    play(async || {
        let (pki, strangers) = (Pki::new(), Pki::new());
        let stranger = strangers.client();
        let server =
            s_server!(OpensslConfig::new(pki.server(), &["-crlf", "-Verify", "1", "-verify_return_error"]));
        let without = |versions| trusting(&pki).versions(versions);
        let strange = |versions| without(versions).client_certificate(stranger.certificate(), stranger.key());

        for (tls, alert) in [
            (without(TlsVersions::Only12), "handshake_failure"),
            (strange(TlsVersions::Only12), "unknown_ca"),
        ] {
            let io = tcp(server.address()).await;
            let error = tls.build().unwrap().connect("localhost", io).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls);
            assert_eq!(
                error.to_string(),
                format!("the TLS handshake failed: the peer refused it with the alert {alert}")
            );
        }
        // In TLS 1.3 a client is done before the server has looked at its certificate.
        for (tls, alert) in [
            (without(TlsVersions::Only13), TlsAlert(116)), // certificate_required
            (strange(TlsVersions::Only13), TlsAlert(48)),  // unknown_ca
        ] {
            let (mut sender, connection) = enter(&tls.build().unwrap(), server.address()).await;
            let error = sender.send_request(get("/")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason()),
                (ErrorKind::Tls, Some(&CloseReason::TlsAlert(alert)))
            );
            assert_eq!(
                story(&connection.closed().await),
                "tls_alert by the peer: broken; sent nothing, received nothing; 0 done, 1 failed"
            );
        }
    });
}

#[test]
fn no_cipher_in_common_is_an_alert() {
    play(async || {
        let pki = Pki::new();
        let flags = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
        let server = s_server!(OpensslConfig::new(pki.server(), &flags));
        let error = connector(&pki, TlsVersions::All)
            .connect("localhost", tcp(server.address()).await)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert_eq!(
            error.to_string(),
            "the TLS handshake failed: the peer refused it with the alert handshake_failure"
        );
    });
}

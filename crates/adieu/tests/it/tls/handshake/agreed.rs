//! What both sides agree upon: the version, the protocol, the name, an earlier session.

use adieu::transport::tls::{TlsConnector, TlsVersions};
use adieu::{ErrorKind, Layer};
use adieu_testkit::peer::{Alert, Peer, Script, TlsVersion};
use adieu_testkit::tls::TlsServer;

use super::super::support::{AUTHORITY, BOTH, CONNECTOR, server};
use super::{answering, exchange, refused, saw_fin, seen, shake, told, trusting};
use crate::props::play;

fn speaking(versions: TlsVersions) -> TlsConnector {
    trusting().versions(versions).build().unwrap()
}

fn any() -> TlsServer {
    TlsServer::new(AUTHORITY.issue(["localhost"]).unwrap())
}

#[test]
fn the_newest_version_that_both_speak_is_agreed_upon() {
    use TlsVersion::{Tls12, Tls13};
    play(async || {
        let every = [
            (TlsVersions::All, any(), Tls13),
            (TlsVersions::All, any().only_tls12(), Tls12),
            (TlsVersions::All, any().only_tls13(), Tls13),
            (TlsVersions::Only12, any(), Tls12),
            (TlsVersions::Only12, any().only_tls12(), Tls12),
            (TlsVersions::Only13, any(), Tls13),
            (TlsVersions::Only13, any().only_tls13(), Tls13),
        ];
        for (ours, theirs, version) in every {
            let peer = answering(&theirs);
            let stream = shake(&speaking(ours), "localhost", &peer).await.unwrap();
            let session = stream.session().clone();
            assert_eq!((session.version, session.resumed), (version.to_string().as_str(), false), "{ours:?}");
            let report = exchange(stream).await;
            assert_eq!(report.tls.as_ref(), Some(&session));
            assert_eq!(
                report.layers.iter().map(|layer| layer.layer).collect::<Vec<_>>(),
                [Layer::Tls, Layer::Tcp]
            );
            let seen = seen(peer).await;
            let handshake = seen.handshake().unwrap();
            assert_eq!(
                (handshake.version, &handshake.cipher_suite),
                (version, &session.cipher_suite),
                "{ours:?}"
            );
            assert_eq!(handshake.alpn, None);
            seen.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn a_peer_without_a_version_of_ours_says_so() {
    play(async || {
        let every = [(TlsVersions::Only13, any().only_tls12()), (TlsVersions::Only12, any().only_tls13())];
        for (ours, theirs) in every {
            let peer = refused(&theirs);
            let error = shake(&speaking(ours), "localhost", &peer).await.unwrap_err();
            let line = told(&error, ErrorKind::Tls);
            assert_eq!(line, "the peer refused it with the alert protocol_version");
            let seen = saw_fin(peer).await;
            assert!(seen.handshake_failure().is_some() && seen.alert().is_none(), "{seen}");
        }
    });
}

#[test]
fn a_version_that_we_did_not_offer_is_refused_by_our_alert() {
    play(async || {
        // A ServerHello of TLS 1.2: random, no session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression.
        let mut hello = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0xc0, 0x2b, 0]);
        let peer = Peer::tcp(Script::new().read_record().send(hello)).unwrap();
        let error = shake(&speaking(TlsVersions::Only13), "localhost", &peer).await.unwrap_err();
        told(&error, ErrorKind::Tls);
        let seen = saw_fin(peer).await;
        assert!(seen.received().ends_with(&[21, 3, 3, 0, 2, 2, Alert::PROTOCOL_VERSION.code()]), "{seen}");
    });
}

#[test]
fn alpn_is_what_the_peer_picks_of_what_we_offer() {
    play(async || {
        let every: [(&[&str], &[&str], Option<&str>); 6] = [
            (&["http/1.1"], &["http/1.1"], Some("http/1.1")),
            (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
            (&["http/1.1", "h2"], &["h2", "http/1.1"], Some("h2")),
            (&["http/1.1"], &[], None),
            (&[], &["http/1.1"], None),
            (&[], &[], None),
        ];
        for version in BOTH {
            for (ours, theirs, agreed) in every {
                let peer = answering(&server(version).alpn(theirs));
                let connector = trusting().alpn(ours).build().unwrap();
                let stream = shake(&connector, "localhost", &peer).await.unwrap();
                assert_eq!(stream.session().alpn.as_deref(), agreed, "{ours:?} {theirs:?}");
                exchange(stream).await;
                let seen = seen(peer).await;
                assert_eq!(seen.handshake().unwrap().alpn.as_deref(), agreed, "{ours:?} {theirs:?}");
            }
        }
    });
}

#[test]
fn a_peer_that_speaks_nothing_of_what_we_offer_refuses() {
    play(async || {
        for version in BOTH {
            let peer = refused(&server(version).alpn(["h2"]));
            let connector = trusting().alpn(["http/1.1"]).build().unwrap();
            let error = shake(&connector, "localhost", &peer).await.unwrap_err();
            let line = told(&error, ErrorKind::Tls);
            assert_eq!(line, "the peer refused it with the alert no_application_protocol");
            saw_fin(peer).await;
        }
    });
}

#[test]
fn a_name_is_told_to_the_peer_and_an_address_is_not() {
    play(async || {
        for version in BOTH {
            let names = ["localhost", "a.b-c.example", "127.0.0.1", "::1"];
            let identity = AUTHORITY.issue(names).unwrap();
            let theirs = TlsServer::new(identity);
            let theirs = if version == TlsVersion::Tls12 { theirs.only_tls12() } else { theirs.only_tls13() };
            let hosts = [
                ("localhost", Some("localhost")),
                ("LocalHost", Some("localhost")),
                // RFC 6066 section 3: without a trailing dot.
                ("a.b-c.example.", Some("a.b-c.example")),
                ("127.0.0.1", None),
                ("::1", None),
                ("[::1]", None),
                ("[0:0:0:0:0:0:0:1]", None),
            ];
            for (host, name) in hosts {
                let peer = answering(&theirs);
                let stream =
                    shake(&CONNECTOR, host, &peer).await.unwrap_or_else(|error| panic!("{host}: {error}"));
                exchange(stream).await;
                let seen = seen(peer).await;
                let told = seen.handshake().unwrap().server_name.as_deref().map(str::to_lowercase);
                assert_eq!(told.as_deref(), name, "{host}");
            }
        }
    });
}

#[test]
fn a_host_that_is_no_name_and_no_address_is_refused_before_anything_is_sent() {
    play(async || {
        for host in [
            "",
            "[]",
            "[::1",
            "::1]",
            "two words",
            "a..b",
            "localhost:443",
            "127.0.0.1:443",
            "[::1]:443",
            "ü",
        ] {
            let peer = Peer::tcp(Script::new()).unwrap();
            let error = shake(&CONNECTOR, host, &peer).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{host}: {error:?}");
            saw_fin(peer).await.assert_received("");
        }
    });
}

#[test]
fn the_second_connection_resumes_the_session_of_the_first() {
    play(async || {
        for version in BOTH {
            let connector = trusting().build().unwrap();
            let peer = answering(&server(version));
            for resumed in [false, true, true] {
                // A clone has the same sessions.
                let stream = shake(&connector.clone(), "localhost", &peer).await.unwrap();
                assert_eq!(stream.session().resumed, resumed, "{version}");
                let report = exchange(stream).await;
                assert_eq!(report.tls.as_ref().unwrap().resumed, resumed);
                assert_eq!(report.to_string().contains(" resumed"), resumed, "{report}");
            }
            // Another name, another connector: another session.
            let stream = shake(&connector, "127.0.0.1", &peer).await.unwrap();
            assert!(!stream.session().resumed);
            exchange(stream).await;
            let stream = shake(&trusting().build().unwrap(), "localhost", &peer).await.unwrap();
            assert!(!stream.session().resumed);
            exchange(stream).await;
            let all = peer.finish_async().await.unwrap();
            let resumed: Vec<_> = all.iter().map(|seen| seen.handshake().unwrap().resumed).collect();
            assert_eq!(resumed, [false, true, true, false, false], "{version}");
        }
    });
}

#[test]
fn without_resumption_each_handshake_is_a_full_one() {
    play(async || {
        for version in BOTH {
            let connector = trusting().resumption(false).build().unwrap();
            let peer = answering(&server(version));
            for _ in 0..2 {
                let stream = shake(&connector, "localhost", &peer).await.unwrap();
                assert!(!stream.session().resumed);
                exchange(stream).await;
            }
            let all = peer.finish_async().await.unwrap();
            assert!(all.iter().all(|seen| !seen.handshake().unwrap().resumed));
        }
    });
}

#[test]
fn a_peer_that_resumes_nothing_gets_full_handshakes() {
    play(async || {
        for version in BOTH {
            let connector = trusting().build().unwrap();
            let peer = answering(&server(version).no_resumption());
            for _ in 0..2 {
                let stream = shake(&connector, "localhost", &peer).await.unwrap();
                assert!(!stream.session().resumed);
                exchange(stream).await;
            }
            peer.finish_async().await.unwrap();
        }
    });
}

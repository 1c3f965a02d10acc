//! Whom we trust, and who we are.

use std::sync::Arc;

use adieu::transport::tls::TlsConnector;
use adieu::{Blame, CloseMode, CloseReason, ErrorKind};
use adieu_testkit::peer::{Alert, Event, Peer, Script, TlsVersion, response};
use adieu_testkit::tls::{Authority, Identity, TlsServer};

use super::super::support::{AUTHORITY, BOTH, CONNECTOR, SOON, connect, server, socket};
use super::super::wire::served::IDENTITY;
use super::{answering, exchange, refused, saw_fin, seen, shake, told, trusting};
use crate::props::play;
use crate::support::{get, read};

const NOBODY: &str = "no authority that is trusted here has signed it (self-signed, or a private authority)";

fn of(identity: Identity, version: TlsVersion) -> TlsServer {
    let server = TlsServer::new(identity);
    if version == TlsVersion::Tls12 { server.only_tls12() } else { server.only_tls13() }
}

/// The peer is refused because of its certificate; it is told by this alert and then our FIN.
async fn refuses(connector: &TlsConnector, host: &str, server: &TlsServer, why: &str, alert: Alert) {
    let peer = refused(server);
    let error = shake(connector, host, &peer).await.unwrap_err();
    let line = told(&error, ErrorKind::Certificate);
    assert_eq!(line, format!("the peer's certificate is not accepted: {why}"));
    assert_eq!((error.blame(), error.is_timeout()), (Blame::Peer, false));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidData);
    let seen = saw_fin(peer).await;
    seen.assert_alert(alert);
    assert!(seen.handshake().is_none() && !seen.saw_close_notify(), "{seen}");
}

#[test]
fn expired_self_signed_and_wrong_host_are_refused_by_their_alert() {
    play(async || {
        for version in BOTH {
            let expired = of(AUTHORITY.issue_expired(["localhost"]).unwrap(), version);
            refuses(&CONNECTOR, "localhost", &expired, "it has expired", Alert::CERTIFICATE_EXPIRED).await;
            let alone = of(Identity::self_signed(["localhost"]).unwrap(), version);
            refuses(&CONNECTOR, "localhost", &alone, NOBODY, Alert::UNKNOWN_CA).await;
            let strange = of(Authority::new().unwrap().issue(["localhost"]).unwrap(), version);
            let peer = refused(&strange);
            let error = shake(&CONNECTOR, "localhost", &peer).await.unwrap_err();
            assert_eq!(
                told(&error, ErrorKind::Certificate),
                format!("the peer's certificate is not accepted: {NOBODY}")
            );
            // It bears the name of an authority that is trusted.
            let alert = saw_fin(peer).await.alert();
            assert!(
                [Some(Alert::UNKNOWN_CA), Some(Alert::DECRYPT_ERROR), Some(Alert::BAD_CERTIFICATE)]
                    .contains(&alert),
                "{alert:?}"
            );
            let names = of(AUTHORITY.issue(["a.example", "b.example"]).unwrap(), version);
            let why = "it is not for localhost but for a.example, b.example";
            refuses(&CONNECTOR, "localhost", &names, why, Alert::BAD_CERTIFICATE).await;
            let nobody = of(AUTHORITY.issue([] as [&str; 0]).unwrap(), version);
            let why = "it is not for localhost, and names nobody";
            refuses(&CONNECTOR, "localhost", &nobody, why, Alert::BAD_CERTIFICATE).await;
        }
    });
}

#[test]
fn a_certificate_for_a_name_is_none_for_an_address() {
    play(async || {
        for version in BOTH {
            let name = of(AUTHORITY.issue(["localhost", "10.0.0.1"]).unwrap(), version);
            for host in ["127.0.0.1", "[::1]"] {
                let peer = refused(&name);
                let error = shake(&CONNECTOR, host, &peer).await.unwrap_err();
                let line = told(&error, ErrorKind::Certificate);
                let bare = host.trim_matches(['[', ']']);
                assert!(line.contains("it is not for ") && line.contains(bare), "{line}");
                assert!(line.contains("localhost") && line.contains("10.0.0.1"), "{line}");
                saw_fin(peer).await.assert_alert(Alert::BAD_CERTIFICATE);
            }
        }
    });
}

#[test]
fn the_platform_does_not_trust_the_authority_of_tests() {
    play(async || {
        // The other authority is there so that this holds where the platform has no roots at all.
        let other = Authority::new().unwrap();
        let platform = TlsConnector::builder().add_root_certificates(other.pem()).build().unwrap();
        let peer = refused(&server(TlsVersion::Tls13));
        let error = shake(&platform, "localhost", &peer).await.unwrap_err();
        assert!(told(&error, ErrorKind::Certificate).ends_with(NOBODY), "{error}");
        saw_fin(peer).await;
        let both = TlsConnector::builder().add_root_certificates(AUTHORITY.pem()).build().unwrap();
        let peer = answering(&server(TlsVersion::Tls13));
        exchange(shake(&both, "localhost", &peer).await.unwrap()).await;
        seen(peer).await.assert_close_notify_then_fin();
    });
}

#[test]
fn without_any_root_nobody_is_trusted() {
    play(async || {
        let none = TlsConnector::builder().platform_roots(false).build().unwrap();
        refuses(&none, "localhost", &server(TlsVersion::Tls13), NOBODY, Alert::UNKNOWN_CA).await;
    });
}

#[test]
fn several_roots_may_be_in_one_file_or_in_several() {
    play(async || {
        let other = Authority::new().unwrap();
        let (ours, others) = (AUTHORITY.pem(), other.pem());
        let commented = format!("# roots\n{others}\nsome words\n{ours}\n");
        let off = || TlsConnector::builder().platform_roots(false);
        let connectors = [
            off().add_root_certificates(format!("{others}{ours}")),
            off().add_root_certificates(commented),
            off().add_root_certificates(&others).add_root_certificates(&ours),
            off().add_root_certificates(ours.replace('\n', "\r\n")).add_root_certificates(others),
        ];
        for connector in connectors {
            let connector = connector.build().unwrap();
            for authority in [&*AUTHORITY, &other] {
                let peer = answering(&of(authority.issue(["localhost"]).unwrap(), TlsVersion::Tls13));
                exchange(shake(&connector, "localhost", &peer).await.unwrap()).await;
                seen(peer).await;
            }
        }
    });
}

#[test]
fn what_cannot_be_read_is_an_error_of_build() {
    let other = Authority::new().unwrap().issue(["somebody"]).unwrap();
    let (chain, key) = (IDENTITY.cert_pem(), IDENTITY.key_pem());
    let torn = AUTHORITY.pem().replace('M', "*");
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let new = TlsConnector::builder;
    let every = [
        ("empty", new().add_root_certificates(""), "the root certificates: no certificate"),
        ("words", new().add_root_certificates("not a certificate"), "the root certificates: no certificate"),
        ("a key", new().add_root_certificates(&key), "the root certificates: no certificate"),
        ("torn", new().add_root_certificates(torn), "the root certificates: "),
        ("no DER", new().platform_roots(false).add_root_certificates(no_der), ""),
        (
            "one of two",
            new().add_root_certificates(AUTHORITY.pem()).add_root_certificates(""),
            "the root certificates",
        ),
        ("no chain", new().client_certificate("", &key), "the client's certificate: no certificate"),
        ("no key", new().client_certificate(&chain, ""), "the key of the client's certificate: "),
        ("chain as key", new().client_certificate(&chain, &chain), "the key of the client's certificate: "),
        ("key of another", new().client_certificate(&chain, other.key_pem()), ""),
    ];
    for (what, builder, start) in every {
        let Err(error) = builder.build() else { panic!("{what} was taken") };
        assert_eq!(error.kind(), ErrorKind::TlsSetup, "{what}: {error:?}");
        let line = error.to_string();
        assert!(!line.contains('\n') && line.contains(start), "{what}: {line}");
    }
}

#[test]
fn an_error_of_build_does_not_speak_of_a_handshake() {
    let error = TlsConnector::builder().add_root_certificates("").build().unwrap_err();
    assert!(!error.to_string().contains("handshake"), "{error}");
}

#[test]
fn dangerously_any_certificate_is_accepted() {
    play(async || {
        let anyone = TlsConnector::builder().dangerously_accept_any_certificate().build().unwrap();
        for version in BOTH {
            let every = [
                AUTHORITY.issue(["localhost"]).unwrap(),
                AUTHORITY.issue(["elsewhere.example"]).unwrap(),
                AUTHORITY.issue_expired(["localhost"]).unwrap(),
                Identity::self_signed(["nobody"]).unwrap(),
            ];
            for identity in every {
                let peer = answering(&of(identity, version));
                exchange(shake(&anyone, "localhost", &peer).await.unwrap()).await;
                seen(peer).await.assert_close_notify_then_fin();
            }
        }
    });
}

#[test]
fn a_configuration_of_rustls_is_used_as_it_is() {
    play(async || {
        let mut roots = rustls::RootCertStore::empty();
        let other = Authority::new().unwrap();
        let pem = other.pem();
        use rustls::pki_types::pem::PemObject;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"mine".to_vec()];
        let builder =
            trusting().alpn(["http/1.1"]).add_root_certificates("ignored").rustls_config(Arc::new(config));
        let connector = builder.build().unwrap();
        let theirs = TlsServer::new(other.issue(["localhost"]).unwrap()).alpn(["http/1.1", "mine"]);
        let peer = answering(&theirs);
        let stream = shake(&connector, "localhost", &peer).await.unwrap();
        assert_eq!((stream.session().version, stream.session().alpn.as_deref()), ("TLSv1.2", Some("mine")));
        exchange(stream).await;
        seen(peer).await;
        let peer = refused(&server(TlsVersion::Tls12));
        let error = shake(&connector, "localhost", &peer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Certificate);
        saw_fin(peer).await;
    });
}

#[test]
fn a_clients_certificate_is_shown_to_a_peer_that_asks() {
    play(async || {
        let client = AUTHORITY.issue(["client"]).unwrap();
        let known = trusting().resumption(false).client_certificate(client.cert_pem(), client.key_pem());
        let known = known.build().unwrap();
        let unknown = trusting().resumption(false).build().unwrap();
        for version in BOTH {
            let required = server(version).require_client_certificate(&AUTHORITY);
            let asked = server(version).request_client_certificate(&AUTHORITY);
            let every = [
                (&known, &required, Some(client.cert_der())),
                (&known, &asked, Some(client.cert_der())),
                (&unknown, &asked, None),
                (&known, &server(version), None),
            ];
            for (connector, theirs, shown) in every {
                let peer = answering(theirs);
                exchange(shake(connector, "localhost", &peer).await.unwrap()).await;
                let seen = seen(peer).await;
                assert_eq!(seen.handshake().unwrap().client_certificate.as_deref(), shown, "{version}");
                seen.assert_close_notify_then_fin();
            }
        }
    });
}

#[test]
fn a_chain_goes_with_the_clients_certificate() {
    play(async || {
        let client = AUTHORITY.issue(["client"]).unwrap();
        let chain = format!("{}{}", client.cert_pem(), AUTHORITY.pem());
        let connector = trusting().client_certificate(chain, client.key_pem()).build().unwrap();
        let peer = answering(&server(TlsVersion::Tls13).require_client_certificate(&AUTHORITY));
        exchange(shake(&connector, "localhost", &peer).await.unwrap()).await;
        let seen = seen(peer).await;
        assert_eq!(seen.handshake().unwrap().client_certificate.as_deref(), Some(client.cert_der()));
    });
}

/// The alert by which a peer refused us.
fn alert_of(seen: &adieu_testkit::peer::Seen) -> Alert {
    let mut alerts = seen.entries().iter().filter_map(|entry| match entry.event {
        Event::SentAlert(alert) => Some(alert),
        _ => None,
    });
    alerts.next().unwrap_or_else(|| panic!("{seen}"))
}

#[test]
fn a_peer_that_refuses_our_certificate_says_so_in_tls_1_2_within_the_handshake() {
    play(async || {
        let other = Authority::new().unwrap().issue(["client"]).unwrap();
        let wrong = trusting().client_certificate(other.cert_pem(), other.key_pem()).build().unwrap();
        let none = trusting().build().unwrap();
        for connector in [&none, &wrong] {
            let peer = refused(&server(TlsVersion::Tls12).require_client_certificate(&AUTHORITY));
            let error = shake(connector, "localhost", &peer).await.unwrap_err();
            let line = told(&error, ErrorKind::Tls);
            let seen = saw_fin(peer).await;
            assert_eq!(line, format!("the peer refused it with the alert {}", alert_of(&seen)), "{seen}");
        }
    });
}

#[test]
fn a_peer_that_refuses_our_certificate_says_so_in_tls_1_3_on_the_first_read() {
    play(async || {
        let other = Authority::new().unwrap().issue(["client"]).unwrap();
        let wrong = trusting().client_certificate(other.cert_pem(), other.key_pem()).build().unwrap();
        let none = trusting().build().unwrap();
        for connector in [&none, &wrong] {
            let theirs = server(TlsVersion::Tls13).require_client_certificate(&AUTHORITY);
            let peer = Peer::builder().tls(&theirs).script(Script::new()).tcp().unwrap();
            // RFC 8446 section 4.4.2.4: we are done before the peer has looked at our certificate.
            let stream = connector.connect("localhost", socket(&peer).await).await.unwrap();
            let (mut sender, connection) = adieu::conn::http1::handshake_on(stream).await.unwrap();
            let error = sender.send_request(get("/")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
            let report = connection.closed().await;
            let seen = seen(peer).await;
            let alert = alert_of(&seen);
            assert!(
                matches!(error.close_reason(), Some(CloseReason::TlsAlert(told)) if told.to_string() == alert.to_string()),
                "{error:?}\n{seen}"
            );
            let line = error.to_string();
            assert!(line.starts_with(&format!("the peer sent the TLS alert {alert}")), "{line}");
            assert!(matches!(report.reason, CloseReason::TlsAlert(_)), "{report}");
            assert!(!seen.saw_close_notify(), "{seen}");
        }
        // What it says on the wire is as RFC 8446 has it.
        let theirs = server(TlsVersion::Tls13).require_client_certificate(&AUTHORITY);
        let peer = Peer::builder().tls(&theirs).script(Script::new()).tcp().unwrap();
        let (mut sender, _connection) = connect(&peer).await;
        sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(alert_of(&seen(peer).await), Alert::CERTIFICATE_REQUIRED);
    });
}

#[test]
fn a_peer_may_answer_before_it_says_goodbye_to_a_client_without_certificate() {
    play(async || {
        // Optional certificates are for the HTTP layer to judge, as servers do: 403, and the connection ends in order.
        let theirs = server(TlsVersion::Tls13).request_client_certificate(&AUTHORITY);
        let script =
            Script::new().read_request().send(response(403, "who?")).expect_close_notify(SOON).goodbye();
        let peer = Peer::builder().tls(&theirs).script(script).tcp().unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let refused = sender.send_request(get("/")).await.unwrap();
        assert_eq!(refused.status(), 403);
        assert_eq!(read(refused).await.unwrap(), "who?");
        connection.close(CloseMode::graceful()).await;
        seen(peer).await.assert_close_notify_then_fin();
    });
}

//! TLS sessions: handshakes, what is agreed in them, where they start, what goes through them.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use adieu_testkit::peer::{Alert, Event, Gate, Peer, Script, Seen, TlsVersion, Until, response};
use adieu_testkit::tls::{Authority, Identity, TlsServer};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, SupportedProtocolVersion};

use crate::client::{GET, connect_and_send, is_timeout};
use crate::tls_client::{
    ServerEnd, TLS12, TLS13, TlsClient, authority, config, config_as, connect, end_of, tls_error, try_connect,
};

const SOON: Duration = Duration::from_secs(5);
const BOTH: [(&SupportedProtocolVersion, TlsVersion); 2] =
    [(&rustls::version::TLS12, TlsVersion::Tls12), (&rustls::version::TLS13, TlsVersion::Tls13)];

/// A peer that speaks TLS.
fn peer(server: &TlsServer, script: Script) -> Peer {
    Peer::builder().tls(server).script(script).tcp().unwrap()
}

fn only(peer: Peer) -> Seen {
    let mut seen = peer.finish().unwrap();
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

#[test]
fn an_exchange_and_a_goodbye() {
    for (version, expected) in BOTH {
        let (authority, server) = authority();
        let answer = response(200, "hello");
        let peer = peer(&server.alpn(["h2", "http/1.1"]), Script::new().read_request().send(answer.clone()));
        assert_eq!(peer.url("/a"), format!("https://{}/a", peer.address()));
        let mut config = config(&authority, &[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = connect(&peer, &Arc::new(config));
        client.write_all(GET).unwrap();
        assert_eq!(client.read_exactly(answer.len()), answer);
        client.goodbye();
        drop(client);

        let seen = only(peer);
        let handshake = seen.handshake().unwrap();
        assert_eq!((handshake.version, handshake.resumed), (expected, false));
        assert_eq!(handshake.server_name.as_deref(), Some("localhost"));
        assert_eq!(handshake.alpn.as_deref(), Some("http/1.1"));
        assert_eq!(handshake.client_certificate, None);
        assert!(handshake.cipher_suite.starts_with("TLS"), "{handshake}");
        assert_eq!(seen.requests()[0].target(), "/path");
        seen.assert_received(GET);
        assert_eq!(seen.sent_len(), answer.len() as u64);
        assert!(seen.wire_received_len() > seen.received_len() && seen.wire_sent_len() > seen.sent_len());
        seen.assert_close_notify_then_fin();
        let told = seen.to_string();
        assert!(
            told.contains("TLS handshake done: TLSv1.") && told.contains("client sent close_notify"),
            "{told}"
        );
    }
}

#[test]
fn every_entry_tells_its_depth() {
    let (authority, server) = authority();
    let peer = peer(&server, Script::new().read_head().send("x").mark("m").goodbye());
    let mut client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
    client.write_all(GET).unwrap();
    assert_eq!(client.read_to_end(), (b"x".to_vec(), ServerEnd::CloseNotify));
    client.goodbye();
    drop(client);
    let seen = only(peer);
    let entries: Vec<_> = seen.entries().iter().map(|entry| (entry.depth, &entry.event)).collect();
    assert!(
        matches!(
            entries[..],
            [
                (1, Event::Handshake(_)),
                (1, Event::Received { .. }),
                (1, Event::Sent { bytes: 1, pieces: 1 }),
                (0, Event::Mark(_)),
                (1, Event::SentCloseNotify),
                (0, Event::SentFin),
                (1, Event::CloseNotify),
                (0, Event::Fin),
                (0, Event::Closed),
            ]
        ),
        "{seen}"
    );
}

#[test]
fn a_session_is_resumed_unless_it_shall_not() {
    for (version, _) in BOTH {
        let (authority, server) = authority();
        for (server, resumed) in [(server.clone(), true), (server.no_resumption(), false)] {
            let config = Arc::new(config(&authority, &[version]));
            let peer = peer(&server, Script::new().read_exactly(1).send("y").repeat());
            for _ in 0..2 {
                let mut client = connect(&peer, &config);
                client.write_all(b"n").unwrap();
                // The tickets are read with it.
                client.read_exactly(1);
            }
            let kinds: Vec<_> =
                peer.finish().unwrap().iter().map(|seen| seen.handshake().unwrap().resumed).collect();
            assert_eq!(kinds, [false, resumed], "{version:?}");
        }
    }
}

#[test]
fn as_many_tickets_as_told() {
    let (authority, server) = authority();
    for count in [0, 1, 4] {
        let peer = peer(&server.clone().tickets(count), Script::new().send("x"));
        let mut client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
        client.read_exactly(1);
        assert_eq!(client.tls.tls13_tickets_received(), u32::try_from(count).unwrap());
        drop(client);
        peer.finish().unwrap();
    }
}

#[test]
fn a_client_certificate_is_seen() {
    let (authority, server) = authority();
    let user = authority.issue(["user"]).unwrap();
    for (version, _) in BOTH {
        let server = server.clone().require_client_certificate(&authority);
        let peer = peer(&server, Script::new());
        drop(connect(&peer, &Arc::new(config_as(&user, &authority, &[version]))));
        let seen = only(peer);
        assert_eq!(seen.handshake().unwrap().client_certificate.as_deref(), Some(user.cert_der()));
        assert!(seen.to_string().contains("client certificate"));
    }
    let peer = peer(&server.request_client_certificate(&authority), Script::new());
    drop(connect(&peer, &Arc::new(config(&authority, &[TLS13]))));
    assert_eq!(only(peer).handshake().unwrap().client_certificate, None);
}

#[test]
fn a_missing_client_certificate_is_refused() {
    for (version, alert) in [(TLS12, Alert::CERTIFICATE_REQUIRED), (TLS13, Alert::CERTIFICATE_REQUIRED)] {
        let (authority, server) = authority();
        let server = server.require_client_certificate(&authority);
        let peer = Peer::builder()
            .tls(&server)
            .script(Script::new())
            .script(Script::new().read_head().or_end())
            .tcp()
            .unwrap();
        for _ in 0..2 {
            // With TLS 1.3 the handshake is over for the client before it is refused.
            let refused = try_connect(&peer, &Arc::new(config(&authority, &[version])))
                .and_then(|mut client| client.read(&mut [0]))
                .unwrap_err();
            assert_eq!(end_of(&refused), ServerEnd::Alert(alert));
        }
        let error = peer.finish().unwrap_err();
        assert_eq!(
            error.failures().collect::<Vec<_>>(),
            ["connection 1, step 1 (read a head): the TLS handshake failed: peer sent no certificates"]
        );
        let seen = &error.seen()[0];
        assert_eq!(seen.handshake_failure(), Some("peer sent no certificates"));
        assert!(seen.time_of(|event| *event == Event::SentAlert(alert)).is_some(), "{seen}");
        assert!(seen.handshake().is_none());
    }
}

/// The server's certificate is refused for this reason.
fn refuse(server: &TlsServer, config: ClientConfig, reason: &CertificateError, alert: Alert) {
    let script = || Script::new().answer_all(response(200, ""));
    let peer = Peer::builder().tls(server).script(Script::new()).script(script()).script(script().goodbye());
    let peer = peer.script(Script::new().expect_alert(SOON).expect_fin(SOON).close()).tcp().unwrap();
    let config = Arc::new(config);
    for _ in 0..4 {
        let Err(error) = try_connect(&peer, &config) else { panic!("the certificate was accepted") };
        let rustls::Error::InvalidCertificate(why) = tls_error(&error) else { panic!("{error}") };
        assert_eq!(std::mem::discriminant(why), std::mem::discriminant(reason), "{why:?}");
    }
    for seen in peer.finish().unwrap() {
        seen.assert_alert(alert);
        assert_eq!(seen.handshake_failure(), Some(format!("the client ended with alert {alert}").as_str()));
        assert!(!seen.saw_close_notify() && seen.handshake().is_none());
        seen.assert_fin();
    }
}

#[test]
fn the_clients_alert_about_a_bad_certificate_is_seen() {
    for (version, _) in BOTH {
        let authority = Authority::new().unwrap();
        let versions = [version];
        let config = || config(&authority, &versions);
        let unknown = TlsServer::new(Authority::new().unwrap().issue(["localhost"]).unwrap());
        refuse(&unknown, config(), &CertificateError::UnknownIssuer, Alert::UNKNOWN_CA);
        let self_signed = TlsServer::new(Identity::self_signed(["localhost"]).unwrap());
        refuse(&self_signed, config(), &CertificateError::UnknownIssuer, Alert::UNKNOWN_CA);
        let expired = TlsServer::new(authority.issue_expired(["localhost"]).unwrap());
        let reason = CertificateError::ExpiredContext {
            time: rustls::pki_types::UnixTime::now(),
            not_after: rustls::pki_types::UnixTime::now(),
        };
        refuse(&expired, config(), &reason, Alert::CERTIFICATE_EXPIRED);
        let other = TlsServer::new(authority.issue(["example.org"]).unwrap());
        let reason = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("localhost").unwrap(),
            presented: Vec::new(),
        };
        refuse(&other, config(), &reason, Alert::BAD_CERTIFICATE);
    }
}

#[test]
fn a_step_that_needs_the_session_meets_its_end() {
    let (authority, _) = authority();
    let unknown = TlsServer::new(Identity::self_signed(["localhost"]).unwrap());
    let peer = Peer::builder()
        .tls(&unknown)
        .script(Script::new().read_head().or_end().mark("not reached"))
        .script(Script::new().send("x").or_end().mark("not reached"))
        .script(Script::new().read_head())
        .script(Script::new().send("x"))
        .script(Script::new().close_notify())
        .script(Script::new().expect_close_notify(SOON))
        .tcp()
        .unwrap();
    for _ in 0..6 {
        assert!(try_connect(&peer, &Arc::new(config(&authority, &[TLS13]))).is_err());
    }
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [
            "connection 2, step 1 (read a head): the client ended with alert unknown_ca, 0 bytes into it",
            "connection 3, step 1 (send 1 bytes): the client ended with alert unknown_ca, 0 bytes into it",
            "connection 4, step 1 (send close_notify): there is no TLS session left to end",
            "connection 5, step 1 (expect close_notify within 5s): the client ended with alert unknown_ca, 0 bytes into it",
        ]
    );
    assert!(error.seen().iter().all(|seen| !seen.saw_fin_before("not reached")));
}

#[test]
fn nothing_in_common_is_an_alert_of_the_server() {
    let (authority, server) = authority();
    for (server, protocols, alert) in [
        (server.clone().only_tls13(), vec![], Alert::PROTOCOL_VERSION),
        (
            server.clone().only_tls12().alpn(["h2"]),
            vec![b"http/1.1".to_vec()],
            Alert::NO_APPLICATION_PROTOCOL,
        ),
    ] {
        let peer = peer(&server, Script::new());
        let mut config = config(&authority, &[TLS12]);
        config.alpn_protocols = protocols;
        let Err(error) = try_connect(&peer, &Arc::new(config)) else { panic!("nothing was in common") };
        assert_eq!(end_of(&error), ServerEnd::Alert(alert));
        let seen = only(peer);
        assert!(seen.time_of(|event| *event == Event::SentAlert(alert)).is_some(), "{seen}");
        assert!(seen.handshake_failure().is_some() && seen.alert().is_none());
    }
}

#[test]
fn a_client_without_tls_fails_the_handshake() {
    let (_, server) = authority();
    let peer = peer(&server, Script::new());
    let mut client = connect_and_send(&peer, GET);
    let mut alert = [0; 7];
    client.read_exact(&mut alert).unwrap();
    assert_eq!(alert[..2], [21, 3]);
    drop(client);
    let seen = only(peer);
    assert_eq!(seen.handshake_failure(), Some("received corrupt message of type InvalidContentType"));
    assert_eq!(seen.wire_received_len(), GET.len() as u64);
    assert_eq!(seen.received_len(), 0);
    assert!(seen.time_of(|event| matches!(event, Event::SentAlert(_))).is_some(), "{seen}");
    assert!(seen.time_of(|event| *event == Event::Stray { bytes: GET.len() as u64 - 5 }).is_some(), "{seen}");
    seen.assert_fin();
}

#[test]
fn a_client_that_leaves_in_the_handshake_is_no_failure() {
    let (_, server) = authority();
    let peer = peer(&server, Script::new());
    drop(connect_and_send(&peer, &[22, 3, 1, 1]));
    let seen = only(peer);
    assert_eq!(seen.handshake_failure(), Some("the client ended with FIN"));
    seen.assert_fin();
}

#[test]
fn a_silent_client_uses_up_the_step_limit() {
    let (_, server) = authority();
    let peer = peer(&server, Script::new().step_limit(Duration::from_millis(20)));
    let client = crate::client::connect(&peer);
    let error = peer.finish().unwrap_err();
    assert_eq!(error.failures().next(), Some("connection 0, step 0 (start TLS): not done within 20ms"));
    drop(client);
}

#[test]
fn dropping_the_peer_ends_a_handshake() {
    let (_, server) = authority();
    let peer = peer(&server, Script::new());
    let mut client = crate::client::connect(&peer);
    peer.wait(0, Until::Accepted).unwrap();
    drop(peer);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn tls_starts_in_the_middle_of_a_script() {
    let (authority, server) = authority();
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\n\r\n")
        .start_tls(&server)
        .read_request()
        .send(response(200, "inside"))
        .goodbye();
    let peer = Peer::tcp(script).unwrap();
    assert!(peer.url("").starts_with("http://"));
    // The ClientHello comes right behind the request, and is left alone until TLS starts.
    let connect = b"CONNECT localhost:443 HTTP/1.1\r\n\r\n";
    let socket = connect_and_send(&peer, connect);
    let mut client = TlsClient::over(socket, &Arc::new(config(&authority, &[TLS13])), "localhost");
    client.tls.write_tls(&mut client.socket).unwrap();
    assert_eq!(crate::client::read_exactly(&client.socket, 19), b"HTTP/1.1 200 OK\r\n\r\n");
    client.handshake().unwrap();
    client.write_all(GET).unwrap();
    assert_eq!(client.read_to_end(), (response(200, "inside"), ServerEnd::CloseNotify));
    client.goodbye();
    drop(client);
    let seen = only(peer);
    assert_eq!(
        seen.requests().iter().map(|request| request.method()).collect::<Vec<_>>(),
        ["CONNECT", "GET"]
    );
    seen.assert_received([&connect[..], GET].concat());
    seen.assert_close_notify_then_fin();
}

#[test]
fn tls_inside_of_tls() {
    for (outer_version, inner_version) in [(TLS13, TLS13), (TLS12, TLS13), (TLS13, TLS12)] {
        let (proxy_authority, proxy) = authority();
        let (authority, origin) = authority();
        let script = Script::new()
            .read_head()
            .send_pieces("HTTP/1.1 200 OK\r\n\r\n", 5)
            .start_tls(&origin)
            .read_request()
            .send_pieces(response(200, "inmost"), 4)
            .expect_close_notify(SOON)
            .goodbye();
        let peer = peer(&proxy, script);
        let mut outer = connect(&peer, &Arc::new(config(&proxy_authority, &[outer_version])));
        outer.write_all(b"CONNECT x HTTP/1.1\r\n\r\n").unwrap();
        outer.read_exactly(19);
        let mut inner = TlsClient::over(outer, &Arc::new(config(&authority, &[inner_version])), "localhost");
        inner.handshake().unwrap();
        inner.write_all(GET).unwrap();
        assert_eq!(inner.read_exactly(response(200, "inmost").len()), response(200, "inmost"));
        inner.close_notify();
        assert_eq!(inner.read_to_end().1, ServerEnd::CloseNotify);
        let mut outer = inner.socket;
        outer.goodbye();
        assert_eq!(outer.read_to_end(), (Vec::new(), ServerEnd::CloseNotify));
        drop(outer);

        let seen = only(peer);
        seen.assert_close_notify_then_fin();
        let goodbyes = |kind: Event| {
            let said = seen.entries().iter().filter(move |entry| entry.event == kind);
            said.map(|entry| entry.depth).collect::<Vec<_>>()
        };
        assert_eq!(goodbyes(Event::CloseNotify), [2, 1]);
        assert_eq!(goodbyes(Event::SentCloseNotify), [2, 1]);
        assert_eq!(seen.handshakes().count(), 2);
        assert!(seen.to_string().contains("client sent close_notify (inner TLS)"));
    }
}

#[test]
fn an_answer_in_pieces_has_a_record_for_each() {
    let (authority, server) = authority();
    let answer = response(200, "hello");
    let peer = peer(&server.tickets(0), Script::new().send_pieces(answer.clone(), 1).goodbye());
    let mut client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
    assert_eq!(client.read_to_end(), (answer.clone(), ServerEnd::CloseNotify));
    drop(client);
    let seen = only(peer);
    // A record has a header of 5 bytes, the content type and a tag of 16 bytes.
    let event = Event::Sent { bytes: answer.len() as u64, pieces: answer.len() as u64 };
    assert!(seen.time_of(|seen| *seen == event).is_some(), "{seen}");
    assert!(seen.wire_sent_len() > 23 * answer.len() as u64);
}

#[test]
fn much_goes_both_ways_with_small_buffers() {
    const LENGTH: usize = 3 << 20;
    for (version, _) in BOTH {
        let (authority, server) = authority();
        let script =
            Script::new().count_only().read_exactly(LENGTH as u64).send_filler(LENGTH as u64).goodbye();
        let peer = Peer::builder().tls(&server).receive_buffer(4096).script(script).tcp().unwrap();
        let mut client = connect(&peer, &Arc::new(config(&authority, &[version])));
        client.write_all(&vec![b'y'; LENGTH]).unwrap();
        let (filler, end) = client.read_to_end();
        assert_eq!((filler.len(), end), (LENGTH, ServerEnd::CloseNotify));
        assert!(filler.iter().all(|byte| *byte == b'x'));
        client.goodbye();
        drop(client);
        let seen = only(peer);
        assert_eq!((seen.received_len(), seen.sent_len()), (LENGTH as u64, LENGTH as u64));
        seen.assert_close_notify_then_fin();
    }
}

#[test]
fn a_client_that_does_not_read_and_leaves_ends_the_sending() {
    const LENGTH: u64 = 64 << 20;
    let (authority, server) = authority();
    let peer = peer(&server, Script::new().mark("sending").send_filler(LENGTH).or_end());
    let client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
    peer.wait(0, Until::Mark("sending")).unwrap();
    drop(client);
    let seen = only(peer);
    assert!(seen.sent_len() < LENGTH, "{seen}");
    seen.assert_reset();
}

#[test]
fn both_sides_change_their_keys() {
    let (authority, server) = authority();
    let script =
        Script::new().send("a").key_update().send("b").key_update().read_exactly(3).send("c").read_exactly(2);
    let peer = peer(&server, script);
    let mut client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
    assert_eq!(client.read_exactly(2), b"ab");
    client.write_all(b"one").unwrap();
    assert_eq!(client.read_exactly(1), b"c");
    client.tls.refresh_traffic_keys().unwrap();
    client.write_all(b"up").unwrap();
    client.goodbye();
    drop(client);
    let seen = only(peer);
    seen.assert_received("oneup");
    assert!(seen.entries().iter().filter(|entry| entry.event == Event::SentKeyUpdate).count() == 2);
    assert!(seen.entries().iter().filter(|entry| entry.event == Event::KeyUpdate).count() >= 2, "{seen}");
    seen.assert_close_notify_then_fin();
}

#[test]
fn a_ticket_on_an_idle_connection_is_no_data() {
    let (authority, server) = authority();
    let idle = Gate::new();
    let script = Script::new().read_head().send("x").gate(&idle).ticket().mark("sent").read_head().send("y");
    let peer = peer(&server.tickets(1), script);
    let mut client = connect(&peer, &Arc::new(config(&authority, &[TLS13])));
    client.write_all(GET).unwrap();
    client.read_exactly(1);
    assert_eq!(client.tls.tls13_tickets_received(), 1);
    idle.open();
    peer.wait(0, Until::Mark("sent")).unwrap();
    client.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    assert!(is_timeout(&client.read(&mut [0]).unwrap_err()));
    client.socket.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(client.tls.tls13_tickets_received(), 2);
    client.write_all(GET).unwrap();
    assert_eq!(client.read_exactly(1), b"y");
    client.goodbye();
    drop(client);
    only(peer).assert_close_notify_then_fin();
}

#[test]
fn what_only_tls_13_has_is_a_failure_without_it() {
    let (authority, server) = authority();
    let peer = Peer::builder()
        .script(Script::new().start_tls(&server.only_tls12()).key_update())
        .script(Script::new().ticket())
        .script(Script::new().close_notify())
        .script(Script::new().expect_close_notify(SOON))
        .tcp()
        .unwrap();
    drop(connect(&peer, &Arc::new(config(&authority, &[TLS12]))));
    for _ in 0..3 {
        drop(crate::client::connect(&peer));
    }
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [
            "connection 0, step 2 (update keys): only TLS 1.3 has it",
            "connection 1, step 1 (send a ticket): there is no TLS here",
            "connection 2, step 1 (send close_notify): there is no TLS session left to end",
            "connection 3, step 1 (expect close_notify within 5s): the client ended with FIN, 0 bytes into it",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_unix_socket_speaks_tls_too() {
    let (authority, server) = authority();
    let path = std::env::temp_dir().join(format!("peer-tls-{}.sock", std::process::id()));
    let peer = Peer::builder().tls(&server).script(Script::new().send("x").goodbye()).unix(&path).unwrap();
    assert_eq!(peer.url("/"), "https://localhost/");
    let socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut client = TlsClient::over(socket, &Arc::new(config(&authority, &[TLS13])), "localhost");
    client.handshake().unwrap();
    assert_eq!(client.read_to_end(), (b"x".to_vec(), ServerEnd::CloseNotify));
    client.close_notify();
    drop(client);
    only(peer).assert_close_notify_then_fin();
}

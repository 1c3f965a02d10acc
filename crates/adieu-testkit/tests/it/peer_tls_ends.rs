//! Every end of TLS, in both directions: close_notify, FIN, RST, alerts, and what is unread.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use adieu_testkit::Ended;
use adieu_testkit::peer::{Alert, Event, Gate, Peer, Script, Seen, Until};
use adieu_testkit::tls::Authority;
use rustls::SupportedProtocolVersion;

use crate::client::{GET, connect_and_send, read_to_end, reset};
use crate::tls_client::{ServerEnd, TLS12, TLS13, TlsClient, authority, config, connect};

const SOON: Duration = Duration::from_secs(5);
const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A peer with this script, and a client that has handshaken with it.
fn meet(version: &'static SupportedProtocolVersion, script: Script) -> (Peer, TlsClient) {
    let (authority, server) = authority();
    // Without tickets: a client that closes with some of them unread resets the connection.
    let peer = Peer::builder().tls(&server.tickets(0)).script(script).tcp().unwrap();
    let client = connect(&peer, &client_of(&authority, version));
    (peer, client)
}

fn client_of(authority: &Authority, version: &'static SupportedProtocolVersion) -> Arc<rustls::ClientConfig> {
    Arc::new(config(authority, &[version]))
}

fn only(peer: Peer) -> Seen {
    peer.finish().unwrap().remove(0)
}

/// The failure of the one script, and what was seen.
fn failed(peer: Peer) -> (String, Seen) {
    let error = peer.finish().unwrap_err();
    let failure = error.failures().next().unwrap().to_owned();
    (failure, error.into_seen().remove(0))
}

#[test]
fn the_clients_close_notify_and_fin_are_two_things() {
    for version in BOTH {
        let script = Script::new().expect_close_notify(SOON).mark("between").expect_fin(SOON).mark("after");
        let (peer, mut client) = meet(version, script);
        client.write_all(b"bytes before").unwrap();
        client.close_notify();
        let seen = peer.wait(0, Until::Mark("between")).unwrap();
        assert!(seen.saw_close_notify() && !seen.saw_fin());
        seen.assert_still_open();
        drop(client);
        let seen = only(peer);
        seen.assert_received("bytes before");
        assert!(seen.saw_close_notify_before("between") && !seen.saw_fin_before("between"));
        seen.assert_fin_before("after");
        seen.assert_close_notify_then_fin();
    }
}

#[test]
fn a_close_notify_is_the_end_of_the_bytes() {
    let script = Script::new().read_exactly(2).or_end().mark("not reached");
    let (peer, mut client) = meet(TLS13, script);
    client.write_all(b"1").unwrap();
    client.goodbye();
    let seen = only(peer);
    assert!(!seen.saw_close_notify_before("not reached"));
    seen.assert_close_notify_then_fin();

    let (peer, mut client) = meet(TLS13, Script::new().read_exactly(2));
    client.write_all(b"1").unwrap();
    client.goodbye();
    assert_eq!(
        failed(peer).0,
        "connection 0, step 1 (read exactly 2 bytes): the client ended with close_notify, 1 bytes into it"
    );
}

#[test]
fn a_fin_without_close_notify_is_seen_as_such() {
    for version in BOTH {
        let (peer, mut client) = meet(version, Script::new());
        client.write_all(b"cut").unwrap();
        drop(client);
        let seen = only(peer);
        seen.assert_fin();
        assert!(!seen.saw_close_notify());

        let (peer, client) = meet(version, Script::new().expect_close_notify(SOON));
        drop(client);
        let (failure, _) = failed(peer);
        assert_eq!(
            failure,
            "connection 0, step 1 (expect close_notify within 5s): the client ended with FIN, 0 bytes into it"
        );
    }
}

#[test]
fn a_reset_without_close_notify_is_seen_as_such() {
    for script in [Script::new(), Script::new().expect_reset(SOON), Script::new().read_to_end()] {
        let (peer, mut client) = meet(TLS13, script);
        client.write_all(b"cut").unwrap();
        peer.wait(0, Until::Received(3)).unwrap();
        reset(client.socket);
        let seen = only(peer);
        seen.assert_reset();
        assert!(!seen.saw_close_notify() && !seen.saw_fin());
    }
    let (peer, client) = meet(TLS13, Script::new().expect_close_notify(SOON));
    reset(client.socket);
    let (failure, seen) = failed(peer);
    assert!(failure.ends_with("the client ended with RST, 0 bytes into it"), "{failure}");
    seen.assert_reset();
}

#[test]
fn a_reset_after_close_notify_is_seen_as_such() {
    let (peer, mut client) = meet(TLS13, Script::new().expect_close_notify(SOON).mark("close_notify"));
    client.close_notify();
    peer.wait(0, Until::Mark("close_notify")).unwrap();
    reset(client.socket);
    let seen = only(peer);
    assert!(seen.saw_close_notify());
    seen.assert_reset();
}

#[test]
fn a_close_notify_that_does_not_come() {
    let (peer, client) = meet(TLS13, Script::new().expect_close_notify(Duration::from_millis(20)));
    let (failure, _) = failed(peer);
    assert!(failure.ends_with("not done within 20ms, 0 bytes into it"), "{failure}");
    drop(client);
}

#[test]
fn every_end_of_ours() {
    for version in BOTH {
        for (end, expected) in [
            (Script::new().fin(), ServerEnd::Truncated),
            (Script::new().close(), ServerEnd::Truncated),
            (Script::new().reset(), ServerEnd::Reset),
            (Script::new().close_notify(), ServerEnd::CloseNotify),
            (Script::new().close_notify().fin(), ServerEnd::CloseNotify),
            (Script::new().goodbye(), ServerEnd::CloseNotify),
            (Script::new().close_notify().goodbye(), ServerEnd::CloseNotify),
            (Script::new().alert(Alert::INTERNAL_ERROR), ServerEnd::Alert(Alert::INTERNAL_ERROR)),
            (Script::new().alert(200).fin(), ServerEnd::Alert(Alert::from(200))),
        ] {
            let read = Gate::new();
            let script = Script::new().read_head().send("hal").gate(&read).times(1, end);
            let (peer, mut client) = meet(version, script);
            client.write_all(GET).unwrap();
            assert_eq!(client.read_exactly(3), b"hal");
            read.open();
            assert_eq!(client.read_to_end(), (Vec::new(), expected));
            drop(client);
            peer.finish().unwrap();
        }
    }
}

#[test]
fn our_close_notify_leaves_the_socket_open_and_the_client_heard() {
    let (peer, mut client) = meet(TLS13, Script::new().close_notify().read_exactly(5).mark("heard").fin());
    assert_eq!(client.read_to_end().1, ServerEnd::CloseNotify);
    client.write_all(b"still").unwrap();
    peer.wait(0, Until::Mark("heard")).unwrap();
    assert_eq!(read_to_end(&client.socket), (Vec::new(), Ended::Fin));
    client.goodbye();
    drop(client);
    let seen = only(peer);
    assert!(seen.saw_before("heard", |event| *event == Event::SentCloseNotify));
    assert!(!seen.saw_close_notify_before("heard"));
    seen.assert_received("still");
    seen.assert_close_notify_then_fin();
}

#[test]
fn sending_after_the_end_of_our_side() {
    // Possible after a close_notify, for a peer that misbehaves.
    let (peer, mut client) = meet(TLS13, Script::new().send("a").close_notify().send("b").fin());
    assert_eq!(client.read_to_end(), (b"a".to_vec(), ServerEnd::CloseNotify));
    drop(client);
    assert_eq!(peer.wait(0, Until::Over).unwrap().sent_len(), 2);

    for (script, failure) in [
        (Script::new().fin().send("b"), "step 2 (send 1 bytes): the script has sent FIN already"),
        (Script::new().fin().close_notify(), "step 2 (send close_notify): the script has sent FIN already"),
        (
            Script::new().fin().alert(40),
            "step 2 (send alert handshake_failure): the script has sent FIN already",
        ),
        (
            Script::new().fin().send_raw("x"),
            "step 2 (send 1 bytes below TLS): the script has sent FIN already",
        ),
        (
            Script::new().close_notify().close_notify(),
            "step 2 (send close_notify): there is no TLS session left to end",
        ),
    ] {
        let (peer, client) = meet(TLS13, script);
        assert_eq!(failed(peer).0, format!("connection 0, {failure}"));
        drop(client);
    }
}

#[test]
fn an_alert_in_the_clear_answers_a_client_hello() {
    let (authority, _) = authority();
    let peer = Peer::tcp(Script::new().read_record().alert(Alert::HANDSHAKE_FAILURE).fin()).unwrap();
    let socket = crate::client::connect(&peer);
    let mut client = TlsClient::over(socket, &client_of(&authority, TLS13), "localhost");
    let error = client.handshake().unwrap_err();
    assert_eq!(crate::tls_client::end_of(&error), ServerEnd::Alert(Alert::HANDSHAKE_FAILURE));
    drop(client);
    let seen = only(peer);
    assert!(seen.time_of(|event| *event == Event::SentAlert(Alert::HANDSHAKE_FAILURE)).is_some(), "{seen}");
    // The ClientHello was read to its end and no further, so that the end was a FIN.
    assert!(seen.received().starts_with(&[22, 3, 1]));
    seen.assert_fin();
}

#[test]
fn garbage_below_tls_is_answered_with_an_alert() {
    for (version, garbage, alert) in [
        (TLS12, [b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat(), Alert::BAD_RECORD_MAC),
        (TLS13, [b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat(), Alert::BAD_RECORD_MAC),
        (TLS13, b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Alert::DECODE_ERROR),
    ] {
        let met = Gate::new();
        let script = Script::new().gate(&met).send_raw(garbage.clone()).expect_alert(SOON);
        let (peer, mut client) = meet(version, script);
        met.open();
        assert!(std::io::Read::read(&mut client, &mut [0]).is_err());
        drop(client);
        let seen = only(peer);
        seen.assert_alert(alert);
        assert!(seen.time_of(|event| *event == Event::SentRaw { bytes: garbage.len() as u64 }).is_some());
        assert!(!seen.saw_close_notify());
    }
}

#[test]
fn an_alert_of_the_client_ends_its_bytes() {
    let garbage = [b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat();
    let met = Gate::new();
    let script = Script::new().gate(&met).send_raw(garbage).read_head().or_end().mark("not reached");
    let (peer, mut client) = meet(TLS13, script);
    met.open();
    assert!(std::io::Read::read(&mut client, &mut [0]).is_err());
    drop(client);
    let seen = only(peer);
    assert!(seen.time_of(|event| matches!(event, Event::Mark(_))).is_none(), "{seen}");
    assert!(seen.alert().is_some() && seen.saw_fin());
}

#[test]
fn a_client_that_breaks_tls_fails_the_script() {
    for script in [Script::new().read_head(), Script::new(), Script::new().close_notify()] {
        let (peer, mut client) = meet(TLS13, script);
        client.socket.write_all(&[b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat()).unwrap();
        client.socket.shutdown(Shutdown::Write).unwrap();
        let (failure, seen) = failed(peer);
        assert!(failure.ends_with("TLS failed: cannot decrypt peer's message"), "{failure}");
        assert!(seen.time_of(|event| *event == Event::SentAlert(Alert::BAD_RECORD_MAC)).is_some(), "{seen}");
    }
}

#[test]
fn bytes_after_the_clients_close_notify_are_stray() {
    let (peer, mut client) = meet(TLS13, Script::new());
    client.close_notify();
    client.socket.write_all(b"stray").unwrap();
    client.socket.write_all(b" bytes").unwrap();
    drop(client);
    let seen = only(peer);
    assert!(seen.time_of(|event| *event == Event::Stray { bytes: 11 }).is_some(), "{seen}");
    assert_eq!(seen.received_len(), 0);
    assert!(seen.saw_close_notify() && seen.saw_fin());
    let polite = std::panic::catch_unwind(|| seen.assert_close_notify_then_fin());
    assert!(polite.is_err());
}

#[test]
fn quiet_hears_close_notify_but_no_tickets_or_keys() {
    let quiet = Duration::from_millis(20);
    let sent = Gate::new();
    let (peer, mut client) = meet(TLS13, Script::new().gate(&sent).quiet(quiet).mark("quiet"));
    client.tls.refresh_traffic_keys().unwrap();
    client.flush().unwrap();
    sent.open();
    peer.wait(0, Until::Mark("quiet")).unwrap();
    client.close_notify();
    drop(client);
    let seen = only(peer);
    assert!(seen.saw_before("quiet", |event| *event == Event::KeyUpdate), "{seen}");

    let (peer, mut client) = meet(TLS13, Script::new().read_exactly(1).quiet(SOON));
    client.write_all(b"x").unwrap();
    client.close_notify();
    assert!(failed(peer).0.ends_with("the client ended with close_notify, 0 bytes into it"));

    // What was told already is not told again.
    let (peer, mut client) = meet(TLS13, Script::new().expect_close_notify(SOON).quiet(quiet).fin());
    client.close_notify();
    assert_eq!(client.read_to_end().1, ServerEnd::Truncated);
    drop(client);
    only(peer).assert_close_notify_then_fin();
}

#[test]
fn a_record_is_read_whole_and_the_next_one_left_alone() {
    let body = b"the body";
    let one = vec![[GET, body].concat()];
    let two = vec![GET.to_vec(), body.to_vec()];
    for (records, wire_end) in [(one, Ended::Fin), (two, Ended::Reset)] {
        let sent = Gate::new();
        let (peer, mut client) = meet(TLS13, Script::new().gate(&sent).read_head().mark("head").close());
        for record in &records {
            client.write_all(record).unwrap();
        }
        // With the client's bytes before it, so that the kernel has them all.
        sent.open();
        let seen = peer.wait(0, Until::Mark("head")).unwrap();
        seen.assert_received(GET);
        assert_eq!(read_to_end(&client.socket).1, wire_end);
        peer.finish().unwrap();
    }
}

#[test]
fn the_rest_of_a_record_waits_for_its_step() {
    let script =
        Script::new().read_head().mark("head").read_exactly(4).mark("four").expect_close_notify(SOON);
    let (peer, mut client) = meet(TLS13, script);
    client.write_all(&[GET, b"fourrest"].concat()).unwrap();
    client.goodbye();
    drop(client);
    let seen = only(peer);
    assert_eq!(seen.received_before("head"), Some(GET.len() as u64));
    assert_eq!(seen.received_before("four"), Some(GET.len() as u64 + 4));
    seen.assert_received([GET, b"fourrest"].concat());
    seen.assert_close_notify_then_fin();
}

#[test]
fn a_record_in_pieces_is_put_together() {
    let (peer, mut client) = meet(TLS13, Script::new().read_head().send("ok").goodbye());
    client.tls.writer().write_all(GET).unwrap();
    let mut record = Vec::new();
    client.tls.write_tls(&mut record).unwrap();
    for byte in record {
        client.socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.read_to_end(), (b"ok".to_vec(), ServerEnd::CloseNotify));
    client.goodbye();
    drop(client);
    only(peer).assert_close_notify_then_fin();
}

#[test]
fn a_single_look_sees_all_that_came() {
    let ended = Gate::new();
    let (peer, mut client) = meet(TLS13, Script::new().linger(Duration::ZERO).gate(&ended));
    client.write_all(b"bytes").unwrap();
    client.goodbye();
    drop(client);
    ended.open();
    only(peer).assert_close_notify_then_fin();
}

#[test]
#[should_panic(expected = "expected the client's close_notify and then its FIN")]
fn a_missing_close_notify_fails_the_assertion() {
    let (peer, client) = meet(TLS12, Script::new());
    drop(client);
    only(peer).assert_close_notify_then_fin();
}

#[test]
#[should_panic(expected = "expected close_notify, but there was no TLS")]
fn a_plain_connection_has_no_close_notify() {
    let peer = Peer::tcp(Script::new().goodbye()).unwrap();
    drop(connect_and_send(&peer, GET));
    only(peer).assert_close_notify_then_fin();
}

#[test]
#[should_panic(expected = "expected alert unknown_ca of the client, saw none")]
fn a_missing_alert_fails_the_assertion() {
    let (peer, client) = meet(TLS13, Script::new());
    drop(client);
    only(peer).assert_alert(Alert::UNKNOWN_CA);
}

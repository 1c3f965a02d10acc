//! Records that break TLS, and alerts: the peer is told by an alert of ours, the exchange by an error of kind `Tls`.

use adieu::{CloseMode, CloseReason, Ended, ErrorKind, ReadEnd, Signal, TlsAlert};
use adieu_testkit::peer::{Alert, Event, Gate, Script, TlsVersion, Until, response};

use super::support::{BOTH, SOON, check, connect, exchange, fetch_what_comes, peer, shows, signals};
use crate::props::{beside, pause, play, refuses, seen, side_by_side, upload};
use crate::support::get;

/// What breaks TLS, what adieu calls it, and the alert that RFC 8446 section 6.2 and RFC 5246 section 7.2.2 have for it.
const BROKEN: [(&[u8], &str, Alert); 2] = [
    (&RECORD, "a record that does not decrypt", Alert::BAD_RECORD_MAC),
    (b"HTTP/1.1 200 OK\r\n\r\n", "a malformed record", Alert::DECODE_ERROR),
];

/// A record to which nobody has the key.
const RECORD: [u8; 37] = {
    let mut record = [0; 37];
    (record[0], record[1], record[2], record[4]) = (23, 3, 3, 32);
    record
};

/// Where in an exchange something happens: what of the response came before it, and what of its body.
const PLACES: [(&str, &str); 4] = [
    ("", ""),
    ("HTTP/1.1 200 OK\r\nConte", ""),
    ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "hello"),
    ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
];

#[test]
fn a_broken_record_in_mid_response_is_answered_by_an_alert() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for broken in BROKEN {
                for place in PLACES {
                    scenes.push((version, broken, place));
                }
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, (bytes, what, alert), (start, body))| {
            let script = Script::new().read_request().send(start).send_raw(bytes).expect_alert(SOON);
            let peer = peer(version, script.expect_fin(SOON).fin());
            let (mut sender, connection) = connect(&peer).await;
            let (came, outcome) = fetch_what_comes(&mut sender).await;
            let error = outcome.unwrap_err();
            let reason = CloseReason::TlsBroken(what);
            assert_eq!(came, body);
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (ErrorKind::Tls, Some(&reason), ReadEnd::TlsFailed),
                "{error:?}"
            );
            assert!(error.to_string().contains("broke TLS") && !error.to_string().contains('\n'), "{error}");
            assert_eq!(refuses(&mut sender).await, reason);
            let report = connection.closed().await;
            check(&report);
            // The alert took the place of close_notify.
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (reason, Ended::Clean, signals([Signal::Fin]), signals([Signal::Fin])),
                "{report}"
            );
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            let seen = seen(peer).await;
            seen.assert_alert(alert);
            seen.assert_fin();
            assert!(!seen.saw_close_notify(), "{seen}");
            assert_eq!(seen.requests_len(), 1, "{seen}");
        }))
        .await;
    });
}

/// What came before it in the same turn is the response's all the same.
#[test]
fn a_broken_record_right_behind_a_whole_response_fails_only_what_follows() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for broken in BROKEN {
                scenes.push((version, broken));
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, (bytes, what, alert))| {
            let script = Script::new().read_request().send(response(200, "ok")).send_raw(bytes).mark("sent");
            let peer = peer(version, script.expect_alert(SOON).expect_fin(SOON).fin());
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            pause(2).await;
            assert_eq!(refuses(&mut sender).await, CloseReason::TlsBroken(what));
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            assert_eq!((report.sent, report.received), (signals([Signal::Fin]), signals([Signal::Fin])));
            let seen = seen(peer).await;
            seen.assert_alert(alert);
            seen.assert_fin();
        }))
        .await;
    });
}

/// The upload will never be whole: no FIN, which could pass for its end, but the alert and a reset.
#[test]
fn a_broken_record_in_mid_upload_is_answered_by_an_alert_and_a_reset() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let (bytes, what, alert) = BROKEN[0];
            let script = Script::new().read_head().send_raw(bytes).expect_alert(SOON).expect_reset(SOON);
            let peer = peer(version, script);
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", Some(1000));
            hand.give("0123456789");
            let error = sender.send_request(request).await.unwrap_err();
            let reason = CloseReason::TlsBroken(what);
            assert_eq!((error.kind(), error.close_reason()), (ErrorKind::Tls, Some(&reason)), "{error:?}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (reason, Ended::Aborted, signals([Signal::Rst]), signals([])),
                "{report}"
            );
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            seen.assert_alert(alert);
            seen.assert_reset();
            assert!(!seen.saw_close_notify() && !seen.saw_fin(), "{seen}");
        }))
        .await;
    });
}

/// A peer that breaks TLS after our goodbye: there is nothing left to say, and nothing that was said is unsaid.
#[test]
fn a_broken_record_after_our_goodbye_unsays_nothing() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let gate = Gate::new();
            let script = Script::new().read_request().send(response(200, "ok")).read_to_end().gate(&gate);
            let peer = peer(version, script.send_raw(BROKEN[0].0).mark("broken").stall());
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            let closing = connection.close(CloseMode::graceful());
            let said = shows(&connection, |snapshot| !snapshot.sent.is_empty()).await.sent;
            gate.open();
            let report = closing.await;
            check(&report);
            assert_eq!((report.ended, report.sent), (Ended::Broken, said), "{report}");
            assert_eq!(report.layers[0].sent, signals([Signal::CloseNotify]), "{report:?}");
            peer.release();
            seen(peer).await.assert_close_notify_then_fin();
        }))
        .await;
    });
}

#[test]
fn a_fatal_alert_in_mid_response_ends_everything_at_once() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for place in PLACES {
                for alert in [Alert::INTERNAL_ERROR, Alert::BAD_RECORD_MAC] {
                    scenes.push((version, place, alert));
                }
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, (start, body), alert)| {
            let script = Script::new().read_request().send(start).alert(alert).mark("alert");
            let peer = peer(version, script.read_to_end().fin());
            let (mut sender, connection) = connect(&peer).await;
            let (came, outcome) = fetch_what_comes(&mut sender).await;
            let error = outcome.unwrap_err();
            let reason = CloseReason::TlsAlert(TlsAlert(alert.code()));
            assert_eq!(came, body);
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (ErrorKind::Tls, Some(&reason), ReadEnd::TlsFailed),
                "{error:?}"
            );
            assert!(error.to_string().contains(&TlsAlert(alert.code()).to_string()), "{error}");
            assert_eq!(refuses(&mut sender).await, reason);
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges, report.failed),
                (reason, Ended::Broken, 0, 1),
                "{report}"
            );
            assert_eq!((report.sent, report.received), (signals([]), signals([])), "{report}");
            let seen = seen(peer).await;
            // RFC 8446 section 6.2: who gets a fatal alert sends nothing more.
            assert!(!seen.saw_close_notify() && seen.alert().is_none(), "{seen}");
        }))
        .await;
    });
}

/// A cut upload must not look complete, whatever cut it.
#[test]
fn a_fatal_alert_in_mid_upload_ends_in_a_reset() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let script = Script::new().read_head().alert(Alert::ACCESS_DENIED).read_to_end();
            let peer = peer(version, script);
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", Some(1000));
            hand.give("0123456789");
            let error = sender.send_request(request).await.unwrap_err();
            let reason = CloseReason::TlsAlert(TlsAlert(49));
            assert_eq!((error.kind(), error.close_reason()), (ErrorKind::Tls, Some(&reason)), "{error:?}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.reason.clone(), report.failed), (reason, 1), "{report}");
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            assert!(!seen.saw_close_notify(), "{seen}");
            seen.assert_reset();
            assert!(!seen.saw_fin(), "{seen}");
            assert_eq!(report.sent, signals([Signal::Rst]), "{report}");
        }))
        .await;
    });
}

/// The response came, the rest of the upload is of no use: an early answer, and then an alert.
#[test]
fn a_fatal_alert_behind_an_early_response_leaves_the_response() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let gate = Gate::new();
            let script = Script::new().read_head().send(response(200, "early")).gate(&gate);
            let peer = peer(version, script.alert(Alert::ACCESS_DENIED).read_to_end());
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", Some(1000));
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(crate::support::read(response).await.unwrap(), "early");
            gate.open();
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.exchanges, report.failed),
                (CloseReason::TlsAlert(TlsAlert(49)), 1, 0),
                "{report}"
            );
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            assert!(!seen.saw_close_notify(), "{seen}");
            // The upload was cut short.
            seen.assert_reset();
        }))
        .await;
    });
}

/// The caller does not poll, and the alert is noticed when it does.
#[test]
fn a_violation_while_nobody_reads_the_body_is_told_to_whoever_reads_on() {
    play(async || {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let script = Script::new().read_request().send(start).send_raw(BROKEN[0].0).mark("broken");
        let peer = peer(TlsVersion::Tls13, script.expect_alert(SOON).expect_fin(SOON).fin());
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        peer.wait_async(0, Until::Mark("broken")).await.unwrap();
        pause(10).await;
        let error = crate::support::read(response).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        check(&connection.closed().await);
        let seen = seen(peer).await;
        seen.assert_alert(Alert::BAD_RECORD_MAC);
        assert!(seen.time_of(|event| matches!(event, Event::SentRaw { .. })).is_some(), "{seen}");
    });
}

/// Records that TLS 1.3 does not have in the place where they come.
#[test]
fn a_message_out_of_place_is_answered_by_an_alert() {
    play(async || {
        // A ChangeCipherSpec after the handshake (RFC 8446 section 5), a record of a kind that there is not.
        let spec: [u8; 6] = [20, 3, 3, 0, 1, 1];
        let unknown: [u8; 6] = [99, 3, 3, 0, 1, 1];
        for bytes in [spec, unknown] {
            let script = Script::new().read_request().send_raw(bytes).expect_alert(SOON).expect_fin(SOON);
            let peer = peer(TlsVersion::Tls13, script.fin());
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch_what_comes(&mut sender).await.1 });
            let error = exchange.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
            let report = connection.closed().await;
            check(&report);
            assert!(matches!(report.reason, CloseReason::TlsBroken(_)), "{report}");
            let seen = seen(peer).await;
            assert!(seen.alert().is_some() && !seen.saw_close_notify(), "{seen}");
        }
    });
}

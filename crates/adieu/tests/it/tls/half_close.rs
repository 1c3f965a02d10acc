//! Our side ends first: by close_notify and FIN on TLS 1.3, while the response is still read; TLS 1.2 has no such thing.

use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Phase, ReadEnd, Side, Signal, State};
use adieu_testkit::peer::{Alert, Gate, Script, TlsVersion, Until, response};
use http_body_util::BodyExt;

use super::support::{SOON, check, connect, fetch, fetch_what_comes, goodbye, peer, shows, signals};
use crate::props::{at_each_cut, beside, ms, now, pause, play, refuses, seen, side_by_side, upload};
use crate::support::{get, read};

const HALF: CloseReason = CloseReason::User(CloseKind::Half);

/// Reads a request and our whole goodbye.
fn after_our_end() -> Script {
    let script = Script::new().read_request().mark("asked").expect_close_notify(SOON).expect_fin(SOON);
    script.mark("answer")
}

#[test]
fn half_close_on_tls_1_3_ends_our_side_before_the_response_comes() {
    play(async || {
        at_each_cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", async |cut| {
            let peer = peer(TlsVersion::Tls13, cut.after(after_our_end()).goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let closing = connection.close(CloseMode::half());
            assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "hello");
            let report = closing.await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (HALF, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            assert_eq!(refuses(&mut sender).await, HALF);
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            seen.assert_fin_before("answer");
        })
        .await;
    });
}

/// More than one record and more than one read of it, framed in every way, with whatever TLS says in between.
#[test]
fn half_close_on_tls_1_3_reads_a_long_response_whole() {
    play(async || {
        const LONG: usize = 100_000;
        let heads = [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LONG + 2),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", LONG + 2),
            "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        ];
        let scenes = heads.into_iter().flat_map(|head| [false, true].map(|begun| (head.clone(), begun)));
        side_by_side(scenes.map(async |(head, begun)| {
            // In the middle of the response, or before its first byte.
            let script = Script::new().read_request();
            let script = if begun { script.send(head.clone()) } else { script };
            let script = script.mark("asked").expect_close_notify(SOON).expect_fin(SOON).mark("answer");
            let script = if begun { script } else { script.send(head.clone()) };
            // An answer to the key update can no longer be given, nor is one owed (RFC 8446 section 4.6.3).
            let script = script.send("x").ticket().send_filler(LONG as u64).key_update().send("x");
            let script = if head.contains("chunked") { script.send("\r\n0\r\n\r\n") } else { script };
            let peer = peer(TlsVersion::Tls13, script.goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch(&mut sender).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            pause(2).await;
            let closing = connection.close(CloseMode::half());
            assert_eq!(exchange.await.unwrap().unwrap().len(), LONG + 2);
            let report = closing.await;
            check(&report);
            assert_eq!(
                (report.ended, report.exchanges, report.failed, report.bytes_discarded),
                (Ended::Clean, 1, 0, 0),
                "{report}"
            );
            let reason = if begun && !head.contains("-") { CloseReason::BodyUntilClose } else { HALF };
            assert_eq!((report.reason.clone(), report.sent), (reason, goodbye()), "{report}");
            assert!(report.received.contains(Signal::CloseNotify), "{report}");
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            seen.assert_fin_before("answer");
        }))
        .await;
    });
}

#[test]
fn half_close_on_tls_1_3_is_seen_in_the_snapshot() {
    play(async || {
        let gate = Gate::new();
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 25000\r\n\r\n";
        let script = Script::new().read_request().send(start).expect_close_notify(SOON).expect_fin(SOON);
        let peer = peer(TlsVersion::Tls13, script.mark("ended").gate(&gate).send_filler(25_000).goodbye());
        let (mut sender, connection) = connect(&peer).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        let closing = connection.close(CloseMode::half());
        peer.wait_async(0, Until::Mark("ended")).await.unwrap();
        let snapshot = shows(&connection, |snapshot| snapshot.state == State::HalfClosed).await;
        let snapshot = if snapshot.sent.is_empty() { connection.snapshot() } else { snapshot };
        assert_eq!((snapshot.ours, snapshot.theirs), (Side::Ended, Side::Open), "{snapshot}");
        assert_eq!((snapshot.sent, snapshot.received), (goodbye(), signals([])), "{snapshot}");
        gate.open();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(bytes, 25_000);
        let report = closing.await;
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (HALF, Ended::Clean), "{report}");
        seen(peer).await.assert_close_notify_then_fin();
    });
}

#[test]
fn half_close_on_tls_1_3_finishes_sending_the_request_first() {
    play(async || {
        for length in [Some(100_010), None] {
            let peer = peer(TlsVersion::Tls13, after_our_end().send(response(200, "thanks")).goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let exchange = beside(async move { read(sender.send_request(request).await?).await });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let closing = connection.close(CloseMode::half());
            shows(&connection, |snapshot| snapshot.state == State::HalfClosing).await;
            pause(10).await;
            assert!(connection.snapshot().sent.is_empty(), "{}", connection.snapshot());
            hand.give(vec![b'h'; 100_000]);
            hand.end();
            assert_eq!(exchange.await.unwrap().unwrap(), "thanks");
            let report = closing.await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (HALF, Ended::Clean), "{report}");
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].body_len(), 100_010);
            seen.assert_close_notify_then_fin();
            seen.assert_fin_before("answer");
        }
    });
}

/// How a peer takes our close_notify for the end of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Goodbye,
    CloseNotify,
    Fin,
    Reset,
    Alert,
}

#[test]
fn half_close_that_a_tls_peer_takes_for_the_end_is_refused() {
    play(async || {
        let mut scenes = Vec::new();
        for refusal in [Refusal::Goodbye, Refusal::CloseNotify, Refusal::Fin, Refusal::Reset, Refusal::Alert]
        {
            for answer in
                ["", "HTTP/1.1 200 OK\r\nConte", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"]
            {
                scenes.push((refusal, answer));
            }
        }
        side_by_side(scenes.into_iter().map(async |(refusal, answer)| {
            let script = after_our_end().send(answer).pause(ms(10));
            // It passes only where no FIN comes.
            let linger = if refusal == Refusal::CloseNotify { ms(120) } else { SOON };
            let (script, read_end, ended, received) = match refusal {
                Refusal::Goodbye => (script.goodbye(), ReadEnd::CloseNotify, Ended::Truncated, goodbye()),
                Refusal::CloseNotify => {
                    let notify = signals([Signal::CloseNotify]);
                    (script.close_notify().stall(), ReadEnd::CloseNotify, Ended::Truncated, notify)
                }
                Refusal::Fin => (script.fin(), ReadEnd::BareFin, Ended::Truncated, signals([Signal::Fin])),
                Refusal::Reset => (script.reset(), ReadEnd::Reset, Ended::Reset, signals([Signal::Rst])),
                Refusal::Alert => {
                    let script = script.alert(Alert::from(90)).stall();
                    (script, ReadEnd::TlsFailed, Ended::Broken, signals([]))
                }
            };
            let peer = peer(TlsVersion::Tls13, script);
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch_what_comes(&mut sender).await.1 });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let report = connection.close(CloseMode::half().linger(linger)).await;
            let error = exchange.await.unwrap().unwrap_err();
            // An alert says more than that.
            let (kind, reason, told) = match refusal {
                Refusal::Alert => {
                    let alert = CloseReason::TlsAlert(adieu::TlsAlert(90));
                    (ErrorKind::Tls, alert, HALF)
                }
                _ => (
                    ErrorKind::HalfCloseRefused,
                    CloseReason::HalfCloseRefused,
                    CloseReason::HalfCloseRefused,
                ),
            };
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (kind, Some(&reason), read_end),
                "{refusal:?}, {answer:?}: {error:?}"
            );
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (told, ended, goodbye(), received),
                "{refusal:?}, {answer:?}: {report}"
            );
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            peer.release();
            seen(peer).await;
        }))
        .await;
    });
}

/// Only close_notify can tell the end of such a body, also after our own end.
#[test]
fn half_close_of_a_body_until_close_is_truncated_without_close_notify() {
    play(async || {
        let script = Script::new().read_request().send("HTTP/1.1 200 OK\r\n\r\nfirst").read_to_end();
        let peer = peer(TlsVersion::Tls13, script.send(" and last").fin());
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let closing = connection.close(CloseMode::half());
        let mut body = response.into_body();
        let mut came = Vec::new();
        let error = loop {
            match body.frame().await.expect("a truncated body passed for whole") {
                Ok(frame) => came.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert_eq!(came, b"first and last");
        assert_eq!(
            (error.kind(), error.close_reason()),
            (ErrorKind::IncompleteBody, Some(&CloseReason::TlsTruncated)),
            "{error:?}"
        );
        let report = closing.await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.received),
            (CloseReason::TlsTruncated, Ended::Truncated, signals([Signal::Fin])),
            "{report}"
        );
        seen(peer).await.assert_close_notify_then_fin();
    });
}

#[test]
fn half_close_on_tls_1_3_past_its_drain_fails_the_exchange_and_lingers() {
    play(async || {
        let peer = peer(TlsVersion::Tls13, after_our_end().stall());
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(async move { fetch(&mut sender).await });
        peer.wait_async(0, Until::Mark("asked")).await.unwrap();
        let began = now();
        let report = connection.close(CloseMode::half().drain(ms(80)).linger(ms(80))).await;
        assert!((ms(155)..ms(2000)).contains(&began.elapsed()), "{:?}", began.elapsed());
        let error = exchange.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Drain), "{error:?}");
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.sent, report.received),
            (HALF, Ended::PeerSilent, goodbye(), signals([])),
            "{report}"
        );
        peer.release();
        seen(peer).await.assert_close_notify_then_fin();
    });
}

/// RFC 5246 section 7.2.1: a close_notify of ours would oblige the peer to end at once.
#[test]
fn half_close_on_tls_1_2_acts_as_graceful() {
    play(async || {
        at_each_cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", async |cut| {
            let gate = Gate::new();
            let script = Script::new().read_request().mark("asked").gate(&gate).quiet(ms(5));
            let peer = peer(TlsVersion::Tls12, cut.after(script).mark("answered").read_to_end().goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch(&mut sender).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let closing = connection.close(CloseMode::half());
            let snapshot =
                shows(&connection, |snapshot| matches!(snapshot.state, State::Draining { .. })).await;
            assert_eq!((snapshot.ours, snapshot.reason), (Side::Open, Some(HALF)));
            gate.open();
            assert_eq!(exchange.await.unwrap().unwrap(), "hello");
            let report = closing.await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (HALF, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            assert!(!seen.saw_close_notify_before("answered"), "{seen}");
        })
        .await;
    });
}

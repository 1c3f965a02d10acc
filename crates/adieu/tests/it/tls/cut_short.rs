//! What was cut short never looks complete, and what was not is not cut by the goodbye: hard cases 13 and 15 on TLS.

use std::cell::RefCell;

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Phase, Signal};
use adieu_testkit::peer::{Gate, Peer, Script, TlsVersion, Until, response};
use tokio::io::BufStream;

use super::support::{
    BOTH, CONNECTOR, SOON, answers_then, check, connect, exchange, goodbye, narrow, narrow_socket, peer,
    saw_no_end, signals, socket,
};
use crate::props::{beside, ms, pause, play, root, seen, short, side_by_side, upload};
use crate::support::{get, post, read};

const USER: CloseReason = CloseReason::User(CloseKind::Graceful);

// 13. Abort, and whatever was cut short.

/// The ways in which an upload is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    FutureDropped,
    BodyFails,
    BodyTooShort,
    CloseNow,
    Abort,
    GracefulPastDrain,
    HalfPastDrain,
}

const CUTS: [Cut; 7] = [
    Cut::FutureDropped,
    Cut::BodyFails,
    Cut::BodyTooShort,
    Cut::CloseNow,
    Cut::Abort,
    Cut::GracefulPastDrain,
    Cut::HalfPastDrain,
];

/// Cuts an upload short once `until` is so; checks the report.
async fn cut_short(how: Cut, first: Vec<u8>, peer: &Peer, mut end: (SendRequest, Connection), until: Until) {
    let (request, hand) = upload("POST", Some(100_000_000));
    hand.give(first);
    let exchange = beside(end.0.send_request(request));
    peer.wait_async(0, until).await.unwrap();
    // What the kernel takes, it has by now.
    pause(5).await;
    let connection = end.1;
    let mut closing = None;
    match how {
        Cut::FutureDropped => exchange.abort(),
        Cut::BodyFails => hand.fail(),
        Cut::BodyTooShort => hand.end(),
        Cut::CloseNow => closing = Some(connection.close(short(CloseMode::now()))),
        Cut::Abort => closing = Some(connection.close(CloseMode::abort())),
        Cut::GracefulPastDrain => closing = Some(connection.close(CloseMode::graceful().drain(ms(30)))),
        Cut::HalfPastDrain => closing = Some(connection.close(CloseMode::half().drain(ms(30)))),
    }
    if how != Cut::FutureDropped {
        let error = exchange.await.unwrap().unwrap_err();
        match how {
            Cut::BodyFails => assert_eq!(root(&error), "the hand let go", "{error:?}"),
            Cut::BodyTooShort => assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}"),
            Cut::CloseNow | Cut::Abort => assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}"),
            _ => assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Drain), "{error:?}"),
        }
    }
    let report = match closing {
        Some(closing) => closing.await,
        None => connection.closed().await,
    };
    check(&report);
    let reason = match how {
        Cut::FutureDropped => CloseReason::RequestCancelled,
        Cut::BodyFails | Cut::BodyTooShort => CloseReason::RequestBodyFailed,
        Cut::CloseNow => CloseReason::User(CloseKind::Now),
        Cut::Abort => CloseReason::User(CloseKind::Abort),
        Cut::GracefulPastDrain => USER,
        Cut::HalfPastDrain => CloseReason::User(CloseKind::Half),
    };
    assert_eq!(
        (report.reason.clone(), report.ended, report.exchanges, report.failed),
        (reason, Ended::Aborted, 0, 1),
        "{how:?}: {report}"
    );
    assert_eq!((report.sent, report.received), (signals([Signal::Rst]), signals([])), "{how:?}: {report}");
    hand.assert_dropped().await;
}

#[test]
fn abort_and_whatever_was_cut_short_sends_no_close_notify() {
    play(async || {
        for version in BOTH {
            for how in CUTS {
                let peer = peer(version, Script::new().read_head());
                let end = connect(&peer).await;
                cut_short(how, b"0123456789".to_vec(), &peer, end, Until::Received(75)).await;
                saw_no_end(peer).await;
            }
        }
    });
}

/// The kernel took half a record, and rustls holds the rest of it and more.
#[test]
fn abort_and_whatever_was_cut_short_in_the_middle_of_a_record_sends_no_close_notify() {
    play(async || {
        for version in BOTH {
            for how in CUTS.into_iter().filter(|how| !matches!(how, Cut::BodyFails | Cut::BodyTooShort)) {
                let script = Script::new().read_head().mark("stuck").stall().count_only();
                let (peer, stream) = narrow(version, script).await;
                let end = http1::handshake_on(stream).await.unwrap();
                cut_short(how, vec![b'u'; 1_000_000], &peer, end, Until::Mark("stuck")).await;
                peer.release();
                saw_no_end(peer).await;
            }
        }
    });
}

#[test]
fn abort_sends_no_close_notify_whatever_is_in_flight() {
    play(async || {
        for version in BOTH {
            // Idle and never used; idle; a response awaited; in the middle of a response.
            for way in 0..4 {
                let script = match way {
                    0 => Script::new(),
                    1 => Script::new().read_request().send(response(200, "ok")),
                    2 => Script::new().read_request(),
                    _ => {
                        Script::new().read_request().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                    }
                };
                let peer = peer(version, script);
                let (mut sender, connection) = connect(&peer).await;
                let mut held = None;
                match way {
                    0 => {}
                    1 => exchange(&mut sender).await,
                    2 => {
                        held = Some(beside(async move { sender.send_request(get("/")).await.map(drop) }));
                        peer.wait_async(0, Until::Requests(1)).await.unwrap();
                        pause(2).await;
                    }
                    _ => {
                        let response = sender.send_request(get("/")).await.unwrap();
                        held = Some(beside(async move { read(response).await.map(drop) }));
                    }
                }
                let report = connection.close(CloseMode::abort()).await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.ended, report.sent),
                    (CloseReason::User(CloseKind::Abort), Ended::Aborted, signals([Signal::Rst])),
                    "{way}: {report}"
                );
                assert_eq!(report.failed, u64::from(way > 1), "{way}: {report}");
                if let Some(held) = held {
                    assert_eq!(held.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
                }
                saw_no_end(peer).await;
            }
        }
    });
}

// 15. Flush before shutdown.

/// rustls and the kernel hold back most of the upload when our side is to end.
#[test]
fn shutdown_before_flush_drops_no_data_under_tls() {
    play(async || {
        const BODY: usize = 200_000;
        for (version, mode) in [
            (TlsVersion::Tls12, CloseMode::graceful()),
            (TlsVersion::Tls13, CloseMode::graceful()),
            (TlsVersion::Tls13, CloseMode::half()),
        ] {
            let gate = Gate::new();
            let head = Script::new().read_head();
            let script = if mode.kind() == CloseKind::Half {
                let script = head.gate(&gate).read_body().expect_close_notify(SOON).expect_fin(SOON);
                script.send(response(200, "ok")).goodbye()
            } else {
                // The response comes before the upload is read, so that only the upload is left.
                let script = head.send(response(200, "ok")).gate(&gate).read_body();
                script.expect_close_notify(SOON).expect_fin(SOON).goodbye()
            };
            let (peer, stream) = narrow(version, script).await;
            let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
            let exchange =
                beside(async move { read(sender.send_request(post("/", vec![b'b'; BODY])).await?).await });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            pause(10).await;
            let closing = connection.close(mode);
            pause(10).await;
            assert!(!connection.snapshot().sent.contains(Signal::CloseNotify), "{}", connection.snapshot());
            gate.open();
            assert_eq!(exchange.await.unwrap().unwrap(), "ok");
            let report = tokio::time::timeout(ms(3000), closing).await.expect("the upload got stuck");
            check(&report);
            assert_eq!(
                (report.ended, report.exchanges, report.sent, report.received),
                (Ended::Clean, 1, goodbye(), goodbye()),
                "{report}"
            );
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].body_len(), BODY as u64, "{seen}");
            seen.assert_close_notify_then_fin();
        }
    });
}

/// The response is whole and read, the upload's last piece waits in the engine (or in rustls), and nobody polls anything.
#[test]
fn an_upload_whose_last_piece_outlives_its_response_goes_on() {
    play(async || {
        let late = RefCell::new(Vec::new());
        let scenes = [None, Some(TlsVersion::Tls12), Some(TlsVersion::Tls13)];
        let scenes = scenes.into_iter().flat_map(|version| [60_000, 200_000].map(|body| (version, body)));
        side_by_side(scenes.map(async |(version, body)| {
            let gate = Gate::new();
            let script = Script::new().read_head().send(response(200, "early")).gate(&gate).read_body();
            let script =
                script.mark("whole").read_request().send(response(200, "ok")).read_to_end().goodbye();
            let (peer, (mut sender, connection)) = match version {
                Some(version) => {
                    let (peer, stream) = narrow(version, script).await;
                    (peer, http1::handshake_on(stream).await.unwrap())
                }
                None => {
                    let peer = Peer::builder().receive_buffer(8192).script(script).tcp().unwrap();
                    let io = narrow_socket(&peer).await;
                    (peer, http1::handshake(io).await.unwrap())
                }
            };
            let response = sender.send_request(post("/", vec![b'b'; body])).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "early");
            gate.open();
            let whole = tokio::time::timeout(ms(700), peer.wait_async(0, Until::Mark("whole"))).await;
            if whole.is_err() {
                return late
                    .borrow_mut()
                    .push(format!("{version:?}, {body} bytes: {}", connection.snapshot()));
            }
            exchange(&mut sender).await;
            drop((sender, connection));
            seen(peer).await.assert_fin();
        }))
        .await;
        assert!(late.borrow().is_empty(), "{:#?}", late.borrow());
    });
}

/// The same while the response is not whole, and its holder polls nothing.
#[test]
fn an_upload_whose_last_piece_outlives_the_response_head_goes_on() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| [60_000, 200_000].map(|body| (version, body)));
        side_by_side(scenes.map(async |(version, body)| {
            let gate = Gate::new();
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha";
            let script = Script::new().read_head().send(head).gate(&gate).read_body().mark("whole");
            let (peer, stream) = narrow(version, script.send("lf").read_to_end().goodbye()).await;
            let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
            let response = sender.send_request(post("/", vec![b'b'; body])).await.unwrap();
            gate.open();
            let whole = tokio::time::timeout(ms(700), peer.wait_async(0, Until::Mark("whole"))).await;
            whole.expect("the upload got stuck").unwrap();
            assert_eq!(read(response).await.unwrap(), "half");
            assert_eq!(connection.snapshot().done, 1);
            let report = connection.close(CloseMode::graceful()).await;
            check(&report);
            assert_eq!((report.ended, report.sent), (Ended::Clean, goodbye()), "{report}");
            seen(peer).await.assert_close_notify_then_fin();
        }))
        .await;
    });
}

/// Below TLS there may be something that holds bytes until it is flushed: the handshake waits for no answer to what is still
/// held there, nor does the goodbye lose it.
#[test]
fn shutdown_before_flush_drops_no_data_under_tls_over_a_transport_that_hoards() {
    play(async || {
        for version in BOTH {
            let peer = answers_then(version, |script| {
                script.read_request().send(response(200, "ok")).read_to_end().goodbye()
            });
            let io = BufStream::with_capacity(1 << 16, 1 << 16, socket(&peer).await);
            let shaken = tokio::time::timeout(ms(1500), CONNECTOR.connect("localhost", io)).await;
            let stream = shaken.expect("the ClientHello was never flushed").unwrap();
            let (mut sender, connection) = http1::handshake_on(stream).await.unwrap();
            exchange(&mut sender).await;
            exchange(&mut sender).await;
            let report = connection.close(CloseMode::graceful()).await;
            assert_eq!(
                (report.ended, report.sent, report.received),
                (Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        }
    });
}

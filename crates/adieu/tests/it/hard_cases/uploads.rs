//! A final response, a half-close or a reset while our request body is open.

use std::io::ErrorKind as Io;

use adieu::conn::http1::Builder;
use adieu::{CloseMode, CloseReason, EarlyResponse, Ended, ErrorKind, ExchangePhase, Signal, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use http_body_util::BodyExt;

use crate::props::{
    Call, Faults, at_each_cut, beside, check, connect_noted, connect_opaque, ms, pause, play, poll_once,
    reaches, refuses, seen, short, upload,
};
use crate::support::{connect, connect_with, get, read};

/// A refusal that ends the connection.
const TOO_LARGE: &str =
    "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big";

/// An upload of which the peer has seen only the first ten bytes, framed by length or by chunks.
const FRAMINGS: [Option<u64>; 2] = [Some(1000), None];

/// Bytes on the wire before a mark: the head, and ten bytes framed like this.
fn first_ten(length: Option<u64>) -> u64 {
    if length.is_some() { 10 } else { "a\r\n0123456789\r\n".len() as u64 }
}

fn early(length: Option<u64>, answer: impl Into<Vec<u8>>) -> Script {
    Script::new().read_head().read_exactly(first_ten(length)).send(answer)
}

// 1. Early final response while uploading.

#[test]
fn early_final_response_while_uploading_413_close_stops_the_upload() {
    play(async || {
        for policy in [EarlyResponse::StopUnlessSuccess, EarlyResponse::Stop] {
            for length in FRAMINGS {
                let peer = Peer::tcp(early(length, TOO_LARGE)).unwrap();
                let (mut sender, connection) =
                    connect_with(&peer, &Builder::new().early_response(policy)).await;
                let (request, hand) = upload("POST", length);
                hand.give("0123456789");
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 413);
                assert_eq!(read(response).await.unwrap(), "too big");
                let report = connection.closed().await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.ended),
                    (CloseReason::UploadStopped, Ended::Aborted),
                    "{report}"
                );
                assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
                assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
                hand.assert_dropped().await;
                assert_eq!(refuses(&mut sender).await, CloseReason::UploadStopped);
                let seen = seen(peer).await;
                seen.assert_reset();
                assert!(!seen.saw_fin() && !seen.received().ends_with(b"0\r\n\r\n"), "{seen}");
            }
        }
    });
}

#[test]
fn early_final_response_while_uploading_is_delivered_however_it_is_cut() {
    play(async || {
        at_each_cut(TOO_LARGE, async |cut| {
            // The upload is under way and silent, the answer comes in pieces.
            let peer = Peer::tcp(cut.after(Script::new().read_head())).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", None);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(read(response).await.unwrap(), "too big");
            assert_eq!(connection.closed().await.ended, Ended::Aborted);
            assert!(hand.is_dropped());
            seen(peer).await.assert_reset();
        })
        .await;
    });
}

#[test]
fn early_final_response_while_uploading_401_keep_alive_never_reuses_a_cut_upload() {
    play(async || {
        for length in FRAMINGS {
            let peer = Peer::tcp(early(length, response(401, "who?"))).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("PUT", length);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 401);
            // The verdict stands before the body is read.
            assert!(!connection.state().is_open(), "{}", connection.snapshot());
            assert_eq!(read(response).await.unwrap(), "who?");
            let report = connection.closed().await;
            assert_eq!(report.reason, CloseReason::UploadStopped, "{report}");
            hand.assert_dropped().await;
            refuses(&mut sender).await;
            let seen = seen(peer).await;
            seen.assert_reset();
            assert_eq!(seen.requests_len(), 1);
        }
    });
}

#[test]
fn early_final_response_while_uploading_401_is_reused_once_the_upload_is_whole() {
    play(async || {
        for length in [Some(20), None] {
            let script = early(length, response(401, "who?"));
            // What is left of the upload, then the next request.
            let rest = if length.is_some() { 10 } else { first_ten(None) + "0\r\n\r\n".len() as u64 };
            let script = script.read_exactly(rest).mark("whole").read_request().send(response(200, "you"));
            let peer = Peer::tcp(script).unwrap();
            let builder = Builder::new().early_response(EarlyResponse::Finish);
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            let (request, hand) = upload("PUT", length);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 401);
            assert_eq!(read(response).await.unwrap(), "who?");
            // The next request waits for the upload, and for nothing else.
            let next = beside(async move { read(sender.send_request(get("/next")).await?).await });
            pause(30).await;
            assert!(!next.is_finished() && connection.state() == State::Active, "{}", connection.snapshot());
            hand.give("0123456789");
            hand.end();
            assert_eq!(next.await.unwrap().unwrap(), "you");
            hand.assert_dropped().await;
            let report = connection.close(short(CloseMode::graceful())).await;
            assert_eq!((report.exchanges, report.failed), (2, 0), "{report}");
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[1].target(), "/next");
            seen.assert_fin();
        }
    });
}

#[test]
fn early_final_response_while_uploading_200_finishes_the_upload_and_keeps_the_connection() {
    play(async || {
        for policy in [EarlyResponse::StopUnlessSuccess, EarlyResponse::Finish] {
            for length in [Some(300_010), None] {
                let whole = Script::new().read_head().send(response(200, "early")).read_body();
                let peer = Peer::tcp(whole.mark("whole").read_request().send(response(200, "next"))).unwrap();
                let (mut sender, connection) =
                    connect_with(&peer, &Builder::new().early_response(policy)).await;
                let (request, hand) = upload("POST", length);
                hand.give("0123456789");
                let response = sender.send_request(request).await.unwrap();
                // Nobody polls anything of the exchange from here on.
                hand.give(vec![b'z'; 300_000]);
                hand.end();
                peer.wait_async(0, Until::Mark("whole")).await.unwrap();
                assert_eq!(read(response).await.unwrap(), "early");
                hand.assert_dropped().await;
                assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
                assert_eq!(connection.state(), State::Idle);
                drop((sender, connection));
                let seen = seen(peer).await;
                assert_eq!(seen.requests()[0].body_len(), 300_010);
                seen.assert_fin();
            }
        }
    });
}

#[test]
fn early_final_response_while_uploading_200_with_policy_stop_is_cut() {
    play(async || {
        for length in FRAMINGS {
            let peer = Peer::tcp(early(length, response(200, "fine"))).unwrap();
            let builder = Builder::new().early_response(EarlyResponse::Stop);
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "fine");
            hand.assert_dropped().await;
            let report = connection.closed().await;
            assert_eq!(
                (report.reason.clone(), report.exchanges),
                (CloseReason::UploadStopped, 1),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_reset();
            assert!(!seen.saw_fin(), "{seen}");
        }
    });
}

#[test]
fn early_final_response_while_uploading_413_close_with_policy_finish_says_goodbye_after_the_upload() {
    play(async || {
        for length in [Some(20), None] {
            let script = Script::new().read_head().send(TOO_LARGE).read_body().mark("whole").fin();
            let peer = Peer::tcp(script).unwrap();
            let builder = Builder::new().early_response(EarlyResponse::Finish);
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "too big");
            assert!(refuses_soon(&mut sender).await);
            hand.give("0123456789");
            hand.end();
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges),
                (CloseReason::PeerAskedClose, Ended::Clean, 1),
                "{report}"
            );
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            seen.assert_fin();
            assert_eq!(seen.requests()[0].body(), b"01234567890123456789");
        }
    });
}

/// A connection that has retired but still carries an upload takes nothing more.
async fn refuses_soon(sender: &mut adieu::conn::http1::SendRequest) -> bool {
    let ready = tokio::time::timeout(ms(20), sender.ready()).await;
    matches!(ready, Err(_) | Ok(Err(_)))
}

#[test]
fn early_final_response_while_uploading_leaves_its_state_when_the_upload_fails_later() {
    play(async || {
        // The response is whole and was read; the rest of the upload cannot come.
        let peer = Peer::tcp(early(None, response(200, "early"))).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "early");
        hand.fail();
        let report = connection.closed().await;
        check(&report);
        assert_eq!(report.reason, CloseReason::RequestBodyFailed, "{report}");
        hand.assert_dropped().await;
        refuses(&mut sender).await;
        let seen = seen(peer).await;
        seen.assert_reset();
        assert!(!seen.saw_fin() && !seen.received().ends_with(b"0\r\n\r\n"), "{seen}");
    });
}

#[test]
fn early_final_response_while_uploading_tells_the_reader_when_the_upload_fails() {
    play(async || {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let peer = Peer::tcp(early(Some(1000), half)).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", Some(1000));
        hand.give("0123456789");
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        hand.fail();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}");
        let report = connection.closed().await;
        assert_eq!((report.reason.clone(), report.failed), (CloseReason::RequestBodyFailed, 1), "{report}");
        hand.assert_dropped().await;
        seen(peer).await.assert_reset();
    });
}

#[test]
fn early_final_response_while_uploading_whose_body_is_dropped_leaves_no_upload_behind() {
    play(async || {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let peer = Peer::tcp(early(None, half)).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        drop(sender.send_request(request).await.unwrap());
        let report = connection.closed().await;
        assert_eq!(report.reason, CloseReason::RequestCancelled, "{report}");
        assert!(report.sent.contains(Signal::Rst), "{report}");
        hand.assert_dropped().await;
        seen(peer).await.assert_reset();
    });
}

#[test]
fn early_final_response_while_uploading_is_read_while_the_transport_takes_nothing() {
    play(async || {
        // The peer never reads: the upload is stuck, the answer comes all the same.
        let answer = response(403, vec![b'n'; 100_000]);
        let script = Script::new().read_head().pause(ms(30)).send(answer).never_read();
        let peer = Peer::builder().receive_buffer(4096).script(script).tcp().unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give_for_ever();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(read(response).await.unwrap().len(), 100_000);
        let report = connection.closed().await;
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::UploadStopped, Ended::Aborted),
            "{report}"
        );
        hand.assert_dropped().await;
        peer.release();
        seen(peer).await;
    });
}

// 2. The server sends a response, then RST because our body was unread.

#[test]
fn response_then_rst_is_delivered_first() {
    play(async || {
        for close in ["Connection: close\r\n", ""] {
            let body = "n".repeat(50_000);
            let answer = format!("HTTP/1.1 413 \r\n{close}Content-Length: {}\r\n\r\n{body}", body.len());
            // Closed with unread bytes of ours: the kernel resets.
            let script = Script::new().read_head().pause(ms(20)).send(answer).close();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", None);
            hand.give_for_ever();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(read(response).await.unwrap().len(), 50_000);
            hand.assert_dropped().await;
            let report = connection.closed().await;
            check(&report);
            assert!(matches!(report.reason, CloseReason::UploadStopped | CloseReason::Reset), "{report}");
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            refuses(&mut sender).await;
            seen(peer).await;
        }
    });
}

#[test]
fn response_then_rst_that_came_while_nobody_looked_is_delivered_first() {
    play(async || {
        let (look, reset) = (Gate::new(), response(400, "never mind"));
        let script = Script::new().read_head().gate(&look).send(reset).close().mark("reset");
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", Some(1 << 30));
        hand.give("unread");
        let mut exchange = std::pin::pin!(sender.send_request(request));
        assert!(poll_once(exchange.as_mut()).await.is_none());
        pause(20).await;
        look.open();
        peer.wait_async(0, Until::Mark("reset")).await.unwrap();
        pause(10).await;
        // Now both are here: the response, and the reset behind it.
        hand.give(vec![b'm'; 100_000]);
        let response = exchange.await.unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(read(response).await.unwrap(), "never mind");
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
        hand.assert_dropped().await;
        seen(peer).await;
    });
}

#[test]
fn response_after_epipe_or_econnreset_on_write_is_still_read() {
    play(async || {
        for kind in [Io::BrokenPipe, Io::ConnectionReset] {
            let answer = response(408, "too slow");
            let script = Script::new().read_head().read_exactly(10).pause(ms(30)).send_pieces(answer, 3);
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
            let (request, hand) = upload("POST", Some(1000));
            hand.give("0123456789");
            let exchange = beside(async move {
                let response = sender.send_request(request).await?;
                Ok::<_, adieu::Error>((response.status(), read(response).await?))
            });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            pause(10).await;
            notes.set(Faults { write: Some(kind), ..Faults::default() });
            hand.give("more");
            let (status, body) = exchange.await.unwrap().unwrap();
            assert_eq!((status.as_u16(), &body[..]), (408, &b"too slow"[..]));
            assert_eq!(notes.count(Call::Write), 2, "{kind}: nothing after the one that failed");
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.reason.clone(), report.exchanges), (CloseReason::Reset, 1), "{report}");
            assert_eq!(notes.count(Call::Shutdown), 0, "nothing can be said any more");
            hand.assert_dropped().await;
            seen(peer).await;
        }
    });
}

#[test]
fn rst_without_a_response_surfaces_as_a_reset() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_head().read_exactly(10).reset()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        let error = sender.send_request(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (CloseReason::Reset, Ended::Reset), "{report}");
        assert!(report.received.contains(Signal::Rst), "{report}");
        hand.assert_dropped().await;
        seen(peer).await;
    });
}

#[test]
fn rst_in_a_body_that_ends_with_the_connection_is_never_its_end() {
    play(async || {
        // Linux tells a reset once: to the write of our upload, so that the read after it gives a mere end.
        let script = Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\nthe first half").mark("half");
        let (reset, after) = (Gate::new(), Gate::new());
        let peer = Peer::tcp(script.gate(&reset).close().mark("reset").gate(&after)).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", Some(1 << 30));
        hand.give("unread");
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "the first half");
        pause(10).await;
        reset.open();
        peer.wait(0, Until::Mark("reset")).unwrap();
        hand.give(vec![b'm'; 100_000]);
        let end = body.frame().await;
        let error = end.expect("a cut body passed for whole").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        assert_eq!(report.ended, Ended::Reset, "{report}");
        after.open();
        seen(peer).await;
    });
}

// 3. The peer half-closes with our request body open.

#[test]
fn half_close_by_the_peer_with_our_body_open_surfaces_and_does_not_spin() {
    play(async || {
        for length in FRAMINGS {
            let peer = Peer::tcp(Script::new().read_head().read_exactly(first_ten(length)).fin()).unwrap();
            let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let error = sender.send_request(request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoResponse, "{error:?}");
            assert_eq!(error.phase(), ExchangePhase::SendingBody, "{error:?}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(report.reason, CloseReason::PeerEndedEarly, "{report}");
            assert!(report.received.contains(Signal::Fin) && report.sent.contains(Signal::Rst), "{report}");
            hand.assert_dropped().await;
            assert!(notes.calls().len() < 30, "{:?}", notes.calls());
            seen(peer).await.assert_reset();
        }
    });
}

#[test]
fn half_close_by_the_peer_after_an_early_response_parks_the_upload_and_finishes_it() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
        let script = Script::new().read_head().send(answer).fin().read_body().mark("whole");
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "early");
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        pause(20).await;
        let (calls, polls) = (notes.calls().len(), hand.polls());
        pause(150).await;
        assert_eq!((notes.calls().len(), hand.polls()), (calls, polls), "parked means parked");
        hand.give("abc");
        hand.end();
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerAskedClose, Ended::Clean),
            "{report}"
        );
        assert!(notes.calls().len() < 40, "{:?}", notes.calls());
        let seen = seen(peer).await;
        assert_eq!(seen.requests()[0].body(), b"0123456789abc");
        seen.assert_fin();
    });
}

#[test]
fn half_close_by_the_peer_does_not_spin_while_the_transport_takes_nothing() {
    play(async || {
        let script = Script::new().read_head().pause(ms(30)).send(response(200, "early")).fin().never_read();
        let peer = Peer::builder().receive_buffer(4096).script(script).tcp().unwrap();
        let builder = Builder::new().write_stall_timeout(Some(ms(200)));
        let (mut sender, connection, notes) = connect_noted(&peer, &builder).await;
        let (request, hand) = upload("POST", None);
        hand.give_for_ever();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "early");
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        pause(20).await;
        let calls = notes.calls().len();
        pause(100).await;
        assert!(notes.calls().len() <= calls + 10, "{} calls while stuck", notes.calls().len() - calls);
        // It leaves the state: nobody takes the rest.
        let report = connection.closed().await;
        assert!(report.sent.contains(Signal::Rst), "{report}");
        hand.assert_dropped().await;
        peer.release();
        seen(peer).await;
    });
}

#[test]
fn half_close_by_the_peer_with_our_body_open_over_opaque_io() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_head().read_exactly(10).fin()).unwrap();
        let (mut sender, connection, notes) = connect_opaque(&peer, &Builder::new()).await;
        let (request, hand) = upload("POST", Some(1000));
        hand.give("0123456789");
        let error = sender.send_request(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoResponse, "{error:?}");
        let report = connection.closed().await;
        // It cannot reset, and says so.
        assert!(!report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
        assert_eq!(notes.count(Call::Shutdown), 0);
        assert!(notes.calls().len() < 30, "{:?}", notes.calls());
        hand.assert_dropped().await;
        seen(peer).await;
    });
}

//! `Expect: 100-continue`: a body that is held back until it is asked for.

use adieu::conn::http1::Builder;
use adieu::{Body, CloseReason, EarlyResponse, ErrorKind, ExchangePhase, Signal, State};
use adieu_testkit::peer::{Peer, Script, response};
use http::{HeaderValue, Request};

use crate::props::{Hand, at_each_cut, check, ms, now, play, refuses, seen, upload};
use crate::support::{connect, connect_with, get, post, read};

// 24. Expect: 100-continue.

fn expecting(length: Option<u64>) -> (Request<Body>, Hand) {
    let (mut request, hand) = upload("POST", length);
    request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    (request, hand)
}

#[test]
fn expect_100_continue_sends_the_body_when_100_arrives() {
    play(async || {
        at_each_cut("HTTP/1.1 100 Continue\r\n\r\n", async |cut| {
            let script = cut.after(Script::new().read_head().quiet(ms(3))).read_body();
            let script = script.send(response(200, "thanks")).read_request().send(response(200, "again"));
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect_with(&peer, &Builder::new().continue_timeout(None)).await;
            let (request, hand) = expecting(Some(10));
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "thanks");
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "again");
            assert_eq!(connection.state(), State::Idle);
            drop((sender, connection));
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].header("expect"), Some("100-continue"));
            assert_eq!(seen.requests()[0].body(), b"0123456789");
            seen.assert_fin();
        })
        .await;
    });
}

#[test]
fn expect_100_continue_answered_by_a_final_response_sends_no_body_and_is_not_reused() {
    play(async || {
        for policy in [EarlyResponse::StopUnlessSuccess, EarlyResponse::Stop, EarlyResponse::Finish] {
            for (status, length) in [(417, Some(10)), (417, None), (200, Some(10)), (401, None)] {
                let peer = Peer::tcp(Script::new().read_head().send(response(status, "final"))).unwrap();
                let builder = Builder::new().continue_timeout(None).early_response(policy);
                let (mut sender, connection) = connect_with(&peer, &builder).await;
                let (request, hand) = expecting(length);
                hand.give("0123456789");
                hand.end();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), status);
                assert_eq!(read(response).await.unwrap(), "final");
                assert_eq!(hand.polls(), 0, "the body was asked for");
                hand.assert_dropped().await;
                let report = connection.closed().await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.failed),
                    (CloseReason::UploadStopped, 0),
                    "{report}"
                );
                refuses(&mut sender).await;
                let seen = seen(peer).await;
                seen.assert_reset();
                let head = seen.requests()[0].head().len() as u64;
                assert_eq!(seen.received_len(), head, "a body that was not asked for\n{seen}");
            }
        }
    });
}

#[test]
fn expect_100_continue_times_out_and_sends_the_body_all_the_same() {
    play(async || {
        for length in [Some(10), None] {
            let script = Script::new().read_head().quiet(ms(30)).read_body().send(response(200, "thanks"));
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) =
                connect_with(&peer, &Builder::new().continue_timeout(Some(ms(60)))).await;
            let (request, hand) = expecting(length);
            hand.give("0123456789");
            hand.end();
            let began = now();
            let response = sender.send_request(request).await.unwrap();
            assert!(began.elapsed() >= ms(60), "{:?}", began.elapsed());
            assert_eq!(read(response).await.unwrap(), "thanks");
            assert_eq!(connection.state(), State::Idle);
            drop((sender, connection));
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].body(), b"0123456789");
            seen.assert_fin();
        }
    });
}

#[test]
fn expect_100_continue_other_interim_responses_do_not_release_the_body() {
    play(async || {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        let script = Script::new().read_head().send(hints).quiet(ms(30));
        let script = script.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").read_body();
        let peer = Peer::tcp(script.send(response(200, "thanks"))).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().continue_timeout(None)).await;
        let (request, hand) = expecting(None);
        hand.give("0123456789");
        hand.end();
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.unwrap(), "thanks");
        assert_eq!(connection.state(), State::Idle);
        drop((sender, connection));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn expect_100_continue_after_100_and_half_a_body_a_final_response_is_an_early_one() {
    play(async || {
        let script = Script::new().read_head().send("HTTP/1.1 100 Continue\r\n\r\n").read_exactly(10);
        let peer = Peer::tcp(script.send(response(417, "enough"))).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = expecting(Some(1000));
        hand.give("0123456789");
        let response = sender.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), &read(response).await.unwrap()[..]), (417, &b"enough"[..]));
        assert_eq!(connection.closed().await.reason, CloseReason::UploadStopped);
        hand.assert_dropped().await;
        seen(peer).await.assert_reset();
    });
}

#[test]
fn expect_100_continue_without_a_body_waits_for_nothing() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().send(response(200, "ok"))).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().continue_timeout(None)).await;
        let mut request = post("/", "");
        request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.unwrap(), "ok");
        assert_eq!(connection.state(), State::Idle);
        drop((sender, connection));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn expect_100_continue_peer_that_ends_instead_is_no_response() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_head().fin()).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().continue_timeout(None)).await;
        let (request, hand) = expecting(Some(10));
        hand.give("0123456789");
        let error = sender.send_request(request).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::NoResponse, ExchangePhase::AwaitingContinue));
        assert_eq!(hand.polls(), 0);
        hand.assert_dropped().await;
        let report = connection.closed().await;
        assert!(report.sent.contains(Signal::Rst), "{report}");
        seen(peer).await.assert_reset();
    });
}

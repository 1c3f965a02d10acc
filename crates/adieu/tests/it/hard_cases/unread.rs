//! Responses that nobody reads: drained within a budget, or closed; the caller never waits.

use adieu::conn::http1::Builder;
use adieu::{CloseReason, Ended, Signal, State};
use adieu_testkit::peer::{Gate, Peer, Script, response};
use http_body_util::BodyExt;

use crate::props::{check, ms, now, pause, play, refuses, seen};
use crate::support::{connect, connect_with, get, read};

// 21. Drain an unread body, or close.

#[test]
fn unread_body_with_a_small_known_rest_is_drained_and_the_connection_reused() {
    play(async || {
        let gate = Gate::new();
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let script = Script::new().read_request().send(half).gate(&gate).send_pieces("world", 2);
        let peer = Peer::tcp(script.read_request().send(response(200, "next"))).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        drop(sender.send_request(get("/")).await.unwrap());
        gate.open();
        // Asked for at once: it waits for the rest, which is nobody's.
        assert_eq!(read(sender.send_request(get("/next")).await.unwrap()).await.unwrap(), "next");
        assert_eq!(connection.state(), State::Idle);
        let snapshot = connection.snapshot();
        assert_eq!((snapshot.done, snapshot.failed), (2, 0), "{snapshot}");
        drop((sender, connection));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn unread_body_whose_small_rest_does_not_come_in_time_closes() {
    play(async || {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let peer = Peer::tcp(Script::new().read_request().send(half).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let began = now();
        drop(response);
        assert!(sender.send_request(get("/")).await.is_err());
        assert!((ms(45)..ms(300)).contains(&began.elapsed()), "{:?}", began.elapsed());
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::RequestCancelled, Ended::Clean),
            "{report}"
        );
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn unread_body_with_a_large_rest_closes_at_once() {
    play(async || {
        for (length, builder) in [
            (64 * 1024 + 100_000_u64, Builder::new()),
            (2000, Builder::new().max_unread_body(1000)),
            (1 << 40, Builder::new()),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nstart");
            let peer = Peer::tcp(Script::new().read_request().send(head).read_to_end().fin()).unwrap();
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            drop(sender.send_request(get("/")).await.unwrap());
            assert_eq!(refuses(&mut sender).await, CloseReason::RequestCancelled);
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
            assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn unread_body_of_unknown_length_closes_at_once() {
    play(async || {
        for head in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.0 200 OK\r\n\r\n",
        ] {
            let peer = Peer::tcp(Script::new().read_request().send(head).read_to_end().fin()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let began = now();
            drop(sender.send_request(get("/")).await.unwrap());
            refuses(&mut sender).await;
            let report = connection.closed().await;
            assert!(began.elapsed() < ms(300), "{:?}", began.elapsed());
            assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn unread_endless_events_are_cut_and_the_caller_does_not_wait() {
    play(async || {
        let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        let script = Script::new().read_request().send(events);
        let event = Script::new().pause(ms(5)).send("data: tick\n\n").or_end();
        let peer = Peer::tcp(script.times(600, event)).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().linger(ms(100))).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        let began = now();
        drop(body);
        assert!(began.elapsed() < ms(20), "the drop took {:?}", began.elapsed());
        let report = connection.closed().await;
        assert!(began.elapsed() < ms(400), "{:?}", began.elapsed());
        check(&report);
        // What ended it, not how it would have ended.
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::RequestCancelled, Ended::PeerSilent),
            "{report}"
        );
        refuses(&mut sender).await;
        seen(peer).await.assert_reset();
    });
}

#[test]
fn unread_flood_is_cut_by_bytes() {
    play(async || {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        let peer = Peer::tcp(Script::new().read_request().send(head).send_filler(1 << 30).or_end()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        drop(sender.send_request(get("/")).await.unwrap());
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::RequestCancelled, Ended::Aborted),
            "{report}"
        );
        assert!((256 * 1024..4 * 1024 * 1024).contains(&report.bytes_discarded), "{report}");
        seen(peer).await.assert_reset();
    });
}

#[test]
fn unread_body_that_came_with_its_head_costs_nothing() {
    play(async || {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let answer = Script::new().read_request().send(whole);
        let peer = Peer::tcp(Script::new().times(3, answer)).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        for _ in 0..3 {
            drop(sender.send_request(get("/")).await.unwrap());
            pause(1).await;
            assert_eq!(connection.state(), State::Idle);
        }
        drop((sender, connection));
        let seen = seen(peer).await;
        seen.assert_fin();
        assert_eq!(seen.requests_len(), 3);
    });
}

//! Bytes on an idle connection: never a response to a later request.

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{CloseReason, Ended, Signal, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};

use crate::props::{
    Call, at_each_cut, check, connect_noted, connect_opaque, connect_unix, ms, now, pause, play,
};
use crate::props::{reaches, refuses, seen, side_by_side};
use crate::support::{connect, get, read};

/// What a server under attack, or a confused one, may send for nobody.
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// How a polite server ends an idle connection.
const REQUEST_TIMEOUT: &str =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A peer that answers one request, and sends `extra` when the gate opens.
fn later(extra: impl Into<Vec<u8>>, gate: &Gate) -> Peer {
    let script = Script::new().read_request().send(response(200, "ok")).gate(gate).send(extra).mark("sent");
    Peer::tcp(script.read_to_end().fin()).unwrap()
}

/// One exchange, and the connection is idle.
async fn idle(peer: &Peer) -> (SendRequest, Connection) {
    let (mut sender, connection) = connect(peer).await;
    assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
    assert_eq!(connection.state(), State::Idle);
    (sender, connection)
}

/// The bytes ended the connection, and nothing of a second request was written.
async fn ended_by(expected: CloseReason, mut sender: SendRequest, connection: Connection, peer: Peer) {
    assert_eq!(refuses(&mut sender).await, expected);
    let report = connection.closed().await;
    check(&report);
    assert_eq!((report.reason.clone(), report.ended), (expected, Ended::Clean), "{report}");
    assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
    assert!(report.sent.contains(Signal::Fin), "{report}");
    let seen = seen(peer).await;
    seen.assert_fin();
    let head = seen.requests()[0].head().len() as u64;
    assert_eq!(seen.received_len(), head, "something was written for nobody\n{seen}");
}

// 6. Bytes on an idle connection.

#[test]
fn bytes_on_an_idle_connection_that_came_with_the_response_are_no_response() {
    play(async || {
        let both = [response(200, "ok"), EVIL.into()].concat();
        let script = Script::new().read_request().send(both).read_to_end().fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        ended_by(CloseReason::UnexpectedData, sender, connection, peer).await;
    });
}

#[test]
fn bytes_on_an_idle_connection_cut_anywhere_are_no_response() {
    play(async || {
        let both = [&b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"[..], &b"HTTP/1.1 200"[..]].concat();
        at_each_cut(both, async |cut| {
            let script = cut.after(Script::new().read_request()).mark("sent").read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            pause(1).await;
            ended_by(CloseReason::UnexpectedData, sender, connection, peer).await;
        })
        .await;
    });
}

#[test]
fn bytes_on_an_idle_connection_right_before_a_request_end_it() {
    play(async || {
        for (extra, reason) in [
            (EVIL, CloseReason::UnexpectedData),
            ("x", CloseReason::UnexpectedData),
            ("\r\n", CloseReason::UnexpectedData),
            ("HTTP/1.1 40", CloseReason::UnexpectedData),
            (REQUEST_TIMEOUT, CloseReason::PeerClosedIdle),
            ("HTTP/1.0 408 Request Time-out\r\n\r\n<html>", CloseReason::PeerClosedIdle),
        ] {
            let gate = Gate::new();
            let peer = later(extra, &gate);
            let (sender, connection) = idle(&peer).await;
            gate.open();
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            pause(2).await;
            ended_by(reason, sender, connection, peer).await;
        }
    });
}

#[test]
fn bytes_on_an_idle_connection_that_the_runtime_does_not_know_of_yet_end_it() {
    play(async || {
        // The only thread is blocked, so that only a look at the socket itself can tell.
        for (extra, reason) in
            [(EVIL, CloseReason::UnexpectedData), (REQUEST_TIMEOUT, CloseReason::PeerClosedIdle)]
        {
            let gate = Gate::new();
            let peer = later(extra, &gate);
            let (sender, connection) = idle(&peer).await;
            gate.open();
            peer.wait(0, Until::Mark("sent")).unwrap();
            std::thread::sleep(ms(120));
            ended_by(reason, sender, connection, peer).await;
        }
    });
}

#[test]
fn bytes_on_an_idle_connection_are_noticed_without_traffic() {
    play(async || {
        let every = [(EVIL, CloseReason::UnexpectedData), (REQUEST_TIMEOUT, CloseReason::PeerClosedIdle)];
        side_by_side(every.map(async |(extra, reason)| {
            let gate = Gate::new();
            let peer = later(extra, &gate);
            let (sender, connection) = idle(&peer).await;
            gate.open();
            let began = now();
            reaches(&connection, |state| state == State::Closed).await;
            assert!(began.elapsed() < ms(2000), "{:?}", began.elapsed());
            ended_by(reason, sender, connection, peer).await;
        }))
        .await;
    });
}

#[test]
fn bytes_on_an_idle_connection_are_noticed_at_once_when_it_is_watched() {
    play(async || {
        let gate = Gate::new();
        let peer = later(REQUEST_TIMEOUT, &gate);
        let (sender, connection) = idle(&peer).await;
        pause(1200).await;
        assert_eq!(connection.state(), State::Idle);
        let began = now();
        gate.open();
        reaches(&connection, |state| state == State::Closed).await;
        assert!(began.elapsed() < ms(200), "{:?}", began.elapsed());
        ended_by(CloseReason::PeerClosedIdle, sender, connection, peer).await;
    });
}

#[test]
fn bytes_on_an_idle_connection_before_the_first_request() {
    play(async || {
        let peer = Peer::tcp(Script::new().send("220 mail.example ESMTP\r\n").mark("sent")).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        peer.wait_async(0, Until::Mark("sent")).await.unwrap();
        pause(2).await;
        assert_eq!(refuses(&mut sender).await, CloseReason::UnexpectedData);
        let report = connection.close(adieu::CloseMode::now()).await;
        assert_eq!((report.reason.clone(), report.bytes_sent), (CloseReason::UnexpectedData, 0), "{report}");
        seen(peer).await.assert_received("");
    });
}

#[test]
fn an_idle_connection_that_the_peer_ends_is_noticed_without_traffic() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_request().send(response(200, "ok")).gate(&gate).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = idle(&peer).await;
        gate.open();
        let began = now();
        reaches(&connection, |state| state == State::Closed).await;
        assert!(began.elapsed() < ms(2000), "{:?}", began.elapsed());
        assert_eq!(refuses(&mut sender).await, CloseReason::PeerClosedIdle);
        let report = connection.closed().await;
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerClosedIdle, Ended::Clean),
            "{report}"
        );
        seen(peer).await.assert_fin();
    });
}

#[test]
fn an_idle_connection_that_the_peer_resets_is_told_as_reset() {
    play(async || {
        // Noticed by a look right before the request, by readiness, and by the watch.
        for wait in [0, 1, 2] {
            let gate = Gate::new();
            let script = Script::new().read_request().send(response(200, "ok")).gate(&gate).reset();
            let peer = Peer::tcp(script.mark("reset")).unwrap();
            let (mut sender, connection) = idle(&peer).await;
            gate.open();
            match wait {
                0 => {
                    peer.wait(0, Until::Mark("reset")).unwrap();
                    std::thread::sleep(ms(120));
                }
                1 => {
                    peer.wait_async(0, Until::Mark("reset")).await.unwrap();
                    pause(120).await;
                }
                _ => reaches(&connection, |state| state == State::Closed).await,
            }
            assert_eq!(refuses(&mut sender).await, CloseReason::Reset, "{wait}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (CloseReason::Reset, Ended::Reset), "{report}");
            assert!(!report.received.contains(Signal::Fin) && report.failed == 0, "{report}");
            seen(peer).await;
        }
    });
}

#[test]
fn an_idle_connection_costs_no_calls_while_nothing_happens() {
    play(async || {
        let script = Script::new().read_request().send(response(200, "ok"));
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let before = notes.calls().len();
        pause(1600).await;
        assert!(notes.calls().len() <= before + 6, "{before}: {:?}", notes.calls());
        assert_eq!(connection.state(), State::Idle);
        drop((sender, connection));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn bytes_on_an_idle_connection_over_unix_and_opaque_io() {
    play(async || {
        let script = || {
            let script = Script::new().read_request().send(response(200, "ok"));
            script.pause(ms(5)).send(EVIL).mark("sent").read_to_end().fin()
        };
        let peer = Peer::unix(script()).unwrap();
        let (mut sender, connection) = connect_unix(&peer, &Builder::new()).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        peer.wait_async(0, Until::Mark("sent")).await.unwrap();
        pause(2).await;
        ended_by(CloseReason::UnexpectedData, sender, connection, peer).await;

        let peer = Peer::tcp(script()).unwrap();
        let (mut sender, connection, notes) = connect_opaque(&peer, &Builder::new()).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        peer.wait_async(0, Until::Mark("sent")).await.unwrap();
        pause(2).await;
        ended_by(CloseReason::UnexpectedData, sender, connection, peer).await;
        assert_eq!(notes.count(Call::Write), 1);
    });
}

// 7. Reuse right after a response, whose FIN may be here already.

#[test]
fn reuse_right_after_a_response_looks_for_the_peers_end_first() {
    play(async || {
        for reset in [false, true] {
            let script = Script::new().read_request().send(response(200, "ok"));
            let script = if reset { script.reset() } else { script.fin() };
            let peer = Peer::tcp(script.mark("ended")).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let first = sender.send_request(get("/")).await.unwrap();
            peer.wait_async(0, Until::Mark("ended")).await.unwrap();
            assert_eq!(read(first).await.unwrap(), "ok");
            pause(1).await;
            let reason = if reset { CloseReason::Reset } else { CloseReason::PeerClosedIdle };
            assert_eq!(refuses(&mut sender).await, reason);
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            let seen = seen(peer).await;
            assert_eq!(seen.requests_len(), 1, "{seen}");
        }
    });
}

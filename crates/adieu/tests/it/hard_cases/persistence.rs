//! Who may close after a response, and when.

use adieu::conn::http1::Builder;
use adieu::{Body, CloseReason, Ended, Party, Signal, State};
use adieu_testkit::peer::{Event, Peer, Script, response};
use http::{Request, Version};

use crate::props::{
    at_each_cut, check, connect_opaque, connect_unix, ms, pause, play, reaches, refuses, seen,
};
use crate::support::{connect, get, read};

/// A request of this version with these Connection fields.
fn request(version: Version, connection: &[&str]) -> Request<Body> {
    let request = Request::get("http://example.com/").version(version);
    let request = connection.iter().fold(request, |request, field| request.header("connection", *field));
    request.body(Body::empty()).unwrap()
}

// 23. Connection: close from either side, HTTP/1.0, several tokens.

#[test]
fn connection_is_kept_only_when_nothing_speaks_against_it() {
    use CloseReason::{PeerAskedClose as Peer1, RequestAskedClose as Us};
    play(async || {
        const NEW: Version = Version::HTTP_11;
        const OLD: Version = Version::HTTP_10;
        for (version, ours, status, theirs, expected) in [
            (NEW, &[][..], "HTTP/1.1", "", None),
            (NEW, &["keep-alive"], "HTTP/1.1", "Connection: Keep-Alive\r\n", None),
            (NEW, &["te", "x, y"], "HTTP/1.1", "Connection: x, y\r\n", None),
            (NEW, &[], "HTTP/1.1", "Connection: close\r\n", Some(Peer1)),
            (NEW, &[], "HTTP/1.1", "Connection: CLOSE\r\n", Some(Peer1)),
            (NEW, &[], "HTTP/1.1", "Connection: keep-alive, Close\r\n", Some(Peer1)),
            (NEW, &[], "HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n", Some(Peer1)),
            (NEW, &[], "HTTP/1.1", "Connection: x\r\nConnection: y ,close\r\n", Some(Peer1)),
            (NEW, &["close"], "HTTP/1.1", "", Some(Us)),
            (NEW, &["x, close"], "HTTP/1.1", "Connection: keep-alive\r\n", Some(Us)),
            (NEW, &["x", "Close"], "HTTP/1.1", "Connection: close\r\n", Some(Us)),
            (NEW, &[], "HTTP/1.0", "", Some(Peer1)),
            (NEW, &[], "HTTP/1.0", "Connection: keep-alive\r\n", None),
            (NEW, &[], "HTTP/1.0", "Connection: keep-alive, close\r\n", Some(Peer1)),
            (OLD, &["keep-alive"], "HTTP/1.1", "Connection: keep-alive\r\n", None),
            (OLD, &["keep-alive"], "HTTP/1.0", "Connection: keep-alive\r\n", None),
            (OLD, &["keep-alive"], "HTTP/1.1", "", Some(Peer1)),
            (OLD, &[], "HTTP/1.1", "", Some(Peer1)),
        ] {
            let answer = format!("{status} 200 OK\r\n{theirs}Content-Length: 2\r\n\r\nok");
            let script = Script::new().read_request().send_pieces(answer, 40);
            let script = match expected {
                None => script.read_request().send(response(200, "next")),
                Some(_) => script.fin(),
            };
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let first = sender.send_request(request(version, ours)).await.unwrap();
            assert_eq!(read(first).await.unwrap(), "ok");
            let what = format!("{version:?} {ours:?} {status} {theirs:?}");
            let Some(expected) = expected else {
                assert_eq!(connection.state(), State::Idle, "{what}");
                assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
                drop((sender, connection));
                seen(peer).await.assert_fin();
                continue;
            };
            assert_eq!(refuses(&mut sender).await, expected, "{what}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (expected, Ended::Clean), "{what}: {report}");
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            let seen = seen(peer).await;
            seen.assert_fin();
            assert_eq!(seen.requests_len(), 1);
        }
    });
}

#[test]
fn connection_close_of_ours_closes_after_the_final_response_and_not_before() {
    play(async || {
        let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        at_each_cut(answer, async |cut| {
            let script = cut.after(Script::new().read_request()).mark("answered").read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let response = sender.send_request(request(Version::HTTP_11, &["close"])).await.unwrap();
            assert_eq!(read(response).await.unwrap(), "ok");
            // The peer does not close by itself: we do, at once.
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.began_by, report.ended),
                (CloseReason::RequestAskedClose, Party::Local, Ended::Clean),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_fin();
            assert!(!seen.saw_fin_before("answered"), "{seen}");
            assert_eq!(seen.requests()[0].header("connection"), Some("close"));
        })
        .await;
    });
}

#[test]
fn connection_close_over_unix_and_opaque_io() {
    play(async || {
        let script = || {
            let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
            Script::new().read_request().send_pieces(answer, 7).fin()
        };
        let unix = Peer::unix(script()).unwrap();
        let tcp = Peer::tcp(script()).unwrap();
        let (sender, connection) = connect_unix(&unix, &Builder::new()).await;
        let (opaque_sender, opaque, _) = connect_opaque(&tcp, &Builder::new()).await;
        for (mut sender, connection, peer) in [(sender, connection, unix), (opaque_sender, opaque, tcp)] {
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended),
                (CloseReason::PeerAskedClose, Ended::Clean),
                "{report}"
            );
            assert!(report.sent.contains(Signal::Fin), "{report}");
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn a_slow_http_1_0_download_longer_than_any_drain_is_not_cut_when_nobody_asked_for_a_close() {
    play(async || {
        let more = Script::new().pause(ms(100)).send("x".repeat(1000));
        let script = Script::new().read_request().send("HTTP/1.0 200 OK\r\n\r\n").times(12, more).fin();
        let peer = Peer::tcp(script).unwrap();
        // The linger is short as well: neither of a close's limits may touch it.
        let builder = Builder::new().linger(ms(50));
        let (mut sender, connection) = crate::support::connect_with(&peer, &builder).await;
        let response = sender.send_request(request(Version::HTTP_10, &[])).await.unwrap();
        assert!(matches!(connection.state(), State::Draining { .. }), "{}", connection.snapshot());
        assert_eq!(connection.snapshot().deadline.filter(|left| *left < ms(60_000)), None);
        assert_eq!(read(response).await.unwrap().len(), 12_000);
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.ended), (1, Ended::Clean), "{report}");
        assert!(report.draining > ms(1000), "{report:?}");
        seen(peer).await.assert_fin();
    });
}

// 20. TIME_WAIT falls to the peer that announced its end.

#[test]
fn a_peer_that_announced_its_end_gets_a_moment_to_end_first() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let script = Script::new().read_request().send(answer).quiet(ms(40)).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        assert_eq!(connection.state(), State::Yielding);
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerAskedClose, Ended::Clean),
            "{report}"
        );
        assert!(report.age < ms(1000), "{report}");
        // The step before FIN was quiet: ours came after it.
        seen(peer).await.assert_fin();
    });
}

#[test]
fn a_peer_that_announced_its_end_and_does_not_end_gets_our_fin_after_100_ms() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let peer = Peer::tcp(Script::new().read_request().send(answer).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let report = connection.closed().await;
        check(&report);
        assert_eq!(report.ended, Ended::Clean, "{report}");
        let seen = seen(peer).await;
        let sent = seen.time_of(|event| matches!(event, Event::Sent { .. })).unwrap();
        let fin = seen.time_of(|event| *event == Event::Fin).unwrap();
        assert!((ms(90)..ms(400)).contains(&(fin - sent)), "{seen}");
    });
}

#[test]
fn a_peer_that_announced_its_end_is_not_waited_for_while_our_upload_goes_on() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let script = Script::new().read_head().send(answer).fin().read_body().mark("whole");
        let peer = Peer::tcp(script).unwrap();
        let builder = Builder::new().early_response(adieu::EarlyResponse::Finish);
        let (mut sender, connection) = crate::support::connect_with(&peer, &builder).await;
        let (request, hand) = crate::props::upload("POST", Some(8));
        hand.give("half");
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.unwrap(), "ok");
        pause(200).await;
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        hand.give("half");
        hand.end();
        let report = connection.closed().await;
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        assert_eq!(seen(peer).await.requests()[0].body(), b"halfhalf");
    });
}

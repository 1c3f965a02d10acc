//! The situations of `hard_cases` that TLS makes different, by their numbers there. 13 and 15 are in `cut_short`, 41 is in
//! `upgrades`.

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Phase, ReadEnd, Signal, State};
use adieu_testkit::peer::{Event, Gate, Script, TlsVersion, Until};

use super::support::{
    BOTH, SOON, answers_then, check, connect, connect_with, cut_anywhere, exchange, fetch, fetch_what_comes,
    goodbye, idle, peer, shows, signals,
};
use crate::props::{ms, now, pause, play, refuses, seen};
use crate::support::get;

const USER: CloseReason = CloseReason::User(CloseKind::Graceful);

// 10. Contradictions in the framing.

#[test]
fn contradictory_framing_over_tls_is_never_reused_and_left_by_close_notify() {
    play(async || {
        let both = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let lengths = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
        let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n";
        for version in BOTH {
            for (answer, expected) in [
                (both, None),
                (old, None),
                (lengths, Some(ErrorKind::BadResponse)),
                (chunk, Some(ErrorKind::BadBody)),
            ] {
                let script = Script::new().read_request().send(answer).read_to_end().goodbye();
                let peer = peer(version, script);
                let (mut sender, connection) = connect(&peer).await;
                match (fetch(&mut sender).await, expected) {
                    (Ok(body), None) => assert_eq!(body, "hello"),
                    (Err(error), Some(kind)) => assert_eq!(error.kind(), kind, "{error:?}"),
                    other => panic!("{answer}: {other:?}"),
                }
                assert!(matches!(refuses(&mut sender).await, CloseReason::ProtocolError(_)));
                let report = connection.closed().await;
                check(&report);
                assert!(matches!(report.reason, CloseReason::ProtocolError(_)), "{report}");
                assert_eq!(
                    (report.ended, report.sent, report.received),
                    (Ended::Clean, goodbye(), goodbye()),
                    "{report}"
                );
                let seen = seen(peer).await;
                seen.assert_close_notify_then_fin();
                assert_eq!(seen.requests_len(), 1, "{seen}");
            }
        }
    });
}

// 11. A body that ends with the connection, on TLS.

const TO_THE_END: &str = "HTTP/1.1 200 OK\r\n\r\nto the end";

#[test]
fn close_delimited_body_on_tls_without_close_notify_is_truncated() {
    play(async || {
        cut_anywhere(TO_THE_END, async |version, after| {
            let peer = peer(version, after(Script::new().read_request()).fin());
            let (mut sender, connection) = connect(&peer).await;
            let (came, outcome) = fetch_what_comes(&mut sender).await;
            let error = outcome.unwrap_err();
            // What came is delivered, and is not passed for whole.
            assert_eq!(came, "to the end");
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (ErrorKind::IncompleteBody, Some(&CloseReason::TlsTruncated), ReadEnd::BareFin),
                "{error:?}"
            );
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges, report.failed),
                (CloseReason::TlsTruncated, Ended::Truncated, 0, 1),
                "{report}"
            );
            assert_eq!((report.sent, report.received), (goodbye(), signals([Signal::Fin])), "{report}");
            assert_eq!(refuses(&mut sender).await, CloseReason::TlsTruncated);
            seen(peer).await.assert_close_notify_then_fin();
        })
        .await;
    });
}

#[test]
fn close_delimited_body_on_tls_with_close_notify_is_whole() {
    play(async || {
        cut_anywhere(TO_THE_END, async |version, after| {
            let peer = peer(version, after(Script::new().read_request()).goodbye());
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(fetch(&mut sender).await.unwrap(), "to the end");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges, report.failed),
                (CloseReason::BodyUntilClose, Ended::Clean, 1, 0),
                "{report}"
            );
            assert_eq!((report.sent, report.received), (goodbye(), goodbye()), "{report}");
            seen(peer).await.assert_close_notify_then_fin();
        })
        .await;
    });
}

/// Who said that it closes has not said yet that it is done.
#[test]
fn close_delimited_body_on_tls_of_a_peer_that_announced_its_end_is_truncated_all_the_same() {
    play(async || {
        for version in BOTH {
            for head in ["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"] {
                let script = Script::new().read_request().send(head).send("all of it");
                let peers = [peer(version, script.clone().fin()), peer(version, script.goodbye())];
                for (peer, vouched) in peers.into_iter().zip([false, true]) {
                    let (mut sender, connection) = connect(&peer).await;
                    let (came, outcome) = fetch_what_comes(&mut sender).await;
                    assert_eq!(came, "all of it");
                    let report = connection.closed().await;
                    check(&report);
                    let (reason, ended) = if vouched {
                        outcome.unwrap();
                        (CloseReason::PeerAskedClose, Ended::Clean)
                    } else {
                        assert_eq!(outcome.unwrap_err().close_reason(), Some(&CloseReason::TlsTruncated));
                        (CloseReason::TlsTruncated, Ended::Truncated)
                    };
                    assert_eq!(
                        (report.reason.clone(), report.ended, report.failed),
                        (reason, ended, u64::from(!vouched)),
                        "{report}"
                    );
                    seen(peer).await.assert_close_notify_then_fin();
                }
            }
        }
    });
}

#[test]
fn framed_body_on_tls_without_close_notify_is_whole() {
    play(async || {
        for version in BOTH {
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            ] {
                let peer = peer(version, Script::new().read_request().send(answer).fin().mark("ended"));
                let (mut sender, connection) = connect(&peer).await;
                assert_eq!(fetch(&mut sender).await.unwrap(), "hello");
                peer.wait_async(0, Until::Mark("ended")).await.unwrap();
                pause(2).await;
                let asked = answer.contains("close");
                let reason = if asked { CloseReason::PeerAskedClose } else { CloseReason::PeerClosedIdle };
                assert_eq!(refuses(&mut sender).await, reason);
                let report = connection.closed().await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.ended, report.sent, report.received),
                    (reason, Ended::Clean, goodbye(), signals([Signal::Fin])),
                    "{report}"
                );
                assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
                seen(peer).await.assert_close_notify_then_fin();
            }
        }
    });
}

// 12. The order of the goodbye.

#[test]
fn close_notify_order_is_close_notify_then_fin_then_the_peers_own() {
    play(async || {
        for version in BOTH {
            let (notify, fin) = (Gate::new(), Gate::new());
            let peer = answers_then(version, |script| {
                let script = script.expect_close_notify(SOON).mark("notified").expect_fin(SOON).mark("ended");
                script.gate(&notify).close_notify().gate(&fin).fin()
            });
            let (_sender, connection) = idle(&peer).await;
            let closing = connection.close(CloseMode::graceful());
            peer.wait_async(0, Until::Mark("ended")).await.unwrap();
            // Both of ours are said, and the peer's are waited for.
            let snapshot = shows(&connection, |snapshot| snapshot.state == State::Lingering).await;
            assert_eq!((snapshot.sent, snapshot.received), (goodbye(), signals([])), "{snapshot}");
            assert!(snapshot.tls.is_some() && snapshot.reason == Some(USER), "{snapshot}");
            notify.open();
            let snapshot = shows(&connection, |snapshot| !snapshot.received.is_empty()).await;
            assert_eq!(
                (snapshot.state, snapshot.received),
                (State::Lingering, signals([Signal::CloseNotify])),
                "{snapshot}"
            );
            fin.open();
            let report = closing.await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (USER, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            assert!(seen.saw_close_notify_before("notified"), "{seen}");
            seen.assert_fin_before("ended");
        }
    });
}

/// A close with bytes unread is a reset in the kernel's eyes: whatever the peer's TLS still says is read first.
#[test]
fn close_notify_order_reads_what_the_peer_still_says_so_that_no_rst_destroys_ours() {
    play(async || {
        let peer = answers_then(TlsVersion::Tls13, |script| {
            script.ticket().ticket().read_to_end().ticket().key_update().send("late").goodbye().mark("said")
        });
        let (_sender, connection) = idle(&peer).await;
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        assert_eq!((report.ended, report.received), (Ended::Clean, goodbye()), "{report}");
        assert_eq!(report.bytes_discarded, 4, "{report}");
        let seen = seen(peer).await;
        seen.assert_close_notify_then_fin();
        assert!(seen.saw_fin_before("said"), "{seen}");
    });
}

/// RFC 5246 section 7.2.1 and RFC 8446 section 6.1: in TLS 1.2 a close_notify is answered at once, in TLS 1.3 it leaves our
/// side open.
#[test]
fn close_notify_order_of_a_peer_that_ends_first_is_answered_by_ours() {
    play(async || {
        for version in BOTH {
            // On an idle connection there is nothing left to do in either.
            let peer = answers_then(version, |script| {
                script.close_notify().mark("theirs").expect_close_notify(SOON).expect_fin(SOON).fin()
            });
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            peer.wait_async(0, Until::Mark("theirs")).await.unwrap();
            pause(2).await;
            assert_eq!(refuses(&mut sender).await, CloseReason::PeerClosedIdle);
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (CloseReason::PeerClosedIdle, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            assert!(!seen.saw_close_notify_before("theirs"), "{seen}");
        }
    });
}

// 19. A graceful close never downloads for ever.

#[test]
fn graceful_tls_close_of_an_endless_peer_is_bounded_by_bytes() {
    play(async || {
        for version in BOTH {
            let peer = answers_then(version, |script| script.read_to_end().send_filler(1 << 30).or_end());
            let (mut sender, connection) = connect_with(&peer, &Builder::new().max_discard(64 * 1024)).await;
            exchange(&mut sender).await;
            let report = connection.close(CloseMode::graceful().linger(ms(10_000))).await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (USER, Ended::Aborted), "{report}");
            assert!((64 * 1024..1024 * 1024).contains(&report.bytes_discarded), "{report}");
            assert_eq!(report.sent, signals([Signal::CloseNotify, Signal::Fin, Signal::Rst]), "{report}");
            let seen = seen(peer).await;
            seen.assert_reset();
            assert!(seen.saw_close_notify() && seen.saw_fin(), "{seen}");
        }
    });
}

#[test]
fn graceful_tls_close_of_an_endless_peer_is_bounded_by_time() {
    play(async || {
        for version in BOTH {
            let drip = Script::new().pause(ms(5)).send("drip").or_end();
            let peer = answers_then(version, |script| script.read_to_end().times(400, drip));
            let (_sender, connection) = idle(&peer).await;
            let began = now();
            let report = connection.close(CloseMode::graceful().linger(ms(150))).await;
            assert!((ms(145)..ms(1500)).contains(&began.elapsed()), "{:?}", began.elapsed());
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (USER, Ended::PeerSilent, goodbye(), signals([])),
                "{report}"
            );
            assert!(report.bytes_discarded > 4, "{report}");
            seen(peer).await.assert_reset();
        }
    });
}

/// The end of its TLS is no licence to go on for ever below it.
#[test]
fn graceful_tls_close_of_a_peer_that_is_endless_after_its_close_notify_is_bounded() {
    play(async || {
        for version in BOTH {
            let peer = answers_then(version, |script| {
                let stray = Script::new().send_raw(vec![0; 64 * 1024]).or_end();
                script.read_to_end().close_notify().times(1000, stray)
            });
            let (_sender, connection) = idle(&peer).await;
            let began = now();
            let report = connection.close(CloseMode::graceful().linger(ms(5000))).await;
            assert!(began.elapsed() < ms(3000), "{report}");
            check(&report);
            assert!(report.received.contains(Signal::CloseNotify), "{report}");
            // It never said that, whatever we made of it.
            assert!(!report.received.contains(Signal::Rst), "{report}");
            assert_ne!(report.ended, Ended::Reset, "{report}");
            seen(peer).await.assert_reset();
        }
    });
}

// 47. Poisoned after an error.

/// The ways in which a response fails while its connection is open.
#[derive(Clone, Copy, Debug)]
enum Poison {
    GapInTheBody,
    LateHead,
    Cancelled,
    BodyDropped,
    BadChunk,
}

#[test]
fn response_body_error_over_tls_is_never_reused() {
    play(async || {
        for version in BOTH {
            for poison in [
                Poison::GapInTheBody,
                Poison::LateHead,
                Poison::Cancelled,
                Poison::BodyDropped,
                Poison::BadChunk,
            ] {
                let start = match poison {
                    Poison::GapInTheBody => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                    Poison::BodyDropped => "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello",
                    Poison::BadChunk => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    Poison::LateHead | Poison::Cancelled => "",
                };
                let gate = Gate::new();
                let script = Script::new().read_request().send(start).gate(&gate);
                let script = script.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").read_to_end();
                let peer = peer(version, script.goodbye());
                let builder = Builder::new()
                    .body_gap_timeout(Some(ms(40)))
                    .response_head_timeout(matches!(poison, Poison::LateHead).then_some(ms(40)));
                let (mut sender, connection) = connect_with(&peer, &builder).await;
                let expected = match poison {
                    Poison::GapInTheBody => {
                        let (came, outcome) = fetch_what_comes(&mut sender).await;
                        assert_eq!(came, "hello");
                        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout(Phase::BodyGap));
                        CloseReason::TimedOut(Phase::BodyGap)
                    }
                    Poison::LateHead => {
                        let error = fetch(&mut sender).await.unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::ResponseHead));
                        CloseReason::TimedOut(Phase::ResponseHead)
                    }
                    Poison::Cancelled => {
                        let cancelled = tokio::time::timeout(ms(30), sender.send_request(get("/"))).await;
                        assert!(cancelled.is_err());
                        CloseReason::RequestCancelled
                    }
                    Poison::BodyDropped => {
                        drop(sender.send_request(get("/")).await.unwrap());
                        CloseReason::RequestCancelled
                    }
                    Poison::BadChunk => {
                        let error = fetch(&mut sender).await.unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::BadBody, "{error:?}");
                        error.close_reason().unwrap().clone()
                    }
                };
                gate.open();
                assert_eq!(refuses(&mut sender).await, expected, "{poison:?}");
                let report = connection.closed().await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.ended, report.exchanges, report.failed),
                    (expected, Ended::Clean, 0, 1),
                    "{poison:?}: {report}"
                );
                // The request was whole: the goodbye is in order, and both sides said it.
                assert_eq!((report.sent, report.received), (goodbye(), goodbye()), "{poison:?}: {report}");
                let seen = seen(peer).await;
                seen.assert_close_notify_then_fin();
                assert_eq!(seen.requests_len(), 1, "{seen}");
                assert!(seen.time_of(|event| matches!(event, Event::Failed(_))).is_none(), "{seen}");
            }
        }
    });
}

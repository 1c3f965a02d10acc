//! How an upgraded connection ends: each side for itself, by a drop, by a violation.

use std::io::ErrorKind as Io;

use adieu::conn::Upgraded;
use adieu::{CloseReason, Ended, Side, Signal, State};
use adieu_testkit::peer::{Alert, Gate, Script, Until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::super::support::{BOTH, SOON, signals};
use super::{
    EVERY, MUCH, Over, WAYS, Way, assert_aborted, assert_clean, assert_clean_but_for_the_fin, assert_cut,
    check, opened,
};
use crate::props::{beside, pause, play, seen};

async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Option<Io>) {
    let mut all = Vec::new();
    let outcome = io.read_to_end(&mut all).await;
    (all, outcome.err().map(|error| error.kind()))
}

/// Waits for the peer's end, as TLS tells it or TCP.
fn awaits_end(script: Script, over: Over) -> Script {
    if over.is_tls() { script.expect_close_notify(SOON) } else { script.expect_fin(SOON) }
}

#[test]
fn leftover_bytes_come_first_then_what_follows() {
    play(async || {
        for over in EVERY {
            for way in WAYS {
                let rest = |script: Script| {
                    script.send(" and over").read_exactly(5).send("bye").goodbye().read_to_end()
                };
                let (mut io, connection, peer) = opened(over, way, "left", rest).await;
                let mut one = [0];
                io.read_exact(&mut one).await.unwrap();
                assert_eq!(&one, b"l");
                let mut start = [0; 12];
                io.read_exact(&mut start).await.unwrap();
                assert_eq!(&start, b"eft and over");
                io.write_all(b"hello").await.unwrap();
                io.flush().await.unwrap();
                assert_eq!(read_all(&mut io).await, (b"bye".to_vec(), None));
                io.shutdown().await.unwrap();
                let report = connection.closed().await;
                assert_clean_but_for_the_fin(over, &report);
                assert_eq!(report.reason, CloseReason::Upgraded, "{report}");
                over.assert_goodbye(&seen(peer).await);
            }
        }
    });
}

#[test]
fn ours_ends_first_and_theirs_goes_on() {
    play(async || {
        for over in EVERY {
            for way in WAYS {
                let rest = |script: Script| {
                    awaits_end(script.read_exactly(5), over).send_filler(MUCH as u64).goodbye()
                };
                let (mut io, connection, peer) = opened(over, way, "", rest).await;
                io.write_all(b"hello").await.unwrap();
                io.shutdown().await.unwrap();
                assert_eq!(connection.state(), State::Upgraded { ours: Side::Ended, theirs: Side::Open });
                assert_eq!(io.write(b"more").await.unwrap_err().kind(), Io::BrokenPipe);
                assert_eq!(io.flush().await.unwrap_err().kind(), Io::BrokenPipe);
                io.shutdown().await.unwrap();
                let (all, error) = read_all(&mut io).await;
                assert_eq!((all.len(), error), (MUCH, None));
                let report = connection.closed().await;
                assert_clean(over, &report);
                assert_eq!(report.reason, CloseReason::Upgraded, "{report}");
                over.assert_goodbye(&seen(peer).await);
            }
        }
    });
}

#[test]
fn theirs_ends_first_and_ours_goes_on() {
    play(async || {
        for over in EVERY {
            for way in WAYS {
                let rest =
                    |script: Script| script.send("last words").goodbye().read_exactly(MUCH as u64).keep(0);
                let (mut io, connection, peer) = opened(over, way, "", rest).await;
                assert_eq!(read_all(&mut io).await, (b"last words".to_vec(), None));
                assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Ended });
                assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
                io.write_all(&vec![b'y'; MUCH]).await.unwrap();
                io.shutdown().await.unwrap();
                let report = connection.closed().await;
                assert_clean_but_for_the_fin(over, &report);
                assert_eq!(report.reason, CloseReason::Upgraded, "{report}");
                assert!(report.bytes_sent > MUCH as u64, "{report}");
                over.assert_goodbye(&seen(peer).await);
            }
        }
    });
}

#[test]
fn a_fin_that_is_there_behind_close_notify_is_told() {
    play(async || {
        for over in EVERY {
            for yields in [true, false] {
                let rest = |script: Script| script.goodbye().mark("gone").read_to_end();
                let (mut io, connection, peer) = opened(over, Way::Connect, "", rest).await;
                assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
                if yields {
                    peer.wait_async(0, Until::Mark("gone")).await.unwrap();
                } else {
                    // The runtime looks at no socket meanwhile.
                    peer.wait(0, Until::Mark("gone")).unwrap();
                }
                io.shutdown().await.unwrap();
                assert_clean(over, &connection.closed().await);
                over.assert_goodbye(&seen(peer).await);
            }
        }
    });
}

#[test]
fn close_notify_alone_ends_their_side() {
    play(async || {
        for version in BOTH {
            let over = Over::Tls(version);
            let rest =
                |script: Script| script.send("last words").close_notify().read_exactly(5).read_to_end().fin();
            let (mut io, connection, peer) = opened(over, Way::Connect, "", rest).await;
            assert_eq!(read_all(&mut io).await, (b"last words".to_vec(), None));
            assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Ended });
            io.write_all(b"hello").await.unwrap();
            io.shutdown().await.unwrap();
            let report = connection.closed().await;
            check(over, &report);
            // Whether the FIN behind it came before we were gone is a matter of luck.
            assert!(
                report.received.contains(Signal::CloseNotify) && report.sent == over.goodbye(),
                "{report}"
            );
            assert_eq!((report.ended, &report.reason), (Ended::Clean, &CloseReason::Upgraded), "{report}");
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn both_sides_carry_much_at_once() {
    play(async || {
        for over in EVERY {
            let (peer_sends, peer_reads) = (Gate::new(), MUCH / 4);
            let rest = |script: Script| {
                let turn = Script::new().send_filler(peer_reads as u64).read_exactly(peer_reads as u64);
                script.gate(&peer_sends).times(4, turn).goodbye().keep(0)
            };
            let (io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            let (mut from, mut to) = tokio::io::split(io);
            let writing = beside(async move {
                to.write_all(&vec![b'y'; MUCH]).await.unwrap();
                to.shutdown().await.unwrap();
            });
            peer_sends.open();
            let (all, error) = read_all(&mut from).await;
            assert_eq!((all.len(), error), (MUCH, None), "{over:?}");
            writing.await.unwrap();
            assert_clean_but_for_the_fin(over, &connection.closed().await);
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn dropped_with_our_side_open_it_is_reset() {
    play(async || {
        for over in EVERY {
            for (leftover, theirs_ended) in [("", false), ("never read", false), ("", true)] {
                let rest = |script: Script| match theirs_ended {
                    true => script.goodbye().mark("gone").expect_reset(SOON),
                    false => script.expect_reset(SOON),
                };
                let (mut io, connection, peer) = opened(over, Way::Connect, leftover, rest).await;
                io.write_all(b"hello").await.unwrap();
                if theirs_ended {
                    assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
                    peer.wait_async(0, Until::Mark("gone")).await.unwrap();
                }
                drop(io);
                let report = connection.closed().await;
                assert_aborted(over, &report);
                assert_eq!(
                    report.reason,
                    if theirs_ended { CloseReason::Upgraded } else { CloseReason::RequestCancelled },
                    "{report}"
                );
                assert_cut(&seen(peer).await);
            }
        }
    });
}

#[test]
fn dropped_after_shutdown_it_lingers() {
    play(async || {
        for over in EVERY {
            let rest = |script: Script| awaits_end(script, over).send("to nobody").goodbye();
            let (mut io, connection, peer) = opened(over, Way::Connect, "never read", rest).await;
            io.write_all(b"hello").await.unwrap();
            io.shutdown().await.unwrap();
            drop(io);
            let report = connection.closed().await;
            assert_clean(over, &report);
            assert!(report.bytes_discarded >= 9, "{report}");
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn a_bare_fin_truncates_an_upgrade_over_tls() {
    play(async || {
        for version in BOTH {
            let over = Over::Tls(version);
            for leftover in ["", "left "] {
                let rest = |script: Script| script.send("half a wor").fin().read_exactly(5);
                let (mut io, connection, peer) = opened(over, Way::Upgrade, leftover, rest).await;
                let (all, error) = read_all(&mut io).await;
                assert_eq!(all, format!("{leftover}half a wor").as_bytes());
                assert_eq!(error, Some(Io::UnexpectedEof));
                // And so does every further read.
                let error = io.read(&mut [0]).await.unwrap_err();
                assert_eq!(error.kind(), Io::UnexpectedEof);
                assert!(error.to_string().contains("close_notify"), "{error}");
                // Our side is not touched by it.
                io.write_all(b"hello").await.unwrap();
                io.shutdown().await.unwrap();
                let report = connection.closed().await;
                check(over, &report);
                assert_eq!(
                    (&report.reason, report.ended),
                    (&CloseReason::TlsTruncated, Ended::Truncated),
                    "{report}"
                );
                assert_eq!(
                    (report.sent, report.received),
                    (over.goodbye(), signals([Signal::Fin])),
                    "{report}"
                );
                over.assert_goodbye(&seen(peer).await);
            }
        }
    });
}

#[test]
fn a_bare_fin_together_with_the_switch_truncates_too() {
    play(async || {
        for version in BOTH {
            let gate = Gate::new();
            let peer = super::peer(version, {
                let (_, answer) = super::switch(Way::Connect);
                Script::new().read_head().gate(&gate).send(format!("{answer}left")).fin()
            });
            let (mut sender, connection) = super::super::support::connect(&peer).await;
            let response = sender.send_request(super::switch(Way::Connect).0);
            gate.open();
            let mut io = response.await.unwrap().into_body().into_upgraded().unwrap();
            pause(20).await;
            assert_eq!(read_all(&mut io).await, (b"left".to_vec(), Some(Io::UnexpectedEof)));
            io.shutdown().await.unwrap();
            assert_eq!(connection.closed().await.reason, CloseReason::TlsTruncated);
            Over::Tls(version).assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn after_our_end_a_bare_fin_truncates_too() {
    play(async || {
        for version in BOTH {
            let over = Over::Tls(version);
            let rest = |script: Script| script.expect_close_notify(SOON).send("half a wor").fin();
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            io.shutdown().await.unwrap();
            assert_eq!(read_all(&mut io).await, (b"half a wor".to_vec(), Some(Io::UnexpectedEof)));
            let report = connection.closed().await;
            check(over, &report);
            assert_eq!(
                (&report.reason, report.ended),
                (&CloseReason::TlsTruncated, Ended::Truncated),
                "{report}"
            );
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn an_alert_ends_both_sides() {
    play(async || {
        for version in BOTH {
            let over = Over::Tls(version);
            let rest = |script: Script| script.send("first").alert(Alert::INTERNAL_ERROR).read_to_end();
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            let mut all = Vec::new();
            let error = io.read_to_end(&mut all).await.unwrap_err();
            assert_eq!(all, b"first");
            assert!(error.to_string().contains("internal_error"), "{error}");
            let error = io.write(b"more").await.unwrap_err();
            assert!(error.to_string().contains("internal_error"), "{error}");
            assert!(io.read(&mut [0]).await.unwrap_err().to_string().contains("internal_error"));
            let report = connection.closed().await;
            assert!(
                matches!(report.reason, CloseReason::TlsAlert(alert) if alert.to_string() == "internal_error"),
                "{report}"
            );
            assert_ne!(report.ended, Ended::Clean, "{report}");
            assert!(!report.sent.contains(Signal::CloseNotify), "{report}");
            let seen = seen(peer).await;
            assert!(!seen.saw_close_notify(), "{seen}");
        }
    });
}

#[test]
fn a_record_that_does_not_decrypt_is_answered_by_an_alert() {
    play(async || {
        for version in BOTH {
            let over = Over::Tls(version);
            let record = [&[23, 3, 3, 0, 40][..], &[9; 40]].concat();
            let rest = |script: Script| script.send("first").send_raw(record).expect_alert(SOON);
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            let mut all = Vec::new();
            let error = io.read_to_end(&mut all).await.unwrap_err();
            assert_eq!((all.as_slice(), error.kind()), (&b"first"[..], Io::InvalidData), "{error}");
            let report = connection.closed().await;
            assert_eq!(report.reason, CloseReason::TlsBroken("a record that does not decrypt"), "{report}");
            assert_eq!(report.ended, Ended::Aborted, "{report}");
            let seen = seen(peer).await;
            seen.assert_alert(Alert::BAD_RECORD_MAC);
            assert!(!seen.saw_close_notify(), "{seen}");
        }
    });
}

#[test]
fn a_reset_of_the_peer_is_told_on_either_side() {
    play(async || {
        for over in EVERY {
            let (mut io, connection, peer): (Upgraded, _, _) =
                opened(over, Way::Connect, "", |script| script.send("first").mark("sent").reset()).await;
            peer.wait_async(0, Until::Over).await.unwrap();
            let (_, error) = read_all(&mut io).await;
            assert_eq!(error, Some(Io::ConnectionReset), "{over:?}");
            assert_eq!(io.write(b"more").await.unwrap_err().kind(), Io::ConnectionReset);
            let report = connection.closed().await;
            check(over, &report);
            assert_eq!((&report.reason, report.ended), (&CloseReason::Reset, Ended::Reset), "{report}");
            seen(peer).await;
        }
    });
}

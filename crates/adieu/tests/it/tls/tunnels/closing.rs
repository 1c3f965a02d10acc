//! `close(..)` of every mode on an upgraded connection.

use std::io::ErrorKind as Io;

use adieu::{CloseKind, CloseMode, CloseReason, Ended, Side, State};
use adieu_testkit::peer::{Gate, Script, TlsVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::support::{BOTH, SOON};
use super::{
    EVERY, MUCH, Over, Way, assert_aborted, assert_clean, assert_clean_but_for_the_fin, assert_cut, opened,
};
use crate::props::{beside, ms, pause, play, reaches, seen};

#[test]
fn graceful_waits_for_the_holder() {
    play(async || {
        for over in EVERY {
            let rest = |script: Script| script.read_exactly(5).send("bye").goodbye();
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            let closing = connection.close(CloseMode::graceful());
            pause(20).await;
            assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Open });
            io.write_all(b"hello").await.unwrap();
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"bye");
            io.shutdown().await.unwrap();
            let report = closing.await;
            assert_clean_but_for_the_fin(over, &report);
            assert_eq!(report.reason, CloseReason::User(CloseKind::Graceful), "{report}");
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn graceful_past_drain_now_and_abort_reset() {
    play(async || {
        for over in EVERY {
            let modes = [
                CloseMode::graceful().drain(ms(40)),
                CloseMode::now(),
                CloseMode::abort(),
                CloseMode::graceful().drain(ms(0)),
            ];
            for mode in modes {
                let (mut io, connection, peer) =
                    opened(over, Way::Connect, "left", |script| script.expect_reset(SOON)).await;
                let holder = beside(async move {
                    let mut all = Vec::new();
                    let error = io.read_to_end(&mut all).await.unwrap_err();
                    (all, error.kind(), io.write(b"more").await.unwrap_err().kind(), io)
                });
                pause(5).await;
                let report = connection.close(mode).await;
                assert_aborted(over, &report);
                assert_eq!(report.reason, CloseReason::User(mode.kind()), "{report}");
                let (all, read, write, _io) = holder.await.unwrap();
                assert_eq!(all, b"left");
                assert_eq!(
                    (read, write),
                    (Io::ConnectionAborted, Io::ConnectionAborted),
                    "{over:?} {mode:?}"
                );
                assert_cut(&seen(peer).await);
            }
        }
    });
}

#[test]
fn a_writer_that_is_stuck_is_woken_by_a_close() {
    play(async || {
        for over in EVERY {
            let (mut io, connection, peer) =
                opened(over, Way::Connect, "", |script| script.stall().expect_reset(SOON)).await;
            let holder =
                beside(async move { io.write_all(&vec![b'y'; 16 * MUCH]).await.unwrap_err().kind() });
            pause(20).await;
            assert!(!holder.is_finished());
            let report = connection.close(CloseMode::now()).await;
            assert_aborted(over, &report);
            assert_eq!(holder.await.unwrap(), Io::ConnectionAborted);
            peer.release();
            let seen = seen(peer).await;
            assert!(!seen.saw_close_notify() && !seen.saw_fin(), "{seen}");
        }
    });
}

#[test]
fn half_ends_our_side_at_once_and_theirs_goes_on() {
    play(async || {
        for over in [Over::Plain, Over::Tls(TlsVersion::Tls13)] {
            let rest = |script: Script| {
                let script = script.read_exactly(5);
                let script =
                    if over.is_tls() { script.expect_close_notify(SOON) } else { script.expect_fin(SOON) };
                script.send_filler(MUCH as u64).goodbye()
            };
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            io.write_all(b"hello").await.unwrap();
            let closing = connection.close(CloseMode::half());
            reaches(&connection, |state| state == State::Upgraded { ours: Side::Ended, theirs: Side::Open })
                .await;
            assert_eq!(io.write(b"more").await.unwrap_err().kind(), Io::BrokenPipe);
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), MUCH);
            let report = closing.await;
            assert_clean(over, &report);
            assert_eq!(report.reason, CloseReason::User(CloseKind::Half), "{report}");
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn half_past_drain_lingers_for_nothing_of_ours_is_cut_short() {
    play(async || {
        for over in [Over::Plain, Over::Tls(TlsVersion::Tls13)] {
            let gate = Gate::new();
            let rest = |script: Script| script.gate(&gate).read_to_end();
            let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
            let report = connection.close(CloseMode::half().drain(ms(30)).linger(ms(30))).await;
            super::check(over, &report);
            assert_eq!((report.sent, report.ended), (over.goodbye(), Ended::PeerSilent), "{report}");
            assert_eq!(io.read(&mut [0]).await.unwrap_err().kind(), Io::ConnectionAborted);
            gate.open();
            over.assert_goodbye(&seen(peer).await);
        }
    });
}

#[test]
fn on_tls_1_2_half_acts_as_graceful() {
    play(async || {
        let over = Over::Tls(BOTH[0]);
        let rest = |script: Script| {
            script.read_exactly(5).quiet(ms(30)).mark("ends").expect_close_notify(SOON).goodbye()
        };
        let (mut io, connection, peer) = opened(over, Way::Upgrade, "", rest).await;
        let closing = connection.close(CloseMode::half());
        io.write_all(b"hello").await.unwrap();
        peer.wait_async(0, adieu_testkit::peer::Until::Mark("ends")).await.unwrap();
        assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Open });
        io.shutdown().await.unwrap();
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
        assert_clean(over, &closing.await);
        let seen = seen(peer).await;
        assert!(!seen.saw_close_notify_before("ends"), "{seen}");
        over.assert_goodbye(&seen);
    });
}

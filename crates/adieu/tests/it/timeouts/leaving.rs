//! The waits of a close; no limit, none at all, and limits without end.

use std::time::Duration;

use adieu::conn::http1::Builder;
use adieu::{Blame, CloseKind, CloseMode, CloseReason, Ended, Phase, State};
use http_body_util::BodyExt;

use super::{
    DAY, LONG, SMALL, assert_after, assert_goodbye, assert_reset, assert_timed_out, connect, connect_narrow,
    expecting, ms, secs, unlimited,
};
use crate::support::{ask, beside, clock, get, handed_body, in_time, pass, piece, read, upload, within};

// Closing.

#[tokio::test(start_paused = true)]
async fn drain_over_the_exchange_fails() {
    for cut in [false, true] {
        let (mut sender, connection, mut peer) = connect(&unlimited()).await;
        let (body, frames) = handed_body();
        let request = if cut { upload(frames, None) } else { get("/") };
        let sending = beside(sender.send_request(request));
        peer.read_head().await.unwrap();
        let began = clock();
        let closing = beside(connection.close(CloseMode::graceful().drain(secs(6))));
        let error = in_time(sending).await.unwrap().unwrap_err();
        assert_after(began, secs(6));
        assert_timed_out(&error, Phase::Drain);
        assert_eq!(error.blame(), Blame::Policy);
        let ended = in_time(peer.read_until_end()).await.unwrap().1;
        assert_eq!(ended, if cut { adieu_testkit::Ended::Reset } else { adieu_testkit::Ended::Fin });
        drop(peer);
        let report = in_time(closing).await.unwrap();
        assert_eq!(report.reason, CloseReason::User(CloseKind::Graceful));
        assert_eq!(report.ended, if cut { Ended::Aborted } else { Ended::Clean }, "{report}");
        assert!(report.draining >= secs(6) && report.draining <= ms(6_003), "{report:?}");
        drop(body);
    }
}

#[tokio::test(start_paused = true)]
async fn drain_without_a_limit_lets_the_exchange_take_its_time() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let closing = beside(connection.close(CloseMode::graceful().drain(None)));
    pass(7 * DAY).await;
    peer.send(SMALL).await.unwrap();
    assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
    peer.fin().await.unwrap();
    let report = in_time(closing).await.unwrap();
    assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
}

#[tokio::test(start_paused = true)]
async fn drain_of_zero_is_as_good_as_now() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let began = clock();
    let closing = beside(connection.close(CloseMode::graceful().drain(Duration::ZERO)));
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, Duration::ZERO);
    assert_timed_out(&error, Phase::Drain);
    drop(peer);
    assert_eq!(in_time(closing).await.unwrap().ended, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn linger_over_the_silent_peer_is_left() {
    for linger in [Duration::ZERO, ms(1), ms(700), secs(2), DAY] {
        let (_sender, connection, mut peer) = connect(&unlimited()).await;
        let began = clock();
        let report = within(2 * DAY, connection.close(CloseMode::graceful().linger(linger))).await;
        assert_after(began, linger);
        assert_eq!(
            (report.ended, report.reason.clone()),
            (Ended::PeerSilent, CloseReason::User(CloseKind::Graceful))
        );
        assert!(report.lingering >= linger && report.lingering <= linger + ms(3), "{report:?}");
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn linger_of_the_builder_holds_where_no_mode_says_otherwise() {
    let (sender, connection, _peer) = connect(&unlimited().linger(ms(300))).await;
    let mut watch = connection.watch();
    let began = clock();
    drop((sender, connection));
    while in_time(watch.changed()).await != State::Closed {}
    assert_after(began, ms(300));
}

#[tokio::test(start_paused = true)]
async fn linger_without_end_waits_for_the_peer() {
    let (_sender, connection, mut peer) = connect(&unlimited()).await;
    let closing = beside(connection.close(CloseMode::graceful().linger(Duration::MAX)));
    pass(30 * DAY).await;
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    assert_eq!(in_time(closing).await.unwrap().ended, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn discarding_an_unread_body_takes_its_limit_at_most() {
    for (builder, limit) in [(unlimited(), ms(50)), (unlimited().discard_timeout(secs(4)), secs(4))] {
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let response = ask(&mut sender, &mut peer, LONG).await;
        let began = clock();
        drop(response);
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        assert_after(began, limit);
        peer.fin().await.unwrap();
        let report = in_time(connection.closed()).await;
        // Why it ended is that nobody read on; the limit only kept it from being used again.
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::RequestCancelled, Ended::Clean),
            "{report}"
        );
    }
}

// The ends of the scale.

#[tokio::test(start_paused = true)]
async fn no_limit_never_passes() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    pass(10 * DAY).await;
    body.send(piece("x")).unwrap();
    pass(10 * DAY).await;
    body.send(piece(vec![b'x'; 200_000])).unwrap();
    pass(10 * DAY).await;
    drop(body);
    let reading = beside(async move {
        let mut all = 0;
        while all < 200_000 {
            all += peer.read_exactly(1000).await.unwrap().len();
        }
        pass(10 * DAY).await;
        peer.send(LONG).await.unwrap();
        pass(10 * DAY).await;
        peer.send(vec![b'x'; 1000]).await.unwrap();
        peer
    });
    let response = within(60 * DAY, sending).await.unwrap().unwrap();
    assert_eq!(within(60 * DAY, read(response)).await.unwrap().len(), 1000);
    assert_eq!(connection.state(), State::Idle);
    let _peer = in_time(reading).await.unwrap();
    pass(100 * DAY).await;
    assert_eq!(connection.state(), State::Idle);
}

#[tokio::test(start_paused = true)]
async fn limits_of_zero_pass_at_once() {
    let zero = Some(Duration::ZERO);
    let cases = [
        (unlimited().response_head_timeout(zero), Phase::ResponseHead),
        (unlimited().exchange_timeout(zero), Phase::Exchange),
    ];
    for (builder, phase) in cases {
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let began = clock();
        assert_timed_out(&in_time(sender.send_request(get("/"))).await.unwrap_err(), phase);
        assert_after(began, Duration::ZERO);
        peer.fin().await.unwrap();
        assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(phase));
    }

    let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(zero)).await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let began = clock();
    assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
    assert_after(began, Duration::ZERO);
    assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;

    let (mut sender, connection, mut peer) = connect_narrow(10, &unlimited().write_stall_timeout(zero)).await;
    let began = clock();
    assert_timed_out(&in_time(sender.send_request(get("/"))).await.unwrap_err(), Phase::WriteStall);
    assert_after(began, Duration::ZERO);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_are_none() {
    // The last of them is the longest that this clock can still count to.
    let now = clock().into_std();
    let longest = (0..64).rev().fold(Duration::ZERO, |sum, bit| {
        let more = sum + Duration::from_secs(1 << bit).min(Duration::MAX - sum);
        if now.checked_add(more).is_some() { more } else { sum }
    });
    for long in [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
        longest,
        40_000 * DAY,
    ] {
        let some = Some(long);
        let builder =
            Builder::new().write_stall_timeout(some).continue_timeout(some).response_head_timeout(some);
        let builder =
            builder.body_gap_timeout(some).exchange_timeout(some).discard_timeout(long).linger(long);
        let (mut sender, connection, mut peer) = connect_narrow(64, &builder).await;
        let sending = beside(sender.send_request(expecting("held back")));
        assert!(in_time(peer.read_head()).await.is_ok());
        pass(DAY).await;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert_eq!(in_time(peer.read_exactly(9)).await.unwrap(), b"held back");
        pass(DAY).await;
        peer.send(LONG).await.unwrap();
        let mut body = in_time(sending).await.unwrap().unwrap().into_body();
        assert!(tokio::time::timeout(DAY, body.frame()).await.is_err());
        drop(body);
        pass(DAY).await;
        assert_eq!(connection.state(), State::Active, "still being discarded");
        let closing = beside(connection.close(CloseMode::graceful().drain(long).linger(long)));
        pass(DAY).await;
        assert!(!closing.is_finished());
        in_time(peer.send(vec![b'x'; 1000])).await.unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        pass(DAY).await;
        assert!(!closing.is_finished());
        peer.fin().await.unwrap();
        in_time(closing).await.unwrap();
    }
}

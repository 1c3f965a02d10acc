//! The one alarm of a connection: set anew only when it would go off late, exact all the same, and silent while nothing
//! happens.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{CloseMode, CloseReason, Ended, Phase, Signal, State};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{DAY, LONG, SMALL, assert_after, assert_goodbye, assert_timed_out, connect, ms, secs, unlimited};
use crate::support::{
    ask, beside, clock, get, handed_body, in_time, pass, piece, post, read, upload, watch_for_hangs, within,
};

// The one alarm of a connection is set anew only when it would go off late.

#[tokio::test(start_paused = true)]
async fn a_short_wait_after_a_long_one_is_exact() {
    for gap in [ms(1), ms(30), ms(999), ms(1_001), secs(7)] {
        let builder = unlimited().response_head_timeout(Some(secs(300))).body_gap_timeout(Some(gap));
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let sending = beside(sender.send_request(get("/")));
        peer.read_head().await.unwrap();
        // By now the alarm stands at the far end of the wait for the head.
        pass(secs(100)).await;
        peer.send(LONG).await.unwrap();
        let response = in_time(sending).await.unwrap().unwrap();
        let began = clock();
        assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
        assert_after(began, gap);
        assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_exact_after_idle_pauses() {
    for limit in [ms(20), ms(400), ms(999), secs(1), ms(1_500), secs(300)] {
        for pause in [ms(0), ms(1), ms(500), ms(999), secs(1), ms(1_001), secs(3), secs(4_000)] {
            let (mut sender, connection, mut peer) =
                connect(&unlimited().response_head_timeout(Some(limit)).body_gap_timeout(Some(limit))).await;
            for _ in 0..3 {
                pass(pause).await;
                read(ask(&mut sender, &mut peer, SMALL).await).await.unwrap();
            }
            pass(pause).await;
            let began = clock();
            let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
            assert_after(began, limit);
            assert_timed_out(&error, Phase::ResponseHead);
            assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_exact_after_a_thousand_exchanges() {
    for limit in [ms(40), ms(700), secs(20)] {
        let builder = unlimited().response_head_timeout(Some(limit)).body_gap_timeout(Some(2 * limit));
        let (mut sender, connection, mut peer) = connect(&builder).await;
        for number in 0..1000_u64 {
            // Just in time, now and then after a pause of its own.
            let late = ms((number * 37) % limit.as_millis() as u64);
            if number % 7 == 0 {
                pass(ms((number * 13) % 2_000)).await;
            }
            let (response, ()) = tokio::join!(in_time(sender.send_request(get("/"))), async {
                peer.read_head().await.unwrap();
                pass(late).await;
                peer.send(SMALL).await.unwrap();
            });
            assert_eq!(read(response.unwrap()).await.unwrap(), "hi");
        }
        let response = ask(&mut sender, &mut peer, LONG).await;
        let began = clock();
        assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
        assert_after(began, 2 * limit);
        assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_by_a_task_that_has_used_up_its_budget_is_kept() {
    // tokio makes a task that did a lot without a pause wait at its next timer or socket; an alarm that is set just
    // then must be set all the same.
    for (wait, phase) in [(Phase::ResponseHead, Phase::ResponseHead), (Phase::Exchange, Phase::Exchange)] {
        let builder = match wait {
            Phase::ResponseHead => unlimited().response_head_timeout(Some(secs(9))),
            _ => unlimited().exchange_timeout(Some(secs(9))),
        };
        let (mut sender, connection, mut peer) = connect(&builder).await;
        // No alarm is set any more.
        pass(secs(5)).await;
        let began = clock();
        let held = beside(async move {
            let mut sending = Box::pin(sender.send_request(get("/")));
            std::future::poll_fn(|cx| {
                while pin!(tokio::task::coop::consume_budget()).as_mut().poll(cx).is_ready() {}
                assert!(sending.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            (sending, sender)
        });
        let _held = in_time(held).await.unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        assert_after(began, secs(9));
        drop(peer);
        assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(phase));
    }
}

// No work while nothing happens.

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, connection) = Builder::new().handshake_on(crate::support::Memory(ours)).await.unwrap();
    pass(DAY).await;
    assert!(polls.polls().total() <= 3, "{:?}", polls.polls());
    read(ask(&mut sender, &mut peer, SMALL).await).await.unwrap();
    let before = polls.polls().total();
    pass(7 * DAY).await;
    assert!(polls.polls().total() <= before + 3, "{before} and then {:?}", polls.polls());
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_a_head_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, _connection) = Builder::new().handshake_on(crate::support::Memory(ours)).await.unwrap();
    let sending = beside(sender.send_request(get("/")));
    pass(secs(299)).await;
    assert!(!sending.is_finished());
    assert!(polls.polls().total() <= 12, "{:?}", polls.polls());
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let builder = unlimited().exchange_timeout(Some(30 * DAY)).body_gap_timeout(Some(20 * DAY));
    let (mut sender, _connection) = builder.handshake_on(crate::support::Memory(ours)).await.unwrap();
    let response = ask(&mut sender, &mut peer, LONG).await;
    let reading = beside(read(response));
    pass(19 * DAY).await;
    assert!(!reading.is_finished());
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
}

#[tokio::test(start_paused = true)]
async fn a_lingering_and_a_draining_connection_are_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, connection) = unlimited().handshake_on(crate::support::Memory(ours)).await.unwrap();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let closing = beside(connection.close(CloseMode::graceful().drain(30 * DAY).linger(30 * DAY)));
    pass(29 * DAY).await;
    assert_eq!(connection.state(), State::Draining { theirs: adieu::Side::Open });
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    let before = polls.polls().total();
    pass(29 * DAY).await;
    assert_eq!(connection.state(), State::Lingering);
    assert!(polls.polls().total() <= before + 8, "{before} and then {:?}", polls.polls());
    within(2 * DAY, closing).await.unwrap();
}

// What is ready at the same moment as its deadline was in time.

#[tokio::test(start_paused = true)]
async fn a_runtime_that_was_blocked_past_a_deadline_still_delivers_what_had_come() {
    let builder = unlimited().response_head_timeout(Some(secs(5))).body_gap_timeout(Some(secs(5)));
    let (mut sender, connection, mut peer) = connect(&builder).await;
    for _ in 0..3 {
        let sending = beside(sender.send_request(get("/")));
        peer.read_head().await.unwrap();
        pass(secs(2)).await;
        peer.send(LONG).await.unwrap();
        // Both the bytes and the alarm are there before anybody is polled.
        tokio::time::advance(secs(60)).await;
        let mut body =
            in_time(sending).await.unwrap().expect("the head was there before its deadline").into_body();
        let reading = beside(async move { body.frame().await.map(|frame| (frame, body)) });
        pass(secs(2)).await;
        peer.send(vec![b'x'; 1000]).await.unwrap();
        tokio::time::advance(secs(60)).await;
        let (frame, body) = in_time(reading).await.unwrap().unwrap();
        assert_eq!(
            frame.expect("the bytes were there before their deadline").into_data().unwrap().len(),
            1000
        );
        drop(body);
        assert_eq!(connection.state(), State::Idle);
    }
}

/// A transport whose peer has answered before a write returns; its flush never ends once it is told so.
struct Prompt {
    near: MemoryEnd,
    far: MemoryEnd,
    answer: &'static str,
    flush: Flush,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    Works,
    NeverEnds,
}

impl adieu::transport::Transport for Prompt {}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.near).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.near).poll_write(cx, bytes);
        let answer = std::mem::take(&mut self.answer);
        assert!(pin!(self.far.send(answer)).poll(cx).is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.flush == Flush::NeverEnds {
            return Poll::Pending;
        }
        Pin::new(&mut self.near).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.near).poll_shutdown(cx)
    }
}

async fn prompt(answer: &'static str, flush: Flush, builder: &Builder) -> (SendRequest, Connection) {
    watch_for_hangs();
    let (near, far) = PairBuilder::new().build();
    builder.handshake_on(Prompt { near, far, answer, flush }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_takes_effect_even_if_the_first_poll_brought_the_head() {
    let in_two = || {
        let (body, frames) = handed_body();
        body.send(piece("one")).unwrap();
        body.send(piece("two")).unwrap();
        upload(frames, Some(6))
    };
    for (request, idle) in
        [(get("/"), 0), (get("/"), 5), (post("/", "body"), 5), (in_two(), 0), (in_two(), 5)]
    {
        let (mut sender, connection) =
            prompt(LONG, Flush::Works, &unlimited().exchange_timeout(Some(secs(9)))).await;
        pass(secs(idle)).await;
        let began = clock();
        let _held = in_time(sender.send_request(request)).await.unwrap();
        let report = in_time(connection.closed()).await;
        assert_eq!(report.reason, CloseReason::TimedOut(Phase::Exchange));
        assert!(clock() - began <= secs(9 + 2) + ms(10), "noticed after {:?}", clock() - began);
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_cannot_be_flushed_is_bounded_by_linger() {
    let (_sender, connection) = prompt("", Flush::NeverEnds, &unlimited()).await;
    let began = clock();
    let report = in_time(connection.close(CloseMode::graceful().linger(secs(4)))).await;
    assert_after(began, secs(4));
    assert_eq!(report.ended, Ended::PeerSilent, "{report}");
    assert!(!report.sent.contains(Signal::Fin), "{report}");
    assert!(report.closing >= secs(4), "{report:?}");
}

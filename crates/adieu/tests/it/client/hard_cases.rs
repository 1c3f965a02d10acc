//! What clients get wrong, by the numbers of the list of hard cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use adieu::{CloseMode, CloseReason, Ended, State};
use adieu_testkit::Ended as End;

use super::reports::Reports;
use super::wires::{Net, OK, Plan, answer, answer_all, ask, exchange, text};
use crate::support::{beside, in_time, pass, poll_once, settle};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// 7: the server's FIN is right behind the response, or comes a little later: the next request sees it and takes another
/// connection, whatever its method.
#[tokio::test(start_paused = true)]
async fn reuse_right_after_a_response_notices_a_fin_that_is_there() {
    for pause in [0.0, 0.000_1, 0.05, 0.5, 2.0] {
        let (net, mut accepts) = Net::by_hand();
        let (reports, client) = Reports::of(net.client());
        let first = ask(&client, URL);
        let mut peer = accepts.next().await;
        answer(&mut peer, OK).await.unwrap();
        drop(peer);
        assert_eq!(in_time(first).await.unwrap().unwrap(), "ok");
        pass(secs(pause)).await;
        let post = client.post(URL).body("not to be sent twice").send();
        let post = beside(text(post));
        let mut peer = accepts.next().await;
        let head = in_time(peer.read_head()).await.unwrap();
        assert!(head.starts_with(b"POST"), "the first that this connection sees");
        assert_eq!(in_time(peer.read_exactly(20)).await.unwrap(), b"not to be sent twice");
        peer.send(OK).await.unwrap();
        assert_eq!(in_time(post).await.unwrap().unwrap(), "ok", "after {pause} s");
        settle().await;
        let [report] = &reports.all()[..] else { panic!("one is gone: {:?}", reports.all()) };
        assert_eq!((&report.reason, report.ended), (&CloseReason::PeerClosedIdle, Ended::Clean));
        assert_eq!((report.exchanges, report.failed, net.connects()), (1, 0, 2));
    }
}

/// 7, with many that are gone at once: after two of them a fresh connection is taken. Those that nobody used are no other.
#[tokio::test(start_paused = true)]
async fn a_restart_of_the_server_costs_nobody_a_request() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    assert_eq!(client.prewarm(URL, 8).await.unwrap(), 8);
    while let Some(peer) = accepts.try_next() {
        drop(peer);
    }
    let asked = ask(&client, URL);
    let mut peer = accepts.next().await;
    answer(&mut peer, OK).await.unwrap();
    assert_eq!(in_time(asked).await.unwrap().unwrap(), "ok");
    assert_eq!(net.connects(), 9);
    // The others are noticed within a second, without any traffic.
    pass(secs(1.1)).await;
    assert_eq!((client.connections().len(), net.alive()), (1, 1));
}

/// 17: a close goes on though nobody awaits it.
#[tokio::test(start_paused = true)]
async fn a_close_that_nobody_awaits_goes_on() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    let asked = ask(&client, URL);
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    drop(client.close(CloseMode::graceful()));
    pass(secs(1.0)).await;
    peer.send(OK).await.unwrap();
    assert_eq!(in_time(asked).await.unwrap().unwrap(), "ok");
    assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), End::Fin));
    drop(peer);
    settle().await;
    assert_eq!((client.connections().len(), net.alive()), (0, 0));
}

/// 17: where the runtime of a connection is gone, so is the connection, with what could be said at once; a close is over
/// at once.
#[test]
fn a_connection_does_not_outlive_its_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let peer = first.block_on(async {
        let asked = ask(&client, URL);
        let mut peer = accepts.next().await;
        answer(&mut peer, OK).await.unwrap();
        in_time(asked).await.unwrap().unwrap();
        peer
    });
    drop(first);
    let report = runtime().block_on(in_time(client.close(CloseMode::graceful())));
    assert_eq!((report.total.alive(), report.total.exchanges, net.alive()), (0, 1, 0), "{report}");
    assert_eq!(reports.all()[0].reason, CloseReason::RuntimeGone);
    assert!(client.connections().is_empty());
    assert_eq!(peer.seen().ended(), End::Fin);
}

/// 18: connections on their way out are bounded: those that somebody awaits go in waves.
#[tokio::test(start_paused = true)]
async fn closes_that_are_awaited_go_in_waves() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_departing(2).build().unwrap();
    client.prewarm(URL, 8).await.unwrap();
    // Peers that never end.
    let peers: Vec<_> = (0..8).map(|_| accepts.try_next().unwrap()).collect();
    let report = in_time(client.close(CloseMode::graceful().linger(secs(1.0)))).await;
    assert_eq!((report.connections.len(), report.ended(Ended::PeerSilent)), (8, 8), "{report}");
    assert_eq!(report.took, secs(4.0), "two at a time");
    drop(peers);
}

/// 18: those that nobody awaits are shed, oldest first, and say so.
#[tokio::test(start_paused = true)]
async fn closes_that_nobody_awaits_are_shed_where_there_are_too_many() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client().max_departing(2));
    client.prewarm(URL, 8).await.unwrap();
    let peers: Vec<_> = (0..8).map(|_| accepts.try_next().unwrap()).collect();
    drop(client);
    settle().await;
    assert_eq!(reports.all().iter().filter(|report| report.reason == CloseReason::Shed).count(), 6);
    pass(secs(2.1)).await;
    assert_eq!((reports.all().len(), net.alive()), (8, 0));
    drop(peers);
}

/// 20: a peer that announced its end gets to end first, so that TIME_WAIT is its own.
#[tokio::test(start_paused = true)]
async fn a_peer_that_said_close_ends_first() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let asked = ask(&client, URL);
    let mut peer = accepts.next().await;
    answer(&mut peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(in_time(asked).await.unwrap().unwrap(), "ok");
    pass(secs(0.05)).await;
    assert_eq!(peer.seen().ended(), End::StillOpen, "our FIN waits");
    peer.fin().await.unwrap();
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, End::Fin);
    settle().await;
    assert_eq!(reports.all()[0].reason, CloseReason::PeerAskedClose);
}

/// 20: where many must go at once without TIME_WAIT, they are reset.
#[tokio::test(start_paused = true)]
async fn an_abort_of_many_is_a_reset_of_each() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    client.prewarm(URL, 20).await.unwrap();
    let report = in_time(client.close(CloseMode::abort())).await;
    assert_eq!((report.ended(Ended::Aborted), report.took), (20, Duration::ZERO), "{report}");
    for _ in 0..20 {
        let mut peer = accepts.try_next().unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, End::Reset);
    }
}

fn kept_alive(hint: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nKeep-Alive: {hint}\r\nContent-Length: 2\r\n\r\nok")
}

/// Answers one request with this hint, then others without.
async fn hinted(mut peer: adieu_testkit::memory::MemoryEnd, hint: String) {
    if answer(&mut peer, &kept_alive(&hint)).await.is_ok() {
        answer_all(peer).await;
    }
}

/// 22: what the peer says of its patience is believed, less a second, on this connection alone.
#[tokio::test(start_paused = true)]
async fn a_keep_alive_hint_counts_less_a_second_for_its_connection() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let (hinting, plain) = (ask(&client, URL), ask(&client, URL));
    let (first, second) = (accepts.next().await, accepts.next().await);
    beside(hinted(first, "timeout=5".to_owned()));
    beside(answer_all(second));
    in_time(hinting).await.unwrap().unwrap();
    in_time(plain).await.unwrap().unwrap();
    pass(secs(3.9)).await;
    assert_eq!((client.connections().len(), reports.all().len()), (2, 0));
    pass(secs(0.2)).await;
    let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!((&report.reason, report.exchanges), (&CloseReason::IdleLimit, 1));
    pass(secs(50.0)).await;
    assert_eq!(client.connections().len(), 1, "the other said nothing");
    pass(secs(2.0)).await;
    assert!(client.connections().is_empty(), "55 s are our own limit");
}

/// 22: what leaves nothing after the margin keeps nothing; more than our own limit changes nothing.
#[tokio::test(start_paused = true)]
async fn a_short_hint_keeps_nothing_and_a_long_one_changes_nothing() {
    for (hint, kept) in [("timeout=1", 0), ("timeout=0", 0), ("max=0", 0), ("timeout=3600, max=1000", 1)] {
        let (net, mut accepts) = Net::by_hand();
        let (reports, client) = Reports::of(net.client());
        let asked = ask(&client, URL);
        beside(hinted(accepts.next().await, hint.to_owned()));
        assert_eq!(in_time(asked).await.unwrap().unwrap(), "ok");
        settle().await;
        assert_eq!(client.connections().len(), kept, "{hint}: {:?}", reports.all());
        pass(secs(54.0)).await;
        assert_eq!(client.connections().len(), kept, "{hint}");
        pass(secs(2.0)).await;
        assert_eq!(client.connections().len(), 0, "{hint}");
    }
}

/// 22: so many more, and no more.
#[tokio::test(start_paused = true)]
async fn a_hint_of_how_often_counts_too() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let asked = ask(&client, URL);
    beside(hinted(accepts.next().await, "timeout=30, max=2".to_owned()));
    in_time(asked).await.unwrap().unwrap();
    assert_eq!((exchange(&client, URL).await, exchange(&client, URL).await), (2, 3));
    settle().await;
    let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!((&report.reason, report.exchanges), (&CloseReason::MaxExchanges, 3));
}

/// 26: a connection that drains holds no place: neither a deadlock nor a wait.
#[tokio::test(start_paused = true)]
async fn a_draining_connection_holds_no_place() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections(1).max_age(secs(1.0)).max_age_jitter(0.0).build().unwrap();
    let slow = ask(&client, URL);
    let mut first = accepts.next().await;
    in_time(first.read_head()).await.unwrap();
    pass(secs(0.5)).await;
    let began = crate::support::clock();
    let next = ask(&client, URL);
    beside(answer_all(accepts.next().await));
    assert_eq!(in_time(next).await.unwrap().unwrap(), "ok");
    assert_eq!(began.elapsed(), secs(0.5), "as soon as the first was too old");
    assert!(matches!(client.connections()[0].state, State::Draining { .. }));
    pass(secs(10.0)).await;
    first.send(OK).await.unwrap();
    assert_eq!(in_time(slow).await.unwrap().unwrap(), "ok", "no matter how long it takes");
}

/// 44: the wall clock jumped, so the machine slept: what has been idle for too long by it retires, the rest is looked at.
#[tokio::test(start_paused = true)]
async fn after_a_sleep_idle_connections_are_not_trusted() {
    for (slept, trusted) in [(0.0, true), (30.0, true), (-3600.0, true), (56.0, false)] {
        let net = Net::polite();
        let began = crate::support::clock();
        let ahead = Arc::new(AtomicI64::new(0));
        let jumped = ahead.clone();
        let wall = move || {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + began.elapsed();
            match jumped.load(Ordering::Relaxed) {
                back @ ..0 => now - Duration::from_millis(back.unsigned_abs()),
                on => now + Duration::from_millis(on.unsigned_abs()),
            }
        };
        let (reports, client) = Reports::of(net.client().wall_clock(wall));
        assert_eq!(exchange(&client, URL).await, 1);
        // So short that readiness alone would be believed.
        pass(secs(0.05)).await;
        ahead.store((slept * 1000.0) as i64, Ordering::Relaxed);
        let peeks = net.peeks();
        assert_eq!(exchange(&client, URL).await, if trusted { 2 } else { 1 }, "after {slept} s");
        settle().await;
        if trusted {
            assert_eq!(net.peeks() - peeks, usize::from(slept != 0.0), "a look where it slept");
        } else {
            let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
            assert_eq!((&report.reason, report.ended), (&CloseReason::IdleLimit, Ended::Clean));
        }
    }
}

/// 46: the connection that a waiting request was given is gone before it is used: it waits again, at its place.
#[tokio::test(start_paused = true)]
async fn a_request_whose_connection_died_before_it_was_used_keeps_its_place() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections_per_origin(1).build().unwrap();
    let first = ask(&client, "http://host/1");
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let others = [ask(&client, "http://host/2"), ask(&client, "http://host/3")];
    settle().await;
    peer.send(OK).await.unwrap();
    drop(peer);
    in_time(first).await.unwrap().unwrap();
    let mut peer = accepts.next().await;
    for expected in ["GET /2 ", "GET /3 "] {
        let head = in_time(peer.read_head()).await.unwrap();
        assert!(head.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&head));
        peer.send(OK).await.unwrap();
    }
    for other in others {
        in_time(other).await.unwrap().unwrap();
    }
    assert_eq!((net.connects(), net.most()), (2, 1));
}

/// 46: a request that is dropped after it was chosen passes its connection on.
#[tokio::test(start_paused = true)]
async fn what_was_granted_to_a_request_that_is_gone_goes_to_the_next() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections_per_origin(1).build().unwrap();
    let first = ask(&client, "http://host/1");
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let mut chosen = client.get("http://host/2").send();
    assert!(poll_once(&mut chosen).await.is_pending());
    let next = ask(&client, "http://host/3");
    settle().await;
    peer.send(OK).await.unwrap();
    in_time(first).await.unwrap().unwrap();
    settle().await;
    assert_eq!(client.waiting().len(), 1, "one was chosen, and did not look yet");
    drop(chosen);
    let head = in_time(peer.read_head()).await.unwrap();
    assert!(head.starts_with(b"GET /3 "));
    peer.send(OK).await.unwrap();
    assert_eq!(in_time(next).await.unwrap().unwrap(), "ok");
    assert_eq!(net.connects(), 1);
}

/// 46: the same where what was chosen for it is a connection that was just opened.
#[tokio::test(start_paused = true)]
async fn an_opening_whose_request_is_gone_serves_the_next() {
    let (net, mut accepts) = Net::planned(|_| Plan { takes: secs(1.0), fails: None });
    let client = net.client().max_connections_per_origin(1).build().unwrap();
    let mut chosen = client.get("http://host/1").send();
    assert!(poll_once(&mut chosen).await.is_pending());
    let next = ask(&client, "http://host/2");
    beside(async move { answer_all(accepts.next().await).await });
    pass(secs(1.5)).await;
    drop(chosen);
    assert_eq!(in_time(next).await.unwrap().unwrap(), "ok");
    assert_eq!(net.connects(), 1);
}

//! Many closes at once: those that somebody awaits pass in waves and are never shed, those that were dropped are shed,
//! oldest first, and every one of them ends in its report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{CloseKind, CloseMode, CloseReason, CloseReport, Ended, Signal, State};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use tokio::task::JoinHandle;

use crate::support::{Memory, ask, beside, clock, get, in_time, pass, poll_once, settle, watch_for_hangs};

const GRACEFUL: CloseReason = CloseReason::User(CloseKind::Graceful);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

type Open = (SendRequest, Connection, MemoryEnd);

/// So many open connections that share a bound of their own, out of the way of the other tests.
async fn open(number: usize, builder: &Builder) -> Vec<Open> {
    let mut all = Vec::with_capacity(number);
    for _ in 0..number {
        let (ours, theirs) = PairBuilder::new().buffer(1024).build();
        let (sender, connection) = builder.handshake_on(Memory(ours)).await.unwrap();
        all.push((sender, connection, theirs));
    }
    all
}

/// How many connections say goodbye at this moment, and how many did at most, as their peers see it.
#[derive(Clone, Default)]
struct Census(Arc<(AtomicUsize, AtomicUsize)>);

impl Census {
    fn come(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }

    fn go(&self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// Peers that answer our end with theirs, after a while.
fn answering(peer: MemoryEnd, after: Duration, census: &Census) -> JoinHandle<adieu_testkit::Ended> {
    let census = census.clone();
    let mut peer = peer;
    beside(async move {
        let (_, ended) = peer.read_until_end().await.unwrap();
        census.come();
        if !after.is_zero() {
            pass(after).await;
        }
        // Gone before the client can know it.
        census.go();
        let _ = peer.fin().await;
        ended
    })
}

/// How many ended how, and why.
fn tally<'r>(reports: impl IntoIterator<Item = &'r CloseReport>) -> BTreeMap<(&'static str, String), usize> {
    let mut tally = BTreeMap::new();
    for report in reports {
        *tally.entry((report.reason.code(), report.ended.to_string())).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(
    expected: [(&'static str, &str, usize); N],
) -> BTreeMap<(&'static str, String), usize> {
    expected.into_iter().map(|(code, ended, count)| ((code, ended.to_owned()), count)).collect()
}

async fn all<T: Send + 'static>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(in_time(task).await.unwrap());
    }
    done
}

async fn ten_thousand_awaited_closes(builder: &Builder, bound: usize) {
    let census = Census::default();
    let (mut closings, mut peers, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for (sender, connection, peer) in open(10_000, builder).await {
        peers.push(answering(peer, ms(5), &census));
        closings.push(beside(connection.close(CloseMode::graceful())));
        held.push((sender, connection));
    }
    let reports = all(closings).await;
    assert_eq!(tally(&reports), counts([("user_graceful", "clean", 10_000)]));
    assert!(
        reports
            .iter()
            .all(|report| report.sent.contains(Signal::Fin) && report.received.contains(Signal::Fin))
    );
    assert!(all(peers).await.iter().all(|ended| *ended == adieu_testkit::Ended::Fin));
    assert_eq!(census.most(), bound, "the bound is reached and kept");
    assert!(
        held.iter().all(|(sender, connection)| sender.is_closed() && connection.state() == State::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_awaited_closes_are_all_clean() {
    watch_for_hangs();
    ten_thousand_awaited_closes(&Builder::new().max_departing(1_024), 1_024).await;
}

#[test]
fn the_bound_is_1024_by_default() {
    // It is one for all connections of a process, so this needs a process of its own.
    const ALONE: &str = "ADIEU_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        let ran =
            std::process::Command::new(program).args([&name, "--exact"]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    watch_for_hangs();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(ten_thousand_awaited_closes(&Builder::new(), 1_024));
}

#[tokio::test(start_paused = true)]
async fn awaited_closes_pass_silent_peers_in_waves() {
    watch_for_hangs();
    let began = clock();
    let (mut closings, mut held) = (Vec::new(), Vec::new());
    for (sender, connection, peer) in open(3_000, &Builder::new().max_departing(1_000)).await {
        closings.push(beside(connection.close(CloseMode::graceful().linger(secs(2)))));
        held.push((sender, connection, peer));
    }
    for wave in 1..=3 {
        pass(began + secs(2 * wave) + ms(10) - clock()).await;
        let over = closings.iter().filter(|closing| closing.is_finished()).count();
        assert_eq!(over, wave as usize * 1_000, "after wave {wave}");
    }
    let reports = all(closings).await;
    assert_eq!(tally(&reports), counts([("user_graceful", "peer silent", 3_000)]));
    // Its turn had to be waited for; the wait for the peer was as long as for any other.
    assert!(reports.iter().all(|report| report.lingering >= ms(1_990) && report.lingering <= ms(2_010)));
    assert!(reports.iter().all(|report| report.age <= ms(6_010)));
}

#[tokio::test(start_paused = true)]
async fn dropped_connections_are_shed_oldest_first() {
    watch_for_hangs();
    let (mut reports, mut peers) = (Vec::new(), Vec::new());
    for (sender, connection, mut peer) in open(5_000, &Builder::new().max_departing(100)).await {
        reports.push(beside(connection.closed()));
        peers.push(beside(async move {
            let ended = peer.read_until_end().await.unwrap().1;
            (ended, peer)
        }));
        drop((sender, connection));
    }
    pass(ms(1)).await;
    let shed = reports.iter().filter(|report| report.is_finished()).count();
    assert_eq!(shed, 4_900);
    assert!(reports[4_900..].iter().all(|report| !report.is_finished()), "the youngest stay");
    let reports = all(reports).await;
    assert_eq!(
        tally(&reports),
        counts([("handles_dropped", "peer silent", 100), ("shed", "aborted", 4_900)]),
        "{}",
        reports[0]
    );
    for (index, report) in reports.iter().enumerate() {
        assert_eq!(report.ended == Ended::Aborted, index < 4_900, "{index}: {report}");
        assert_eq!(report.sent.contains(Signal::Rst), index < 4_900, "{index}: {report}");
    }
    all(peers).await;
}

#[tokio::test(start_paused = true)]
async fn awaited_closes_are_never_shed_among_dropped_ones() {
    watch_for_hangs();
    let builder = Builder::new().max_departing(100);
    let (mut awaited, mut dropped, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (sender, connection, peer)) in open(2_000, &builder).await.into_iter().enumerate() {
        if index % 4 == 0 {
            awaited.push(beside(connection.close(CloseMode::graceful())));
            held.push((Some((sender, connection)), peer));
        } else {
            dropped.push(beside(connection.closed()));
            drop((sender, connection));
            held.push((None, peer));
        }
        if index % 50 == 0 {
            settle().await;
        }
    }
    assert_eq!(tally(&all(awaited).await), counts([("user_graceful", "peer silent", 500)]));
    let dropped = all(dropped).await;
    assert_eq!(dropped.len(), 1_500);
    assert!(
        dropped.iter().all(|report| matches!(
            (&report.reason, report.ended),
            (CloseReason::Shed, Ended::Aborted) | (CloseReason::HandlesDropped, Ended::PeerSilent)
        )),
        "{:?}",
        tally(&dropped)
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_shed_while_all_places_are_awaited() {
    watch_for_hangs();
    let mut open = open(2, &Builder::new().max_departing(1)).await;
    let (sender, connection, mut peer) = open.pop().unwrap();
    let (_sender, first, _peer) = open.pop().unwrap();
    let awaited = beside(first.close(CloseMode::graceful()));
    settle().await;
    let closed = connection.closed();
    drop((sender, connection));
    let began = clock();
    let report = in_time(closed).await;
    assert_eq!((report.reason.clone(), report.ended), (CloseReason::Shed, Ended::Aborted), "{report}");
    assert_eq!(clock(), began);
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
    assert_eq!(in_time(awaited).await.unwrap().ended, Ended::PeerSilent);
}

/// Three that share one place: the first has it, the others wait.
async fn queue() -> (Vec<Open>, JoinHandle<CloseReport>) {
    watch_for_hangs();
    let open = open(3, &Builder::new().max_departing(1)).await;
    let first = beside(open[0].1.close(CloseMode::graceful().linger(secs(10))));
    settle().await;
    assert_eq!(open[0].1.state(), State::Lingering);
    (open, first)
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_goes_on_when_its_future_is_dropped() {
    let (open, first) = queue().await;
    let mut second = Box::pin(open[1].1.close(CloseMode::graceful().linger(secs(10))));
    assert!(poll_once(&mut second).await.is_pending());
    settle().await;
    assert!(matches!(open[1].1.state(), State::Closing { .. }));
    drop(second);
    let third = beside(open[2].1.close(CloseMode::graceful().linger(secs(10))));
    let began = clock();
    assert_eq!(in_time(first).await.unwrap().ended, Ended::PeerSilent);
    let second = in_time(open[1].1.closed()).await;
    assert!(matches!(second.ended, Ended::PeerSilent | Ended::Aborted), "{second}");
    assert_eq!(in_time(third).await.unwrap().ended, Ended::PeerSilent);
    assert!(clock() - began <= ms(30_010));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_can_be_aborted_and_holds_up_nobody() {
    let (open, first) = queue().await;
    let second = beside(open[1].1.close(CloseMode::graceful()));
    let third = beside(open[2].1.close(CloseMode::graceful().linger(secs(10))));
    settle().await;
    let began = clock();
    let report = in_time(open[1].1.close(CloseMode::abort())).await;
    assert_eq!((clock(), report.ended), (began, Ended::Aborted), "{report}");
    assert_eq!(in_time(second).await.unwrap(), report);
    assert_eq!(in_time(first).await.unwrap().ended, Ended::PeerSilent);
    let report = in_time(third).await.unwrap();
    assert_eq!((report.reason.clone(), report.ended), (GRACEFUL, Ended::PeerSilent), "{report}");
    assert!(clock() - began <= ms(20_010));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_and_is_reset_or_ended_by_its_peer_holds_up_nobody() {
    for reset in [true, false] {
        let (mut open, first) = queue().await;
        let second = beside(open[1].1.close(CloseMode::graceful()));
        let third = beside(open[2].1.close(CloseMode::graceful().linger(secs(10))));
        settle().await;
        let began = clock();
        if reset {
            open[1].2.reset();
            let report = in_time(second).await.unwrap();
            assert_eq!((clock(), report.ended), (began, Ended::Reset), "{report}");
        } else {
            open[1].2.fin().await.unwrap();
            let report = in_time(second).await.unwrap();
            assert_eq!(report.ended, Ended::Clean, "{report}");
            assert!(clock() - began >= ms(9_990), "it said its goodbye before its turn");
        }
        assert_eq!(in_time(first).await.unwrap().ended, Ended::PeerSilent);
        assert_eq!(in_time(third).await.unwrap().ended, Ended::PeerSilent);
        assert!(clock() - began <= ms(20_010));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_however_its_holder_ended() {
    for how in 0..4 {
        let (mut open, first) = queue().await;
        let second = beside(open[1].1.close(CloseMode::graceful()));
        settle().await;
        let began = clock();
        match how {
            0 => open[0].2.fin().await.unwrap(),
            1 => open[0].2.reset(),
            2 => drop(open[0].1.close(CloseMode::abort())),
            // More than is ever discarded.
            _ => {
                for _ in 0..600 {
                    let _ = open[0].2.send([0; 512]).await;
                    settle().await;
                }
            }
        }
        in_time(first).await.unwrap();
        open[1].2.fin().await.unwrap();
        assert_eq!(in_time(second).await.unwrap().ended, Ended::Clean);
        assert_eq!(clock(), began, "case {how}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_on_their_way_out_are_in_nobodys_way() {
    watch_for_hangs();
    let builder = Builder::new().max_departing(1);
    let gone: Vec<_> = open(50, &builder).await;
    let closings: Vec<_> = gone.iter().map(|open| beside(open.1.close(CloseMode::graceful()))).collect();
    settle().await;
    let (mut sender, connection, mut peer) = open(1, &builder).await.pop().unwrap();
    let began = clock();
    for _ in 0..3 {
        ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
    }
    assert_eq!((clock(), connection.snapshot().done), (began, 3));
    // An abort says no goodbye, so it needs no place.
    assert_eq!(in_time(connection.close(CloseMode::abort())).await.ended, Ended::Aborted);
    assert_eq!(clock(), began);
    all(closings).await;
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_takes_no_place_before_its_exchange_is_over() {
    watch_for_hangs();
    let mut open = open(2, &Builder::new().max_departing(1)).await;
    let (_sender, second, mut second_peer) = open.pop().unwrap();
    let (mut sender, first, mut peer) = open.pop().unwrap();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let draining = beside(first.close(CloseMode::graceful()));
    settle().await;
    second_peer.fin().await.unwrap();
    let began = clock();
    assert_eq!(in_time(second.close(CloseMode::graceful())).await.ended, Ended::Clean);
    assert_eq!(clock(), began);
    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    peer.fin().await.unwrap();
    assert_eq!(in_time(draining).await.unwrap().ended, Ended::Clean);
}

fn on_many_threads<F: Future>(what: F) -> F::Output {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(what)
}

#[test]
fn awaited_closes_on_many_threads() {
    on_many_threads(async {
        let census = Census::default();
        let (mut closings, mut peers) = (Vec::new(), Vec::new());
        for (sender, connection, peer) in open(3_000, &Builder::new().max_departing(64)).await {
            peers.push(answering(peer, Duration::ZERO, &census));
            closings.push(beside(async move {
                let report = connection.close(CloseMode::graceful().linger(secs(30))).await;
                drop(sender);
                report
            }));
        }
        assert_eq!(tally(&all(closings).await), counts([("user_graceful", "clean", 3_000)]));
        assert!(all(peers).await.iter().all(|ended| *ended == adieu_testkit::Ended::Fin));
        assert!(census.most() <= 64, "{}", census.most());
    });
}

#[test]
fn dropped_awaited_and_aborted_on_many_threads() {
    on_many_threads(async {
        let (mut closings, mut peers) = (Vec::new(), Vec::new());
        for (index, (sender, connection, peer)) in
            open(3_000, &Builder::new().max_departing(16)).await.into_iter().enumerate()
        {
            peers.push(answering(peer, Duration::ZERO, &Census::default()));
            let closed = connection.closed();
            closings.push(beside(async move {
                let mode = CloseMode::graceful().linger(secs(30));
                match index % 4 {
                    0 => drop((sender, connection)),
                    1 => drop(connection.close(mode)),
                    2 => {
                        let (first, second) = tokio::join!(connection.close(mode), connection.close(mode));
                        assert_eq!(first, second);
                    }
                    _ => drop(connection.close(CloseMode::abort())),
                }
                closed.await
            }));
        }
        let reports = all(closings).await;
        assert_eq!(reports.len(), 3_000);
        for (index, report) in reports.iter().enumerate() {
            match index % 4 {
                2 => assert_eq!((&report.reason, report.ended), (&GRACEFUL, Ended::Clean), "{report}"),
                3 => assert_eq!(report.ended, Ended::Aborted, "{report}"),
                _ => assert!(matches!(report.ended, Ended::Clean | Ended::Aborted), "{report}"),
            }
        }
        all(peers).await;
    });
}

//! The limits of an upgraded connection, on a paused clock: silence, and one side that outlives the other.

use std::io::ErrorKind as Io;
use std::time::Duration;

use adieu::conn::Upgraded;
use adieu::conn::http1::{Builder, Connection};
use adieu::{CloseReason, Ended, Phase, Side, Signal, State};
use adieu_testkit::memory::{MemoryEnd, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::support::CONNECTOR;
use super::super::wire::served::Served;
use super::{EVERY, Over, Way, switch};
use crate::support::{Memory, beside, clock, in_memory_with, in_time, pass, settle, watch_for_hangs};

const DAY: Duration = Duration::from_secs(86_400);
const IDLE: CloseReason = CloseReason::TimedOut(Phase::UpgradeIdle);
const HALF: CloseReason = CloseReason::TimedOut(Phase::UpgradeHalfClosed);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The peer's side.
enum Far {
    Plain(MemoryEnd),
    Tls(Box<Served<MemoryEnd>>),
}

impl Far {
    async fn say(&mut self, what: &str) {
        match self {
            Self::Plain(end) => end.send(what).await.unwrap(),
            Self::Tls(served) => served.say(what).await,
        }
    }

    async fn hear(&mut self, bytes: usize) -> Vec<u8> {
        match self {
            Self::Plain(end) => end.read_exactly(bytes).await.unwrap(),
            Self::Tls(served) => served.hear(bytes).await,
        }
    }

    async fn goodbye(&mut self) {
        match self {
            Self::Plain(end) => end.fin().await.unwrap(),
            Self::Tls(served) => served.goodbye().await,
        }
    }

    fn end(&self) -> &MemoryEnd {
        match self {
            Self::Plain(end) => end,
            Self::Tls(served) => &served.io,
        }
    }

    /// It is reset, and nothing that could pass for an end came before.
    fn assert_cut(&self) {
        let seen = self.end().seen();
        assert_eq!(seen.ended(), adieu_testkit::Ended::Reset, "{seen}");
        let fin = seen
            .of(adieu_testkit::memory::Side::Theirs)
            .any(|deed| *deed == adieu_testkit::memory::Deed::Fin);
        assert!(!fin, "{seen}");
    }
}

async fn opened(over: Over, builder: &Builder) -> (Upgraded, Connection, Far) {
    watch_for_hangs();
    let (request, answer) = switch(Way::Connect);
    let (response, connection, far) = match over {
        Over::Plain => {
            let (mut sender, connection, mut end) = in_memory_with(builder).await;
            let response = beside(sender.send_request(request));
            in_time(end.read_head()).await.unwrap();
            (response, connection, Far::Plain(end))
        }
        Over::Tls(version) => {
            let (ours, theirs) = pair();
            let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
            let mut served = Served::shaken(theirs, version).await;
            let stream = in_time(shaking).await.unwrap().unwrap();
            let (mut sender, connection) = builder.handshake_on(stream).await.unwrap();
            let response = beside(sender.send_request(request));
            served.head().await;
            (response, connection, Far::Tls(Box::new(served)))
        }
    };
    let mut far = far;
    far.say(answer).await;
    let response = in_time(response).await.unwrap().unwrap();
    (response.into_body().into_upgraded().unwrap(), connection, far)
}

/// It was reset because of that, at that moment.
async fn assert_cut(
    connection: &Connection,
    far: &Far,
    began: tokio::time::Instant,
    limit: Duration,
    reason: &CloseReason,
) {
    let report = in_time(connection.closed()).await;
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + Duration::from_millis(3), "after {took:?} instead of {limit:?}");
    assert_eq!((&report.reason, report.ended), (reason, Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    assert!(!report.sent.contains(Signal::CloseNotify), "{report}");
    far.assert_cut();
}

#[tokio::test(start_paused = true)]
async fn silence_resets_after_the_builders_limit() {
    for over in EVERY {
        let (mut io, connection, far) =
            opened(over, &Builder::new().upgrade_idle_timeout(Some(secs(7)))).await;
        let began = clock();
        let error = in_time(io.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), Io::ConnectionAborted, "{error}");
        assert!(error.to_string().contains("carried nothing"), "{error}");
        assert_cut(&connection, &far, began, secs(7), &IDLE).await;
        assert_eq!(io.write(b"more").await.unwrap_err().kind(), Io::ConnectionAborted);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_resets_though_nobody_polls() {
    for over in EVERY {
        let (io, connection, far) = opened(over, &Builder::new().upgrade_idle_timeout(Some(secs(7)))).await;
        assert_cut(&connection, &far, clock(), secs(7), &IDLE).await;
        drop(io);
    }
}

#[tokio::test(start_paused = true)]
async fn each_byte_in_either_direction_begins_the_silence_anew() {
    for over in EVERY {
        let (mut io, connection, mut far) = opened(over, &Builder::new()).await;
        io.set_idle_timeout(Some(secs(7)));
        for _ in 0..5 {
            pass(secs(6)).await;
            io.write_all(b"a").await.unwrap();
            far.hear(1).await;
            pass(secs(6)).await;
            far.say("b").await;
            in_time(io.read_exact(&mut [0])).await.unwrap();
        }
        // What nobody reads was not carried.
        let began = clock();
        pass(secs(6)).await;
        far.say("c").await;
        assert_cut(&connection, &far, began, secs(7), &IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_may_be_set_changed_and_taken_away() {
    for over in EVERY {
        let (mut io, connection, far) = opened(over, &Builder::new()).await;
        let began = clock();
        pass(DAY).await;
        io.set_idle_timeout(Some(2 * DAY));
        pass(DAY / 2).await;
        io.set_idle_timeout(None);
        pass(DAY).await;
        assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Open });
        io.set_idle_timeout(Some(3 * DAY));
        io.set_idle_timeout(Some(4 * DAY));
        pass(DAY).await;
        assert_eq!(connection.state(), State::Upgraded { ours: Side::Open, theirs: Side::Open });
        assert_cut(&connection, &far, began, 4 * DAY, &IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_has_passed_already_resets_at_once() {
    for over in EVERY {
        let (mut io, connection, far) = opened(over, &Builder::new()).await;
        pass(secs(60)).await;
        let began = clock();
        io.set_idle_timeout(Some(secs(7)));
        assert_cut(&connection, &far, began, Duration::ZERO, &IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_our_end_only_lingers() {
    for over in EVERY {
        let builder = Builder::new().upgrade_idle_timeout(Some(secs(7))).linger(secs(2));
        let (mut io, connection, far) = opened(over, &builder).await;
        let began = clock();
        io.shutdown().await.unwrap();
        let error = in_time(io.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), Io::ConnectionAborted, "{error}");
        assert!(clock().duration_since(began) <= secs(7) + Duration::from_millis(3));
        assert_eq!(connection.state(), State::Lingering);
        let report = in_time(connection.closed()).await;
        assert_eq!((&report.reason, report.ended), (&IDLE, Ended::PeerSilent), "{report}");
        assert_eq!(report.sent, over.goodbye(), "{report}");
        assert_eq!(far.end().seen().ended(), adieu_testkit::Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn one_side_may_outlive_the_other_for_so_long_ours_first() {
    for over in EVERY {
        for way in ["builder", "setter"] {
            let builder = match way {
                "builder" => Builder::new().upgrade_half_closed_timeout(Some(secs(9))),
                _ => Builder::new(),
            };
            let (mut io, connection, mut far) = opened(over, &builder).await;
            if way == "setter" {
                io.set_half_closed_timeout(Some(secs(9)));
            }
            // Nothing runs while both are open.
            pass(DAY).await;
            io.shutdown().await.unwrap();
            let began = clock();
            // What comes does not lengthen it.
            pass(secs(6)).await;
            far.say("words").await;
            in_time(io.read_exact(&mut [0; 5])).await.unwrap();
            let error = in_time(io.read(&mut [0])).await.unwrap_err();
            assert!(error.to_string().contains("other end"), "{error}");
            let took = clock().duration_since(began);
            assert!(took >= secs(9) && took <= secs(9) + Duration::from_millis(3), "{took:?}");
            assert_eq!(connection.state(), State::Lingering, "{over:?} {way}");
            let before = clock();
            far.goodbye().await;
            let report = in_time(connection.closed()).await;
            assert!(
                clock().duration_since(before) < Duration::from_millis(3),
                "the peer's end is noticed as it comes"
            );
            assert_eq!((&report.reason, report.ended), (&HALF, Ended::Clean), "{report}");
            assert_eq!((report.sent, report.received), (over.goodbye(), over.goodbye()), "{report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_side_may_outlive_the_other_for_so_long_theirs_first() {
    for over in EVERY {
        let (mut io, connection, mut far) =
            opened(over, &Builder::new().upgrade_half_closed_timeout(Some(secs(9)))).await;
        pass(DAY).await;
        far.goodbye().await;
        assert_eq!(in_time(io.read(&mut [0])).await.unwrap(), 0);
        let began = clock();
        pass(secs(6)).await;
        io.write_all(b"words").await.unwrap();
        assert_cut(&connection, &far, began, secs(9), &HALF).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_limits_it_may_be_silent_and_half_closed_as_long_as_it_likes() {
    for over in EVERY {
        let (mut io, connection, mut far) = opened(over, &Builder::new()).await;
        pass(30 * DAY).await;
        io.shutdown().await.unwrap();
        pass(30 * DAY).await;
        assert_eq!(connection.state(), State::Upgraded { ours: Side::Ended, theirs: Side::Open });
        far.say("late").await;
        far.goodbye().await;
        let mut all = Vec::new();
        in_time(io.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"late");
        let report = in_time(connection.closed()).await;
        assert_eq!((&report.reason, report.ended), (&CloseReason::Upgraded, Ended::Clean), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_after_shutdown_it_lingers_and_no_longer() {
    for over in EVERY {
        let (mut io, connection, far) = opened(over, &Builder::new().linger(secs(2))).await;
        io.shutdown().await.unwrap();
        pass(DAY).await;
        let began = clock();
        drop(io);
        let report = in_time(connection.closed()).await;
        let took = clock().duration_since(began);
        assert!(took >= secs(2) && took <= secs(2) + Duration::from_millis(3), "{took:?}");
        assert_eq!(report.ended, Ended::PeerSilent, "{report}");
        assert_eq!(report.sent, over.goodbye(), "{report}");
        settle().await;
        assert_eq!(far.end().seen().ended(), adieu_testkit::Ended::Fin);
    }
}

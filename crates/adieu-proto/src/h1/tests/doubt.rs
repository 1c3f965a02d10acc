//! A peer that ends before it answers, on a connection that was used before: whether its kernel refused the request is
//! looked into before anything follows.

use std::time::Duration;

use http::Request;

use super::*;
use crate::fate::{Fate, Ours, Proof, Receipts, Sight, fate_of};

const PATIENCE: Duration = Duration::from_millis(90);
const REFUSED: Fate = Fate::NotProcessed(Proof::ClosedBeforeReceipt);

/// One exchange is done, and the kernel can be asked.
fn used() -> Scenario {
    let mut it = Scenario::with(Config { receipts: Receipts::Kernel, ..Config::default() }).get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    assert_eq!(it.state(), State::Idle);
    it.wire.clear();
    it
}

/// The next request is out, and the peer has ended like this.
fn ended(end: TransportEnd) -> Scenario {
    let mut it = used().get();
    it.peer_ends(end).read();
    it
}

fn sees(it: &mut Scenario, sight: Sight) {
    it.engine.handle_sight(it.now, sight, PATIENCE);
    it.read();
}

fn wants_look(it: &Scenario) -> bool {
    it.engine.wants_look(it.now, || false)
}

#[track_caller]
fn assert_fails(it: &mut Scenario, fate: Fate, reason: CloseReason) {
    assert!(!it.engine.is_in_doubt());
    let failure = it.read().failure().clone();
    assert_eq!(fate_of(&failure.facts, failure.answer), fate);
    assert_eq!(failure.reason, reason);
    assert_eq!(it.engine.life().exchanges(), (1, 1));
}

#[test]
fn nothing_follows_while_it_is_in_doubt() {
    let mut it = ended(FIN);
    assert!(it.engine.is_in_doubt() && wants_look(&it));
    assert_eq!((it.state(), it.seen.failure.is_none()), (State::Active, true));
    sees(&mut it, Sight::Pending);
    assert!(it.engine.is_in_doubt() && !wants_look(&it));
    it.note_orders();
    assert_eq!(it.orders, []);
    assert!(!it.engine.wants_read() && !it.engine.wants_write() && it.engine.poll_timeout().is_some());
    assert_eq!(it.deadline(), Some(PATIENCE));
    // The socket is gone: now.
    assert!(it.engine.wants_look(it.now, || true));
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, REFUSED, CloseReason::PeerClosedIdle);
    it.obey();
    assert_eq!(it.orders, [LeavePool, FailExchanges, FAREWELL, DROP]);
}

#[test]
fn a_refusal_that_is_there_at_once_needs_no_wait() {
    let mut it = ended(FIN);
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, REFUSED, CloseReason::PeerClosedIdle);
}

#[test]
fn what_was_acknowledged_or_cannot_be_told_is_unknown_at_once() {
    for sight in [Sight::Acknowledged, Sight::None] {
        let mut it = ended(FIN);
        sees(&mut it, sight);
        assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
    }
}

#[test]
fn what_is_acknowledged_later_or_not_at_all_is_unknown() {
    let mut it = ended(FIN);
    sees(&mut it, Sight::Pending);
    it.now += PATIENCE / 2;
    sees(&mut it, Sight::Acknowledged);
    assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
    // The time is over: the last look counts.
    for (sight, fate, reason) in [
        (Sight::Pending, Fate::Unknown, CloseReason::PeerEndedEarly),
        (Sight::Refused, REFUSED, CloseReason::PeerClosedIdle),
    ] {
        let mut it = ended(FIN);
        sees(&mut it, Sight::Pending);
        it.now += PATIENCE;
        assert!(wants_look(&it));
        sees(&mut it, sight);
        assert_fails(&mut it, fate, reason);
    }
    // Nobody looked in time.
    let mut it = ended(FIN);
    sees(&mut it, Sight::Pending);
    it.pass(PATIENCE);
    assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
}

#[test]
fn who_can_do_without_a_proof_does_not_wait() {
    let mut it = ended(FIN);
    sees(&mut it, Sight::Pending);
    it.engine.give_up_doubt(it.now);
    assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
}

/// Under TLS the FIN must come as well: a RST without it says that the request was thrown away.
#[test]
fn under_tls_a_refusal_counts_behind_the_fin_only() {
    let mut it = ended(TransportEnd::CloseNotify);
    assert!(it.engine.is_in_doubt() && it.engine.wants_read());
    sees(&mut it, Sight::Refused);
    assert!(it.engine.is_in_doubt() && !it.engine.wants_look(it.now, || true));
    it.peer_ends(FIN);
    assert!(it.engine.is_in_doubt() && it.engine.wants_look(it.now, || true));
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, REFUSED, CloseReason::PeerClosedIdle);
    it.obey();
    assert_eq!(it.orders, [LeavePool, FailExchanges, FAREWELL, DROP]);
    let heard = it.engine.life().signals().1;
    assert!(heard.contains(Signal::CloseNotify) && heard.contains(Signal::Fin));

    for sight in [Sight::Pending, Sight::Refused] {
        let early = || {
            let mut it = ended(TransportEnd::CloseNotify);
            sees(&mut it, sight);
            it
        };
        let mut it = early();
        it.peer_ends(RST);
        assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
        let mut it = early();
        it.close(CloseMode::now());
        assert_fails(&mut it, Fate::Unknown, CloseReason::User(CloseKind::Now));
        let mut it = early();
        it.pass(PATIENCE);
        assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
    }

    let mut it = ended(TransportEnd::CloseNotify);
    sees(&mut it, Sight::Pending);
    it.now += PATIENCE;
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
}

#[test]
fn an_upload_stops_while_it_is_in_doubt() {
    let mut it = used().ask(Request::post("http://h/"), Some(10));
    it.flush().give("01234").peer_ends(FIN);
    assert!(it.engine.is_in_doubt() && !it.engine.wants_write() && !it.engine.wants_body());
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, REFUSED, CloseReason::PeerClosedIdle);
    it.obey();
    // What was cut short is reset.
    assert_eq!(it.orders, [LeavePool, FailExchanges, DropTransport(Parting::Reset)]);
}

/// A write that was told of the refusal first.
#[test]
fn a_broken_pipe_before_the_end_changes_nothing() {
    let mut it = used().ask(Request::post("http://h/"), Some(10));
    it.flush().give("01234").write_breaks(RST).peer_ends(FIN);
    assert!(it.engine.is_in_doubt());
    sees(&mut it, Sight::Refused);
    assert_fails(&mut it, REFUSED, CloseReason::PeerClosedIdle);
}

#[test]
fn whatever_ends_it_meanwhile_ends_the_doubt() {
    let end = |how: &dyn Fn(&mut Scenario)| {
        let mut it = ended(FIN);
        sees(&mut it, Sight::Pending);
        how(&mut it);
        it
    };
    let mut it = end(&|it| _ = it.close(CloseMode::now()));
    assert_fails(&mut it, Fate::Unknown, CloseReason::User(CloseKind::Now));
    let mut it = end(&|it| it.engine.abandon(it.now));
    assert_fails(&mut it, Fate::Unknown, CloseReason::RequestCancelled);
    let mut it = end(&|it| _ = it.close(CloseMode::abort()));
    assert_fails(&mut it, Fate::Unknown, CloseReason::User(CloseKind::Abort));
    assert_eq!(it.state(), State::Closed);
    // Our FIN would hide what it met.
    let mut it = end(&|it| _ = it.close(CloseMode::half()));
    assert_fails(&mut it, Fate::Unknown, CloseReason::PeerEndedEarly);
    // A graceful close waits for the exchange.
    let mut it = end(&|it| _ = it.close(CloseMode::graceful()));
    assert!(it.engine.is_in_doubt());
    sees(&mut it, Sight::Refused);
    assert_eq!(fate_of(&it.failure().facts, it.failure().answer), REFUSED);
    it.obey();
    assert_eq!(it.state(), State::Closed);
}

/// Where any condition is missing there is no doubt: what happened is believed at once.
#[test]
fn without_every_condition_there_is_no_doubt() {
    let no_doubt = |mut it: Scenario, end: TransportEnd| {
        it.peer_ends(end).read();
        assert!(!it.engine.is_in_doubt());
        let failure = it.failure().clone();
        assert_eq!(fate_of(&failure.facts, failure.answer), Fate::Unknown);
        failure
    };
    let kernel = || Config { receipts: Receipts::Kernel, ..Config::default() };
    // Fresh.
    no_doubt(Scenario::with(kernel()).get(), FIN);
    // Nobody can be asked.
    let mut it = Scenario::open().get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    no_doubt(it.get(), FIN);
    let relayed = Config { receipts: Receipts::Relayed, ..Config::default() };
    let mut it = Scenario::with(relayed).get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    no_doubt(it.get(), FIN);
    // Something came back.
    for part in ["H", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let mut it = used().get();
        it.come(part).read();
        no_doubt(it, FIN);
    }
    // Another end.
    for end in [RST, TransportEnd::BareFin, TransportEnd::Failed(std::io::ErrorKind::TimedOut)] {
        no_doubt(used().get(), end);
    }
    // Our side has ended.
    let mut it = used().get();
    it.close(CloseMode::half()).obey();
    assert_eq!(no_doubt(it, FIN).facts.ours, Ours::Ended);
}

/// When the peer ended an idle connection is known from when it was last heard of.
#[test]
fn the_idle_age_is_told_in_the_report() {
    let second = Duration::from_secs(1);
    let mut it = used();
    it.now += second * 7;
    it.engine.handle_silence(second * 2, second / 50);
    it.peer_ends(FIN).obey();
    let report = it.engine.report(it.now, crate::lifecycle::ConnectionId::new(1));
    assert_eq!((report.ended_idle, report.round_trip), (Some(second * 5), Some(second / 50)));
    // The same where a request met it.
    let mut it = used();
    it.now += second * 7;
    let mut it = it.get();
    it.now += second;
    it.engine.handle_silence(second * 2, second / 50);
    it.peer_ends(FIN);
    sees(&mut it, Sight::Refused);
    it.obey();
    let report = it.engine.report(it.now, crate::lifecycle::ConnectionId::new(1));
    assert_eq!(report.ended_idle, Some(second * 6));
    // But not where the peer had the request.
    let mut it = used();
    it.now += second * 7;
    let mut it = it.get();
    it.engine.handle_silence(second * 2, second / 50);
    it.peer_ends(FIN);
    sees(&mut it, Sight::Acknowledged);
    it.obey();
    assert_eq!(it.engine.report(it.now, crate::lifecycle::ConnectionId::new(1)).ended_idle, None);
}

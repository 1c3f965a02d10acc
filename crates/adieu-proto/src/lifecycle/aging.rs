//! How old a connection may become, how much it may do, what the peer says of both; and the journal of it all.

use std::time::Duration;

use super::tests::{Told, s, start};
use super::*;

fn limits(set: impl FnOnce(&mut LifecycleLimits)) -> LifecycleLimits {
    let mut limits = LifecycleLimits::default();
    set(&mut limits);
    limits
}

#[test]
fn an_idle_connection_ends_at_its_age_or_its_idle_limit_whichever_comes_first() {
    let told =
        |idle, age| Told::with(limits(|limits| (limits.idle, limits.age) = (Some(s(idle)), Some(s(age)))));
    for (idle, age, at, reason) in [
        (10, 30, 10.0, CloseReason::IdleLimit),
        (30, 10, 10.0, CloseReason::MaxAge),
        (10, 10, 10.0, CloseReason::MaxAge),
    ] {
        let mut told = told(idle, age);
        assert_eq!(told.deadline(), Some(at));
        told.life.handle_timeout(told.at(at), Request::Whole);
        assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
        assert_eq!(told.life.reason(), Some(&reason));
    }
}

#[test]
fn age_runs_from_the_first_handshake_and_use_does_not_renew_it() {
    let mut told = Told::with(limits(|limits| (limits.idle, limits.age) = (Some(s(10)), Some(s(25)))));
    told.life.begin_exchange(told.at(9.0));
    told.life.end_exchange(told.at(18.0), First::Us);
    assert_eq!(told.deadline(), Some(25.0), "not 28");
}

#[test]
fn at_its_age_an_active_connection_retires_and_its_exchange_ends_by_itself() {
    let mut told = Told::with(limits(|limits| limits.age = Some(s(10))));
    told.life.begin_exchange(told.at(1.0));
    assert_eq!(told.deadline(), Some(10.0));
    told.life.handle_timeout(told.at(9.9), Request::Cut);
    assert_eq!(told.life.state(), State::Active);
    told.life.handle_timeout(told.at(10.0), Request::Cut);
    assert!(matches!(told.life.state(), State::Draining { .. }));
    assert_eq!((told.deadline(), told.life.in_flight()), (None, 1), "as long as it likes");
    assert!(told.orders().contains(&Action::LeavePool));
    told.life.end_exchange(told.at(500.0), First::Us);
    told.say_goodbye(500.0);
    told.peer_ends(500.0, CloseReason::PeerClosedIdle);
    assert_eq!(
        (told.life.reason(), told.life.ended(), told.life.exchanges()),
        (Some(&CloseReason::MaxAge), Some(Ended::Clean), (1, 0))
    );
}

#[test]
fn past_the_grace_the_exchange_fails() {
    let mut told = Told::with(limits(|limits| (limits.age, limits.age_grace) = (Some(s(10)), Some(s(5)))));
    told.life.begin_exchange(told.at(1.0));
    told.life.handle_timeout(told.at(10.0), Request::Whole);
    assert_eq!(told.deadline(), Some(15.0));
    told.life.handle_timeout(told.at(15.0), Request::Whole);
    assert_eq!((told.life.exchanges(), told.life.reason()), ((0, 1), Some(&CloseReason::MaxAge)));
    // Nobody looked for so long that both have passed.
    let mut told = Told::with(limits(|limits| (limits.age, limits.age_grace) = (Some(s(10)), Some(s(0)))));
    told.life.begin_exchange(told.at(1.0));
    told.life.handle_timeout(told.at(10.0), Request::Whole);
    assert_eq!(told.life.exchanges(), (0, 1), "no grace at all");
}

#[test]
fn an_age_beyond_all_time_is_none_and_one_of_nothing_is_over_with_the_first_use() {
    assert_eq!(Told::with(limits(|limits| limits.age = Some(Duration::MAX))).deadline(), None);
    for used in [false, true] {
        let mut told = Told::with(limits(|limits| limits.age = Some(s(0))));
        assert_eq!(told.deadline(), Some(1.0), "whoever had it opened gets to use it");
        if used {
            told.life.begin_exchange(told.at(0.5));
            assert_eq!(told.deadline(), Some(0.0));
            told.life.end_exchange(told.at(0.5), First::Us);
        }
        told.life.handle_timeout(told.at(1.0), Request::Whole);
        assert_eq!(told.life.reason(), Some(&CloseReason::MaxAge));
    }
}

#[test]
fn after_its_last_exchange_it_retires() {
    let mut told = Told::with(limits(|limits| limits.exchanges = Some(2)));
    for exchange in 1..=2 {
        told.life.begin_exchange(told.at(f64::from(exchange)));
        assert!(told.life.state().is_open(), "the last is as good as any");
        told.life.end_exchange(told.at(f64::from(exchange)), First::Us);
    }
    assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
    assert_eq!((told.life.reason(), told.life.exchanges()), (Some(&CloseReason::MaxExchanges), (2, 0)));
}

#[test]
fn one_that_was_taken_back_is_not_counted_among_them() {
    let mut told = Told::with(limits(|limits| limits.exchanges = Some(1)));
    told.life.begin_exchange(told.at(0.0));
    told.life.withdraw_exchange(told.at(0.0));
    assert_eq!(told.life.state(), State::Idle);
}

#[test]
fn what_the_peer_says_of_idle_time_only_shortens() {
    let mut told = Told::with(limits(|limits| limits.idle = Some(s(30))));
    told.life.limit_idle(s(60));
    assert_eq!((told.deadline(), told.life.idle_limit()), (Some(30.0), Some(s(30))));
    told.life.limit_idle(s(4));
    assert_eq!((told.deadline(), told.life.idle_limit()), (Some(4.0), Some(s(4))));
    told.life.limit_idle(s(5));
    assert_eq!(told.deadline(), Some(4.0));
    let mut told = Told::open();
    assert_eq!(told.deadline(), None);
    told.life.limit_idle(s(5));
    assert_eq!(told.deadline(), Some(5.0), "also where we know no limit");
}

#[test]
fn what_the_peer_says_of_exchanges_counts_from_the_one_in_flight_and_only_lowers() {
    // Of so many more, said in the first of them, against our own limit: how many there are in all.
    for (more, own, in_all) in
        [(0, None, 1), (2, None, 3), (2, Some(2), 2), (9, Some(4), 4), (u64::MAX, Some(1), 1)]
    {
        let mut told = Told::with(limits(|limits| limits.exchanges = own));
        told.life.begin_exchange(told.at(0.0));
        told.life.limit_exchanges(more);
        told.life.end_exchange(told.at(0.0), First::Us);
        while told.life.state().is_open() {
            told.life.begin_exchange(told.at(0.0));
            told.life.end_exchange(told.at(0.0), First::Us);
        }
        assert_eq!(told.life.exchanges().0, in_all, "{more} more, {own:?} of our own");
    }
}

fn entries(told: &mut Told) -> Vec<Entry> {
    told.life.journal().take().into_iter().map(|(_, entry)| entry).collect()
}

#[test]
fn the_journal_is_empty_while_nobody_reads() {
    let mut told = Told::busy();
    told.life.end_exchange(told.at(1.0), First::Us);
    assert!(told.life.journal().is_empty());
    told.life.journal().keep_for(Readers::Some);
    told.life.begin_exchange(told.at(2.0));
    told.life.journal().keep_for(Readers::None);
    told.life.end_exchange(told.at(3.0), First::Us);
    assert_eq!(
        entries(&mut told),
        [Entry::State { from: State::Idle, to: State::Active }, Entry::Began(2)],
        "what was written is kept"
    );
    assert!(told.life.journal().is_empty());
}

#[test]
fn the_journal_tells_a_life_in_order_with_its_times() {
    let start = start();
    let mut told = Told { life: Lifecycle::new(start, LifecycleLimits::default()), start };
    told.life.journal().keep_for(Readers::Some);
    told.life.handle(told.at(1.0), Input::Opened);
    told.life.begin_exchange(told.at(2.0));
    told.life.withdraw_exchange(told.at(3.0));
    told.life.begin_exchange(told.at(4.0));
    told.life.end_exchange(told.at(5.0), First::Us);
    told.life.begin_exchange(told.at(6.0));
    told.close(7.0, CloseMode::now(), Request::Whole);
    told.say_goodbye(8.0);
    told.peer_ends(9.0, CloseReason::PeerClosedIdle);
    let closing = State::Closing { theirs: Side::Open };
    let now = CloseReason::User(CloseKind::Now);
    let expected = [
        (1.0, Entry::State { from: State::Opening, to: State::Idle }),
        (2.0, Entry::State { from: State::Idle, to: State::Active }),
        (2.0, Entry::Began(1)),
        (3.0, Entry::Ended(1, Outcome::Withdrawn)),
        (3.0, Entry::State { from: State::Active, to: State::Idle }),
        (4.0, Entry::State { from: State::Idle, to: State::Active }),
        (4.0, Entry::Began(2)),
        (5.0, Entry::Ended(2, Outcome::Done)),
        (5.0, Entry::State { from: State::Active, to: State::Idle }),
        (6.0, Entry::State { from: State::Idle, to: State::Active }),
        (6.0, Entry::Began(3)),
        (7.0, Entry::State { from: State::Active, to: closing }),
        (7.0, Entry::Retired(now)),
        (7.0, Entry::Ended(3, Outcome::Failed)),
        (8.0, Entry::State { from: closing, to: State::Lingering }),
        (9.0, Entry::State { from: State::Lingering, to: State::Closed }),
    ];
    let told: Vec<_> = told
        .life
        .journal()
        .take()
        .into_iter()
        .map(|(at, entry)| ((at - start).as_secs_f64(), entry))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_retirement_is_told_once_with_the_first_reason() {
    let mut told = Told::busy();
    told.life.journal().keep_for(Readers::Some);
    told.life.retire(told.at(1.0), None, CloseReason::MaxAge);
    told.life.retire(told.at(2.0), None, CloseReason::PeerAskedClose);
    told.life.end_exchange(told.at(3.0), First::Us);
    let retired: Vec<_> =
        entries(&mut told).into_iter().filter(|entry| matches!(entry, Entry::Retired(_))).collect();
    assert_eq!(retired, [Entry::Retired(CloseReason::MaxAge)]);
}

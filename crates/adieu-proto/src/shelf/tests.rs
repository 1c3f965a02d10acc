//! A walk at random over everything that can be asked of a shelf, beside a model that only counts; and the sentences of
//! the pool, one by one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::lifecycle::tests::start;

type Test = Shelf<u32, u32, &'static str>;

/// What is asked of the shelf; the number picks among what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize, Wanted),
    Cancel(usize),
    Opened(usize),
    OpenFailed(usize),
    PutBack(usize),
    LeaveLent(usize),
    LeaveIdle(usize),
    ClearIdle(Option<usize>),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    prop_oneof![
        8 => (0..3usize, prop_oneof![4 => Just(Wanted::Any), 1 => Just(Wanted::Fresh)]).prop_map(|(o, w)| Ask(o, w)),
        2 => any::<usize>().prop_map(Cancel),
        6 => any::<usize>().prop_map(Opened),
        1 => any::<usize>().prop_map(OpenFailed),
        6 => any::<usize>().prop_map(PutBack),
        2 => any::<usize>().prop_map(LeaveLent),
        1 => any::<usize>().prop_map(LeaveIdle),
        1 => proptest::option::of(0..3usize).prop_map(ClearIdle),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = |most: usize| proptest::option::of(1..most);
    let idle = |most: usize| proptest::option::of(0..most);
    let order = prop_oneof![Just(Order::Lifo), Just(Order::Fifo), Just(Order::RoundRobin)];
    (limit(4), limit(6), idle(3), idle(4), order).prop_map(|(per_origin, in_all, one, all, order)| Limits {
        per_origin,
        in_all,
        idle_per_origin: one,
        idle_in_all: all,
        order,
    })
}

/// The world around a shelf.
struct World {
    limits: Limits,
    shelf: Test,
    origins: Vec<Origin>,
    openings: Vec<(Opening, Origin)>,
    lent: Vec<(Slot, u32, Origin)>,
    idle: BTreeMap<u32, (Slot, Origin)>,
    /// Those that wait, by number, with what they want.
    waiting: BTreeMap<Ticket, (Origin, Wanted)>,
    /// Those that have their answer and did not look yet.
    woken: BTreeSet<u32>,
    next: u32,
}

impl World {
    fn new(limits: Limits) -> Self {
        let mut shelf = Test::new(limits);
        let origins = (0..3).map(|_| shelf.add_origin()).collect();
        Self {
            limits,
            shelf,
            origins,
            openings: Vec::new(),
            lent: Vec::new(),
            idle: BTreeMap::new(),
            waiting: BTreeMap::new(),
            woken: BTreeSet::new(),
            next: 0,
        }
    }

    fn carry_out(&mut self, effects: Effects<u32, u32>) {
        self.openings.extend(effects.open);
        for (connection, _) in effects.close {
            self.idle.remove(&connection);
            self.lent.retain(|(_, lent, _)| *lent != connection);
        }
        self.woken.extend(effects.wake);
    }

    /// The first that is eligible must be the one that was served.
    fn assert_first(&self, ticket: Ticket, offered: Wanted) {
        let (origin, _) = self.waiting[&ticket];
        let first = self.waiting.iter().find(|(_, (other, wanted))| {
            *other == origin && (offered == Wanted::Fresh || *wanted == Wanted::Any)
        });
        assert_eq!(first.map(|(first, _)| *first), Some(ticket), "somebody was overtaken");
    }

    /// An older request for a fresh connection has at least an opening under way.
    fn assert_nobody_starves_for_fresh(&self, ticket: Ticket) {
        let (origin, _) = self.waiting[&ticket];
        let older = self.waiting.range(..ticket).any(|(_, (other, _))| *other == origin);
        assert!(!older || self.shelf.counts(origin).opening > 0, "somebody starves for a fresh connection");
    }

    /// Everybody who was woken looks.
    fn look(&mut self, offered: Wanted) {
        let served: Vec<Ticket> = self.waiting.keys().copied().collect();
        for ticket in served {
            let (origin, _) = self.waiting[&ticket];
            let name = ticket.number() as u32;
            match self.shelf.poll(origin, ticket, &mut name.clone()) {
                Some(grant) => {
                    assert!(self.woken.contains(&name), "served and not woken");
                    match grant {
                        Grant::Connection(slot, connection) => {
                            self.assert_first(ticket, offered);
                            self.assert_nobody_starves_for_fresh(ticket);
                            self.lent.push((slot, connection, origin));
                        }
                        Grant::Failed(_) => self.assert_first(ticket, Wanted::Fresh),
                        Grant::Closed => assert!(self.shelf.is_closed()),
                    }
                    self.waiting.remove(&ticket);
                }
                None => assert!(!self.woken.contains(&name), "woken for nothing"),
            }
            self.woken.remove(&name);
        }
    }

    fn take(&mut self, step: Step) {
        let mut effects = Effects::default();
        let pick = |from: usize, len: usize| (len > 0).then(|| from % len.max(1));
        let mut offered = Wanted::Any;
        match step {
            Step::Ask(origin, wanted) => {
                let origin = self.origins[origin];
                let taken = if wanted == Wanted::Any { self.shelf.take(origin, Pick::Usual) } else { None };
                if let Some((slot, connection)) = taken {
                    assert!(self.idle.remove(&connection).is_some(), "what is not idle was lent");
                    self.lent.push((slot, connection, origin));
                } else {
                    let ticket = self.shelf.draw();
                    let waiter = Waiter { since: start(), deadline: None, waker: ticket.number() as u32 };
                    self.shelf.wait(origin, ticket, wanted, waiter, &mut effects);
                    if self.shelf.is_closed() {
                        self.woken.insert(ticket.number() as u32);
                    }
                    self.waiting.insert(ticket, (origin, wanted));
                }
            }
            Step::Cancel(which) => {
                let Some(which) = pick(which, self.waiting.len()) else { return };
                let (&ticket, &(origin, _)) = self.waiting.iter().nth(which).unwrap();
                self.waiting.remove(&ticket);
                match self.shelf.cancel(origin, ticket, &mut effects) {
                    Some(Leftover::Waker(waker)) => assert_eq!(waker, ticket.number() as u32),
                    Some(Leftover::Grant(Grant::Connection(slot, _))) => {
                        assert!(!self.lent.iter().any(|(lent, ..)| *lent == slot), "it was lent twice");
                    }
                    _ => {}
                }
            }
            Step::Opened(which) => {
                let Some(which) = pick(which, self.openings.len()) else { return };
                let (opening, origin) = self.openings.swap_remove(which);
                self.next += 1;
                offered = Wanted::Fresh;
                let slot = self.shelf.opened(opening, self.next, &mut effects);
                self.note_idle(slot, self.next, origin, &effects);
            }
            Step::OpenFailed(which) => {
                let Some(which) = pick(which, self.openings.len()) else { return };
                let (opening, origin) = self.openings.swap_remove(which);
                let nobody = self.shelf.counts(origin).waiting == 0;
                let untold = self.shelf.open_failed(opening, "no", &mut effects);
                assert_eq!(untold.is_some(), nobody, "told to somebody or given back");
            }
            Step::PutBack(which) => {
                let Some(which) = pick(which, self.lent.len()) else { return };
                let (slot, connection, origin) = self.lent.swap_remove(which);
                self.shelf.put_back(slot, connection, &mut effects);
                self.note_idle(Some(slot), connection, origin, &effects);
            }
            Step::LeaveLent(which) => {
                let Some(which) = pick(which, self.lent.len()) else { return };
                let (slot, ..) = self.lent.swap_remove(which);
                assert_eq!(self.shelf.leave(slot, &mut effects), None);
                assert_eq!(self.shelf.leave(slot, &mut effects), None, "harmless when said twice");
            }
            Step::LeaveIdle(which) => {
                let Some(which) = pick(which, self.idle.len()) else { return };
                let (&connection, &(slot, _)) = self.idle.iter().nth(which).unwrap();
                self.idle.remove(&connection);
                assert_eq!(self.shelf.leave(slot, &mut effects), Some(connection));
            }
            Step::ClearIdle(origin) => {
                let origin = origin.map(|which| self.origins[which]);
                for connection in self.shelf.clear_idle(origin, &mut effects) {
                    assert!(self.idle.remove(&connection).is_some());
                }
            }
            Step::Close => {
                for connection in self.shelf.close(CloseReason::HandlesDropped, &mut effects) {
                    assert!(self.idle.remove(&connection).is_some());
                }
            }
        }
        self.carry_out(effects);
        self.look(offered);
        self.assert_rules();
    }

    /// It is idle, unless somebody who waited got it or it had to go.
    fn note_idle(
        &mut self,
        slot: Option<Slot>,
        connection: u32,
        origin: Origin,
        effects: &Effects<u32, u32>,
    ) {
        if let Some(slot) = slot
            && effects.wake.is_empty()
            && !effects.close.iter().any(|(closed, _)| *closed == connection)
        {
            self.idle.insert(connection, (slot, origin));
        }
    }

    fn assert_rules(&self) {
        let (shelf, limits) = (&self.shelf, self.limits);
        let of = |origin: Origin| {
            (
                self.openings.iter().filter(|(_, other)| *other == origin).count(),
                self.idle.values().filter(|(_, other)| *other == origin).count(),
                self.lent.iter().filter(|(_, _, other)| *other == origin).count(),
                self.waiting.values().filter(|(other, _)| *other == origin).count(),
            )
        };
        let in_all = shelf.total().connections();
        assert!(limits.in_all.is_none_or(|limit| in_all <= limit), "{:?}", shelf.total());
        assert!(limits.idle_in_all.is_none_or(|limit| shelf.total().idle <= limit));
        for &origin in &self.origins {
            let counts = shelf.counts(origin);
            assert_eq!((counts.opening, counts.idle, counts.lent, counts.waiting), of(origin), "the books");
            assert!(limits.per_origin.is_none_or(|limit| counts.connections() <= limit));
            assert!(limits.idle_per_origin.is_none_or(|limit| counts.idle <= limit));
            let waits_any =
                self.waiting.values().any(|(other, wanted)| *other == origin && *wanted == Wanted::Any);
            assert!(counts.idle == 0 || !waits_any, "idle, and somebody waits");
            if counts.waiting > counts.opening {
                let full =
                    limits.per_origin.is_some_and(|limit| counts.connections() >= limit && counts.idle == 0);
                let crowded = limits.in_all.is_some_and(|limit| in_all >= limit && shelf.total().idle == 0);
                assert!(full || crowded || shelf.is_closed(), "somebody waits for nothing: {counts:?}");
            }
            let queue = shelf.waiting(origin);
            assert!(queue.is_sorted_by_key(|waiting| waiting.ticket));
            for (ahead, waiting) in queue.iter().enumerate() {
                assert_eq!(shelf.ahead(origin, waiting.ticket), Some(ahead));
            }
        }
    }

    /// Whatever happened, once every opening ends and every connection comes back nobody waits.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.waiting.is_empty() && self.openings.is_empty() {
                return;
            }
            self.take(Step::Opened(0));
            self.take(Step::PutBack(0));
        }
        panic!("somebody waits for ever: {:?}", self.waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_overtaken_forgotten_or_served_twice(
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(limits);
        for step in steps {
            world.take(step);
        }
        world.settle();
    }

    #[test]
    fn closed_it_lends_nothing_and_leaves_nobody_waiting(
        limits in limits(),
        before in proptest::collection::vec(step(), 1..60),
        after in proptest::collection::vec(step(), 1..30),
    ) {
        let mut world = World::new(limits);
        before.into_iter().for_each(|step| world.take(step));
        world.take(Step::Close);
        after.into_iter().for_each(|step| world.take(step));
        prop_assert!(world.waiting.is_empty() && world.idle.is_empty());
    }
}

fn ask(shelf: &mut Test, origin: Origin, wanted: Wanted) -> (Ticket, Effects<u32, u32>) {
    let mut effects = Effects::default();
    let ticket = shelf.draw();
    let waiter = Waiter { since: start(), deadline: None, waker: ticket.number() as u32 };
    shelf.wait(origin, ticket, wanted, waiter, &mut effects);
    (ticket, effects)
}

fn idle(shelf: &mut Test, origin: Origin, connections: impl IntoIterator<Item = u32>) -> Vec<Slot> {
    let mut slots = Vec::new();
    for connection in connections {
        let (ticket, effects) = ask(shelf, origin, Wanted::Fresh);
        let mut rest = Effects::default();
        slots.extend(shelf.opened(effects.open[0].0, connection, &mut rest));
        shelf.cancel(origin, ticket, &mut rest);
    }
    slots
}

#[test]
fn the_order_in_which_idle_connections_are_taken() {
    for (order, expected) in
        [(Order::Lifo, [2, 2, 2]), (Order::Fifo, [0, 1, 2]), (Order::RoundRobin, [0, 1, 2])]
    {
        let mut shelf = Test::new(Limits { order, ..Limits::default() });
        let origin = shelf.add_origin();
        idle(&mut shelf, origin, [0, 1, 2]);
        let mut taken = Vec::new();
        for _ in 0..3 {
            let (slot, connection) = shelf.take(origin, Pick::Usual).unwrap();
            taken.push(connection);
            shelf.put_back(slot, connection, &mut Effects::default());
        }
        assert_eq!(taken, expected, "{order:?}");
    }
    // Fifo and round robin differ where one was not put back at once.
    let mut shelf = Test::new(Limits { order: Order::RoundRobin, ..Limits::default() });
    let origin = shelf.add_origin();
    idle(&mut shelf, origin, [0, 1, 2]);
    let zero = shelf.take(origin, Pick::Usual).unwrap();
    let one = shelf.take(origin, Pick::Usual).unwrap();
    shelf.put_back(one.0, one.1, &mut Effects::default());
    shelf.put_back(zero.0, zero.1, &mut Effects::default());
    assert_eq!(shelf.take(origin, Pick::Usual).unwrap().1, 2);
    assert_eq!(shelf.take(origin, Pick::Usual).unwrap().1, 0);
}

#[test]
fn an_opening_whose_request_was_cancelled_is_kept_for_others() {
    let mut shelf = Test::new(Limits::default());
    let origin = shelf.add_origin();
    let (first, effects) = ask(&mut shelf, origin, Wanted::Any);
    shelf.cancel(origin, first, &mut Effects::default());
    let (second, none) = ask(&mut shelf, origin, Wanted::Any);
    assert!(none.open.is_empty(), "the opening that is there will do");
    let mut rest = Effects::default();
    shelf.opened(effects.open[0].0, 7, &mut rest);
    assert_eq!(rest.wake, [second.number() as u32]);
    assert!(matches!(shelf.poll(origin, second, &mut 0), Some(Grant::Connection(_, 7))));
}

#[test]
fn a_connection_that_died_before_it_was_used_leaves_its_request_at_its_place() {
    let mut shelf = Test::new(Limits { per_origin: Some(1), ..Limits::default() });
    let origin = shelf.add_origin();
    let (first, effects) = ask(&mut shelf, origin, Wanted::Any);
    let (second, _) = ask(&mut shelf, origin, Wanted::Any);
    let mut rest = Effects::default();
    let slot = shelf.opened(effects.open[0].0, 7, &mut rest).unwrap();
    assert!(matches!(shelf.poll(origin, first, &mut 0), Some(Grant::Connection(_, 7))));
    shelf.leave(slot, &mut rest);
    let waiter = Waiter { since: start(), deadline: None, waker: 1 };
    shelf.wait(origin, first, Wanted::Any, waiter, &mut rest);
    assert_eq!((shelf.ahead(origin, first), shelf.ahead(origin, second)), (Some(0), Some(1)));
}

#[test]
fn the_limit_on_all_makes_room_for_the_oldest_request_of_any_origin() {
    let mut shelf = Test::new(Limits { in_all: Some(1), ..Limits::default() });
    let (a, b) = (shelf.add_origin(), shelf.add_origin());
    let (_, effects) = ask(&mut shelf, a, Wanted::Any);
    let (of_b, _) = ask(&mut shelf, b, Wanted::Any);
    let (_of_a, _) = ask(&mut shelf, a, Wanted::Any);
    let mut rest = Effects::default();
    let slot = shelf.opened(effects.open[0].0, 7, &mut rest).unwrap();
    let mut rest = Effects::default();
    shelf.put_back(slot, 7, &mut rest);
    assert_eq!(rest.close, [(7, IN_ALL)], "the request for b is older than the next one for a");
    assert_eq!(rest.open.iter().map(|(_, origin)| *origin).collect::<Vec<_>>(), [b]);
    assert_eq!(shelf.ahead(b, of_b), Some(0));
}

#[test]
fn what_waits_for_a_fresh_connection_gets_no_used_one() {
    let mut shelf = Test::new(Limits { per_origin: Some(1), ..Limits::default() });
    let origin = shelf.add_origin();
    idle(&mut shelf, origin, [1]);
    let (slot, connection) = shelf.take(origin, Pick::Usual).unwrap();
    let (fresh, effects) = ask(&mut shelf, origin, Wanted::Fresh);
    assert!(effects.is_empty());
    let mut rest = Effects::default();
    shelf.put_back(slot, connection, &mut rest);
    assert_eq!(rest.close, [(1, OF_ORIGIN)], "it makes room");
    assert_eq!(rest.open.len(), 1);
    assert!(shelf.poll(origin, fresh, &mut 0).is_none());
}

#[test]
fn under_load_what_waits_for_a_fresh_connection_is_served_in_its_turn() {
    let mut shelf = Test::new(Limits { per_origin: Some(1), ..Limits::default() });
    let origin = shelf.add_origin();
    idle(&mut shelf, origin, [1]);
    let (slot, connection) = shelf.take(origin, Pick::Usual).unwrap();
    let (fresh, _) = ask(&mut shelf, origin, Wanted::Fresh);
    let (any, _) = ask(&mut shelf, origin, Wanted::Any);
    let mut rest = Effects::default();
    shelf.put_back(slot, connection, &mut rest);
    assert_eq!(rest.close, [(1, OF_ORIGIN)], "the one that would take it came later");
    let mut more = Effects::default();
    shelf.opened(rest.open[0].0, 2, &mut more);
    assert!(matches!(shelf.poll(origin, fresh, &mut 0), Some(Grant::Connection(_, 2))));
    assert_eq!(shelf.ahead(origin, any), Some(0));
}

#[test]
fn what_came_back_between_the_look_and_the_queue_is_taken_from_the_queue() {
    let mut shelf = Test::new(Limits { per_origin: Some(1), ..Limits::default() });
    let origin = shelf.add_origin();
    idle(&mut shelf, origin, [1]);
    let lent = shelf.take(origin, Pick::Usual).unwrap();
    assert!(shelf.take(origin, Pick::Usual).is_none(), "the look");
    shelf.put_back(lent.0, lent.1, &mut Effects::default());
    let (ticket, effects) = ask(&mut shelf, origin, Wanted::Any);
    assert!(effects.open.is_empty() && effects.close.is_empty());
    assert!(matches!(shelf.poll(origin, ticket, &mut 0), Some(Grant::Connection(_, 1))));
}

#[test]
fn what_comes_back_to_a_closed_shelf_is_closed_for_the_reason_that_closed_it() {
    let mut shelf = Test::new(Limits::default());
    let origin = shelf.add_origin();
    idle(&mut shelf, origin, [1]);
    let lent = shelf.take(origin, Pick::Usual).unwrap();
    let (_, opening) = ask(&mut shelf, origin, Wanted::Any);
    let mut rest = Effects::default();
    shelf.close(CloseReason::HandlesDropped, &mut rest);
    shelf.close(CloseReason::IdleLimit, &mut rest);
    shelf.put_back(lent.0, lent.1, &mut rest);
    shelf.opened(opening.open[0].0, 2, &mut rest);
    assert_eq!(rest.close, [(1, CloseReason::HandlesDropped), (2, CloseReason::HandlesDropped)]);
}

#[test]
fn an_origin_is_forgotten_only_while_it_is_unused() {
    let mut shelf = Test::new(Limits::default());
    let origin = shelf.add_origin();
    let slots = idle(&mut shelf, origin, [1]);
    shelf.remove_origin(origin);
    assert!(shelf.take(origin, Pick::Usual).is_some(), "it was in use");
    shelf.leave(slots[0], &mut Effects::default());
    shelf.remove_origin(origin);
    let (ticket, _) = ask(&mut shelf, origin, Wanted::Any);
    assert_eq!(shelf.poll(origin, ticket, &mut 0), Some(Grant::Closed), "unknown by now");
}

#[test]
fn what_cannot_be_sent_again_gets_the_youngest() {
    for order in [Order::Lifo, Order::Fifo, Order::RoundRobin] {
        let mut shelf: Shelf<u32, (), ()> = Shelf::new(Limits { order, ..Limits::default() });
        let origin = shelf.add_origin();
        let mut effects = Effects::default();
        for connection in 0..3 {
            let ticket = shelf.draw();
            let waiter = Waiter { since: start(), deadline: None, waker: () };
            shelf.wait(origin, ticket, Wanted::Fresh, waiter, &mut effects);
            let (opening, _) = effects.open.pop().unwrap();
            let slot = shelf.opened(opening, connection, &mut effects).unwrap();
            assert_eq!(shelf.poll(origin, ticket, &mut ()), Some(Grant::Connection(slot, connection)));
            shelf.put_back(slot, connection, &mut effects);
        }
        let (_, youngest) = shelf.take(origin, Pick::Youngest).unwrap();
        assert_eq!(youngest, 2, "{order:?}");
    }
}

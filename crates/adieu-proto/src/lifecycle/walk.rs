//! A walk through every world that the table can reach: each fact that can be reported there, each rule that must
//! hold. `page.rs` writes what it saw to `docs/lifecycle.md`.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{Action, Actions, First, Goodbye, Input, Parting, Request, Side, State, Vouched, next};

mod page;

/// A state with everything around it that the rules speak of; kept in step with the orders as a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    state: State,
    pool: Pool,
    flight: Flight,
    theirs: Side,
    write: Write,
    goodbye: Farewell,
    dropped: Option<Parting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pool {
    In,
    Out,
}

/// How much of the request in flight reached the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Flight {
    /// Nothing is in flight.
    None,
    Unsent,
    Partly,
    Sent,
}

/// Whether our side of the transport works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    Works,
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Farewell {
    None,
    Ordered,
    Said,
}

/// One fact, reported in one world.
#[derive(Debug)]
struct Step {
    from: World,
    input: Input,
    /// `None`: it changed nothing.
    next: Option<(State, Actions)>,
    to: World,
}

/// A sentence of `docs/lifecycle.md`, and how every step is held to it.
type Rule = (&'static str, fn(&Step) -> bool);

const RULES: [Rule; 13] = [
    ("Down the ladder only, but for active to idle.", |step| {
        let (from, to) = (step.from.state, step.to.state);
        match step.next {
            None => true,
            Some(_) => rank(from) < rank(to) || (from, to) == (State::Active, State::Idle),
        }
    }),
    ("A connection is in the pool exactly while it is idle or active.", |step| {
        (step.to.pool == Pool::In) == step.to.state.is_open()
            && step.count(|order| order == Action::JoinPool)
                == usize::from(step.from.state == State::Opening && step.to.state.is_open())
            && step.count(|order| order == Action::LeavePool)
                == usize::from(step.from.state.is_open() && !step.to.state.is_open())
    }),
    ("The transport is let go of exactly once: on the way into closed.", |step| {
        let orders = step.count(|order| matches!(order, Action::DropTransport(_)));
        orders == usize::from(step.from.state != State::Closed && step.to.state == State::Closed)
    }),
    ("At most one goodbye is said, and none once our side broke.", |step| {
        match step.count(|order| matches!(order, Action::SayGoodbye(_))) {
            0 => true,
            1 => step.from.goodbye == Farewell::None && step.to.write == Write::Works,
            _ => false,
        }
    }),
    (
        "A request that was cut short is never followed by a goodbye: the peer must not take it for whole.",
        |step| !step.cuts() || step.to.goodbye == Farewell::None,
    ),
    (
        "What is cut short in flight ends in a reset, unless both directions are gone and nothing can be said.",
        |step| {
            let gone = step.input == Input::Broken
                || (step.to.write == Write::Broken && step.to.theirs == Side::Ended);
            !step.cuts()
                || step.to.dropped == Some(Parting::Reset)
                || (gone && step.to.state == State::Closed)
        },
    ),
    (
        "Something is in flight while active, draining, half-closing, half-closed or muted, and in no other state.",
        |step| (step.to.flight != Flight::None) == step.to.state.is_busy(),
    ),
    ("Whatever is in flight ends with a close now, a violation, an abort, a break or a deadline.", |step| {
        let ends = matches!(
            step.input,
            Input::CloseNow(_) | Input::Violation(..) | Input::Abort | Input::Broken | Input::Deadline(_)
        );
        !ends || step.to.flight == Flight::None
    }),
    (
        "The state tells the truth about the peer's side, and nobody lingers for a peer that has ended.",
        |step| match step.to.state {
            State::Draining { theirs } | State::Upgraded { theirs, .. } | State::Closing { theirs } => {
                theirs == step.to.theirs
            }
            State::Closed => true,
            _ => step.to.theirs == Side::Open,
        },
    ),
    (
        "The state tells the truth about our side: half-closed, lingering and upgraded with our side ended mean a goodbye or a break.",
        |step| {
            let ended = step.to.goodbye != Farewell::None || step.to.write == Write::Broken;
            match step.to.state {
                State::Upgraded { ours, .. } => (ours == Side::Ended) == ended,
                State::Muted => step.to.write == Write::Broken,
                State::HalfClosed | State::Closing { .. } | State::Lingering => ended,
                State::Closed => true,
                _ => !ended,
            }
        },
    ),
    ("The peer's end never ends our side of an upgraded connection.", |step| {
        match (step.from.state, step.input) {
            (State::Upgraded { ours: Side::Open, .. }, Input::PeerDone(_)) => {
                matches!(step.to.state, State::Upgraded { ours: Side::Open, .. })
            }
            _ => true,
        }
    }),
    (
        "An upgraded connection that is cut short is reset, whoever cuts it; only where our side has ended may it linger.",
        |step| {
            let cut = matches!(
                step.input,
                Input::CloseNow(_) | Input::Violation(..) | Input::Abort | Input::Deadline(_)
            );
            let said = State::Upgraded { ours: Side::Ended, theirs: Side::Open };
            match step.from.state {
                state
                    if state == said
                        && matches!(
                            step.input,
                            Input::CloseNow(Request::Whole) | Input::Deadline(Request::Whole)
                        ) =>
                {
                    step.to.state == State::Lingering
                }
                State::Upgraded { .. } if cut => step.to.dropped == Some(Parting::Reset),
                _ => true,
            }
        },
    ),
    ("A goodbye tells of an error after a violation, with its code, and never else.", |step| {
        step.orders().iter().all(|order| match (order, step.input) {
            (Action::SayGoodbye(goodbye), Input::Violation(code, _)) => *goodbye == Goodbye::Error(code),
            (Action::SayGoodbye(goodbye), _) => !matches!(goodbye, Goodbye::Error(_)),
            _ => true,
        })
    }),
];

/// The rungs of the ladder, finer than the states' names: every step leads to a higher number.
fn rank(state: State) -> u8 {
    use Side::{Ended, Open};
    match state {
        State::Opening => 0,
        State::Idle => 1,
        State::Active => 2,
        State::Draining { theirs: Open } => 3,
        State::HalfClosing => 4,
        State::Draining { theirs: Ended } | State::HalfClosed => 5,
        State::Muted => 6,
        State::Upgraded { ours: Open, theirs: Open } => 7,
        State::Upgraded { .. } => 8,
        State::Yielding => 9,
        State::Closing { theirs: Open } => 10,
        State::Closing { theirs: Ended } | State::Lingering => 11,
        State::Closed => 12,
    }
}

/// Every state that there is. A new one must be added here, or `rank` does not compile.
const STATES: [State; 17] = {
    use Side::{Ended, Open};
    use State::*;
    [
        Opening,
        Idle,
        Active,
        Draining { theirs: Open },
        Draining { theirs: Ended },
        HalfClosing,
        HalfClosed,
        Muted,
        Upgraded { ours: Open, theirs: Open },
        Upgraded { ours: Ended, theirs: Open },
        Upgraded { ours: Open, theirs: Ended },
        Yielding,
        Closing { theirs: Open },
        Closing { theirs: Ended },
        Lingering,
        Closed,
        // Both sides ended: that is `Closed`, so no step leads here.
        Upgraded { ours: Ended, theirs: Ended },
    ]
};

impl World {
    const START: Self = Self {
        state: State::Opening,
        pool: Pool::Out,
        flight: Flight::None,
        theirs: Side::Open,
        write: Write::Works,
        goodbye: Farewell::None,
        dropped: None,
    };

    /// What an end right now would do to the request in flight, as an engine reports it.
    fn request(self) -> Request {
        if self.flight == Flight::Partly { Request::Cut } else { Request::Whole }
    }

    /// Every fact that can be reported in this world.
    fn facts(self) -> Vec<Input> {
        use Input::*;
        if self.state == State::Closed {
            // An engine is silent by now; a user may still ask for anything.
            return vec![Retire { until: None }, HalfClose, CloseNow(Request::Whole), Abort];
        }
        let (request, busy) = (self.request(), self.state.is_busy());
        let mut facts = vec![Retire { until: None }, HalfClose, CloseNow(request), Abort, Broken];
        facts.extend([Violation(0, request), Violation(7, request)]);
        let mut report = |when: bool, inputs: &[Input]| {
            if when {
                facts.extend(inputs);
            }
        };
        report(self.state == State::Opening, &[Opened]);
        report(self.state == State::Idle, &[Busy]);
        // The exchange ended well, or was taken back before anything of it was sent.
        report(busy && self.flight == Flight::Sent, &[Quiet(First::Us), Quiet(First::Peer), Upgrade]);
        report(busy && self.flight == Flight::Unsent && self.write == Write::Works, &[Quiet(First::Us)]);
        report(busy && self.flight == Flight::Partly && self.write == Write::Works, &[RequestSent]);
        report(matches!(self.state, State::Upgraded { .. }), &[EndOurs]);
        report(self.theirs == Side::Open, &[PeerDone(Vouched::Yes), PeerDone(Vouched::No)]);
        report(self.write == Write::Works, &[WriteBroken]);
        report(self.write == Write::Works && self.goodbye == Farewell::Ordered, &[GoodbyeSent]);
        report(self.state != State::Active, &[Deadline(request)]);
        facts
    }

    /// What one fact makes of this world.
    fn step(self, input: Input) -> Step {
        let next = next(self.state, input);
        let mut to = self;
        match input {
            Input::Busy => to.flight = Flight::Unsent,
            Input::RequestSent => to.flight = Flight::Sent,
            Input::Quiet(_) | Input::Upgrade => to.flight = Flight::None,
            Input::PeerDone(_) => to.theirs = Side::Ended,
            Input::WriteBroken => to.write = Write::Broken,
            Input::GoodbyeSent => to.goodbye = Farewell::Said,
            _ => {}
        }
        if let Some((state, actions)) = next {
            to.state = state;
            for &order in actions.as_slice() {
                match order {
                    Action::JoinPool => to.pool = Pool::In,
                    Action::LeavePool => to.pool = Pool::Out,
                    Action::FailExchanges => to.flight = Flight::None,
                    Action::SayGoodbye(_) => to.goodbye = Farewell::Ordered,
                    Action::DropTransport(parting) => to.dropped = Some(parting),
                }
            }
        }
        Step { from: self, input, next, to }
    }

    /// The transport takes the first byte of a request: no fact for the table, but another world.
    fn begins_to_send(self) -> Option<Self> {
        let begins = self.flight == Flight::Unsent && self.write == Write::Works;
        begins.then_some(Self { flight: Flight::Partly, ..self })
    }
}

impl Step {
    fn orders(&self) -> &[Action] {
        self.next.as_ref().map_or(&[], |(_, actions)| actions.as_slice())
    }

    fn count(&self, which: fn(Action) -> bool) -> usize {
        self.orders().iter().filter(|order| which(**order)).count()
    }

    /// Whether a request ends here of which a part was sent and a part was not.
    fn cuts(&self) -> bool {
        self.from.flight == Flight::Partly && self.to.flight == Flight::None
    }
}

/// Every world that can be reached, in the order of a breadth-first walk, and every step between them.
fn walk() -> (Vec<World>, Vec<Step>) {
    let (mut seen, mut queue) = (HashSet::from([World::START]), VecDeque::from([World::START]));
    let (mut worlds, mut steps) = (Vec::new(), Vec::new());
    while let Some(world) = queue.pop_front() {
        worlds.push(world);
        let outcomes: Vec<_> = world.facts().into_iter().map(|input| world.step(input)).collect();
        for to in outcomes.iter().map(|step| step.to).chain(world.begins_to_send()) {
            if seen.insert(to) {
                queue.push_back(to);
            }
        }
        steps.extend(outcomes);
    }
    (worlds, steps)
}

/// The most deadlines that pass, from any world on the way out, until the connection is closed.
fn longest_way_out(worlds: &[World]) -> usize {
    let way_out = |start: World| {
        let mut world = start;
        for steps in 0..=STATES.len() {
            if world.state == State::Closed {
                return steps;
            }
            world = world.step(Input::Deadline(world.request())).to;
        }
        panic!("deadlines alone do not end {start:?}");
    };
    // An active connection has no deadline of its own: its exchange has.
    worlds.iter().filter(|world| world.state != State::Active).map(|world| way_out(*world)).max().unwrap_or(0)
}

/// The facts that change nothing, by state.
fn silent(steps: &[Step]) -> BTreeMap<u8, (State, Vec<&'static str>)> {
    let mut list: BTreeMap<u8, (State, Vec<&'static str>)> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.next.is_none()) {
        let at = STATES.iter().position(|state| *state == step.from.state).unwrap_or_default();
        let (_, names) = list.entry(at as u8).or_insert((step.from.state, Vec::new()));
        if !names.contains(&name(step.input)) {
            names.push(name(step.input));
        }
    }
    list.values_mut().for_each(|(_, names)| names.sort_unstable());
    list
}

/// The fact's name, without what it carries.
fn name(input: Input) -> &'static str {
    match input {
        Input::Opened => "Opened",
        Input::Busy => "Busy",
        Input::Quiet(_) => "Quiet",
        Input::Retire { .. } => "Retire",
        Input::HalfClose => "HalfClose",
        Input::RequestSent => "RequestSent",
        Input::CloseNow(_) => "CloseNow",
        Input::Abort => "Abort",
        Input::Upgrade => "Upgrade",
        Input::EndOurs => "EndOurs",
        Input::PeerDone(_) => "PeerDone",
        Input::WriteBroken => "WriteBroken",
        Input::Broken => "Broken",
        Input::Violation(..) => "Violation",
        Input::GoodbyeSent => "GoodbyeSent",
        Input::Deadline(_) => "Deadline",
    }
}

#[test]
fn every_step_from_every_reachable_world_keeps_the_rules() {
    let (worlds, steps) = walk();
    for step in &steps {
        for (rule, holds) in RULES {
            assert!(holds(step), "{rule}\n{step:#?}");
        }
    }
    for state in &STATES[..STATES.len() - 1] {
        assert!(worlds.iter().any(|world| world.state == *state), "{state:?} cannot be reached");
    }
    assert!(worlds.iter().all(|world| STATES[..STATES.len() - 1].contains(&world.state)));
}

/// No rule for it: an engine reports nothing to a connection that is gone, but whatever it were, it would not matter.
#[test]
fn closed_absorbs_everything() {
    let (_, steps) = walk();
    for step in steps {
        assert_eq!(next(State::Closed, step.input), None, "{:?}", step.input);
    }
}

/// The moment at which draining is over is the memory's business: the table must not look at it.
#[test]
fn the_table_asks_whether_to_retire_and_not_until_when() {
    let until = Some(super::tests::start());
    for state in STATES {
        assert_eq!(next(state, Input::Retire { until }), next(state, Input::Retire { until: None }));
    }
}

#[test]
fn on_the_way_out_deadlines_alone_end_in_closed() {
    let (worlds, _) = walk();
    assert_eq!(longest_way_out(&worlds), 2);
}

/// Every pair that can occur and changes nothing. A new hole in the table shows up here.
#[test]
fn what_changes_nothing_is_known() {
    use Side::{Ended, Open};
    use State::*;
    let expected: [(State, &[&str]); 12] = [
        (Active, &["RequestSent"]),
        // Retired already; a half-close is moot once the peer has ended.
        (Draining { theirs: Open }, &["RequestSent", "Retire"]),
        (Draining { theirs: Ended }, &["HalfClose", "RequestSent", "Retire"]),
        (HalfClosing, &["HalfClose", "Retire"]),
        // Our side has ended already.
        (HalfClosed, &["GoodbyeSent", "HalfClose", "Retire"]),
        (Muted, &["HalfClose", "Retire"]),
        // Nothing to retire: it left the pool, and it is no exchange.
        (Upgraded { ours: Open, theirs: Open }, &["Retire"]),
        (
            Upgraded { ours: Ended, theirs: Open },
            &["EndOurs", "GoodbyeSent", "HalfClose", "Retire", "WriteBroken"],
        ),
        (Upgraded { ours: Open, theirs: Ended }, &["Retire"]),
        // Nothing to take back, nothing to add.
        (Yielding, &["Retire"]),
        (Closing { theirs: Open }, &["CloseNow", "HalfClose", "Retire", "Violation"]),
        (Closing { theirs: Ended }, &["CloseNow", "HalfClose", "Retire", "Violation"]),
    ];
    let going: [(State, &[&str]); 2] = [
        (Lingering, &["CloseNow", "GoodbyeSent", "HalfClose", "Retire", "Violation"]),
        (Closed, &["Abort", "CloseNow", "HalfClose", "Retire"]),
    ];
    let (_, steps) = walk();
    let found: Vec<_> = silent(&steps).into_values().collect();
    let expected: Vec<_> =
        expected.iter().chain(&going).map(|(state, names)| (*state, names.to_vec())).collect();
    assert_eq!(found, expected);
}

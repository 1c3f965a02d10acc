use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use super::*;

const ENDS: [ReadEnd; 7] = [
    ReadEnd::None,
    ReadEnd::Fin,
    ReadEnd::CloseNotify,
    ReadEnd::BareFin,
    ReadEnd::TlsFailed,
    ReadEnd::Reset,
    ReadEnd::Failed,
];
const SIGHTS: [Sight; 4] = [Sight::None, Sight::Pending, Sight::Acknowledged, Sight::Refused];
const USES: [Use; 2] = [Use::Fresh, Use::Reused];

/// Every combination of what a connection can know.
fn all_facts() -> impl Iterator<Item = (Facts, Answer)> {
    let sizes = (0..=3).flat_map(|head| (0..=5).map(move |handed| (head, handed)));
    let sizes = sizes.flat_map(|(head, handed)| [0, 1].map(|answered| (head, handed, answered)));
    let ends = sizes.flat_map(|sizes| ENDS.map(|read_end| (sizes, read_end)));
    let uses = ends.flat_map(|(sizes, end)| USES.map(|reused| (sizes, end, reused)));
    let sights = uses.flat_map(|(sizes, end, reused)| SIGHTS.map(|sight| (sizes, end, reused, sight)));
    let sides = sights.flat_map(|rest| [Ours::Open, Ours::Ended].map(|ours| (rest, ours)));
    let wires =
        sides.flat_map(|(rest, ours)| [OnWire::AsHanded, OnWire::Part].map(|wire| (rest, ours, wire)));
    let facts = wires.map(|(((head, handed, answered), read_end, reused, sight), ours, wire)| Facts {
        handed,
        head,
        handed_before: 7,
        answered,
        interim: 0,
        reused,
        read_end,
        wire,
        ours,
        sight,
    });
    facts.flat_map(|facts| [Answer::None, Answer::Part, Answer::Head].map(|answer| (facts, answer)))
}

/// Nothing is claimed of a request that was answered in part; nor, of one whose head the transport took whole, unless the
/// peer's kernel refused it on a used connection whose end is the peer's own.
#[test]
fn the_whole_table() {
    let (mut all, mut incomplete, mut refused) = (0, 0, 0);
    for (facts, answer) in all_facts() {
        all += 1;
        let whole = facts.head > 0 && facts.handed >= facts.head && facts.wire == OnWire::AsHanded;
        match fate_of(&facts, answer) {
            Fate::Answered => assert_eq!(answer, Answer::Head),
            Fate::NotSent => assert!(facts.handed == 0 && answer != Answer::Head),
            Fate::NotProcessed(Proof::HeadIncomplete) => {
                incomplete += 1;
                assert!(facts.handed > 0 && !whole && answer == Answer::None, "{facts:?}");
            }
            Fate::NotProcessed(Proof::ClosedBeforeReceipt) => {
                refused += 1;
                assert!(whole && answer == Answer::None && facts.answered == 0, "{facts:?}");
                assert_eq!((facts.reused, facts.ours), (Use::Reused, Ours::Open), "{facts:?}");
                assert_eq!(facts.sight, Sight::Refused, "{facts:?}");
                assert!(matches!(facts.read_end, ReadEnd::Fin | ReadEnd::CloseNotify), "{facts:?}");
            }
            Fate::Unknown => assert!(facts.handed > 0 && answer != Answer::Head, "{facts:?}"),
        }
        // And each guard matters: without any of them there is no claim.
        let claimed = fate_of(&facts, answer) == Fate::NotProcessed(Proof::ClosedBeforeReceipt);
        let guards = facts.may_be_refused() && facts.sight == Sight::Refused;
        assert_eq!(claimed, guards && answer == Answer::None && facts.handed > 0, "{facts:?} {answer:?}");
    }
    // Refused: the 12 pairs of sizes with a whole head, 2 ends, one of all else. Incomplete: 8 pairs by size and 12 by the wire.
    assert_eq!((all, incomplete, refused), (32_256, 6_272, 24));
}

/// The rows of the table of what a kernel shows.
#[test]
fn a_receipt_says_what_the_peers_kernel_did() {
    let receipt = |acknowledged, socket| Receipt::new(acknowledged, socket, Duration::ZERO, Duration::ZERO);
    let span = Span { before: 100, head_end: 150 };
    for acknowledged in 0..=200 {
        for socket in [Socket::Alive, Socket::Closed] {
            let expected = match (acknowledged, socket) {
                // The counter does not know what was answered long ago.
                (0..100, _) => Sight::None,
                // The SYN may be one of them: the last byte before the end proves nothing.
                (150.., _) => Sight::Acknowledged,
                (_, Socket::Alive) => Sight::Pending,
                (_, Socket::Closed) => Sight::Refused,
            };
            assert_eq!(receipt(acknowledged, socket).sight(span), expected, "{acknowledged} {socket:?}");
        }
    }
    let nothing = Span { before: 100, head_end: 100 };
    assert_eq!(receipt(100, Socket::Closed).sight(nothing), Sight::None);
    let slow = Receipt::new(0, Socket::Alive, Duration::from_millis(20), Duration::ZERO);
    assert_eq!(slow.patience(), Duration::from_millis(90));
}

const FATES: [Fate; 5] = [
    Fate::NotSent,
    Fate::NotProcessed(Proof::HeadIncomplete),
    Fate::NotProcessed(Proof::ClosedBeforeReceipt),
    Fate::Unknown,
    Fate::Answered,
];
const RULES: [Replay; 4] = [Replay::Never, Replay::Proven, Replay::Safe, Replay::Idempotent];

fn by(replay: Replay, twice: Twice, repeat: Repeat) -> Rules {
    Rules { replay, twice, repeat }
}

fn attempts() -> impl Iterator<Item = Attempt> {
    let all = FATES.into_iter().flat_map(|fate| [By::Them, By::Us].map(|by| (fate, by)));
    let all = all.flat_map(|(fate, by)| [0, 1].map(|answered| (fate, by, answered)));
    all.flat_map(|(fate, by, answered)| USES.map(|reused| Attempt { fate, by, answered, reused }))
}

/// Every attempt under every rule: what may have been processed is sent again only where twice does no harm.
#[test]
fn what_may_be_sent_again() {
    for attempt in attempts() {
        for rule in RULES {
            for twice in [Twice::Harmless, Twice::Harmful] {
                for repeat in [Repeat::Possible, Repeat::Impossible] {
                    let next = Tries::default().next(&attempt, Rules { replay: rule, twice, repeat });
                    let never = rule == Replay::Never
                        || attempt.by == By::Us
                        || attempt.answered > 0
                        || attempt.fate == Fate::Answered
                        || repeat == Repeat::Impossible;
                    let what = format!("{attempt:?} {rule:?} {twice:?} {repeat:?}");
                    match (next, attempt.fate) {
                        (Next::No(_), _) if never => {}
                        (Next::Again(Connection::Fresh, Cost::Counted), Fate::Unknown) => {
                            assert!(!never && twice == Twice::Harmless && rule != Replay::Proven, "{what}");
                            assert_eq!(attempt.reused, Use::Reused, "{what}");
                        }
                        (Next::No(_), Fate::Unknown) => {
                            let harmful = twice == Twice::Harmful || rule == Replay::Proven;
                            assert!(harmful || attempt.reused == Use::Fresh, "{what}");
                        }
                        (Next::Again(Connection::Any, cost), _) => {
                            assert!(!never && attempt.fate != Fate::Unknown, "{what}");
                            let incomplete = attempt.fate == Fate::NotProcessed(Proof::HeadIncomplete);
                            let free = attempt.reused == Use::Reused && !incomplete;
                            assert_eq!(cost == Cost::Free, free, "{what}");
                        }
                        (next, _) => panic!("{what}: {next:?}"),
                    }
                }
            }
        }
    }
}

/// Whatever comes in whatever order, the end comes; the last replay that counts is on a fresh connection, and so is each
/// of what may have been processed.
#[test]
fn a_request_is_given_up_after_the_cap() {
    fn walk(tries: Tries, depth: usize, longest: &mut usize) {
        *longest = (*longest).max(depth);
        for attempt in attempts() {
            // A fresh connection was asked for.
            if tries.connection() == Connection::Fresh && attempt.reused == Use::Reused {
                continue;
            }
            let mut tries = tries;
            let next = tries.next(&attempt, by(Replay::Safe, Twice::Harmless, Repeat::Possible));
            let Next::Again(connection, _) = next else { continue };
            assert!(depth < 8, "{tries:?}");
            assert_eq!(connection, tries.connection());
            if attempt.fate == Fate::Unknown {
                assert_eq!(connection, Connection::Fresh);
            }
            walk(tries, depth + 1, longest);
        }
    }
    let mut longest = 0;
    walk(Tries::default(), 0, &mut longest);
    // Two pooled ones that were gone, and two that count.
    assert_eq!(longest, 4);
}

#[test]
fn after_two_pooled_connections_that_were_gone_a_fresh_one_is_taken() {
    let refused = Attempt {
        fate: Fate::NotProcessed(Proof::ClosedBeforeReceipt),
        by: By::Them,
        answered: 0,
        reused: Use::Reused,
    };
    let mut tries = Tries::default();
    let mut next = || tries.next(&refused, by(Replay::Safe, Twice::Harmful, Repeat::Possible));
    assert_eq!(next(), Next::Again(Connection::Any, Cost::Free));
    assert_eq!(next(), Next::Again(Connection::Fresh, Cost::Free));
    // What is gone for the third time is no race, whatever its connection was called.
    assert_eq!(next(), Next::Again(Connection::Fresh, Cost::Counted));
    assert_eq!(next(), Next::Again(Connection::Fresh, Cost::Counted));
    assert_eq!(next(), Next::No(Refusal::Cap));
}

#[test]
fn twice_is_harmless_where_method_key_or_rule_say_so() {
    let none = HeaderMap::new();
    let mut key = HeaderMap::new();
    key.insert("idempotency-key", "7".parse().unwrap());
    let harmless = |rule: Replay, method: &Method, headers| rule.twice(method, headers) == Twice::Harmless;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert!(harmless(Replay::Safe, &method, &none) && harmless(Replay::Idempotent, &method, &none));
        assert!(!harmless(Replay::Proven, &method, &none) && !harmless(Replay::Never, &method, &none));
    }
    for method in [Method::PUT, Method::DELETE] {
        assert!(!harmless(Replay::Safe, &method, &none) && harmless(Replay::Idempotent, &method, &none));
    }
    for method in [Method::POST, Method::PATCH, Method::CONNECT] {
        assert!(!harmless(Replay::Safe, &method, &none) && !harmless(Replay::Idempotent, &method, &none));
        assert!(harmless(Replay::Safe, &method, &key) && harmless(Replay::Idempotent, &method, &key));
        assert!(!harmless(Replay::Proven, &method, &key));
    }
}

fn used(reused: Use) -> Facts {
    Facts { reused, ..Facts::default() }
}

#[test]
fn a_response_may_be_a_reason_to_ask_again_once() {
    let rules = by(Replay::Safe, Twice::Harmful, Repeat::Possible);
    let mut tries = Tries::default();
    let mut after = |status| tries.next_after(status, Ends::No, &used(Use::Fresh), rules);
    assert_eq!(after(StatusCode::OK), None);
    let fresh = Some(Next::Again(Connection::Fresh, Cost::Counted));
    assert_eq!(after(StatusCode::MISDIRECTED_REQUEST), fresh);
    assert_eq!((after(StatusCode::MISDIRECTED_REQUEST), after(StatusCode::TOO_EARLY)), (None, None));
    let mut tries = Tries::default();
    let any = Some(Next::Again(Connection::Any, Cost::Counted));
    assert_eq!(tries.next_after(StatusCode::TOO_EARLY, Ends::No, &used(Use::Fresh), rules), any);
    let gone = by(Replay::Safe, Twice::Harmless, Repeat::Impossible);
    assert_eq!(Tries::default().next_after(StatusCode::TOO_EARLY, Ends::No, &used(Use::Fresh), gone), None);
    let never = by(Replay::Never, Twice::Harmless, Repeat::Possible);
    assert_eq!(Tries::default().next_after(StatusCode::TOO_EARLY, Ends::No, &used(Use::Fresh), never), None);
}

#[test]
fn a_408_that_ends_a_used_connection_leaves_the_request_unknown() {
    let after = |twice, ends, reused| {
        let rules = by(Replay::Safe, twice, Repeat::Possible);
        Tries::default().next_after(StatusCode::REQUEST_TIMEOUT, ends, &used(reused), rules)
    };
    let again = Some(Next::Again(Connection::Fresh, Cost::Counted));
    assert_eq!(after(Twice::Harmless, Ends::Yes, Use::Reused), again);
    let harmful = Some(Next::No(Refusal::MayBeProcessed));
    assert_eq!(after(Twice::Harmful, Ends::Yes, Use::Reused), harmful);
    assert_eq!(after(Twice::Harmless, Ends::No, Use::Reused), None);
    assert_eq!(after(Twice::Harmless, Ends::Yes, Use::Fresh), None);
    // After an interim response it is an answer.
    let rules = by(Replay::Safe, Twice::Harmless, Repeat::Possible);
    let interim = Facts { interim: 1, ..used(Use::Reused) };
    let next = Tries::default().next_after(StatusCode::REQUEST_TIMEOUT, Ends::Yes, &interim, rules);
    assert_eq!(next, Some(Next::No(Refusal::Answered)));
}

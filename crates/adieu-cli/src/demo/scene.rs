//! The scenes: what happens in each, and how it must end.

use adieu::{CloseKind, CloseReport, Ended, Signal, Signals};
use adieu_testkit::peer::Seen;

/// One scene.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// The close mode, as the table has it.
    pub(super) mode: &'static str,
    pub(super) story: &'static str,
    pub(super) act: Act,
    pub(super) expected: Expected,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// An exchange, then a close.
    Idle(CloseKind),
    /// A close while the response is coming.
    Busy(CloseKind),
    /// A graceful close, and a response that takes longer than its drain limit.
    Overdue,
    /// A graceful close, and a peer that never ends its side.
    Silent,
    /// The peer resets in the middle of the response.
    PeerResets,
    /// The peer ends its side of an idle connection.
    PeerEndsIdle,
    /// The response says `Connection: close`.
    PeerAsksClose,
    /// The body of an HTTP/1.0 response ends with the connection.
    UntilClose,
    /// A close as `now` in the middle of an upload.
    CutUpload,
    /// The peer takes a half-close for a cancellation.
    HalfRefused,
    /// The sender and every handle are dropped.
    Dropped,
    /// A graceful close, and an abort before it is done.
    Escalated,
    /// A graceful close; the peer ends with FIN alone.
    BareFin,
    /// FIN alone after a body without a length.
    CutOff,
    /// close_notify in the middle of a body with a length.
    EndsInside,
}

/// How a scene must end.
pub(super) struct Expected {
    /// The code of the reason.
    pub(super) reason: &'static str,
    pub(super) ended: Ended,
    /// As the report prints them.
    pub(super) sent: &'static str,
    pub(super) received: &'static str,
    pub(super) peer_saw: &'static str,
    /// Exchanges that ended well, and those that failed.
    pub(super) exchanges: (u64, u64),
}

impl Expected {
    /// What was otherwise.
    pub(super) fn differences(&self, report: &CloseReport, seen: &Seen) -> Vec<String> {
        let words = |signals: Signals| signals.to_string();
        [
            ("reason", self.reason.to_owned(), report.reason.code().to_owned()),
            ("ended", self.ended.to_string(), report.ended.to_string()),
            ("we sent", self.sent.to_owned(), words(report.sent)),
            ("we received", self.received.to_owned(), words(report.received)),
            ("the peer saw", self.peer_saw.to_owned(), peer_saw(seen)),
            (
                "exchanges done and failed",
                format!("{:?}", self.exchanges),
                format!("{:?}", (report.exchanges, report.failed)),
            ),
        ]
        .into_iter()
        .filter(|(_, expected, was)| expected != was)
        .map(|(what, expected, was)| format!("{what}: expected {expected}, was {was}"))
        .collect()
    }
}

/// How our end looked to the peer, in the words of a report.
pub(super) fn peer_saw(seen: &Seen) -> String {
    let saw = [
        (seen.saw_close_notify(), Signal::CloseNotify),
        (seen.saw_fin(), Signal::Fin),
        (seen.saw_reset(), Signal::Rst),
    ];
    let saw: Signals = saw.into_iter().filter(|(saw, _)| *saw).map(|(_, signal)| signal).collect();
    saw.to_string()
}

/// Both sides said FIN.
pub(super) const fn clean(reason: &'static str) -> Expected {
    Expected { reason, ended: Ended::Clean, sent: "FIN", received: "FIN", peer_saw: "FIN", exchanges: (1, 0) }
}

/// We reset.
pub(super) const fn reset(reason: &'static str) -> Expected {
    Expected {
        reason,
        ended: Ended::Aborted,
        sent: "RST",
        received: "nothing",
        peer_saw: "RST",
        exchanges: (1, 0),
    }
}

/// The scenes in plain text, in the order in which they are played.
pub(super) const PLAIN: [Scene; 18] = [
    Scene {
        name: "graceful, idle",
        mode: "graceful",
        story: "Nothing is in flight. We say FIN and linger until the peer has said its own.",
        act: Act::Idle(CloseKind::Graceful),
        expected: clean("user_graceful"),
    },
    Scene {
        name: "half, idle",
        mode: "half",
        story: "With nothing in flight, half is graceful.",
        act: Act::Idle(CloseKind::Half),
        expected: clean("user_half"),
    },
    Scene {
        name: "now, idle",
        mode: "now",
        story: "With nothing to cut short, now is graceful too: there is always time for a FIN.",
        act: Act::Idle(CloseKind::Now),
        expected: clean("user_now"),
    },
    Scene {
        name: "abort, idle",
        mode: "abort",
        story: "No word and no waiting: the peer sees a reset.",
        act: Act::Idle(CloseKind::Abort),
        expected: reset("user_abort"),
    },
    Scene {
        name: "graceful, busy",
        mode: "graceful",
        story: "The response is coming slowly. No new exchange may begin, this one ends by itself, then we say FIN.",
        act: Act::Busy(CloseKind::Graceful),
        expected: clean("user_graceful"),
    },
    Scene {
        name: "half, busy",
        mode: "half",
        story: "Our FIN goes out while the response is still coming, and we read it to its end. This peer bears it.",
        act: Act::Busy(CloseKind::Half),
        expected: clean("user_half"),
    },
    Scene {
        name: "now, busy",
        mode: "now",
        story: "The exchange fails at once. Its request was whole, so that a FIN is no lie: nothing looks cut short.",
        act: Act::Busy(CloseKind::Now),
        expected: Expected { exchanges: (0, 1), ..clean("user_now") },
    },
    Scene {
        name: "abort, busy",
        mode: "abort",
        story: "The exchange fails at once, and the peer sees a reset.",
        act: Act::Busy(CloseKind::Abort),
        expected: Expected { exchanges: (0, 1), ..reset("user_abort") },
    },
    Scene {
        name: "graceful, past its drain",
        mode: "graceful",
        story: "The exchange gets 150 ms to end by itself. It does not, so that graceful becomes now.",
        act: Act::Overdue,
        expected: Expected { exchanges: (0, 1), ..clean("user_graceful") },
    },
    Scene {
        name: "a silent peer",
        mode: "graceful",
        story: "The peer never ends its side. We wait for it, 150 ms here, and then we leave: no connection lives for ever.",
        act: Act::Silent,
        expected: Expected { ended: Ended::PeerSilent, received: "nothing", ..clean("user_graceful") },
    },
    Scene {
        name: "the peer resets",
        mode: "-",
        story: "In the middle of the response comes a reset. The reader is told, and so is the report.",
        act: Act::PeerResets,
        expected: Expected {
            reason: "reset",
            ended: Ended::Reset,
            sent: "nothing",
            received: "RST",
            peer_saw: "nothing",
            exchanges: (0, 1),
        },
    },
    Scene {
        name: "the peer ends first",
        mode: "-",
        story: "The peer ends its side of an idle connection, as servers do. We notice while idle, within about a second, \
                and answer its FIN: no request runs into it.",
        act: Act::PeerEndsIdle,
        expected: clean("peer_closed_idle"),
    },
    Scene {
        name: "the peer asks for close",
        mode: "-",
        story: "The response says `Connection: close`. We let the peer say FIN first, so that the wait for stray packets \
                (TIME_WAIT) falls to the side that wanted the end.",
        act: Act::PeerAsksClose,
        expected: clean("peer_asked_close"),
    },
    Scene {
        name: "an HTTP/1.0 body",
        mode: "-",
        story: "The response has no length: its body ends with the connection, so that the peer's FIN is its last word.",
        act: Act::UntilClose,
        expected: clean("peer_asked_close"),
    },
    Scene {
        name: "an upload cut short",
        mode: "now",
        story: "We give up in the middle of an upload. A FIN might pass for its end, so that the peer gets a reset, \
                and never a FIN.",
        act: Act::CutUpload,
        expected: Expected { exchanges: (0, 1), ..reset("user_now") },
    },
    Scene {
        name: "a half-close refused",
        mode: "half",
        story: "Many servers take our FIN for a cancellation and end without a response. Our reader is told why.",
        act: Act::HalfRefused,
        expected: Expected { ended: Ended::Truncated, exchanges: (0, 1), ..clean("half_close_refused") },
    },
    Scene {
        name: "everything dropped",
        mode: "-",
        story: "No close, no await: the sender and the handle are dropped. The connection still says goodbye by itself.",
        act: Act::Dropped,
        expected: clean("handles_dropped"),
    },
    Scene {
        name: "graceful, then abort",
        mode: "abort",
        story: "A graceful close waits for a slow response. A second, stricter close does not: a close can always be \
                made stricter, and the first cause stays the reason.",
        act: Act::Escalated,
        expected: Expected { exchanges: (0, 1), ..reset("user_graceful") },
    },
];

//! What adieu must cost beside the others, and whether it does.
//!
//! What is counted must hold. Throughput is an aim: it is what the machine makes of it.

use serde::Serialize;

use crate::clients::Client;
use crate::level::Level;
use crate::row::Row;

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    Instructions,
    OutsideCipher,
    Allocations,
    SystemCalls,
    Throughput,
}

/// A ratio of two clients in one row that is to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) figure: Figure,
    pub(crate) of: Client,
    pub(crate) to: Client,
    pub(crate) bound: f64,
    level: Level,
    rows: &'static [Row],
}

/// What became of a target.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) measured: f64,
    pub(crate) met: bool,
}

/// Of all targets of a row that `ratio` is known of.
pub(crate) fn verdicts(level: Level, row: Row, ratio: impl Fn(&Target) -> Option<f64>) -> Vec<Verdict> {
    (TARGETS.iter())
        .filter(|target| target.level == level && target.rows.contains(&row))
        .filter_map(|target| Some(target.verdict(ratio(target)?)))
        .collect()
}

impl Target {
    fn verdict(&self, ratio: f64) -> Verdict {
        let Self { of, to, bound, .. } = self;
        let what = self.figure.name();
        match self.figure {
            Figure::Throughput => Verdict {
                target: format!("{what} of {of}, aim: >= {bound:.2} x {to}"),
                measured: ratio,
                met: ratio >= *bound,
            },
            _ => Verdict {
                target: format!("{what} of {of}, must: <= {bound:.2} x {to}"),
                measured: ratio,
                met: ratio <= bound + self.figure.chance(),
            },
        }
    }
}

impl Figure {
    /// By how much a ratio may exceed its bound by chance: two runs do not share everything.
    fn chance(self) -> f64 {
        match self {
            // How many connections are ready at once, and so share one `epoll_wait`, nobody decides.
            Self::SystemCalls => 0.03,
            _ => 0.005,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::OutsideCipher => "instructions outside the cipher",
            Self::Allocations => "allocations",
            Self::SystemCalls => "system calls",
            Self::Throughput => "throughput",
        }
    }
}

const fn target(
    level: Level,
    rows: &'static [Row],
    figure: Figure,
    of: Client,
    to: Client,
    bound: f64,
) -> Target {
    Target { figure, of, to, bound, level, rows }
}

const TARGETS: &[Target] = {
    use Client::{Adieu, Bare, Hyper, HyperUtil, Reqwest};
    use Figure::{Allocations, Instructions, OutsideCipher, SystemCalls, Throughput};
    use Level::{Client as Pool, Conn};
    const LONG: &[Row] = &[Row::Segment, Row::Down, Row::Up];
    &[
        target(Pool, &[Row::Small], Instructions, Adieu, HyperUtil, 0.45),
        target(Pool, &[Row::Small], Allocations, Adieu, HyperUtil, 0.5),
        target(Pool, &[Row::Small], SystemCalls, Adieu, Bare, 1.0),
        target(Pool, &[Row::TlsSmall], OutsideCipher, Adieu, Reqwest, 0.7),
        target(Pool, &[Row::Small], Throughput, Adieu, Bare, 0.9),
        target(Pool, &[Row::Small], Throughput, Adieu, HyperUtil, 1.4),
        target(Pool, &[Row::Small], Throughput, Adieu, Reqwest, 1.8),
        target(Pool, LONG, Throughput, Adieu, HyperUtil, 1.0),
        target(Pool, &[Row::TlsSmall], Throughput, Adieu, Reqwest, 1.2),
        target(Conn, &[Row::Small], Instructions, Adieu, Hyper, 0.65),
        target(Conn, &[Row::Small], Throughput, Adieu, Hyper, 1.25),
        target(Conn, LONG, Throughput, Adieu, Hyper, 1.0),
        target(Conn, &[Row::TlsSmall], OutsideCipher, Adieu, Reqwest, 0.7),
        target(Conn, &[Row::TlsSmall], Throughput, Adieu, Reqwest, 1.2),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_bounded_from_above_and_throughput_from_below() {
        let all = |ratio: f64| verdicts(Level::Client, Row::Small, |_| Some(ratio));
        assert!(all(0.3).iter().all(|verdict| verdict.met != verdict.target.contains("aim")));
        assert!(all(2.0).iter().all(|verdict| verdict.met == verdict.target.contains("aim")));
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert!(verdicts(Level::Client, Row::Small, |_| None).is_empty());
        let of_hyper =
            verdicts(Level::Conn, Row::Small, |target| (target.to == Client::Hyper).then_some(1.0));
        assert_eq!(of_hyper.len(), 2);
    }
}

//! At which idle age the peers of one origin end their connections, learned from those that they ended.
//!
//! An age is learned from three ends at separate times that agree. Ends of different ages within a second are one
//! restart and teach nothing; those of the same age within a second are one lesson. What was learned fades.

use std::time::{Duration, Instant};

/// What the ends of one origin's idle connections have taught.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// The ends within one second.
    lesson: Option<Lesson>,
    /// The last lessons, oldest first.
    past: Vec<(Duration, Duration)>,
    learned: Option<Learned>,
}

#[derive(Debug)]
struct Lesson {
    began: Instant,
    youngest: Duration,
    oldest: Duration,
    round_trip: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    limit: Duration,
    fades: Instant,
}

const SECOND: Duration = Duration::from_secs(1);
/// So many lessons must agree.
const AGREEING: usize = 3;
/// Of the last so many.
const REMEMBERED: usize = 6;
/// So long after the last of them, what was learned is forgotten.
const FADES: Duration = Duration::from_secs(600);
/// No shorter age is learned.
const SHORTEST: Duration = Duration::from_millis(20);
/// Servers look at their clocks when they get to it.
const SLACK: Duration = Duration::from_millis(5);

impl Ages {
    /// The peer ended a connection that had been idle for so long.
    pub(super) fn note(&mut self, now: Instant, age: Duration, round_trip: Duration) {
        self.conclude(now);
        // An end so soon was no idle connection's, and nothing could be retired before it; but it may be part of a restart.
        if age < SHORTEST.max(round_trip * 2) {
            if let Some(lesson) = &mut self.lesson {
                lesson.youngest = lesson.youngest.min(age);
            }
            return;
        }
        let new = Lesson { began: now, youngest: age, oldest: age, round_trip };
        let lesson = self.lesson.get_or_insert(new);
        lesson.youngest = lesson.youngest.min(age);
        lesson.oldest = lesson.oldest.max(age);
        lesson.round_trip = lesson.round_trip.max(round_trip);
    }

    /// A second after it began a lesson is over: nothing contradicts it any more.
    fn conclude(&mut self, now: Instant) {
        let over = self.lesson.take_if(|lesson| now >= lesson.began + SECOND);
        if let Some(over) = over.filter(|over| agree(over.youngest, over.oldest)) {
            self.learn(over.began + SECOND, over.youngest, over.round_trip);
        }
    }

    fn learn(&mut self, at: Instant, age: Duration, round_trip: Duration) {
        self.past.push((age, round_trip));
        if self.past.len() > REMEMBERED {
            self.past.remove(0);
        }
        let agreeing = || self.past.iter().filter(|(other, _)| agree(age.min(*other), age.max(*other)));
        if agreeing().count() < AGREEING {
            return;
        }
        let youngest = agreeing().map(|(age, _)| *age).min().unwrap_or(age);
        let round_trip = agreeing().map(|(_, round_trip)| *round_trip).max().unwrap_or(round_trip);
        self.learned = Some(Learned { limit: limit_for(youngest, round_trip), fades: at + FADES });
    }

    /// How long a connection may be idle, by what was learned.
    pub(super) fn limit(&mut self, now: Instant) -> Option<Duration> {
        self.conclude(now);
        if self.learned.is_some_and(|learned| learned.fades <= now) {
            self.learned = None;
            self.past.clear();
        }
        self.learned.map(|learned| learned.limit)
    }
}

/// Whether two ages differ by no more than a fifth.
fn agree(younger: Duration, older: Duration) -> bool {
    older.saturating_sub(younger) * 5 <= older
}

/// The request is on its way for half a round trip, and for the peer the connection has been idle for half of one longer;
/// the rest is for clocks. Where little would be left, a quarter is.
fn limit_for(age: Duration, round_trip: Duration) -> Duration {
    let margin = round_trip * 3 / 2 + SLACK.max(age / 20);
    age.saturating_sub(margin).max(age / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::tests::start;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Ends at these times of these ages.
    fn taught(ends: &[(u64, u64)]) -> (Ages, Instant) {
        let (mut ages, start) = (Ages::default(), start());
        let mut last = start;
        for (at, age) in ends {
            last = start + ms(*at);
            ages.note(last, ms(*age), ms(20));
        }
        (ages, last)
    }

    fn learned(ends: &[(u64, u64)]) -> Option<Duration> {
        let (mut ages, last) = taught(ends);
        ages.limit(last)
    }

    #[test]
    fn three_ends_at_separate_times_that_agree_teach_an_age() {
        assert_eq!(learned(&[(0, 100), (1_000, 110), (2_000, 104)]), None);
        // The second of the third must be over: others may contradict it.
        assert_eq!(learned(&[(0, 100), (1_000, 110), (2_000, 104), (3_000, 500)]), Some(ms(65)));
        let (mut ages, last) = taught(&[(0, 100), (1_000, 110), (2_000, 104)]);
        assert_eq!((ages.limit(last + ms(999)), ages.limit(last + SECOND)), (None, Some(ms(65))));
    }

    #[test]
    fn ends_that_come_at_once_teach_nothing() {
        assert_eq!(learned(&[(0, 0), (1_000, 0), (2_000, 0), (3_000, 0)]), None);
        assert_eq!(
            learned(&[(0, 39), (1_000, 39), (2_000, 39), (3_000, 39)]),
            None,
            "within two round trips"
        );
        let restart = |at| [(at, 500), (at + 1, 3)];
        let ends: Vec<_> = (0..6).flat_map(|second| restart(second * 1_000)).collect();
        assert_eq!(learned(&ends), None, "but they are part of a restart");
    }

    #[test]
    fn ends_that_do_not_agree_teach_nothing() {
        assert_eq!(learned(&[(0, 100), (1_000, 130), (2_000, 170), (3_000, 220), (4_000, 290)]), None);
    }

    #[test]
    fn ends_of_different_ages_within_a_second_are_one_restart() {
        let restart = |at| [(at, 50), (at + 1, 100), (at + 2, 700)];
        let ends: Vec<_> = (0..10).flat_map(|second| restart(second * 1_000)).collect();
        assert_eq!(learned(&ends), None);
    }

    #[test]
    fn ends_of_one_age_within_a_second_are_one_lesson() {
        let ends: Vec<_> = (0..100).map(|at| (at, 100)).collect();
        assert_eq!(learned(&ends), None);
        assert_eq!(learned(&[ends, vec![(1_000, 100)]].concat()), None);
    }

    #[test]
    fn a_restart_between_lessons_does_not_disturb_them() {
        let ends = [(0, 100), (1_000, 50), (1_001, 90), (2_000, 100), (3_000, 100), (4_000, 100)];
        assert_eq!(learned(&ends), Some(ms(65)));
    }

    #[test]
    fn what_was_learned_follows_the_peer_and_fades() {
        let first = [(0, 100), (1_000, 100), (2_000, 100), (3_000, 50)];
        assert_eq!(learned(&first), Some(ms(65)));
        let shorter = [&first[..], &[(4_000, 50), (5_000, 50), (6_000, 50)]].concat();
        let (mut ages, last) = taught(&shorter);
        assert_eq!(ages.limit(last), Some(ms(15)));
        assert_eq!(ages.limit(last + SECOND + FADES - ms(1)), Some(ms(15)));
        assert_eq!(ages.limit(last + SECOND + FADES), None);
    }

    #[test]
    fn the_margin_grows_with_the_age_and_leaves_a_quarter() {
        assert_eq!(limit_for(Duration::from_secs(60), ms(20)), Duration::from_secs(57) - ms(30));
        assert_eq!(limit_for(ms(40), ms(40)), ms(10));
    }
}

//! Where on the wire each record of ours ends: what a proof needs that a peer cannot have read a request.
//!
//! Only the first records after something was read are kept: the head of a request is among them. All else is not
//! known, and nothing is claimed from it.

use std::io::IoSlice;

/// The most plaintext of one record (RFC 8446 section 5.1).
pub(super) const MOST: usize = 1 << 14;
/// So many records are remembered.
const KEPT: usize = 16;

/// The books of one direction, in bytes since the beginning.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Plaintext that became records.
    plain: u64,
    /// Bytes of records that the layer below took.
    taken: u64,
    /// What lies before is forgotten.
    known_from: u64,
    /// And begins there on the wire.
    wire_from: u64,
    /// The ends of records: so much plaintext, so much wire.
    ends: Vec<(u64, u64)>,
    turn: Turn,
}

/// Who spoke last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Ours,
    Theirs,
}

impl Records {
    /// So many bytes of plaintext became the records `waiting`, none of which was handed over yet.
    pub(super) fn sealed(&mut self, plain: usize, waiting: &[IoSlice<'_>]) {
        if std::mem::replace(&mut self.turn, Turn::Ours) == Turn::Theirs {
            self.ends.clear();
            (self.known_from, self.wire_from) = (self.plain, self.taken);
        }
        let mut wire = self.taken;
        let start = self.plain;
        self.plain += plain as u64;
        // A record of another kind among them, or another size: then it is not known which is which.
        if waiting.len() != plain.div_ceil(MOST) || self.ends.len() + waiting.len() > KEPT {
            return;
        }
        if self.ends.last().map_or(self.known_from, |(plain, _)| *plain) != start {
            return;
        }
        // What encryption adds is the same for each record, or they are not cut where they seem to be.
        let size = |record: usize| plain.min((record + 1) * MOST) - record * MOST;
        let added = |(record, slice): (usize, &IoSlice<'_>)| slice.len().checked_sub(size(record));
        let first = waiting.iter().enumerate().map(added).next().flatten();
        if first.is_none() || waiting.iter().enumerate().any(|record| added(record) != first) {
            return;
        }
        for (record, slice) in waiting.iter().enumerate() {
            wire += slice.len() as u64;
            let end = plain.min((record + 1) * MOST) as u64;
            self.ends.push((start + end, wire));
        }
    }

    /// The layer below took so many bytes.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// The peer spoke.
    pub(super) fn answered(&mut self) {
        self.turn = Turn::Theirs;
    }

    /// Bytes of records that the layer below took.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Where the record begins that holds the first byte after the first `plain` bytes of plaintext, where that is the first
    /// since the peer spoke.
    pub(super) fn begin_of(&self, plain: u64) -> Option<u64> {
        (plain == self.known_from).then_some(self.wire_from)
    }

    /// Where the record ends that holds the last of the first `plain` bytes of plaintext.
    pub(super) fn end_of(&self, plain: u64) -> Option<u64> {
        if plain <= self.known_from {
            return None;
        }
        self.ends.iter().find(|(end, _)| *end >= plain).map(|(_, wire)| *wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(records: &mut Records, plain: usize, sizes: &[usize]) {
        let bytes: Vec<_> = sizes.iter().map(|size| vec![0; *size]).collect();
        let slices: Vec<_> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
        records.sealed(plain, &slices);
        records.took(sizes.iter().sum());
    }

    #[test]
    fn each_record_has_its_end() {
        let mut records = Records::default();
        records.took(300);
        seal(&mut records, 100, &[122]);
        seal(&mut records, MOST + 1, &[MOST + 22, 23]);
        assert_eq!((records.end_of(1), records.end_of(100)), (Some(422), Some(422)));
        assert_eq!(records.end_of(101), Some(422 + MOST as u64 + 22));
        assert_eq!(records.end_of(101 + MOST as u64), Some(422 + MOST as u64 + 45));
        assert_eq!(records.end_of(102 + MOST as u64), None);
        assert_eq!(records.taken(), 422 + MOST as u64 + 45);
    }

    #[test]
    fn an_answer_forgets_what_was_before() {
        let mut records = Records::default();
        seal(&mut records, 100, &[122]);
        records.answered();
        assert_eq!(records.end_of(100), Some(122));
        seal(&mut records, 50, &[72]);
        assert_eq!((records.end_of(100), records.end_of(101)), (None, Some(194)));
        assert_eq!((records.begin_of(99), records.begin_of(100)), (None, Some(122)));
    }

    #[test]
    fn records_that_are_cut_elsewhere_are_not_known() {
        let mut records = Records::default();
        seal(&mut records, 20_000, &[10_022, 10_022]);
        assert_eq!((records.end_of(1), records.end_of(20_000)), (None, None));
    }

    #[test]
    fn a_record_of_another_kind_makes_the_rest_unknown() {
        let mut records = Records::default();
        seal(&mut records, 100, &[30, 122]);
        assert_eq!(records.end_of(100), None);
        seal(&mut records, 100, &[122]);
        assert_eq!(records.end_of(200), None);
        records.answered();
        seal(&mut records, 10, &[32]);
        assert_eq!(records.end_of(210), Some(306));
    }
}

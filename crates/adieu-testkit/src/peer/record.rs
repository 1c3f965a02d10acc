//! Records of TLS as they lie on the wire (RFC 8446, 5.1): just enough to read one and no byte more.

use super::alert::Alert;

/// Finds where the record at hand ends, as its bytes come in.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    header: [u8; HEADER],
    /// How much of the header is there.
    filled: usize,
    /// How much of the fragment is still to come, once the header is there.
    left: usize,
}

/// Whether a record is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Whole,
    Partial,
}

impl Cursor {
    /// How many bytes can be read without reading past what is known of the record. Never 0.
    pub(super) fn wanted(&self) -> usize {
        if self.filled < HEADER { HEADER - self.filled } else { self.left }
    }

    /// Takes note of bytes that came, not more than were wanted.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Record {
        if self.filled < HEADER {
            for (to, from) in self.header.iter_mut().skip(self.filled).zip(bytes) {
                *to = *from;
            }
            self.filled += bytes.len();
            self.left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        } else {
            self.left = self.left.saturating_sub(bytes.len());
        }
        if self.filled < HEADER || self.left > 0 {
            return Record::Partial;
        }
        *self = Self::default();
        Record::Whole
    }
}

/// A fatal alert as a record of its own, in the clear.
pub(super) fn clear_alert(alert: Alert) -> [u8; HEADER + 2] {
    [ALERT, 3, 3, 0, 2, FATAL, alert.code()]
}

/// The alerts among whole records that are in the clear; one that is encrypted is longer.
#[cfg(feature = "tls")]
pub(super) fn clear_alerts(mut records: &[u8]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    while let Some(([content, _, _, high, low], rest)) = records.split_first_chunk::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (fragment, rest) = rest.split_at(length.min(rest.len()));
        if let (ALERT, [_, description]) = (*content, fragment) {
            alerts.push(Alert::from(*description));
        }
        records = rest;
    }
    alerts
}

const HEADER: usize = 5;
const ALERT: u8 = 21;
const FATAL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_after_its_last_byte() {
        let mut cursor = Cursor::default();
        for _ in 0..2 {
            assert_eq!((cursor.wanted(), cursor.advance(&[22, 3])), (5, Record::Partial));
            assert_eq!((cursor.wanted(), cursor.advance(&[1, 1, 2])), (3, Record::Partial));
            assert_eq!((cursor.wanted(), cursor.advance(&[0; 257])), (258, Record::Partial));
            assert_eq!((cursor.wanted(), cursor.advance(&[0])), (1, Record::Whole));
        }
        assert_eq!((cursor.advance(&[23, 3, 3, 0, 0]), cursor.wanted()), (Record::Whole, 5));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn alerts_in_the_clear_are_found() {
        let encrypted = [ALERT, 3, 3, 0, 3, 1, 2, 3];
        let records = [&encrypted[..], &clear_alert(Alert::DECODE_ERROR), &[22, 3, 3, 0, 0], &encrypted[..5]];
        assert_eq!(clear_alerts(&records.concat()), [Alert::DECODE_ERROR]);
    }
}

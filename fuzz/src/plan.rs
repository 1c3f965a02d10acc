//! An input's first line: choices, and where the rest is cut. Text, so that seeds and findings can be read.

/// The plan of one input.
pub struct Plan<'i> {
    choices: &'i [u8],
    /// What a peer sends.
    pub bytes: &'i [u8],
}

impl<'i> Plan<'i> {
    /// Splits an input at its first newline; `None`: there is none.
    pub fn of(input: &'i [u8]) -> Option<Self> {
        let at = input.iter().position(|&byte| byte == b'\n')?;
        Some(Self { choices: &input[..at], bytes: &input[at + 1..] })
    }

    /// The choice at this place of the first line, one of `among`.
    pub fn choice(&self, place: usize, among: usize) -> usize {
        self.choices.get(place).map_or(0, |&byte| value(byte) % among)
    }

    /// The bytes in pieces, as long as the first line says from `place` on; over and over until nothing is left.
    pub fn pieces(&self, place: usize) -> Vec<&'i [u8]> {
        let sizes: Vec<_> = self.choices.iter().skip(place).map(|&byte| value(byte) + 1).collect();
        let (mut rest, mut pieces) = (self.bytes, Vec::new());
        for size in sizes.iter().copied().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        if !rest.is_empty() {
            pieces.push(rest);
        }
        pieces
    }
}

/// Digits, small letters and capitals count up from 0; another byte is its own number.
pub fn value(byte: u8) -> usize {
    usize::from(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a' + 10,
        b'A'..=b'Z' => byte - b'A' + 36,
        other => other,
    })
}

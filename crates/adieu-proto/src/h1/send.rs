//! The request's side of a connection: what is staged for the transport, and what is left to say.
//!
//! | state | what may follow |
//! |---|---|
//! | `Idle` | a head |
//! | `Holding` | nothing, until 100 (Continue), a final response or its time limit |
//! | `Body` | body bytes, or the body's end |
//! | `Done` | nothing: every byte is staged |
//! | `Cut` | nothing, ever: what went out is not the whole request |

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use crate::codec::chunked;
use crate::codec::request::BodyFraming;

/// The send half.
#[derive(Debug, Default)]
pub(super) struct SendHalf {
    state: Sending,
    /// Heads, chunk lines and small bodies, copied.
    staged: Vec<u8>,
    /// How much of `staged` the transport took.
    taken: usize,
    /// A larger piece of a body, as the caller gave it; it follows `staged`.
    piece: Bytes,
    /// What follows `piece`.
    after: &'static [u8],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Idle,
    Holding(Left),
    Body(Left),
    Done,
    Cut,
}

/// What the framing still promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Length(u64),
    Chunks,
}

/// A body that does not fit the length that its head promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyMisfit {
    /// It goes on past `Content-Length`.
    TooLong,
    /// It ended before `Content-Length`.
    TooShort,
}

/// Smaller pieces are copied behind what is staged: one write of one buffer is cheaper than a gathered one.
const COPY_BELOW: usize = 1024;

impl SendHalf {
    /// Where a head is to be written, before [`begin`](Self::begin).
    pub(super) fn staging(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.is_flushed() && self.state == Sending::Idle, "a head in the middle of a request");
        &mut self.staged
    }

    /// The head is staged; its body is framed like this, and held back or not.
    pub(super) fn begin(&mut self, body: BodyFraming, hold: Hold) {
        let left = match body {
            BodyFraming::Length(length) if length > 0 => Left::Length(length),
            BodyFraming::Chunked => Left::Chunks,
            _ => {
                self.state = Sending::Done;
                return;
            }
        };
        self.state = match hold {
            Hold::Yes => Sending::Holding(left),
            Hold::No => Sending::Body(left),
        };
    }

    /// Lets the body go that was held back.
    pub(super) fn release(&mut self) {
        if let Sending::Holding(left) = self.state {
            self.state = Sending::Body(left);
        }
    }

    /// Gives the rest up: the request stays cut short.
    pub(super) fn cut(&mut self) {
        *self = Self { state: Sending::Cut, ..Self::default() };
    }

    /// Makes ready for the next request.
    pub(super) fn reset(&mut self) {
        debug_assert!(self.is_whole(), "reuse after a request that was cut short");
        self.state = Sending::Idle;
    }

    /// Takes a request back of which the transport took nothing.
    pub(super) fn withdraw(&mut self) {
        self.staged.clear();
        *self = Self { staged: std::mem::take(&mut self.staged), ..Self::default() };
    }

    pub(super) fn is_holding(&self) -> bool {
        matches!(self.state, Sending::Holding(_))
    }

    pub(super) fn is_cut(&self) -> bool {
        self.state == Sending::Cut
    }

    /// Every byte of the request is staged.
    pub(super) fn is_done(&self) -> bool {
        self.state == Sending::Done
    }

    /// Every byte staged reached the transport.
    pub(super) fn is_flushed(&self) -> bool {
        self.staged.is_empty() && self.piece.is_empty() && self.after.is_empty()
    }

    /// Nothing is in flight, or all of it reached the transport.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, Sending::Idle | Sending::Done) && self.is_flushed()
    }

    /// Whether the next piece of the body may be given.
    pub(super) fn wants_body(&self) -> bool {
        matches!(self.state, Sending::Body(_)) && self.piece.is_empty()
    }

    /// Takes the next piece of the body. A piece that was asked for before the request was given up is dropped.
    pub(super) fn data(&mut self, data: Bytes) -> Result<(), BodyMisfit> {
        debug_assert!(self.piece.is_empty(), "a piece of a body that was not asked for");
        let Sending::Body(left) = self.state else { return Ok(()) };
        if data.is_empty() {
            return Ok(());
        }
        self.staged.extend_from_slice(std::mem::take(&mut self.after));
        let after = match left {
            Left::Length(left) => {
                let left = left.checked_sub(data.len() as u64).ok_or(BodyMisfit::TooLong)?;
                self.state = if left == 0 { Sending::Done } else { Sending::Body(Left::Length(left)) };
                &[]
            }
            Left::Chunks => {
                chunked::open_chunk(data.len(), &mut self.staged);
                chunked::CHUNK_END
            }
        };
        if data.len() < COPY_BELOW {
            self.staged.extend_from_slice(&data);
            self.staged.extend_from_slice(after);
        } else {
            (self.piece, self.after) = (data, after);
        }
        Ok(())
    }

    /// Takes the end of the body.
    pub(super) fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), BodyMisfit> {
        match self.state {
            Sending::Body(Left::Chunks) | Sending::Holding(Left::Chunks) => {
                debug_assert!(self.piece.is_empty(), "the end of a body that was not asked for");
                self.staged.extend_from_slice(std::mem::take(&mut self.after));
                chunked::end_body(trailers, &mut self.staged);
                self.state = Sending::Done;
                Ok(())
            }
            Sending::Body(Left::Length(_)) | Sending::Holding(Left::Length(_)) => Err(BodyMisfit::TooShort),
            Sending::Idle | Sending::Done | Sending::Cut => Ok(()),
        }
    }

    /// What the transport shall take next, in order. Empty ones are left out by their length.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.staged[self.taken..]), IoSlice::new(&self.piece), IoSlice::new(self.after)]
    }

    /// The transport took so many bytes.
    pub(super) fn advance(&mut self, mut taken: usize) {
        let staged = taken.min(self.staged.len() - self.taken);
        self.taken += staged;
        if self.taken == self.staged.len() {
            self.staged.clear();
            self.taken = 0;
        }
        taken -= staged;
        if taken > 0 {
            let piece = taken.min(self.piece.len());
            self.piece.advance(piece);
            taken -= piece;
            self.after = &self.after[taken.min(self.after.len())..];
        }
    }

    /// Lets go of memory that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_flushed() {
            self.staged = Vec::new();
        }
    }
}

/// Whether a body is held back until it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Yes,
    No,
}

impl std::fmt::Display for BodyMisfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request body goes on past its Content-Length",
            Self::TooShort => "the request body ended before its Content-Length",
        })
    }
}

impl std::error::Error for BodyMisfit {}

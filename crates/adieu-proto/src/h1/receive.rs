//! The response's side of a connection: heads, interim heads, bodies, out of one buffer.
//!
//! | state | what may follow |
//! |---|---|
//! | `Idle` | nothing: bytes answer no request |
//! | `Head` | an interim or final head |
//! | `Body` | a piece of the body, or its end |
//! | `Done` | nothing: the response is whole |

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::codec::Malformed;
use crate::codec::chunked::{self, Decoder};
use crate::codec::framing::Framing;
use crate::codec::limits::Limits;
use crate::codec::response::{Head, HeadReader};

/// The receive half.
#[derive(Debug, Default)]
pub(super) struct ReceiveHalf {
    state: Receiving,
    buffer: BytesMut,
    head: HeadReader,
    /// The head that was read last, until it is taken.
    ready: Option<Head>,
    interim: usize,
    /// Bytes in the buffer that were looked at and are too few.
    too_few: usize,
    /// How much the next read asks for: grows while reads come back full.
    appetite: usize,
}

#[derive(Clone, Debug, Default)]
enum Receiving {
    #[default]
    Idle,
    Head,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    Done,
}

/// What a look at the buffer gave.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes are needed, or nothing is expected.
    NeedMore,
    /// A head, interim or final, is ready to be [taken](ReceiveHalf::take_head).
    Head,
    /// A piece of the body.
    Data(Bytes),
    /// The response is whole; its trailers.
    End(Option<HeaderMap>),
}

/// Where the receive half is, for those who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    Head,
    Body,
    /// In a body that only the connection's end can end.
    UntilClose,
    Done,
}

/// A connection that owes no answer waits for an end: thousands that do must not hold a buffer each.
const IDLE_READ: usize = 64;
/// A read asks for this much at first.
const FIRST_READ: usize = 8 * 1024;
/// No read asks for more, however much may be read ahead: a peer's word alone is no reason to reserve memory.
const LARGEST_READ: usize = 256 * 1024;
/// Less room than this is not worth a read.
const SMALL_ROOM: usize = 4 * 1024;

impl ReceiveHalf {
    pub(super) fn place(&self) -> Place {
        match self.state {
            Receiving::Idle => Place::Idle,
            Receiving::Head => Place::Head,
            Receiving::Length(_) | Receiving::Chunked(_) => Place::Body,
            Receiving::UntilClose => Place::UntilClose,
            Receiving::Done => Place::Done,
        }
    }

    /// A request is out: a head is expected.
    pub(super) fn expect_head(&mut self) {
        (self.state, self.interim) = (Receiving::Head, 0);
    }

    /// The final head is there; its body is framed like this.
    pub(super) fn expect_body(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Length(length) if length > 0 => Receiving::Length(length),
            Framing::Chunked => Receiving::Chunked(Decoder::default()),
            Framing::UntilClose => Receiving::UntilClose,
            _ => Receiving::Done,
        };
    }

    /// The connection's end ended the body.
    pub(super) fn end_until_close(&mut self) {
        self.state = Receiving::Done;
    }

    /// Makes ready for the next response.
    pub(super) fn reset(&mut self) {
        self.state = Receiving::Idle;
    }

    /// Takes the next thing out of the buffer.
    pub(super) fn step(&mut self, limits: &Limits) -> Result<Step, Malformed> {
        match &mut self.state {
            Receiving::Idle | Receiving::Done => Ok(Step::NeedMore),
            Receiving::Head => {
                // Whatever was there has been taken.
                if let Err(malformed) = self.head.read_into(&mut self.ready, &mut self.buffer, limits) {
                    self.ready = None;
                    return Err(malformed);
                }
                let Some(head) = &self.ready else {
                    self.too_few = self.buffer.len();
                    return Ok(Step::NeedMore);
                };
                if head.response.status().is_informational()
                    && head.response.status() != http::StatusCode::SWITCHING_PROTOCOLS
                {
                    self.interim += 1;
                    if self.interim > limits.interim {
                        return Err(Malformed::TooLarge("interim responses"));
                    }
                }
                Ok(Step::Head)
            }
            Receiving::Length(left) => {
                if self.buffer.is_empty() {
                    return Ok(Step::NeedMore);
                }
                let most = self.buffer.len().min(limits.piece());
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(most);
                *left -= take as u64;
                if *left == 0 {
                    self.state = Receiving::Done;
                }
                Ok(Step::Data(self.buffer.split_to(take).freeze()))
            }
            Receiving::Chunked(decoder) => match decoder.decode(&mut self.buffer, limits)? {
                chunked::Step::NeedMore => {
                    self.too_few = self.buffer.len();
                    Ok(Step::NeedMore)
                }
                chunked::Step::Data(data) => Ok(Step::Data(data)),
                chunked::Step::End(trailers) => {
                    self.state = Receiving::Done;
                    Ok(Step::End(trailers))
                }
            },
            Receiving::UntilClose if self.buffer.is_empty() => Ok(Step::NeedMore),
            Receiving::UntilClose => {
                let take = self.buffer.len().min(limits.piece());
                Ok(Step::Data(self.buffer.split_to(take).freeze()))
            }
        }
    }

    /// The head that is ready.
    pub(super) fn take_head(&mut self) -> Option<Head> {
        self.ready.take()
    }

    /// Whether more may be read: the caller is not far behind, or what is there is too few to make anything of.
    pub(super) fn wants_more(&self, limits: &Limits) -> bool {
        let here = self.buffer.len();
        here == 0 || here < limits.read_ahead || here == self.too_few
    }

    /// Whether the end of a head is among what came and was not taken yet.
    pub(super) fn holds_head(&self) -> bool {
        let ends = |end: &[u8]| self.buffer.windows(end.len()).any(|window| window == end);
        self.place() == Place::Head && (ends(b"\n\r\n") || ends(b"\n\n"))
    }

    /// How many bytes of the body are still to be taken, where its framing tells.
    pub(super) fn left(&self) -> Option<u64> {
        match self.state {
            Receiving::Length(left) => Some(left),
            Receiving::Done => Some(0),
            _ => None,
        }
    }

    pub(super) fn buffer(&self) -> &BytesMut {
        &self.buffer
    }

    /// Room for the next read, in proportion to what comes.
    pub(super) fn room(&mut self, limits: &Limits) -> &mut BytesMut {
        let most = limits.read_ahead.clamp(1, LARGEST_READ);
        let want = match self.state {
            Receiving::Length(left) => {
                usize::try_from(left).unwrap_or(most).clamp(FIRST_READ, most.max(FIRST_READ))
            }
            Receiving::Idle => IDLE_READ,
            _ => self.appetite.max(FIRST_READ),
        };
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < want.min(SMALL_ROOM) || (want > FIRST_READ && spare < want / 2) {
            self.buffer.reserve(want);
        }
        &mut self.buffer
    }

    /// The last read gave so many bytes and left so much room.
    pub(super) fn note_read(&mut self, bytes: usize, limits: &Limits) {
        let full = self.buffer.capacity() == self.buffer.len();
        self.appetite = match full {
            true => {
                (self.appetite.max(FIRST_READ) * 2).min(limits.read_ahead.clamp(FIRST_READ, LARGEST_READ))
            }
            false if bytes < FIRST_READ => 0,
            false => self.appetite,
        };
    }

    /// Throws away what is in the buffer; how much that was.
    pub(super) fn discard(&mut self) -> u64 {
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        bytes
    }

    /// What is in the buffer, handed over to another protocol.
    pub(super) fn take_leftover(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Lets go of memory that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.head.shrink();
        }
    }
}

//! The state between two ends. One lock; the wakers are called after it was let go.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use super::builder::{Chunks, InFlight, LateWrites};
use super::deeds::{Deed, Deeds, Side};
use super::end::Polls;

/// What the two ends share.
#[derive(Debug)]
pub(super) struct Wire {
    in_flight: InFlight,
    late_writes: LateWrites,
    state: Mutex<State>,
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    One = 0,
    Two = 1,
}

impl Index {
    fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }
}

#[derive(Debug)]
struct State {
    ends: [End; 2],
    /// By the end that writes.
    directions: [Direction; 2],
    log: Vec<(Index, Deed)>,
}

#[derive(Debug)]
struct End {
    standing: Standing,
    late_write: LateWrite,
    polls: Polls,
}

/// What an end is still good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Connected,
    /// The other end has reset the connection, and nobody here was told.
    ResetUntold,
    /// A read or a write was told that the connection was reset.
    ResetTold,
    /// This end has reset the connection.
    Resetter,
    /// Dropped.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LateWrite {
    NotYet,
    Vanished,
}

/// One direction: what the writer has written and the reader has not read.
#[derive(Debug)]
struct Direction {
    buffer: VecDeque<u8>,
    capacity: usize,
    chunks: Chunks,
    /// How many bytes were read.
    delivered: u64,
    writing: Writing,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    Finished,
}

/// Wakers to call once the lock is let go.
type ToWake = [Option<Waker>; 4];

impl Wire {
    pub(super) fn new(buffer: usize, chunks: &Chunks, in_flight: InFlight, late_writes: LateWrites) -> Self {
        let end =
            || End { standing: Standing::Connected, late_write: LateWrite::NotYet, polls: Polls::default() };
        let direction = || Direction {
            buffer: VecDeque::new(),
            capacity: buffer,
            chunks: chunks.clone(),
            delivered: 0,
            writing: Writing::Open,
            reader: None,
            writer: None,
        };
        let state = State { ends: [end(), end()], directions: [direction(), direction()], log: Vec::new() };
        Self { in_flight, late_writes, state: Mutex::new(state) }
    }

    pub(super) fn poll_read(
        &self,
        me: Index,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        state.end(me).polls.reads += 1;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if state.end(me).standing == Standing::Resetter {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        let direction = state.direction_from(me.other());
        if !direction.buffer.is_empty() {
            direction.deliver(into);
            let writer = direction.writer.take();
            drop(state);
            wake([writer]);
            return Poll::Ready(Ok(()));
        }
        let ended = direction.writing == Writing::Finished;
        let end = state.end(me);
        match end.standing {
            Standing::ResetUntold => {
                end.standing = Standing::ResetTold;
                Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
            }
            Standing::ResetTold => Poll::Ready(Ok(())),
            _ if ended => Poll::Ready(Ok(())),
            _ => {
                state.direction_from(me.other()).reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_write(
        &self,
        me: Index,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        state.end(me).polls.writes += 1;
        if let Err(kind) = state.writable(me) {
            return Poll::Ready(Err(kind.into()));
        }
        let offered = bytes.iter().map(|slice| slice.len()).sum();
        if offered == 0 {
            return Poll::Ready(Ok(0));
        }
        if state.end(me.other()).standing == Standing::Gone {
            return Poll::Ready(self.write_late(&mut state, me, offered));
        }
        let direction = state.direction_from(me);
        let taken = direction.take(bytes);
        if taken == 0 {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let reader = direction.reader.take();
        state.note_sent(me, taken as u64);
        drop(state);
        wake([reader]);
        Poll::Ready(Ok(taken))
    }

    fn write_late(&self, state: &mut State, me: Index, offered: usize) -> io::Result<usize> {
        let end = state.end(me);
        if self.late_writes == LateWrites::Refused || end.late_write == LateWrite::Vanished {
            return Err(ErrorKind::BrokenPipe.into());
        }
        end.late_write = LateWrite::Vanished;
        state.log.push((me, Deed::Vanished { bytes: offered as u64 }));
        Ok(offered)
    }

    pub(super) fn note_flush(&self, me: Index) {
        self.lock().end(me).polls.flushes += 1;
    }

    /// FIN.
    pub(super) fn shutdown(&self, me: Index) -> io::Result<()> {
        let mut state = self.lock();
        state.end(me).polls.shutdowns += 1;
        if state.end(me).standing != Standing::Connected {
            return Err(ErrorKind::NotConnected.into());
        }
        state.finish(me);
        let direction = state.direction_from(me);
        let woken = [direction.reader.take(), direction.writer.take()];
        drop(state);
        wake(woken);
        Ok(())
    }

    /// RST. A second one, or one after the other's, changes nothing.
    pub(super) fn reset(&self, me: Index) {
        let mut state = self.lock();
        if state.end(me).standing == Standing::Connected {
            state.reset(me, self.in_flight);
            state.end(me).standing = Standing::Resetter;
        }
        let woken = state.all_wakers();
        drop(state);
        wake(woken);
    }

    /// What a kernel does when the last handle is closed: RST with bytes unread, otherwise FIN.
    pub(super) fn drop_end(&self, me: Index) {
        let mut state = self.lock();
        if state.end(me).standing == Standing::Connected {
            if state.direction_from(me.other()).buffer.is_empty() {
                state.finish(me);
            } else {
                state.reset(me, self.in_flight);
            }
        }
        state.end(me).standing = Standing::Gone;
        state.log.push((me, Deed::Dropped));
        let woken = state.all_wakers();
        drop(state);
        wake(woken);
    }

    pub(super) fn set_buffer(&self, me: Index, bytes: usize) {
        let mut state = self.lock();
        let direction = state.direction_from(me);
        direction.capacity = bytes;
        let writer = direction.writer.take();
        drop(state);
        wake([writer]);
    }

    pub(super) fn set_chunks(&self, me: Index, chunks: Chunks) {
        self.lock().direction_from(me.other()).chunks = chunks;
    }

    pub(super) fn mark(&self, me: Index, name: &str) {
        self.lock().log.push((me, Deed::Mark(name.to_owned())));
    }

    pub(super) fn polls(&self, of: Index) -> Polls {
        self.lock().end(of).polls
    }

    pub(super) fn deeds(&self, as_seen_by: Index) -> Deeds {
        let state = self.lock();
        let side = |whose: Index| if whose == as_seen_by { Side::Ours } else { Side::Theirs };
        Deeds { entries: state.log.iter().map(|(whose, deed)| (side(*whose), deed.clone())).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, index: Index) -> &mut End {
        &mut self.ends[index as usize]
    }

    fn direction_from(&mut self, writer: Index) -> &mut Direction {
        &mut self.directions[writer as usize]
    }

    /// Whether this end may write at all; telling of a reset counts as told.
    fn writable(&mut self, me: Index) -> Result<(), ErrorKind> {
        let finished = self.direction_from(me).writing == Writing::Finished;
        let end = self.end(me);
        match end.standing {
            Standing::ResetUntold => {
                end.standing = Standing::ResetTold;
                Err(ErrorKind::ConnectionReset)
            }
            Standing::Connected if !finished => Ok(()),
            _ => Err(ErrorKind::BrokenPipe),
        }
    }

    fn finish(&mut self, me: Index) {
        let direction = self.direction_from(me);
        if direction.writing == Writing::Open {
            direction.writing = Writing::Finished;
            self.log.push((me, Deed::Fin));
        }
    }

    fn reset(&mut self, me: Index, in_flight: InFlight) {
        // What was sent to the one who resets, nobody will read.
        self.direction_from(me.other()).buffer.clear();
        if in_flight == InFlight::Lost {
            self.direction_from(me).buffer.clear();
        }
        let other = self.end(me.other());
        if other.standing == Standing::Connected {
            other.standing = Standing::ResetUntold;
        }
        self.log.push((me, Deed::Reset));
    }

    fn all_wakers(&mut self) -> ToWake {
        let [one, two] = &mut self.directions;
        [one.reader.take(), one.writer.take(), two.reader.take(), two.writer.take()]
    }

    /// Adds to the deed before if that was a write of the same end, and once the log is long to any earlier one.
    fn note_sent(&mut self, me: Index, count: u64) {
        let reach = if self.log.len() < LOG_CAP { 1 } else { self.log.len() };
        let earlier = self.log.iter_mut().rev().take(reach).find_map(|entry| match entry {
            (whose, Deed::Sent { bytes }) if *whose == me => Some(bytes),
            _ => None,
        });
        match earlier {
            Some(bytes) => *bytes += count,
            None => self.log.push((me, Deed::Sent { bytes: count })),
        }
    }
}

impl Direction {
    fn deliver(&mut self, into: &mut ReadBuf<'_>) {
        let most = match &self.chunks {
            Chunks::Whole => usize::MAX,
            Chunks::AtMost(bytes) => (*bytes).max(1),
            Chunks::Cut(offsets) => {
                let next = offsets.iter().filter(|offset| **offset > self.delivered).min();
                next.map_or(usize::MAX, |next| usize::try_from(next - self.delivered).unwrap_or(usize::MAX))
            }
        };
        let mut left = most.min(into.remaining()).min(self.buffer.len());
        self.delivered += left as u64;
        while left > 0 {
            let (front, _) = self.buffer.as_slices();
            let count = front.len().min(left);
            into.put_slice(&front[..count]);
            self.buffer.drain(..count);
            left -= count;
        }
    }

    fn take(&mut self, bytes: &[IoSlice<'_>]) -> usize {
        let room = self.capacity.saturating_sub(self.buffer.len());
        let mut left = room;
        for slice in bytes {
            let count = slice.len().min(left);
            self.buffer.extend(&slice[..count]);
            left -= count;
        }
        room - left
    }
}

fn wake<const N: usize>(wakers: [Option<Waker>; N]) {
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// A log this long grows no further by bytes alone.
const LOG_CAP: usize = 4096;

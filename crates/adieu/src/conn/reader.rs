//! A reader as the body of a request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::error::BoxError;

/// What a reader gives, piece by piece.
pub(super) struct Reader<R> {
    reader: Pin<Box<R>>,
    buffer: BytesMut,
    /// How many bytes are still to come; `None`: until the reader ends.
    left: Option<u64>,
}

/// So much is read at a time, at most.
const PIECE: usize = 64 * 1024;

impl<R: AsyncRead> Reader<R> {
    /// All of it, or so many bytes.
    pub(super) fn new(reader: R, length: Option<u64>) -> Self {
        Self { reader: Box::pin(reader), buffer: BytesMut::new(), left: length }
    }

    /// How much may be read next.
    fn room(&self) -> usize {
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        left.min(PIECE)
    }
}

impl<R: AsyncRead> Body for Reader<R> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let room = this.room();
        if room == 0 {
            return Poll::Ready(None);
        }
        this.buffer.reserve(room);
        let mut space = (&mut this.buffer).limit(room);
        let read = ready!(poll_read_buf(this.reader.as_mut(), cx, &mut space))?;
        Poll::Ready(match (read, &mut this.left) {
            (0, None | Some(0)) => None,
            (0, Some(left)) => Some(Err(format!("the reader ended {left} bytes early").into())),
            (bytes, left) => {
                *left = left.map(|left| left.saturating_sub(bytes as u64));
                Some(Ok(Frame::data(this.buffer.split().freeze())))
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

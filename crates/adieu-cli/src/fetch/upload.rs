//! Request bodies: bytes that are at hand, or a file or standard input that is streamed.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::{fs, io};

use adieu::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::failure::Failure;
use super::progress::Progress;
use crate::exit::Exit;

/// What a body is made from, as often as it is needed.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Empty,
    Bytes(Bytes),
    /// Read anew for each request; its length is known if it is a regular file.
    File(PathBuf),
    /// Once only.
    Stdin(Arc<AtomicBool>),
}

impl Source {
    /// A file, once it was seen that it can be opened; `-` is standard input.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdin(Arc::default()));
        }
        fs::File::open(path).map_err(|error| unopened(path, &error))?;
        Ok(Self::File(path.to_owned()))
    }

    /// A body, and its length where that is known.
    pub(super) async fn body(&self, progress: Progress) -> Result<(Body, Option<u64>), Failure> {
        match self {
            Self::Empty => Ok((Body::empty(), Some(0))),
            Self::Bytes(bytes) => Ok((bytes.clone().into(), Some(bytes.len() as u64))),
            Self::File(path) => {
                let opened = tokio::fs::File::open(path).await;
                let (file, metadata) = match opened {
                    Ok(file) => {
                        let metadata = file.metadata().await.map_err(|error| unopened(path, &error))?;
                        (file, metadata)
                    }
                    Err(error) => return Err(unopened(path, &error)),
                };
                let length = metadata.is_file().then_some(metadata.len());
                if length == Some(0) {
                    return Ok((Body::empty(), length));
                }
                Ok((Body::wrap(Streamed::new(file, length, progress)), length))
            }
            Self::Stdin(used) if used.swap(true, Ordering::Relaxed) => {
                Err(Failure::before(Exit::SEND, "standard input was sent already and cannot be sent again"))
            }
            Self::Stdin(_) => Ok((Body::wrap(Streamed::new(tokio::io::stdin(), None, progress)), None)),
        }
    }
}

fn unopened(path: &Path, error: &io::Error) -> Failure {
    Failure::before(Exit::USAGE, format!("opening {}: {error}", path.display()))
}

/// A body that is read piece by piece.
struct Streamed<R> {
    reader: R,
    left: Option<u64>,
    buffer: BytesMut,
    progress: Progress,
}

impl<R: AsyncRead + Unpin> Streamed<R> {
    fn new(reader: R, length: Option<u64>, mut progress: Progress) -> Self {
        progress.expect(length);
        Self { reader, left: length, buffer: BytesMut::new(), progress }
    }

    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.left == Some(0) {
            return Poll::Ready(Ok(None));
        }
        self.buffer.reserve(PIECE);
        let bytes = ready!(poll_read_buf(Pin::new(&mut self.reader), cx, &mut self.buffer))?;
        let mut piece = self.buffer.split();
        if let Some(left) = &mut self.left {
            if bytes == 0 {
                let short = "the file became shorter while it was sent";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, short)));
            }
            // A file that grows is sent as long as it was.
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        self.progress.add(piece.len());
        if piece.is_empty() || self.left == Some(0) {
            self.progress.finish();
        }
        Poll::Ready(Ok((!piece.is_empty()).then(|| piece.freeze())))
    }
}

impl<R: AsyncRead + Unpin> http_body::Body for Streamed<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = ready!(self.poll_piece(cx));
        Poll::Ready(piece.transpose().map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How much is read at once.
const PIECE: usize = 64 * 1024;

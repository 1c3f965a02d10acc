//! So many bytes and no more, over any transport.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::ReadBuf;

use crate::transport::Transport;

/// Fills `bytes`, and reads nothing behind them. An end before that is an `UnexpectedEof`.
pub(super) async fn read(io: &mut dyn Transport, bytes: &mut [u8]) -> io::Result<()> {
    let mut buffer = ReadBuf::new(bytes);
    poll_fn(|cx| {
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
            if buffer.filled().len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into()).into();
            }
        }
        Ok(()).into()
    })
    .await
}

/// Writes `bytes` and flushes.
pub(super) async fn write(io: &mut dyn Transport, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, bytes))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into()).into();
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Pin::new(&mut *io).poll_flush(cx)
    })
    .await
}

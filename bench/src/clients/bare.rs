//! Ping-pong without HTTP, over TCP or TLS: the bound that no client can pass.
//!
//! It writes the request's bytes as they are and reads as many bytes as the response has. Of these it looks at the
//! status only. Its TLS is tokio-rustls'.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Connection, Exchange, connect, connect_rustls};
use crate::Error;
use crate::row::Plan;

pub(crate) struct Bare<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// What there is ping-pong over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Sized + Send + Unpin + 'static {
    fn open(plan: &Plan) -> impl Future<Output = Result<Self, Error>> + Send;
}

impl Stream for TcpStream {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        Ok(connect(plan).await?)
    }
}

impl Stream for TlsStream<TcpStream> {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        let trust = plan.trust.as_ref().ok_or("a row without TLS")?;
        connect_rustls(plan, trust).await
    }
}

impl<S> Bare<S> {
    /// The connection alone.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: Stream> Connection for Bare<S> {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        // Longer than what comes at once: a read that fills its buffer costs a second one that finds nothing.
        let buffer_len = if plan.response_len < SMALL_BUFFER_LEN { SMALL_BUFFER_LEN } else { BUFFER_LEN };
        Ok(Self { stream: S::open(plan).await?, buffer: vec![0; buffer_len] })
    }

    async fn close(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<S: Stream> Exchange for Bare<S> {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        self.stream.write_all(&plan.wire).await?;
        self.stream.flush().await?;
        let mut len = self.stream.read(&mut self.buffer).await?;
        let status_is_ok = self.buffer[..len].starts_with(b"HTTP/1.1 200 ");
        while len < plan.response_len {
            match self.stream.read(&mut self.buffer).await? {
                0 => break,
                read => len += read,
            }
        }
        if !status_is_ok || len != plan.response_len {
            return Err(format!("a response of {len} bytes, status 200: {status_is_ok}").into());
        }
        Ok(())
    }
}

const SMALL_BUFFER_LEN: usize = 8 << 10;
const BUFFER_LEN: usize = 128 << 10;

//! What the tests share: a connection to a scripted peer, and one over the in-memory transport.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::transport::{ResetArmed, Transport};
use adieu::{Body, Bytes};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use adieu_testkit::peer::Peer;
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An in-memory end as a transport that can reset.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) MemoryEnd);

impl Transport for Memory {
    fn arm_reset(&self) -> ResetArmed {
        self.0.reset();
        ResetArmed::Yes
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connects to a scripted peer.
pub(crate) async fn connect(peer: &Peer) -> (SendRequest, Connection) {
    connect_with(peer, &http1::Builder::new()).await
}

/// Connects to a scripted peer with settings.
pub(crate) async fn connect_with(peer: &Peer, builder: &http1::Builder) -> (SendRequest, Connection) {
    let io = tokio::net::TcpStream::connect(peer.address()).await.unwrap();
    io.set_nodelay(true).unwrap();
    builder.handshake(io).await.unwrap()
}

/// A connection over memory, with settings; and the peer's end.
pub(crate) async fn in_memory_with(builder: &http1::Builder) -> (SendRequest, Connection, MemoryEnd) {
    in_memory_over(PairBuilder::new(), builder).await
}

/// A connection over memory; and the peer's end.
pub(crate) async fn in_memory() -> (SendRequest, Connection, MemoryEnd) {
    in_memory_with(&http1::Builder::new()).await
}

/// A connection over a pair of your own making; and the peer's end.
pub(crate) async fn in_memory_over(
    pair: PairBuilder,
    builder: &http1::Builder,
) -> (SendRequest, Connection, MemoryEnd) {
    let (ours, theirs) = pair.build();
    let (sender, connection) = builder.handshake_on(Memory(ours)).await.unwrap();
    (sender, connection, theirs)
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://example.com{path}")).body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("http://example.com{path}")).body(body.into()).unwrap()
}

/// The whole body.
pub(crate) async fn read(response: http::Response<Body>) -> Result<Bytes, adieu::Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

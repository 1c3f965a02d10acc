//! The look at an idle connection before a request is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::http1::handshake_on;
use adieu::transport::{Peek, Transport};
use adieu::{CloseReason, ErrorKind};
use adieu_testkit::memory::pair;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::{Memory, beside, get, in_time, pass, poll_once, read};

/// The peer's end is here, but the runtime was not told of it yet.
struct Untold {
    io: Memory,
    here: Arc<AtomicBool>,
}

impl Transport for Untold {
    fn peek(&self) -> Peek {
        if self.here.load(Ordering::SeqCst) { Peek::End } else { Peek::Nothing }
    }
}

impl AsyncRead for Untold {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Untold {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn who_looks_again_before_the_runtime_was_told_sees_the_same() {
    let (ours, mut peer) = pair();
    let here = Arc::new(AtomicBool::new(false));
    let (mut sender, _connection) =
        handshake_on(Untold { io: Memory(ours), here: here.clone() }).await.unwrap();
    let asked = beside(sender.send_request(get("/")));
    in_time(peer.read_head()).await.unwrap();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(read(in_time(asked).await.unwrap().unwrap()).await.unwrap(), "ok");
    pass(Duration::from_millis(500)).await;
    here.store(true, Ordering::SeqCst);
    let mut asked = sender.send_request(get("/"));
    // Whatever polls it, as another future of the same task does.
    for _ in 0..3 {
        assert!(poll_once(&mut asked).await.is_pending());
    }
    peer.fin().await.unwrap();
    let error = in_time(asked).await.unwrap_err();
    assert_eq!((error.kind(), error.close_reason()), (ErrorKind::Closed, Some(&CloseReason::PeerClosedIdle)));
}

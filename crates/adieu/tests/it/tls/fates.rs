//! What becomes of a request of which TLS took more than the wire: nothing is claimed that is not so, and nothing is sent
//! after it was.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use adieu::conn::http1::{Builder, handshake};
use adieu::{Body, Fate, Proof};
use adieu_testkit::peer::{Gate, Script, TlsVersion, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::support::*;
use crate::props::{pause, play, seen};

/// A socket that takes so many writes more, and then says that it was reset. It does not gather.
struct Breaks {
    io: TcpStream,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The record of the head is out, and the wire fails with the next one: the peer may have acted on what it has.
#[test]
fn a_write_of_which_a_record_is_out_is_not_called_unsent() {
    play(async || {
        let peer =
            peer(TlsVersion::Tls13, Script::new().read_head().send(response(413, "too much")).read_to_end());
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let io = Breaks { io: socket(&peer).await, left: left.clone() };
        let (mut sender, _connection) =
            handshake(CONNECTOR.connect("localhost", io).await.unwrap()).await.unwrap();
        left.store(1, Ordering::Relaxed);
        let request = http::Request::post("http://h/").body(Body::from(vec![b'x'; 60_000])).unwrap();
        let outcome = sender.send_request(request).await;
        match outcome {
            // What the peer said to it is not thrown away.
            Ok(response) => assert_eq!(response.status(), 413),
            Err(error) => assert_eq!(error.fate(), Fate::Unknown, "{error:?}"),
        }
        assert_eq!(peer.seen(0).unwrap().requests().len(), 1, "it had the head");
    });
}

/// A head of which the last record is not out was not read by anybody; and it is not sent after that was said.
#[test]
fn a_head_that_was_held_back_stays_back() {
    for name in ["reset", "goodbye", "fin"] {
        play(async move || {
            let gate = Gate::new();
            let script = Script::new().gate(&gate);
            let script = match name {
                "reset" => script.reset(),
                // Our reset may come between its close_notify and its FIN.
                "goodbye" => script.goodbye().or_end().read_to_end().or_end(),
                _ => script.fin().read_to_end(),
            };
            let (peer, stream) = narrow(TlsVersion::Tls13, script).await;
            let (mut sender, _connection) = Builder::new().handshake_on(stream).await.unwrap();
            let request = http::Request::post("http://h/").header("x-long", "x".repeat(50_000));
            let asked = sender.send_request(request.body(Body::from("b")).unwrap());
            let asked = tokio::spawn(asked);
            pause(100).await;
            gate.open();
            let error = asked.await.unwrap().unwrap_err();
            let facts = error.facts().unwrap();
            assert!(facts.handed >= facts.head, "TLS took all of it: {facts:?}");
            assert_eq!(error.fate(), Fate::NotProcessed(Proof::HeadIncomplete), "{name}: {error}");
            if name != "reset" {
                let seen = seen(peer).await;
                seen.assert_reset();
                assert!(seen.received_len() < facts.head, "{name}: the rest of the head came: {seen}");
            }
        });
    }
}

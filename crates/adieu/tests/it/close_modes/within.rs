//! Asking and closing from within what the connection calls: hooks, bodies, wakers; and callers that panic.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use adieu::conn::http1::{Builder, Connection};
use adieu::{Body, BoxError, Bytes, CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Signal, State};
use adieu_testkit::peer::{Peer, Script, Until, response};
use http::Request;
use http_body::Frame;

use crate::props::{check, ms, pause, play, poll_once, seen, short};
use crate::support::{connect, connect_with, get, read};

/// What a caller may do at any time.
fn ask_everything(connection: &Connection) {
    assert!(!connection.snapshot().to_string().is_empty());
    assert!(!format!("{connection} {connection:?}").is_empty());
    let _ = (connection.state(), connection.id(), connection.report(), connection.watch().state());
}

/// A body that does something when it is asked for its second piece, and when it is dropped.
struct Acting<F: FnMut(&str) + Send + 'static>(usize, F);

impl<F: FnMut(&str) + Send + Unpin + 'static> http_body::Body for Acting<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        if self.0 == 1 {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))));
        }
        (self.1)("asked");
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F: FnMut(&str) + Send + 'static> Drop for Acting<F> {
    fn drop(&mut self) {
        (self.1)("dropped");
    }
}

fn acting(act: impl FnMut(&str) + Send + Unpin + 'static) -> Request<Body> {
    Request::post("http://example.com/").body(Body::wrap(Acting(0, act))).unwrap()
}

#[test]
fn an_interim_hook_may_ask_and_close() {
    play(async || {
        let handle = Arc::new(OnceLock::<Connection>::new());
        let own = handle.clone();
        let builder = Builder::new().on_interim(move |_| {
            let connection = own.get().unwrap();
            ask_everything(connection);
            drop(connection.close(short(CloseMode::now())));
        });
        let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
        let peer = Peer::tcp(Script::new().read_request().send(hint).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect_with(&peer, &builder).await;
        handle.set(connection.clone()).unwrap();
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn a_request_body_may_ask_and_close_while_it_is_polled_and_dropped() {
    play(async || {
        // Polled by the caller; then, once a response is there, by the attendant.
        for early in [false, true] {
            let script = Script::new().read_head();
            let script = if early { script.send(response(200, "early")).or_end() } else { script };
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let handle = connection.clone();
            let calls = Arc::new(AtomicUsize::new(0));
            let called = calls.clone();
            let mut exchange = Box::pin(sender.send_request(acting(move |_| {
                ask_everything(&handle);
                if called.fetch_add(1, Ordering::SeqCst) == 20 {
                    drop(handle.close(short(CloseMode::now())));
                }
            })));
            match exchange.as_mut().await {
                Ok(response) => assert_eq!(read(response).await.unwrap(), "early"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}"),
            }
            drop(exchange);
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended),
                (CloseReason::User(CloseKind::Now), Ended::Aborted),
                "{report}"
            );
            seen(peer).await.assert_reset();
        }
    });
}

#[test]
fn a_waker_may_ask_and_close() {
    struct Asks(Connection, AtomicUsize);
    impl Wake for Asks {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::SeqCst);
            ask_everything(&self.0);
            drop(self.0.close(CloseMode::graceful()));
        }
    }
    play(async || {
        let script = Script::new()
            .read_request()
            .pause(ms(10))
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let peer = Peer::tcp(script.pause(ms(10)).send("world").read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let asks = Arc::new(Asks(connection.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(asks.clone());
        let mut cx = Context::from_waker(&waker);
        // Woken as the reader, as a watcher, and as one who waits for the report.
        let mut watch = connection.watch();
        let mut changed = Box::pin(async move { watch.changed().await });
        let mut closed = Box::pin(connection.closed());
        assert!(changed.as_mut().poll(&mut cx).is_pending());
        assert!(closed.as_mut().poll(&mut cx).is_pending());
        let mut exchange = Box::pin(sender.send_request(get("/")));
        let response = loop {
            if let Poll::Ready(response) = exchange.as_mut().poll(&mut cx) {
                break response.unwrap();
            }
            pause(2).await;
        };
        let mut body = response.into_body();
        let mut bytes = 0;
        loop {
            match http_body::Body::poll_frame(Pin::new(&mut body), &mut cx) {
                Poll::Ready(Some(frame)) => bytes += frame.unwrap().into_data().unwrap().len(),
                Poll::Ready(None) => break,
                Poll::Pending => pause(2).await,
            }
        }
        assert_eq!(bytes, 10);
        let report = connection.closed().await;
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        assert!(asks.1.load(Ordering::SeqCst) >= 3, "{} wakes", asks.1.load(Ordering::SeqCst));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn a_request_body_that_panics_in_the_callers_hands_is_cut() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_head()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut exchange =
            Box::pin(sender.send_request(acting(|when| assert!(when != "asked", "as planned"))));
        let mut panicked = false;
        for _ in 0..100 {
            let mut cx = Context::from_waker(Waker::noop());
            match std::panic::catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(&mut cx).is_pending()))
            {
                Ok(true) => pause(1).await,
                Ok(false) => panic!("it ended well"),
                Err(_) => {
                    panicked = true;
                    break;
                }
            }
        }
        assert!(panicked);
        drop(exchange);
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
        assert!(!report.sent.contains(Signal::Fin), "{report}");
        let seen = seen(peer).await;
        seen.assert_reset();
        assert!(!seen.received().ends_with(b"0\r\n\r\n"), "{seen}");
    });
}

#[test]
fn a_request_body_that_panics_in_the_attendants_hands_is_cut_and_told() {
    play(async || {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        let peer = Peer::tcp(Script::new().read_head().send(half)).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let go = Arc::new(AtomicUsize::new(0));
        let gone = go.clone();
        let request =
            acting(move |when| assert!(when != "asked" || gone.load(Ordering::SeqCst) == 0, "as planned"));
        let response = sender.send_request(request).await.unwrap();
        go.store(1, Ordering::SeqCst);
        let error = read(response).await.unwrap_err();
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
        assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?} {report}");
        assert_eq!(report.reason, CloseReason::RequestBodyFailed, "{report}");
        assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
        seen(peer).await.assert_reset();
    });
}

#[test]
fn a_response_future_that_was_polled_once_and_kept_does_not_keep_a_close() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().mark("asked").read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut exchange = Box::pin(sender.send_request(get("/")));
        assert!(poll_once(exchange.as_mut()).await.is_none());
        peer.wait_async(0, Until::Mark("asked")).await.unwrap();
        let report = connection.close(CloseMode::now()).await;
        assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
        assert_eq!(connection.state(), State::Closed);
        assert_eq!(exchange.await.unwrap_err().kind(), ErrorKind::Closed);
        seen(peer).await.assert_fin();
    });
}

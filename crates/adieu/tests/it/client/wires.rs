//! A network in memory: each connection has a server of its own, and the transports that are alive are counted. For a
//! paused clock.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::connect::{Connect, Connecting, Target};
use adieu::transport::{Peek, ResetArmed, Transport};
use adieu::{Client, ClientBuilder};
use adieu_testkit::memory::{MemoryEnd, pair};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::{Memory, beside, in_time};

/// A network in memory.
#[derive(Clone)]
pub(super) struct Net(Arc<Inside>);

struct Inside {
    plan: Box<dyn Fn(usize) -> Plan + Send + Sync>,
    accepted: UnboundedSender<MemoryEnd>,
    connects: AtomicUsize,
    alive: Mutex<Alive>,
    peeks: AtomicUsize,
}

#[derive(Default)]
struct Alive {
    now: usize,
    most: usize,
}

/// What becomes of a connect.
pub(super) struct Plan {
    pub(super) takes: Duration,
    pub(super) fails: Option<&'static str>,
}

/// The servers' ends, in the order in which they were connected to.
pub(super) struct Accepts(UnboundedReceiver<MemoryEnd>);

/// Connects take no time and do not fail.
pub(super) const AT_ONCE: Plan = Plan { takes: Duration::ZERO, fails: None };

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Net {
    /// A network whose servers are played by the test.
    pub(super) fn by_hand() -> (Self, Accepts) {
        Self::planned(|_| AT_ONCE)
    }

    /// The same; what becomes of the connect with this number (the first has number 0) is planned.
    pub(super) fn planned(plan: impl Fn(usize) -> Plan + Send + Sync + 'static) -> (Self, Accepts) {
        let (accepted, accepts) = unbounded_channel();
        let inside = Inside {
            plan: Box::new(plan),
            accepted,
            connects: AtomicUsize::new(0),
            alive: Mutex::default(),
            peeks: AtomicUsize::new(0),
        };
        (Self(Arc::new(inside)), Accepts(accepts))
    }

    /// A network of servers that answer everything.
    pub(super) fn polite() -> Self {
        let (net, mut accepts) = Self::by_hand();
        beside(async move {
            while let Some(end) = accepts.0.recv().await {
                beside(answer_all(end));
            }
        });
        net
    }

    /// A client of this network.
    pub(super) fn client(&self) -> ClientBuilder {
        Client::builder().connector(self.clone())
    }

    /// Connects that were begun.
    pub(super) fn connects(&self) -> usize {
        self.0.connects.load(Ordering::Relaxed)
    }

    /// Transports that the client has and that neither side has ended, as far as the client knows.
    pub(super) fn alive(&self) -> usize {
        self.0.alive.lock().unwrap().now
    }

    /// The most of them at any moment.
    pub(super) fn most(&self) -> usize {
        self.0.alive.lock().unwrap().most
    }

    /// How often the client looked at what had come.
    pub(super) fn peeks(&self) -> usize {
        self.0.peeks.load(Ordering::Relaxed)
    }
}

impl Accepts {
    /// The next connection.
    pub(super) async fn next(&mut self) -> MemoryEnd {
        in_time(self.0.recv()).await.unwrap()
    }

    /// The next connection, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<MemoryEnd> {
        self.0.try_recv().ok()
    }
}

/// Answers every request until the client ends, then ends.
pub(super) async fn answer_all(mut end: MemoryEnd) {
    while answer(&mut end, OK).await.is_ok() {}
}

/// Answers one request.
pub(super) async fn answer(end: &mut MemoryEnd, text: &str) -> io::Result<()> {
    end.read_head().await?;
    end.send(text).await
}

impl Connect for Net {
    fn connect(&self, _: &Target) -> Connecting {
        let net = self.0.clone();
        Box::pin(async move {
            let plan = (net.plan)(net.connects.fetch_add(1, Ordering::Relaxed));
            tokio::time::sleep(plan.takes).await;
            if let Some(why) = plan.fails {
                return Err(why.into());
            }
            let (ours, theirs) = pair();
            let carried = Carried::new(ours, net.clone());
            let _ = net.accepted.send(theirs);
            Ok(Box::new(carried) as Box<dyn Transport>)
        })
    }
}

/// The client's end, counted while it is alive.
struct Carried {
    io: Memory,
    net: Arc<Inside>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Alive,
    Ended,
}

impl Carried {
    fn new(end: MemoryEnd, net: Arc<Inside>) -> Self {
        let mut alive = net.alive.lock().unwrap();
        alive.now += 1;
        alive.most = alive.most.max(alive.now);
        drop(alive);
        Self { io: Memory(end), net, stage: Stage::Alive }
    }

    fn ended(&mut self) {
        if self.stage == Stage::Alive {
            self.stage = Stage::Ended;
            self.net.alive.lock().unwrap().now -= 1;
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.ended();
    }
}

impl Transport for Carried {
    fn arm_reset(&self) -> ResetArmed {
        self.io.arm_reset()
    }

    fn peek(&self) -> Peek {
        self.net.peeks.fetch_add(1, Ordering::Relaxed);
        Peek::Unknown
    }
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        match &read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
            Poll::Ready(_) => self.ended(),
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Carried {
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended();
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The whole text of a response, or why there is none.
pub(super) async fn text(
    response: impl Future<Output = Result<http::Response<adieu::Body>, adieu::Error>>,
) -> Result<String, adieu::Error> {
    adieu::ResponseExt::text(response.await?).await
}

/// Asks in a task of its own.
pub(super) fn ask(client: &Client, url: &str) -> tokio::task::JoinHandle<Result<String, adieu::Error>> {
    let asked = client.get(url).send();
    beside(text(asked))
}

/// Asks, and answers on a connection that is there or is opened for it; the number of its exchange.
pub(super) async fn exchange(client: &Client, url: &str) -> u64 {
    let response = in_time(client.get(url).send()).await.unwrap();
    let exchange = response.body().info().unwrap().exchange;
    assert_eq!(in_time(adieu::ResponseExt::text(response)).await.unwrap(), "ok");
    exchange
}

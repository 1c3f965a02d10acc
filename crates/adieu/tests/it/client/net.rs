//! A network in memory: what a client connects to, the test serves.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::connect::{Connect, Connecting, Target};
use adieu::transport::Transport;
use adieu::{Client, ClientBuilder};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::{Memory, beside, in_time, pass};

pub(super) const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Gives each connect a pair of ends in memory: one to the client, the other to the test.
#[derive(Clone)]
pub(super) struct Net {
    theirs: UnboundedSender<MemoryEnd>,
    pair: PairBuilder,
    delay: Duration,
    connects: Arc<AtomicUsize>,
}

/// Where the other ends arrive.
pub(super) struct Arrivals(UnboundedReceiver<MemoryEnd>);

impl Net {
    pub(super) fn new() -> (Self, Arrivals) {
        let (theirs, arrivals) = unbounded_channel();
        let (pair, connects) = (PairBuilder::new(), Arc::default());
        (Self { theirs, pair, delay: Duration::ZERO, connects }, Arrivals(arrivals))
    }

    /// How long a connect takes.
    pub(super) fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How many bytes fit before writes must wait.
    pub(super) fn buffer(mut self, bytes: usize) -> Self {
        self.pair = self.pair.buffer(bytes);
        self
    }

    /// How many connects there were.
    pub(super) fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    pub(super) fn client(&self, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        set(Client::builder().connector(self.clone())).build().unwrap()
    }
}

impl Connect for Net {
    fn connect(&self, _: &Target) -> Connecting {
        let (ours, theirs) = self.pair.clone().build();
        let net = self.clone();
        Box::pin(async move {
            net.connects.fetch_add(1, Ordering::SeqCst);
            pass(net.delay).await;
            // Whoever does not serve lets the other end go.
            let _ = net.theirs.send(theirs);
            Ok(Box::new(Memory(ours)) as Box<dyn Transport>)
        })
    }
}

impl Arrivals {
    /// The other end of the next connection.
    pub(super) async fn next(&mut self) -> MemoryEnd {
        in_time(self.0.recv()).await.unwrap()
    }

    /// Answers every request on every connection with this, for good.
    pub(super) fn serve(self, answer: impl AsRef<[u8]> + Clone + Send + Sync + 'static) {
        self.each(move |mut peer| {
            let answer = answer.clone();
            async move { while peer.read_head().await.is_ok() && peer.send(&answer).await.is_ok() {} }
        });
    }

    /// Serves every connection in this way.
    pub(super) fn each<F>(mut self, serve: impl Fn(MemoryEnd) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        beside(async move {
            while let Some(peer) = self.0.recv().await {
                beside(serve(peer));
            }
        });
    }
}

//! What a client sends again, and what not: over real sockets, for only a kernel can refuse what came too late.

mod hard_cases;
mod limits;
mod many;
mod never;
mod proof;
mod responses;
mod rules;
mod storm;

use std::time::Duration;

use adieu::{Body, Client, ClientBuilder, Error, ResponseExt};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};

/// A peer whose first connection ends when it is told to, after one answer; all others answer everything.
struct Ending {
    peer: Peer,
    gate: Gate,
    at_once: AtOnce,
}

/// Whether the end comes without waiting for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtOnce {
    Yes,
    No,
}

fn ok() -> Vec<u8> {
    response(200, "ok")
}

impl Ending {
    /// It closes the idle connection.
    fn closes_idle() -> Self {
        Self::by(AtOnce::Yes, |script| script.mark("ends").close())
    }

    /// It reads one request more, and closes without an answer.
    fn reads_and_closes() -> Self {
        Self::by(AtOnce::No, |script| script.read_request().or_end().close())
    }

    /// It ends its side, reads on, and closes at last.
    fn half_closes() -> Self {
        Self::by(AtOnce::Yes, |script| {
            script.fin().mark("ends").read_request().or_end().pause(ms(20)).close()
        })
    }

    fn by(at_once: AtOnce, end: impl FnOnce(Script) -> Script) -> Self {
        let gate = Gate::new();
        let first = end(Script::new().read_request().send(ok()).gate(&gate));
        let peer = Peer::builder().script(first).script(Script::new().answer_all(ok()).or_end().repeat());
        Self { peer: peer.tcp().unwrap(), gate, at_once }
    }

    /// A client that has one idle connection to it.
    async fn client(&self, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let client = set(Client::builder().no_proxies()).build().unwrap();
        assert_eq!(text(client.get(self.peer.url("/first"))).await.unwrap(), "ok");
        client
    }

    /// Ends the first connection: behind the back of the runtime, which has not heard of it when the next request is sent.
    fn end(&self) {
        self.gate.open();
        match self.at_once {
            // A close is over when its socket is.
            AtOnce::Yes => drop(self.peer.wait(0, Until::Mark("ends")).unwrap()),
            AtOnce::No => {}
        }
        std::thread::sleep(ms(5));
    }

    fn url(&self) -> String {
        self.peer.url("/second")
    }

    /// How many requests for `/second` came, on all connections.
    fn asked(&self) -> usize {
        let seen = (0..self.peer.connections()).filter_map(|connection| self.peer.seen(connection));
        seen.map(|seen| seen.requests().iter().filter(|request| request.target() == "/second").count()).sum()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn text(request: adieu::RequestBuilder) -> Result<String, Error> {
    in_time(request.send()).await?.text().await
}

/// How often it was sent again, and that it was answered then.
async fn replays(request: adieu::RequestBuilder) -> u32 {
    let response = in_time(request.send()).await.unwrap();
    let replays = response.info().unwrap().replays;
    assert_eq!(response.text().await.unwrap(), "ok");
    replays
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// A body that comes only once.
fn once(text: &'static str) -> Body {
    Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter([Ok::<_, Error>(
        http_body::Frame::data(adieu::Bytes::from(text)),
    )])))
}

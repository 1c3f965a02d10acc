//! What cannot work: one clear line each, the phase named, and the pool as good as before.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::connect::{Connect, Connecting, Resolve, Resolving, Target};
use adieu::{Blame, Body, Client, CloseMode, ErrorKind, ResponseExt};

use super::counting::{Counting, Manners};

use super::net::{Net, SMALL};
use crate::support::{beside, in_time, settle, watch_for_hangs};

/// The error of a GET; one line, and nothing is left of it.
async fn fails(client: &Client, url: &str) -> (ErrorKind, String) {
    let error = in_time(client.get(url).send()).await.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 250, "{text}");
    assert!(!format!("{error:?}").is_empty());
    let total = client.stats().total;
    assert_eq!((total.alive(), total.waiting), (0, 0), "{total}");
    (error.kind(), text)
}

fn client() -> Client {
    watch_for_hangs();
    Client::builder().no_proxies().build().unwrap()
}

#[tokio::test]
async fn uris_that_lead_nowhere() {
    let client = client();
    for (url, why) in [
        ("ftp://example.com/", "the scheme ftp is not known: http and https are"),
        ("unix:/tmp/socket", "invalid format"),
        ("/path", "/path has no scheme: give an absolute URI, as http://host/"),
        ("example.com", "example.com has no scheme: give an absolute URI, as http://host/"),
        ("user:secret@example.com", "example.com has no scheme: give an absolute URI, as http://host/"),
        ("http://", "invalid"),
        ("http:///path", "invalid"),
        ("http://exa mple.com/", "invalid uri character"),
        ("http://example.com:99999/", "99999 is no port"),
        ("http://example.com:0/", "port 0 cannot be connected to"),
        ("http://[::g]/", "[::g] is no IPv6 address"),
        ("", "empty string"),
    ] {
        let (kind, text) = fails(&client, url).await;
        assert_eq!(kind, ErrorKind::InvalidRequest, "{url}: {text}");
        assert!(text.starts_with("invalid request: ") && text.contains(why), "{url}: {text}");
        assert!(!text.contains("secret"), "{text}");
        let error = in_time(client.prewarm(url, 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        assert!(client.close_origin(url, CloseMode::now()).is_err(), "{url}");
    }
    assert_eq!(client.stats().total, Default::default());
}

/// A resolver that knows no name.
struct Ignorant;

impl Resolve for Ignorant {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(async { Err("nobody knows it".into()) })
    }
}

#[tokio::test]
async fn a_name_without_an_address() {
    watch_for_hangs();
    let client = Client::builder().no_proxies().resolver(Ignorant).build().unwrap();
    let error = fails(&client, "http://nowhere.example/").await;
    let text = "the host was not found: nowhere.example: nobody knows it";
    assert_eq!(error, (ErrorKind::Resolve, text.to_owned()));
}

#[tokio::test]
async fn a_port_at_which_nobody_listens() {
    let client = client();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (kind, text) = fails(&client, &format!("http://{address}/")).await;
    assert_eq!(kind, ErrorKind::Connect);
    assert!(text.starts_with("could not connect: ") && text.contains(&address.to_string()), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert_eq!(client.stats().total.not_opened, 1);
}

#[cfg(feature = "tls")]
mod tls {
    use adieu_testkit::peer::{Peer, Script};
    use adieu_testkit::tls::TlsServer;

    use super::*;
    use crate::tls::support::AUTHORITY;

    fn client() -> Client {
        watch_for_hangs();
        let builder = Client::builder().no_proxies();
        let roots = AUTHORITY.pem();
        builder.tls(|tls| tls.platform_roots(false).add_root_certificates(roots)).build().unwrap()
    }

    fn url(peer: &Peer) -> String {
        format!("https://localhost:{}/", peer.address().port())
    }

    #[tokio::test]
    async fn a_certificate_that_has_expired() {
        let identity = AUTHORITY.issue_expired(["localhost"]).unwrap();
        let peer = Peer::builder().tls(&TlsServer::new(identity)).script(Script::new()).tcp().unwrap();
        let (kind, text) = fails(&client(), &url(&peer)).await;
        assert_eq!(kind, ErrorKind::Certificate, "{text}");
        assert!(
            text.starts_with("the TLS handshake failed: the peer's certificate is not accepted: "),
            "{text}"
        );
        assert!(text.contains("expired"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_at_all() {
        let answer = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        let script = Script::new().send(answer).fin();
        let peer = Peer::builder().script(script).tcp().unwrap();
        let client = client();
        let (kind, text) = fails(&client, &url(&peer)).await;
        assert_eq!(kind, ErrorKind::Tls, "{text}");
        assert!(text.starts_with("the TLS handshake failed: "), "{text}");
        assert_eq!(client.stats().total.not_opened, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_sent_leave_their_connection_to_the_next() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.serve(SMALL);
    let client = net.client(|builder| builder);
    let url = "http://example.com/";
    for (request, why) in [
        (client.get(url).header("host", "a").header("host", "b"), "more than one Host header"),
        (client.post(url).header("transfer-encoding", "gzip").body("x"), "only `Transfer-Encoding: chunked`"),
        (client.post(url).header("content-length", "7").body("x"), "not the length of the body"),
        (client.post(url).header("content-length", "x").body("x"), "Content-Length is no number"),
        (client.get(url).version(http::Version::HTTP_2), "only HTTP/1.0 and HTTP/1.1"),
    ] {
        let error = in_time(request.send()).await.unwrap_err();
        let text = error.to_string();
        assert_eq!((error.kind(), error.blame()), (ErrorKind::InvalidRequest, Blame::Caller), "{text}");
        assert!(text.starts_with("invalid request: ") && text.contains(why), "{text}");
        assert!(error.facts().is_none(), "nothing was written");
    }
    let response = in_time(client.get(url).send()).await.unwrap();
    assert_eq!(response.info().unwrap().exchange, 1);
    assert_eq!(net.connects(), 1, "one connection for all of them");
    in_time(response.text()).await.unwrap();
    assert_eq!(client.stats().total.exchanges, 1);
}

#[tokio::test]
async fn a_client_that_is_closed() {
    let server = Counting::start(Manners::POLITE);
    let client = client();
    drop(client.close(CloseMode::graceful()));
    let text = "the client is closed".to_owned();
    assert_eq!(fails(&client, &server.url("/")).await, (ErrorKind::ClientClosed, text));
    assert_eq!(
        in_time(client.prewarm(server.url("/"), 1)).await.unwrap_err().kind(),
        ErrorKind::ClientClosed
    );
    assert_eq!(server.accepted(), 0);
}

/// A connector that panics every other time, in one of two places.
#[derive(Clone)]
struct Panics {
    net: Net,
    calls: Arc<AtomicUsize>,
}

impl Connect for Panics {
    fn connect(&self, target: &Target) -> Connecting {
        match self.calls.fetch_add(1, Ordering::SeqCst) % 4 {
            0 => panic!("on purpose, in connect"),
            2 => Box::pin(async { panic!("on purpose, in its future") }),
            _ => self.net.connect(target),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_fails_its_request_and_nothing_else() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.serve(SMALL);
    let connector = Panics { net, calls: Arc::default() };
    let client = Client::builder().connector(connector).max_connections(1).build().unwrap();
    for _ in 0..2 {
        let error = in_time(client.get("http://a/").send()).await.unwrap_err();
        assert_eq!(error.to_string(), "could not connect: the connector panicked");
        assert_eq!(client.stats().total.alive(), 0);
        let response = in_time(client.get("http://a/").close_afterwards().send()).await.unwrap();
        assert_eq!(in_time(response.text()).await.unwrap(), "ok");
        settle().await;
    }
    let total = client.stats().total;
    assert_eq!((total.opened, total.not_opened, total.exchanges), (2, 2, 2), "{total}");
}

/// A connector that never gets anywhere.
struct Stuck;

impl Connect for Stuck {
    fn connect(&self, _: &Target) -> Connecting {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_runtime_that_ends_while_connections_are_being_opened_on_it() {
    watch_for_hangs();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let client = Client::builder().connector(Stuck).build().unwrap();
    // Asked on a runtime that ends, awaited on one that goes on.
    let mut sending = Box::pin(client.get("http://a/").send());
    first.block_on(async {
        assert!(crate::support::poll_once(&mut sending).await.is_pending());
        settle().await;
    });
    assert_eq!(client.stats().total.opening, 1);
    drop(first);
    let error = second.block_on(async { tokio::time::timeout(Duration::from_secs(5), sending).await });
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "could not connect: the runtime on which it was being opened is gone");
    let total = client.stats().total;
    assert_eq!((total.opening, total.waiting, total.not_opened), (0, 0, 1), "{total}");
    // The client is as good as before, on another runtime.
    second.block_on(async {
        let sending = beside(client.get("http://a/").send());
        settle().await;
        assert_eq!(client.stats().total.opening, 1);
        let report = in_time(client.close(CloseMode::now())).await;
        assert_eq!((report.connections.len(), report.total.alive()), (1, 0), "{report}");
        assert_eq!(in_time(sending).await.unwrap().unwrap_err().kind(), ErrorKind::ClientClosed);
    });
}

#[test]
fn no_runtime_at_all() {
    let client = client();
    let mut sending =
        std::pin::pin!(client.request(http::Request::get("http://a/").body(Body::empty()).unwrap()));
    let waker = std::task::Waker::noop();
    match sending.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(Err(error)) => {
            assert_eq!(error.to_string(), "no tokio runtime here: call it from within one");
        }
        other => panic!("{other:?}"),
    }
}

/// However many wait for the one connection that a runtime opened: each fails, none on the shoulders of the one before.
#[test]
fn a_runtime_that_ends_while_many_wait_for_its_one_connection() {
    watch_for_hangs();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let client = Client::builder().connector(Stuck).max_connections(1).build().unwrap();
    let mut waiting: Vec<_> = (0..5_000).map(|_| Box::pin(client.get("http://a/").send())).collect();
    first.block_on(async {
        for sending in &mut waiting {
            assert!(crate::support::poll_once(sending).await.is_pending());
        }
        settle().await;
    });
    assert_eq!(client.stats().total.waiting, 5_000);
    drop(first);
    for sending in waiting {
        assert_eq!(second.block_on(sending).unwrap_err().kind(), ErrorKind::Connect);
    }
    let total = client.stats().total;
    assert_eq!((total.alive(), total.waiting, total.not_opened), (0, 0, 5_000), "{total}");
}

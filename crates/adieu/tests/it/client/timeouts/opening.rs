//! The waits before there is a connection: name, address, proxy, TLS.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use adieu::connect::{Proxies, Proxy, Resolve, Resolving};
use adieu::{Blame, Client, ClientBuilder, CloseReason, Error, Phase, Timeouts};
use socket2::{Domain, Socket, Type};

use super::{Gone, assert_after, assert_timed_out, secs, unlimited};
use crate::support::{clock, in_time, watch_for_hangs};

/// A resolver that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(std::future::pending())
    }
}

/// A port whose kernel answers no SYN: its queue is full.
struct Dead {
    address: SocketAddr,
    _queue: (Socket, TcpStream),
}

impl Dead {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        // Linux takes one more than it was told.
        let filling = TcpStream::connect(address).unwrap();
        Self { address, _queue: (socket, filling) }
    }
}

/// A port whose kernel takes the connection, and behind which nobody says anything.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The error of a request to `url`, after how long it came, and what was said of its connection.
async fn fails(
    set: impl FnOnce(ClientBuilder) -> ClientBuilder,
    url: &str,
) -> (Error, Duration, CloseReason) {
    watch_for_hangs();
    let gone = Gone::default();
    let client = gone.watch(set(Client::builder().no_proxies())).build().unwrap();
    let began = clock();
    let error = in_time(client.get(url).send()).await.unwrap_err();
    let took = clock().duration_since(began);
    let stats = client.stats().total;
    assert_eq!((stats.opening, stats.not_opened, stats.opened, stats.waiting), (0, 1, 0, 0), "{stats}");
    assert!(client.connections().is_empty());
    (error, took, in_time(gone.next()).await.reason)
}

#[tokio::test(start_paused = true)]
async fn resolve() {
    for (timeouts, limit) in [(Timeouts::new(), 15), (unlimited().resolve(secs(3)), 3)] {
        let set = |builder: ClientBuilder| builder.resolver(Silent).timeouts(timeouts);
        let (error, took, reason) = fails(set, "http://example.com/").await;
        assert_timed_out(&error, Phase::Resolve);
        assert!(took.abs_diff(secs(limit)) < Duration::from_millis(5), "{took:?}");
        assert!(error.to_string().contains(&format!("example.com: no answer within {limit}s")), "{error}");
        assert_eq!((error.blame(), reason), (Blame::Network, CloseReason::TimedOut(Phase::Resolve)));
    }
}

#[tokio::test(start_paused = true)]
async fn resolve_of_a_proxy() {
    let proxies = Proxies::new().all(Proxy::parse("http://proxy.example:80").unwrap());
    let set = |builder: ClientBuilder| builder.resolver(Silent).proxies(proxies);
    let (error, took, _) = fails(set, "http://example.com/").await;
    assert_timed_out(&error, Phase::Resolve);
    assert!(error.to_string().contains("proxy.example") && took >= secs(15), "{error} after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn connect() {
    for (timeouts, limit) in [(Timeouts::new(), 10), (unlimited().connect(secs(3)), 3)] {
        let dead = Dead::new();
        let set = |builder: ClientBuilder| builder.timeouts(timeouts);
        let (error, took, reason) = fails(set, &format!("http://{}/", dead.address)).await;
        assert_timed_out(&error, Phase::Connect);
        assert!(took.abs_diff(secs(limit)) < Duration::from_millis(5), "{took:?}");
        assert!(error.to_string().contains(&dead.address.to_string()), "{error}");
        assert_eq!((error.blame(), reason), (Blame::Network, CloseReason::TimedOut(Phase::Connect)));
    }
}

#[tokio::test(start_paused = true)]
async fn proxy() {
    for scheme in ["http", "socks5"] {
        let listener = silent();
        let proxy = Proxy::parse(&format!("{scheme}://{}", listener.local_addr().unwrap())).unwrap();
        let set = |builder: ClientBuilder| {
            let builder = builder.proxies(Proxies::new().all(proxy)).resolver(Silent);
            builder.timeouts(Timeouts::new().proxy(secs(7)))
        };
        let (error, took, reason) = fails(set, "https://192.0.2.1/").await;
        assert_timed_out(&error, Phase::ProxyHandshake);
        assert!(took >= secs(7) && took < secs(20), "{took:?}");
        assert!(error.to_string().contains("gave no answer within 7s"), "{error}");
        assert_eq!((error.blame(), reason), (Blame::Peer, CloseReason::TimedOut(Phase::ProxyHandshake)));
    }
}

#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn tls() {
    let listener = silent();
    let set = |builder: ClientBuilder| {
        let builder = builder
            .tls(|tls| tls.platform_roots(false).add_root_certificates(crate::tls::support::AUTHORITY.pem()));
        builder.timeouts(Timeouts::new().tls(secs(7)))
    };
    let (error, took, reason) = fails(set, &format!("https://{}/", listener.local_addr().unwrap())).await;
    assert_timed_out(&error, Phase::TlsHandshake);
    assert!(took >= secs(7) && took < secs(20), "{took:?}");
    assert_eq!((error.blame(), reason), (Blame::Peer, CloseReason::TimedOut(Phase::TlsHandshake)));
}

#[tokio::test(start_paused = true)]
async fn what_is_being_opened_outlives_the_wait_for_the_pool_but_not_the_whole() {
    watch_for_hangs();
    let timeouts = unlimited().pool(secs(5)).exchange(secs(20));
    let client = Client::builder().no_proxies().resolver(Silent).timeouts(timeouts).build().unwrap();
    let began = clock();
    let error = in_time(client.get("http://example.com/").send()).await.unwrap_err();
    assert_timed_out(&error, Phase::Exchange);
    assert_after(began, secs(20));
    assert_eq!(error.blame(), Blame::Policy);
}

//! From names to addresses: who is asked, what is known beforehand, what goes wrong.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::connect::{Connector, Family, Overrides, Resolve, Resolving, SystemResolver};
use adieu::{BoxError, ErrorKind, Phase};
use adieu_testkit::peer::{Peer, Script};

use super::{Boxed, behind, closed_port, kind_and_text, open, refused};

/// A resolver that says this, and counts how often it is asked.
#[derive(Clone)]
struct Says(Arc<Answer>, Arc<AtomicUsize>);

type Answer = dyn Fn(&str) -> Boxed<Result<Vec<IpAddr>, BoxError>> + Send + Sync;

impl Says {
    fn new(answer: impl Fn(&str) -> Result<Vec<IpAddr>, BoxError> + Send + Sync + 'static) -> Self {
        Self(
            Arc::new(move |host| {
                let answer = answer(host);
                Box::pin(async { answer })
            }),
            Arc::default(),
        )
    }

    fn nothing() -> Self {
        Self(Arc::new(|_| Box::pin(std::future::pending())), Arc::default())
    }

    fn asked(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Resolve for Says {
    fn resolve(&self, host: &str) -> Resolving {
        self.1.fetch_add(1, Ordering::Relaxed);
        (self.0)(host)
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_name_is_resolved_in_lower_case() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let says = Says::new(|host| {
        assert_eq!(host, "example.com");
        Ok(vec![HERE])
    });
    let connector = Connector::builder().resolver(says.clone()).build();
    let uri = format!("http://EXAMPLE.com:{}/", peer.address().port());
    drop(open(&connector, &uri).await.unwrap());
    assert_eq!(says.asked(), 1);
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn addresses_and_localhost_are_not_asked_for() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let says = Says::new(|_| unreachable!());
    let connector = Connector::builder().resolver(says).build();
    for host in ["127.0.0.1", "localhost", "localhost.", "deep.below.localhost"] {
        drop(open(&connector, &format!("http://{host}:{}/", peer.address().port())).await.unwrap());
    }
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn overrides_go_before_the_resolver_and_ports_before_hosts() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let (at, port) = (peer.address(), peer.address().port());
    let says = Says::new(|_| Ok(vec![HERE]));
    let overrides = Overrides::new()
        .host("any.example", [HERE])
        .host("PORT.example.", [closed_port()])
        .host_port("port.example", 81, [at])
        .host_port("*", 82, [at]);
    let connector = Connector::builder().resolver(says.clone()).overrides(overrides).build();
    for uri in [
        format!("http://any.example:{port}/"),
        "http://port.example:81/".to_owned(),
        "http://whatever.example:82/".to_owned(),
    ] {
        drop(open(&connector, &uri).await.unwrap());
    }
    assert_eq!(says.asked(), 0);
    assert_eq!(refused(&connector, "http://port.example/").await.kind(), ErrorKind::Connect);
    drop(open(&connector, &format!("http://other.example:{port}/")).await.unwrap());
    assert_eq!(says.asked(), 1);
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_not_found_says_which_and_why() {
    let connector = Connector::builder().resolver(Says::new(|_| Err("no such name".into()))).build();
    let error = refused(&connector, "http://missing.example/").await;
    let expected = "the host was not found: missing.example: no such name".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Resolve, expected));

    let connector = Connector::builder().resolver(Says::new(|_| Ok(Vec::new()))).build();
    let error = refused(&connector, "http://empty.example/").await;
    let expected = "the host was not found: empty.example has no address".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Resolve, expected));
}

#[tokio::test]
async fn one_family_keeps_the_other_out() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let port = peer.address().port();
    let connector = Connector::builder().family(Family::V4).build();
    drop(open(&connector, &format!("http://localhost:{port}/")).await.unwrap());
    let error = refused(&connector, &format!("http://[::1]:{port}/")).await;
    let expected = "the host was not found: ::1 has no IPv4 address".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Resolve, expected));
    let connector = Connector::builder().family(Family::V6).resolver(Says::new(|_| Ok(vec![HERE]))).build();
    let error = refused(&connector, "http://four.example/").await;
    assert_eq!(error.to_string(), "the host was not found: four.example has no IPv6 address");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_is_not_found_is_an_error_of_its_own() {
    let says = Says::new(|_| Err("no such name".into()));
    let proxies = adieu::connect::Proxies::new();
    let proxies = proxies.all("http://user:secret@proxy.example:3128".parse().unwrap());
    let connector = Connector::builder().resolver(says).proxies(proxies).build();
    let error = refused(&connector, "http://example.com/").await;
    let expected = "the proxy was not found: proxy.example: no such name".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::ProxyResolve, expected));
}

#[tokio::test]
async fn a_target_of_socks5_that_is_not_found_is_no_fault_of_the_proxy() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let builder = behind("socks5", "", &peer).resolver(Says::new(|_| Err("no such name".into())));
    assert_eq!(refused(&builder.build(), "http://missing.example/").await.kind(), ErrorKind::Resolve);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_says_nothing_is_given_15_seconds() {
    let began = crate::support::clock();
    let connector = Connector::builder().resolver(Says::nothing()).build();
    let error = refused(&connector, "http://slow.example/").await;
    assert_eq!(began.elapsed(), Duration::from_secs(15));
    let expected = "timed out: resolving the name: slow.example: no answer within 15s".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::Resolve), expected));
}

#[tokio::test]
async fn the_system_knows_its_own_address() {
    assert!(SystemResolver.resolve("127.0.0.1").await.unwrap().contains(&HERE));
}

#[cfg(feature = "hickory")]
mod hickory {
    use std::net::SocketAddr;

    use adieu::connect::HickoryResolver;
    use tokio::net::UdpSocket;

    use super::*;

    /// Answers questions for A with 127.0.0.1 under one name, and that nothing is known under any other (RFC 1035).
    async fn name_server(known: &'static [u8]) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        crate::support::beside(async move {
            let mut question = [0; 512];
            loop {
                let (bytes, from) = socket.recv_from(&mut question).await.unwrap();
                // The header, then the name: labels up to an empty one, then type and class.
                let end = 12 + question[12..bytes].iter().position(|byte| *byte == 0).unwrap() + 5;
                let is_known = &question[12..end - 5] == known;
                let is_a = question[end - 4..end - 2] == [0, 1];
                let mut answer = question[..end].to_vec();
                answer[2] = 0x81;
                answer[3] = if is_known { 0x80 } else { 0x83 };
                answer[6..12].copy_from_slice(&[0, u8::from(is_known && is_a), 0, 0, 0, 0]);
                if is_known && is_a {
                    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn hickory_asks_the_servers_that_it_is_given() {
        let server = name_server(b"\x07example\x04test").await;
        let resolver = HickoryResolver::with_servers([server]).unwrap();
        assert_eq!(resolver.resolve("example.test").await.unwrap(), [HERE]);
        let connector = Connector::builder().resolver(resolver).build();
        assert_eq!(refused(&connector, "http://other.test/").await.kind(), ErrorKind::Resolve);
    }
}

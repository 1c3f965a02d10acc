//! Happy Eyeballs (RFC 8305) over real sockets. Their order and pace on a virtual clock: `connect/dial/tests.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use adieu::connect::{Connector, ConnectorBuilder, Overrides, Resolve, Resolving};
use adieu::{ErrorKind, Phase};
use adieu_testkit::peer::{Peer, Script};

use super::{Dead, closed_port, kind_and_text, open, refused};
use crate::props::{now, pause};

const URI: &str = "http://several.example/";

/// Under one name, these.
fn to(addresses: impl IntoIterator<Item = SocketAddr>) -> ConnectorBuilder {
    Connector::builder().overrides(Overrides::new().host("several.example", addresses))
}

/// Always these.
struct Fixed(Vec<IpAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _: &str) -> Resolving {
        let found = self.0.clone();
        Box::pin(async { Ok(found) })
    }
}

#[tokio::test]
async fn a_dead_address_and_a_live_one_connect_within_300_ms() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let (dead, port) = (Ipv4Addr::new(127, 0, 0, 2), peer.address().port());
    let _dead = Dead::at(SocketAddr::new(dead.into(), port));
    let connector = Connector::builder().resolver(Fixed(vec![dead.into(), peer.address().ip()])).build();
    let mut times = Vec::new();
    // A busy machine may be late; it is not late always.
    for _ in 0..4 {
        let began = now();
        drop(open(&connector, &format!("http://one.example:{port}/")).await.unwrap());
        times.push(began.elapsed());
    }
    assert!(times.iter().all(|time| *time >= Duration::from_millis(250)), "{times:?}");
    assert!(times.iter().any(|time| *time < Duration::from_millis(300)), "{times:?}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn an_address_that_refuses_costs_no_wait() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let began = now();
    let connector = to([closed_port(), closed_port(), peer.address()]).head_start(Duration::from_secs(5));
    drop(open(&connector.build(), URI).await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(2));
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn ten_dead_addresses_end_in_one_error_that_lists_them() {
    let dead: Vec<_> = (0..10).map(|_| Dead::new()).collect();
    let limit = Duration::from_millis(600);
    let connector = to(dead.iter().map(|dead| dead.address)).head_start(Duration::from_millis(20));
    let began = now();
    let error = refused(&connector.connect_timeout(Some(limit)).build(), URI).await;
    assert!((limit..limit * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
    let each: Vec<_> = dead.iter().map(|dead| format!("{}: no answer", dead.address)).collect();
    let expected = format!("timed out: connecting: {}", each.join("; "));
    assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::Connect), expected));
}

#[tokio::test]
async fn a_limit_that_runs_out_tells_what_each_address_did() {
    let (closed, dead, never) = (closed_port(), Dead::new(), Dead::new());
    let connector = to([closed, dead.address, never.address]);
    let limit = Some(Duration::from_millis(100));
    let error = refused(&connector.connect_timeout(limit).build(), URI).await;
    let (dead, never) = (dead.address, never.address);
    let expected =
        format!("timed out: connecting: {closed}: connection refused; {dead}: no answer; {never}: not tried");
    assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::Connect), expected));
}

#[tokio::test]
async fn addresses_that_all_refuse_are_one_error() {
    let (one, two) = (closed_port(), closed_port());
    let error = refused(&to([one, two]).build(), URI).await;
    let expected = format!("could not connect: {one}: connection refused; {two}: connection refused");
    assert_eq!(kind_and_text(&error), (ErrorKind::Connect, expected));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
}

/// Hard case 43. A loser whose SYN was not answered would be let in by a later one, were its socket still there.
#[tokio::test]
async fn happy_eyeballs_losers_are_closed() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let mut dead = [Dead::new(), Dead::new(), Dead::new()];
    let connector = to(dead.iter().map(|dead| dead.address).chain([peer.address()]));
    let connector = connector.head_start(Duration::from_millis(20)).build();
    let transport = open(&connector, URI).await.unwrap();
    assert_nobody_knocks(&mut dead).await;
    drop(transport);
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn nothing_is_left_of_a_connect_that_is_dropped() {
    let mut dead = [Dead::new(), Dead::new()];
    let connector = to(dead.iter().map(|dead| dead.address)).head_start(Duration::from_millis(20)).build();
    let opening = tokio::time::timeout(Duration::from_millis(100), open(&connector, URI));
    assert!(opening.await.is_err());
    assert_nobody_knocks(&mut dead).await;
}

/// A SYN is sent again after one second: nobody does.
async fn assert_nobody_knocks(dead: &mut [Dead]) {
    let listeners: Vec<_> = dead.iter_mut().map(|dead| dead.revive()).collect();
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        for listener in &listeners {
            let accepted = listener.accept().map(|(_, from)| from);
            assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        pause(20).await;
    }
}

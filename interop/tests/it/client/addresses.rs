//! Names and addresses: Happy Eyeballs, and a name that moves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use adieu::connect::{Resolve, Resolving};
use adieu::observe::{Happening, Told};
use adieu::{Client, CloseReason};
use interop::NginxConfig;

use super::{ask, hello, next_gone};
use crate::nginx::nginx;
use crate::support::{play, story};

/// `::1` comes first and refuses; nginx listens on 127.0.0.1 alone.
#[test]
fn localhost_is_reached_where_it_is() {
    play(async || {
        let nginx = nginx!(NginxConfig::new());
        let client = Client::builder().no_proxies().build().unwrap();
        let mut events = client.events();
        let port = nginx.address().port();
        hello(&client, &format!("http://localhost:{port}/hello")).await;
        let mut told = Vec::new();
        while let Some(Told::Event(event)) = events.try_next() {
            match event.what {
                Happening::ConnectFailed { address, .. } => told.push(("failed", address)),
                Happening::Connected { address, .. } => told.push(("connected", address)),
                _ => {}
            }
        }
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert_eq!(told, [("failed", six), ("connected", nginx.address())]);
        assert_eq!(client.connections()[0].peer, Some(adieu::Address::Ip(nginx.address())));
        nginx.logged("GET /hello 200, done: OK, connection 1, request 1").await;
    });
}

/// A name that is at 127.0.0.1, until it moves to 127.0.0.2.
#[derive(Clone)]
struct Moving(Arc<AtomicU8>);

impl Resolve for Moving {
    fn resolve(&self, _: &str) -> Resolving {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, self.0.load(Ordering::Relaxed)));
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[test]
fn a_name_that_moves_takes_its_connections_along() {
    play(async || {
        let both = "listen 127.0.0.2:{port}; location /where { return 200 $server_addr; }";
        let nginx = nginx!(NginxConfig::new().server(both));
        let name = Moving(Arc::new(AtomicU8::new(1)));
        let client = Client::builder()
            .no_proxies()
            .resolver(name.clone())
            .refresh_names(Duration::from_millis(50))
            .build()
            .unwrap();
        let mut events = client.events();
        let url = format!("http://moving.example:{}/where", nginx.address().port());
        for _ in 0..3 {
            assert_eq!(ask(&client, &url).await, (200, "127.0.0.1".to_owned()));
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(client.stats().total.opened, 1, "it has not moved yet");
        name.0.store(2, Ordering::Relaxed);
        while ask(&client, &url).await.1 != "127.0.0.2" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let report = next_gone(&mut events).await;
        let before = SocketAddr::from((Ipv4Addr::LOCALHOST, nginx.address().port()));
        assert_eq!(report.peer, Some(adieu::Address::Ip(before)));
        assert_eq!(report.reason, CloseReason::Policy("its address left the name"));
        assert!(story(&report).contains("clean; sent FIN, received FIN") && report.failed == 0, "{report}");
        assert_eq!((client.stats().total.failed, client.connections().len()), (0, 1));
    });
}

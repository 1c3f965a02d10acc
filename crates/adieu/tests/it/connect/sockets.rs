//! What is set on sockets, and Unix sockets. What is seen on the socket itself: `connect/options.rs`.

use std::net::{IpAddr, Ipv6Addr};

use adieu::connect::{Connector, TcpOptions};
use adieu::{Address, ErrorKind};
use adieu_testkit::peer::{Peer, Script};

use super::{kind_and_text, open, refused};

#[tokio::test]
#[cfg(not(any(target_os = "linux", target_os = "android")))]
async fn an_option_that_the_platform_lacks_is_an_error() {
    let options = TcpOptions::new().user_timeout(Some(std::time::Duration::from_secs(1)));
    let connector = Connector::builder().tcp(options).build();
    let error = refused(&connector, "http://127.0.0.1:9/").await;
    assert!(error.to_string().contains("TCP_USER_TIMEOUT is not known on this platform"), "{error}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_interface_is_the_one_that_was_named() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let connector = Connector::builder().tcp(TcpOptions::new().interface("no-such-interface")).build();
    let error = refused(&connector, &peer.url("/")).await;
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("the interface no-such-interface"), "{error}");
    let connector = Connector::builder().tcp(TcpOptions::new().interface("lo")).build();
    match open(&connector, &peer.url("/")).await {
        Ok(transport) => drop(transport),
        // Where that takes a privilege, it is said.
        Err(error) => assert!(error.to_string().contains("the interface lo: "), "{error}"),
    }
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn a_local_address_keeps_the_other_family_out() {
    let options = TcpOptions::new().local_address(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let connector = Connector::builder().tcp(options).build();
    let error = refused(&connector, "http://127.0.0.1:9/").await;
    let expected =
        "could not connect: 127.0.0.1:9: the local address that was chosen is of the other family".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Connect, expected));
}

#[cfg(unix)]
mod unix {
    use super::*;

    #[tokio::test]
    async fn every_target_is_reached_over_the_unix_socket() {
        let peer = Peer::unix(Script::new().repeat()).unwrap();
        let path = peer.path().unwrap().to_owned();
        let connector = Connector::builder().unix_socket(&path).build();
        for uri in ["http://example.com/", "http://127.0.0.1:1/", "http://missing.example:8080/"] {
            let transport = open(&connector, uri).await.unwrap();
            assert_eq!(transport.peer_address(), Some(Address::Unix(Some(path.clone()))));
        }
        assert_eq!(peer.finish_async().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_unix_socket_that_is_not_there_is_named() {
        let connector = Connector::builder().unix_socket("/nonexistent/socket").build();
        let error = refused(&connector, "http://example.com/").await;
        let expected = "could not connect: /nonexistent/socket: not found".to_owned();
        assert_eq!(kind_and_text(&error), (ErrorKind::Connect, expected));
    }
}

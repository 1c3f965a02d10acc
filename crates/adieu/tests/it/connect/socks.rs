//! SOCKS5 (RFC 1928, RFC 1929).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use adieu::connect::{Connector, Overrides};
use adieu::{Address, ErrorKind, Phase};
use adieu_testkit::peer::{Peer, Script, Until};

use super::{behind, kind_and_text, open, peer, read, refused, write};

/// "Without a login", as it is chosen.
const FREE: &[u8] = &[5, 0];
/// "Connected", from 127.0.0.1:80.
const DONE: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
const URI: &str = "http://example.com/";

/// A proxy that lets anybody in, takes a request of so many bytes and answers.
fn answers(request: u64, answer: impl Into<Vec<u8>>) -> Script {
    Script::new().read_exactly(3).send(FREE).read_exactly(request).send(answer)
}

/// A request for a name (RFC 1928 section 4).
fn for_name(name: &str, port: u16) -> Vec<u8> {
    let mut request = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
    request.extend_from_slice(name.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    request
}

#[tokio::test]
async fn names_are_the_proxys_to_resolve_with_socks5h() {
    let request = for_name("example.com", 80);
    let peer = peer([answers(request.len() as u64, DONE).send("hello").read_exactly(3)]);
    let mut io = open(&behind("socks5h", "", &peer).build(), URI).await.unwrap();
    assert_eq!(io.peer_address(), Some(Address::Ip(peer.address())));
    assert_eq!(read(&mut io, 5).await, b"hello");
    write(&mut io, b"bye").await;
    drop(io);
    let seen = peer.finish_async().await.unwrap();
    seen[0].assert_received([&[5, 1, 0], &request[..], b"bye"].concat());
}

#[tokio::test]
async fn names_are_resolved_here_with_socks5() {
    let peer = peer([answers(10, DONE), answers(22, DONE)]);
    let overrides = Overrides::new()
        .host("four.example", [Ipv4Addr::new(10, 1, 2, 3)])
        .host("six.example", [Ipv6Addr::LOCALHOST]);
    let connector = behind("socks5", "", &peer).overrides(overrides).build();
    for uri in ["http://four.example:8080/", "http://six.example/"] {
        drop(open(&connector, uri).await.unwrap());
    }
    let seen = peer.finish_async().await.unwrap();
    seen[0].assert_received([5, 1, 0, 5, 1, 0, 1, 10, 1, 2, 3, 0x1f, 0x90]);
    let mut six = vec![5, 1, 0, 5, 1, 0, 4];
    six.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
    six.extend_from_slice(&[0, 80]);
    seen[1].assert_received(six);
}

#[tokio::test]
async fn addresses_go_as_addresses() {
    let peer = peer([answers(10, DONE), answers(22, DONE)]);
    let connector = behind("socks5h", "", &peer).build();
    for uri in ["http://10.1.2.3/", "http://[::1]/"] {
        drop(open(&connector, uri).await.unwrap());
    }
    let seen = peer.finish_async().await.unwrap();
    assert_eq!(seen[0].received()[6], 1);
    assert_eq!(seen[1].received()[6], 4);
}

#[tokio::test]
async fn every_kind_of_bound_address_is_read_to_its_end() {
    let mut six = vec![5, 0, 0, 4];
    six.extend_from_slice(&[0xee; 18]);
    let mut name = vec![5, 0, 0, 3, 255];
    name.extend_from_slice(&[b'n'; 257]);
    let empty = vec![5, 0, 0, 3, 0, 0, 0];
    let replies = [DONE.to_vec(), six, name, empty];
    let peer = peer(replies.map(|reply| answers(18, [&reply[..], b"!origin"].concat())));
    let connector = behind("socks5h", "", &peer).build();
    for _ in 0..4 {
        let mut io = open(&connector, URI).await.unwrap();
        assert_eq!(read(&mut io, 7).await, b"!origin");
    }
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn credentials_are_shown_where_they_are_asked_for() {
    let login = Script::new().read_exactly(4).send([5, 2]).read_exactly(12);
    let right = login.clone().send([1, 0]).read_exactly(18).send(DONE);
    let wrong = login.send([1, 1]);
    let free = Script::new().read_exactly(4).send(FREE).read_exactly(18).send(DONE);
    let peer = peer([right, free, wrong]);
    let connector = behind("socks5h", "user:p%40ss%3A@", &peer).build();
    drop(open(&connector, URI).await.unwrap());
    drop(open(&connector, URI).await.unwrap());
    let error = refused(&connector, URI).await;
    let expected = format!("the proxy refused: socks5h://{} refused the credentials", peer.address());
    assert_eq!(kind_and_text(&error), (ErrorKind::Proxy, expected));
    let seen = peer.finish_async().await.unwrap();
    assert_eq!(&seen[0].received()[..16], b"\x05\x02\x00\x02\x01\x04user\x05p@ss:");
}

/// Has a proxy do this before it was asked for anything.
async fn greeted_with(login: &str, offer: u64, greeting: &[u8]) -> String {
    let script = Script::new().read_exactly(offer).send(greeting).fin().or_end();
    let peer = Peer::tcp(script).unwrap();
    let error = refused(&behind("socks5h", login, &peer).build(), URI).await;
    assert_eq!(error.kind(), ErrorKind::Proxy);
    let before = format!("the proxy refused: socks5h://{} ", peer.address());
    peer.finish_async().await.unwrap();
    error.to_string().strip_prefix(&before).unwrap().to_owned()
}

#[tokio::test]
async fn greetings_that_lead_nowhere_are_told() {
    for (login, offer, greeting, told) in [
        ("", 3, &[5, 255][..], "wants credentials"),
        ("u:p@", 4, &[5, 255], "takes neither a password nor going without"),
        ("", 3, &[5, 2], "chose the login method 2, which was not offered"),
        ("u:p@", 4, &[5, 1], "chose the login method 1, which was not offered"),
        ("", 3, b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS5: it may be an HTTP proxy"),
        ("", 3, &[0, 91], "does not speak SOCKS5: it may speak SOCKS4"),
        ("", 3, &[99, 0], "does not speak SOCKS5: its answer begins with the byte 0x63"),
        ("", 3, &[5], "ended the connection before it had answered"),
        ("", 3, &[], "ended the connection before it had answered"),
    ] {
        assert_eq!(greeted_with(login, offer, greeting).await, told);
    }
}

#[tokio::test]
async fn every_reply_code_has_its_words() {
    let words = [
        (1, "could not connect: general SOCKS server failure"),
        (2, "could not connect: connection not allowed by ruleset"),
        (3, "could not connect: network unreachable"),
        (4, "could not connect: host unreachable"),
        (5, "could not connect: connection refused"),
        (6, "could not connect: TTL expired"),
        (7, "could not connect: command not supported"),
        (8, "could not connect: address type not supported"),
        (200, "could not connect, with the unknown code 200"),
    ];
    let peer = peer(words.map(|(code, _)| answers(18, [5, code, 0, 1])));
    let connector = behind("socks5h", "", &peer).build();
    for (_, words) in words {
        let error = refused(&connector, URI).await;
        let expected = format!("the proxy refused: socks5h://{} {words}", peer.address());
        assert_eq!(kind_and_text(&error), (ErrorKind::Proxy, expected));
    }
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn garbage_for_a_reply_is_told() {
    let garbage = [
        (&[4, 0, 0, 1][..], "it may speak SOCKS4"),
        (&[5, 0, 0, 9], "answered with the unknown address type 9"),
    ];
    let peer = peer(garbage.map(|(bytes, _)| answers(18, bytes)));
    let connector = behind("socks5h", "", &peer).build();
    for (_, told) in garbage {
        let error = refused(&connector, URI).await;
        assert!(error.kind() == ErrorKind::Proxy && error.to_string().ends_with(told), "{error}");
    }
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_not_sent() {
    let peer = peer([Script::new().read_exactly(4).send([5, 2]), Script::new()]);
    let long = "x".repeat(256);
    let connector = behind("socks5h", &format!("{long}:p@"), &peer).build();
    let error = refused(&connector, URI).await.to_string();
    assert!(error.ends_with("cannot be shown a user name of more than 255 bytes"), "{error}");
    let connector = behind("socks5h", "", &peer).build();
    let error = refused(&connector, &format!("http://{long}/")).await.to_string();
    assert!(error.ends_with("cannot be given a name of more than 255 bytes"), "{error}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn a_silent_proxy_is_given_up_and_sees_the_end() {
    for script in [Script::new().read_exactly(3), answers(18, &DONE[..9])] {
        let peer = Peer::tcp(script.read_to_end()).unwrap();
        let connector = behind("socks5h", "", &peer).proxy_timeout(Some(Duration::from_millis(80))).build();
        let error = refused(&connector, URI).await;
        let address = peer.address();
        let expected =
            format!("timed out: the proxy's handshake: socks5h://{address} gave no answer within 80ms");
        assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::ProxyHandshake), expected));
        peer.wait_async(0, Until::End).await.unwrap();
        peer.finish_async().await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_resets_is_told() {
    let peer = Peer::tcp(Script::new().read_exactly(3).reset()).unwrap();
    let error = refused(&behind("socks5h", "", &peer).build(), URI).await;
    assert!(error.to_string().ends_with("reset the connection"), "{error}");
    peer.finish_async().await.unwrap();
}

#[tokio::test]
async fn no_proxy_and_no_answer_from_the_proxy_differ() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let proxies = adieu::connect::Proxies::new();
    let proxies = proxies.all("socks5h://127.0.0.1:1".parse().unwrap()).no_proxy("127.0.0.0/8");
    let connector = Connector::builder().proxies(proxies).build();
    drop(open(&connector, &peer.url("/")).await.unwrap());
    assert_eq!(peer.address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let error = refused(&connector, URI).await;
    assert_eq!(error.to_string(), "could not connect: 127.0.0.1:1: connection refused");
    peer.finish_async().await.unwrap();
}

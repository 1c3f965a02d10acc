//! CONNECT, and what SOCKS and CONNECT have in common.

use std::time::Duration;

use adieu::{ErrorKind, Layer, Phase};
use adieu_testkit::peer::{Peer, Script, Until};

use super::{behind, kind_and_text, open, peer, read, refused, write};
use crate::props::side_by_side;

/// As a `Connect` the connector tunnels for plain targets too.
const URI: &str = "http://example.com/";
const DONE: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn a_tunnel_is_asked_for_by_authority() {
    let peer = peer([
        Script::new().read_head().send(DONE).send("hello").read_exactly(3),
        Script::new().read_head().send("HTTP/1.0 299 \r\nContent-Length: 5\r\n\r\n"),
    ]);
    let connector = behind("http", "user:secret@", &peer).build();
    let mut io = open(&connector, URI).await.unwrap();
    let layers: Vec<_> = io.layers().iter().map(|layer| layer.layer).collect();
    assert_eq!(layers, [Layer::Tunnel, Layer::Tcp]);
    assert_eq!(read(&mut io, 5).await, b"hello");
    write(&mut io, b"bye").await;
    drop((io, open(&connector, "http://[::1]:8080/").await.unwrap()));
    let seen = peer.finish_async().await.unwrap();
    let request = &seen[0].requests()[0];
    assert_eq!((request.method(), request.target()), ("CONNECT", "example.com:80"));
    assert_eq!(request.header("host"), Some("example.com:80"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(seen[1].requests()[0].target(), "[::1]:8080");
}

/// Has a proxy answer CONNECT like this, then end.
async fn answered_with(login: &str, answer: &[u8], end: fn(Script) -> Script) -> String {
    let script = end(Script::new().read_head().send(answer)).or_end();
    let peer = Peer::tcp(script).unwrap();
    let error = refused(&behind("http", login, &peer).build(), URI).await;
    assert_eq!(error.kind(), ErrorKind::Proxy, "{error}");
    let before = format!("the proxy refused: http://{} ", peer.address());
    peer.finish_async().await.unwrap();
    error.to_string().strip_prefix(&before).unwrap().to_owned()
}

#[tokio::test]
async fn answers_that_make_no_tunnel_are_told() {
    let wants = "HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
    for (login, answer, told) in [
        ("", wants, "answered CONNECT with 407 Proxy Authentication Required: it wants credentials"),
        (
            "u:p@",
            wants,
            "answered CONNECT with 407 Proxy Authentication Required: it refused the credentials",
        ),
        ("", "HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n", "answered CONNECT with 502 Bad Gateway"),
        ("", "HTTP/1.1 301 x\r\nLocation: /\r\n\r\n", "answered CONNECT with 301 Moved Permanently"),
        ("", "", "ended the connection without an answer"),
        ("", "HTTP/1.1 200 O", "ended the connection inside its answer"),
    ] {
        assert_eq!(answered_with(login, answer.as_bytes(), Script::fin).await, told);
    }
    assert_eq!(answered_with("", b"", Script::reset).await, "reset the connection");
}

#[tokio::test]
async fn garbage_is_told() {
    for garbage in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"\x05\xff\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"] {
        let told = answered_with("", garbage, Script::fin).await;
        assert!(told.starts_with("gave an answer that is no HTTP/1.1: "), "{told}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_too_slow_is_given_up_and_sees_the_end() {
    for script in [Script::new().read_head(), Script::new().read_head().send("HTTP/1.1 200 OK\r\n")] {
        let peer = Peer::tcp(script.read_to_end()).unwrap();
        let connector = behind("http", "", &peer).proxy_timeout(Some(Duration::from_millis(80))).build();
        let error = refused(&connector, URI).await;
        let address = peer.address();
        let expected =
            format!("timed out: the proxy's handshake: http://{address} gave no answer within 80ms");
        assert_eq!(kind_and_text(&error), (ErrorKind::Timeout(Phase::ProxyHandshake), expected));
        peer.wait_async(0, Until::End).await.unwrap();
        peer.finish_async().await.unwrap();
    }
}

/// A proxy's part: what it reads and sends in turn, the origin's first bytes behind the last of it.
struct Play {
    scheme: &'static str,
    login: &'static str,
    turns: &'static [(u64, &'static [u8])],
}

const ORIGIN: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nfirst";

const PLAYS: [Play; 3] = [
    Play {
        scheme: "socks5h",
        login: "",
        turns: &[(3, &[5, 0]), (18, b"\x05\x00\x00\x03\x04name\x00\x50HTTP/1.1 200 OK\r\n\r\nfirst")],
    },
    Play {
        scheme: "socks5h",
        login: "user:pass@",
        turns: &[
            (4, &[5, 2]),
            (11, &[1, 0]),
            (18, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00HTTP/1.1 200 OK\r\n\r\nfirst"),
        ],
    },
    Play {
        scheme: "http",
        login: "",
        turns: &[(65, b"HTTP/1.1 200 OK\r\nVia: one\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfirst")],
    },
];

impl Play {
    fn bytes(&self) -> usize {
        self.turns.iter().map(|(_, sent)| sent.len()).sum()
    }

    /// All that is sent, in pieces: `None`, each byte by itself; else cut in two at that byte.
    fn script(&self, cut: Option<usize>) -> Script {
        let mut script = Script::new();
        let mut before = 0;
        for (reads, sends) in self.turns {
            script = if self.scheme == "http" { script.read_head() } else { script.read_exactly(*reads) };
            script = match cut {
                None => script.send_pieces(*sends, 1),
                Some(cut) => script.send_cut(*sends, cut.checked_sub(before)),
            };
            before += sends.len();
        }
        script
    }
}

/// Hard case 42: nothing of the origin is lost or taken for the proxy's, wherever the network cuts.
#[tokio::test]
async fn socks_and_connect_replies_split_at_every_byte() {
    for play in PLAYS {
        let cuts = (0..play.bytes()).map(Some).chain([None]);
        side_by_side(cuts.map(|cut| {
            let play = &play;
            async move {
                let peer = Peer::tcp(play.script(cut)).unwrap();
                let mut io = open(&behind(play.scheme, play.login, &peer).build(), URI).await.unwrap();
                assert_eq!(read(&mut io, ORIGIN.len()).await, ORIGIN, "{} cut at {cut:?}", play.scheme);
                drop(io);
                peer.finish_async().await.unwrap();
            }
        }))
        .await;
    }
}

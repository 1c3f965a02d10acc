//! What a request looks like on the wire, and what is refused.

use std::error::Error as _;

use adieu::{Blame, Body, ErrorKind, State};
use http::{Method, Request, Version};

use super::{NOTHING, connect, written};
use crate::support::{ask, beside, handed_body, in_time};

async fn head_of(request: Request<Body>) -> String {
    let (mut sender, _connection, mut peer) = connect().await;
    let sending = beside(sender.send_request(request));
    let head = String::from_utf8(in_time(peer.read_head()).await.unwrap()).unwrap();
    peer.send(NOTHING).await.unwrap();
    let _ = in_time(sending).await.unwrap();
    head
}

#[tokio::test(start_paused = true)]
async fn targets_become_what_an_origin_expects() {
    let cases = [
        (Method::GET, "http://example.com/a/b?c=d", "GET /a/b?c=d HTTP/1.1", "example.com"),
        (Method::GET, "http://example.com", "GET / HTTP/1.1", "example.com"),
        (Method::GET, "http://example.com?q", "GET /?q HTTP/1.1", "example.com"),
        (Method::GET, "https://example.com:8443/", "GET / HTTP/1.1", "example.com:8443"),
        (Method::GET, "http://user:word@example.com/", "GET / HTTP/1.1", "example.com"),
        (Method::GET, "http://[::1]:80/", "GET / HTTP/1.1", "[::1]:80"),
        (Method::OPTIONS, "http://example.com/*", "OPTIONS /* HTTP/1.1", "example.com"),
        (Method::CONNECT, "example.com:443", "CONNECT example.com:443 HTTP/1.1", "example.com:443"),
    ];
    for (method, uri, line, host) in cases {
        let head = head_of(Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()).await;
        assert!(head.starts_with(&format!("{line}\r\n")), "{uri}: {head}");
        assert_eq!(head.matches(&format!("\r\nhost: {host}\r\n")).count(), 1, "{uri}: {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_there_is_kept() {
    for uri in ["/origin/form", "http://example.com/origin/form"] {
        let head =
            head_of(Request::get(uri).header("host", "kept.example").body(Body::empty()).unwrap()).await;
        assert!(head.starts_with("GET /origin/form HTTP/1.1\r\n"), "{head}");
        assert_eq!(head.to_lowercase().matches("host:").count(), 1, "{head}");
        assert!(head.contains("host: kept.example\r\n"), "{head}");
    }
    let request = Request::options("*").header("host", "kept.example").body(Body::empty()).unwrap();
    assert!(head_of(request).await.starts_with("OPTIONS * HTTP/1.1\r\n"));
    let request = Request::get("/old").version(Version::HTTP_10).body(Body::empty()).unwrap();
    let head = head_of(request).await;
    assert!(head.starts_with("GET /old HTTP/1.0\r\n") && !head.contains("host"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_and_harms_nothing() {
    let (mut sender, connection, mut peer) = connect().await;
    let request = || Request::post("http://example.com/");
    let refused = [
        ("Host", Request::get("/no/host").body(Body::empty())),
        ("CONNECT", Request::connect("/no/authority").body(Body::empty())),
        ("HTTP/1.0", request().version(Version::HTTP_2).body(Body::empty())),
        ("HTTP/1.0", request().version(Version::HTTP_09).body(Body::empty())),
        ("Content-Length", request().header("content-length", "4").body("five.".into())),
        ("Content-Length", request().header("content-length", "x").body("five.".into())),
        ("Content-Length", request().header("content-length", "5, 6").body("five.".into())),
        ("Transfer-Encoding", request().header("transfer-encoding", "gzip").body("five.".into())),
        (
            "Transfer-Encoding",
            request()
                .header("transfer-encoding", "chunked")
                .header("content-length", "5")
                .body("five.".into()),
        ),
        ("HTTP/1.0", request().version(Version::HTTP_10).body(Body::wrap(handed_body().1))),
    ];
    for (about, request) in refused {
        let error = in_time(sender.send_request(request.unwrap())).await.unwrap_err();
        assert_eq!((error.kind(), error.blame()), (ErrorKind::InvalidRequest, Blame::Caller));
        let source = error.source().unwrap().to_string();
        assert!(source.contains(about), "{source:?} is not about {about}");
        assert_eq!(connection.state(), State::Idle);
    }
    assert_eq!(written(&peer), 0);
    ask(&mut sender, &mut peer, NOTHING).await;
    let snapshot = connection.snapshot();
    assert_eq!((snapshot.done, snapshot.failed), (1, 0));
}

//! What reaches the peer: methods, fields, routes.

use adieu_testkit::peer::{Peer, Script, SeenRequest, response};

use crate::program::{fetch, peer, seen, server};

/// The one request that these arguments lead to.
fn request(args: &[&str]) -> SeenRequest {
    let peer = peer(Script::new().read_request().send(response(200, "")));
    fetch(&[args, &[&peer.url("/a?b")]].concat()).ok();
    seen(peer).requests()[0].clone()
}

#[test]
fn a_plain_get() {
    let request = request(&[]);
    assert_eq!((request.method(), request.target()), ("GET", "/a?b"));
    assert!(request.head().starts_with("GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:"), "{}", request.head());
    assert!(request.header("user-agent").unwrap().starts_with("adieu/"));
    assert_eq!(request.header("accept"), Some("*/*"));
    assert_eq!((request.header("content-length"), request.header("connection")), (None, None));
}

#[test]
fn methods() {
    assert_eq!(request(&["-X", "DELETE"]).method(), "DELETE");
    assert_eq!(request(&["-X", "PATCH", "-d", "x"]).method(), "PATCH");
    assert_eq!(fetch(&["-X", "not a method", "h"]).code, 2);
}

#[test]
fn header_fields() {
    let request = request(&["-H", "Accept:", "-H", "User-Agent: me", "-H", "X-Empty;", "-H", "X-A:  1 "]);
    assert_eq!((request.header("accept"), request.header("user-agent")), (None, Some("me")));
    assert_eq!((request.header("x-empty"), request.header("x-a")), (Some(""), Some("1")));
}

#[test]
fn header_fields_from_a_file() {
    let file = crate::program::temporary("fields", b"X-A: 1\r\n\r\nX-B: 2\n");
    let request = request(&["-H", &format!("@{}", file.display())]);
    assert_eq!((request.header("x-a"), request.header("x-b")), (Some("1"), Some("2")));
}

#[test]
fn credentials() {
    assert_eq!(request(&["-u", "me:secret"]).header("authorization"), Some("Basic bWU6c2VjcmV0"));
    let peer = peer(Script::new().read_request().send(response(200, "")));
    let ran = fetch(&["-v", &peer.url("/").replace("http://", "http://me:secret@")]);
    let seen = seen(peer);
    assert_eq!(seen.requests()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    assert!(!seen.requests()[0].head().contains('@'));
    assert!(!ran.err.contains("secret"), "{}", ran.err);
}

#[test]
fn versions() {
    assert!(request(&["--http1.0"]).head().starts_with("GET /a?b HTTP/1.0\r\n"));
    assert!(request(&["--http1.1"]).head().starts_with("GET /a?b HTTP/1.1\r\n"));
}

#[test]
fn resolve_takes_the_address_given() {
    let peer = server("hello");
    let port = peer.address().port();
    let url = format!("http://nobody.invalid:{port}/");
    let resolve = format!("nobody.invalid:{port}:[::1],127.0.0.1");
    assert_eq!(fetch(&["-4", "--resolve", &resolve, &url]).ok().out, "hello");
    let seen = seen(peer);
    assert_eq!(seen.requests()[0].header("host"), Some(format!("nobody.invalid:{port}").as_str()));
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next() {
    let peer = server("hello");
    let port = peer.address().port();
    // The peer listens on 127.0.0.1 only.
    let resolve = format!("h:{port}:127.0.0.2,127.0.0.1");
    assert_eq!(fetch(&["--resolve", &resolve, &format!("http://h:{port}/")]).ok().out, "hello");
}

#[cfg(unix)]
#[test]
fn a_unix_socket() {
    let peer = Peer::unix(Script::new().read_request().send(response(200, "hello"))).unwrap();
    let path = peer.path().unwrap().to_str().unwrap().to_owned();
    assert_eq!(fetch(&["--unix-socket", &path, "http://h/a"]).ok().out, "hello");
    let seen = seen(peer);
    assert_eq!((seen.requests()[0].target(), seen.requests()[0].header("host")), ("/a", Some("h")));
    seen.assert_fin();
}

#[test]
fn verbose_tells_every_step() {
    let peer = server("hello");
    let port = peer.address().port();
    let (resolve, url) = (format!("h:{port}:127.0.0.2,127.0.0.1"), format!("http://h:{port}/a"));
    let ran = fetch(&["-v", "-H", "X-A: 1", "--resolve", &resolve, &url]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hello"));
    let mut rest = ran.err.as_str();
    for part in [
        "#1 opening a connection to http://h:",
        "#1 resolving h\n",
        "#1 resolved in ",
        "#1 connecting to 127.0.0.2:",
        "#1 could not connect to 127.0.0.2:",
        ": connection refused\n",
        "#1 connecting to 127.0.0.1:",
        "#1 connected to 127.0.0.1:",
        "#1 open\n",
        "#1 exchange 1 began\n",
        "> GET /a HTTP/1.1\n",
        "> x-a: 1\n",
        "< HTTP/1.1 200 OK\n",
        "< content-length: 5\n",
        "#1 retired: closed by the user (graceful)\n",
        "#1 lingering\n",
        "closed by the user (graceful); ended clean; sent FIN, received FIN; 1 done;",
    ] {
        let found = rest.split_once(part);
        rest = found.unwrap_or_else(|| panic!("{part:?} is missing or out of order in\n{}", ran.err)).1;
    }
    assert!(!ran.err.contains('\u{1b}'), "colours are for terminals");
}

//! Where responses go.

use std::io::Read;

use adieu_testkit::peer::{Gate, Peer, Script, response};

use crate::program::{Ran, command, fetch, peer, server, temporary};

#[test]
fn heads_on_request() {
    let peer = server("hello");
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(fetch(&["-i", &peer.url("/")]).ok().out, format!("{head}hello"));
    let without_body = Peer::tcp(Script::new().read_request().send(head)).unwrap();
    assert_eq!(fetch(&["-I", &without_body.url("/")]).ok().out, head);
    assert_eq!(without_body.finish().unwrap()[0].requests()[0].method(), "HEAD");
}

#[test]
fn each_url_has_its_file() {
    let peer = server("hello");
    let (one, two) = (temporary("one", b"much longer than that"), temporary("two", b""));
    let url = peer.url("/");
    let ran = fetch(&["-o", one.to_str().unwrap(), "-o", two.to_str().unwrap(), &url, &url, &url]).ok();
    assert_eq!(ran.out, "hello");
    assert_eq!(std::fs::read(one).unwrap(), b"hello");
    assert_eq!(std::fs::read(two).unwrap(), b"hello");
}

#[test]
fn an_empty_body_makes_an_empty_file() {
    let peer = server("");
    let file = temporary("empty", b"old");
    fetch(&["-o", file.to_str().unwrap(), &peer.url("/")]).ok();
    assert_eq!(std::fs::read(file).unwrap(), b"");
}

#[test]
fn chunks_trailers_and_interim_responses() {
    let body = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n";
    let peer = peer(Script::new().read_request().send_pieces(body, 3));
    let ran = fetch(&["-v", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hello!"));
    assert!(ran.err.contains("< HTTP/1.1 103 Early Hints\n"), "{}", ran.err);
    assert!(ran.err.contains("< x-sum: 6\n"), "{}", ran.err);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let peer = peer(Script::new().read_head().send("HTTP/1.0 200 OK\r\n\r\nto the end").fin());
    assert_eq!(fetch(&["--http1.0", &peer.url("/")]).ok().out, "to the end");
}

#[test]
fn what_came_is_written_before_the_rest_comes() {
    let rest = Gate::new();
    let script =
        Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst").gate(&rest);
    let peer = peer(script.send("rest"));
    let mut child = command(&["fetch", &peer.url("/")]).spawn().unwrap();
    let mut first = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    rest.open();
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).ok().out, "rest");
}

#[test]
fn a_reader_that_leaves_is_no_error_to_speak_of() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n";
    let peer = peer(Script::new().read_head().send(head).send_filler(1 << 26).or_end());
    let mut child = command(&["fetch", &peer.url("/"), &peer.url("/never")]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    drop(out);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (23, ""));
    assert_eq!(peer.finish().unwrap()[0].requests_len(), 1);
}

#[test]
fn a_slow_reader_holds_the_peer_back() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n";
    let peer = peer(Script::new().read_head().send(head).send_filler(1 << 26).or_end());
    let mut child = command(&["fetch", &peer.url("/")]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    // Kernel buffers on both sides of the program hold a few megabytes; the program itself next to nothing.
    let sent = peer.seen(0).unwrap().sent_len();
    assert!(sent < 40 << 20, "{sent} bytes were taken though nobody reads");
    let rest = std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    assert_eq!(rest + 10, 1 << 26);
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).code, 0);
}

#[test]
fn statuses_are_no_failures_without_fail() {
    let peer = Peer::tcp(Script::new().answer_all(response(500, "oh")).repeat()).unwrap();
    assert_eq!(fetch(&[&peer.url("/")]).ok().out, "oh");
}

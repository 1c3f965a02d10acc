//! Request bodies.

use adieu_testkit::peer::{Script, SeenRequest, response};

use crate::program::{fetch, fetch_with_input, peer, seen, server, temporary};

const FORM: &str = "application/x-www-form-urlencoded";

/// The one request that these arguments and this input lead to.
fn sent(args: &[&str], input: &[u8]) -> SeenRequest {
    let peer = peer(Script::new().read_request().send(response(200, "")));
    fetch_with_input(&[args, &[&peer.url("/up/")]].concat(), input).ok();
    seen(peer).requests()[0].clone()
}

#[test]
fn data_is_joined_and_posted_as_a_form() {
    let request = sent(&["-d", "a=1", "--data-binary", "b\n", "-d", "c=3"], b"");
    assert_eq!((request.method(), request.body()), ("POST", &b"a=1&b\n&c=3"[..]));
    assert_eq!((request.header("content-type"), request.header("content-length")), (Some(FORM), Some("10")));
    let typed = sent(&["-d", "{}", "-H", "Content-Type: application/json"], b"");
    assert_eq!(typed.header("content-type"), Some("application/json"));
    let empty = sent(&["-d", ""], b"");
    assert_eq!((empty.method(), empty.header("content-length")), ("POST", Some("0")));
}

#[test]
fn data_of_files_loses_its_newlines_unless_binary() {
    let file = temporary("data", b"one\r\ntwo\n");
    let at = format!("@{}", file.display());
    assert_eq!(sent(&["-d", &at], b"").body(), b"onetwo");
    let binary = sent(&["--data-binary", &at], b"");
    assert_eq!((binary.body(), binary.header("content-length")), (&b"one\r\ntwo\n"[..], Some("9")));
    assert_eq!((binary.method(), binary.header("content-type")), ("POST", Some(FORM)));
    assert_eq!(sent(&["-d", "@-"], b"one\ntwo\n").body(), b"onetwo");
    assert_eq!(sent(&["--data-binary", "@-"], b"one\ntwo\n").body(), b"one\ntwo\n");
}

#[test]
fn a_file_is_put_with_its_length_and_name() {
    let content: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let file = temporary("a file", &content);
    let request = sent(&["-T", file.to_str().unwrap()], b"");
    assert_eq!((request.method(), request.target()), ("PUT", "/up/a%20file"));
    assert_eq!(request.header("content-length"), Some("300000"));
    assert!(request.body() == content);
    let empty = sent(&["-T", temporary("empty", b"").to_str().unwrap()], b"");
    assert_eq!((empty.method(), empty.header("content-length")), ("PUT", Some("0")));
}

#[test]
fn standard_input_is_put_in_chunks() {
    let request = sent(&["-T", "-"], b"whatever comes");
    assert_eq!((request.method(), request.target()), ("PUT", "/up/"));
    assert_eq!(
        (request.header("transfer-encoding"), request.header("content-length")),
        (Some("chunked"), None)
    );
    assert_eq!(request.body(), b"whatever comes");
}

#[test]
fn standard_input_is_sent_once() {
    let peer = server("");
    let ran = fetch_with_input(&["-T", "-", &peer.url("/"), &peer.url("/")], b"once");
    assert_eq!(ran.code, 55);
    assert_eq!(ran.err, "adieu: (55) standard input was sent already and cannot be sent again\n");
    let seen = seen(peer);
    assert_eq!(seen.requests_len(), 1);
    seen.assert_fin();
}

#[test]
fn http_1_0_knows_no_chunks() {
    let peer = server("");
    let ran = fetch_with_input(&["--http1.0", "-T", "-", &peer.url("/")], b"x");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("HTTP/1.0"), "{}", ran.err);
}

#[test]
fn a_file_is_sent_anew_with_every_request() {
    let peer = server("");
    let file = temporary("data", b"again");
    fetch(&["-T", file.to_str().unwrap(), "--repeat", "3", &peer.url("/x")]).ok();
    let seen = seen(peer);
    assert!(seen.requests().iter().all(|request| request.body() == b"again"));
    assert_eq!(seen.requests_len(), 3);
}

#[test]
fn a_body_waits_for_100_continue_when_asked_to() {
    let script = Script::new().read_head().send("HTTP/1.1 100 Continue\r\n\r\n").read_body();
    let peer = peer(script.send(response(200, "thanks")));
    let ran = fetch(&["-d", "x=1", "-H", "Expect: 100-continue", &peer.url("/")]).ok();
    assert_eq!(ran.out, "thanks");
    assert_eq!(seen(peer).requests()[0].body(), b"x=1");
}

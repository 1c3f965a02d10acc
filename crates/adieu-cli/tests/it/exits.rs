//! Each exit code that can be caused.

use std::net::TcpListener;
use std::time::Duration;

use adieu_testkit::peer::{Peer, Script, response};

use crate::program::{adieu, fetch, peer, server, temporary};

#[track_caller]
fn exits(script: Script, code: i32, line: &str) {
    let peer = peer(script);
    let ran = fetch(&[&peer.url("/")]);
    assert_eq!((ran.code, ran.err.trim_end()), (code, line));
    peer.finish().unwrap();
}

#[test]
fn all_is_well() {
    let peer = server("hello\n");
    let ran = fetch(&[&peer.url("/")]).ok();
    assert_eq!(ran.out, "hello\n");
}

#[test]
fn usage_is_2() {
    assert_eq!(adieu(&[]).code, 2);
    assert_eq!(fetch(&[]).code, 2);
    assert_eq!(fetch(&["--nonsense", "h"]).code, 2);
    assert_eq!(fetch(&["--pause", "2-1", "h"]).code, 2);
    assert_eq!(fetch(&["-T", "/nowhere/at/all", "h"]).code, 2);
    assert_eq!(fetch(&["-d", "@/nowhere/at/all", "h"]).code, 2);
    assert_eq!(fetch(&["--report", "/nowhere/at/all", "h"]).code, 2);
    let ran = fetch(&["-H", "no field", "h"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "adieu: (2) -H \"no field\" is no header field\n"));
}

#[test]
fn a_flag_that_does_not_exist_yet_says_so() {
    for (args, named) in [
        (&["--compressed"][..], "--compressed"),
        (&["--http2"], "--http2"),
        (&["--http2-prior-knowledge"], "--http2-prior-knowledge"),
        (&["--trace", "f"], "--trace"),
    ] {
        let ran = fetch(&[args, &["http://h/"]].concat());
        assert_eq!((ran.code, ran.err), (2, format!("adieu: {named} does not exist yet\n")));
    }
}

#[test]
fn a_url_that_cannot_be_fetched_is_3() {
    let ran = fetch(&["ftp://h/"]);
    assert_eq!((ran.code, ran.err.as_str()), (3, "adieu: (3) bad URL ftp://h/: ftp is not spoken here\n"));
    assert_eq!(fetch(&["http://"]).code, 3);
    assert_eq!(fetch(&["https://"]).code, 3);
}

#[test]
fn a_name_without_an_address_is_6() {
    let ran = fetch(&["-6", "--resolve", "h:80:127.0.0.1", "http://h/"]);
    let line = "adieu: (6) http://h: the host was not found: h has no IPv6 address\n";
    assert_eq!((ran.code, ran.err.as_str()), (6, line));
    let ran = fetch(&["http://nobody.invalid/"]);
    assert_eq!((ran.code, ran.err.lines().count()), (6, 1));
    assert!(
        ran.err.contains("http://nobody.invalid: the host was not found: nobody.invalid: "),
        "{}",
        ran.err
    );
    assert_eq!(fetch(&["-4", "http://[::1]/"]).code, 6);
}

#[test]
fn no_connection_is_7() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = fetch(&[&format!("http://{nobody}/")]);
    let line = format!("adieu: (7) http://{nobody}: could not connect: {nobody}: connection refused\n");
    assert_eq!((ran.code, ran.err), (7, line));
}

#[test]
fn ten_dead_addresses_are_7_in_one_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses: Vec<_> = (1..=10).map(|n| format!("127.0.0.{n}")).collect();
    let resolve = format!("h:{port}:{}", addresses.join(","));
    let ran = fetch(&["--resolve", &resolve, &format!("http://h:{port}/")]);
    let refused: Vec<_> =
        addresses.iter().map(|address| format!("{address}:{port}: connection refused")).collect();
    let line = format!("adieu: (7) http://h:{port}: could not connect: {}\n", refused.join("; "));
    assert_eq!((ran.code, ran.err), (7, line));
}

#[test]
fn a_bad_head_is_8() {
    let peer = peer(Script::new().read_head().send("nonsense\r\n\r\n"));
    let ran = fetch(&[&peer.url("/")]);
    assert_eq!(ran.code, 8);
    assert!(ran.err.starts_with("adieu: (8) bad response head: "), "{}", ran.err);
}

#[test]
fn a_head_beyond_the_limit_is_8() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let peer = peer(Script::new().read_head().send(long).or_end());
    assert_eq!(fetch(&[&peer.url("/")]).code, 8);
}

#[test]
fn a_partial_body_is_18_and_kept() {
    let peer = peer(Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").fin());
    let ran = fetch(&[&peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (18, "half"));
    assert_eq!(ran.err, "adieu: (18) the peer ended inside the response body (connection #1)\n");
}

#[test]
fn fail_and_an_error_status_is_22_without_the_body() {
    let peer = Peer::tcp(Script::new().answer_all(response(404, "no such thing")).repeat()).unwrap();
    let ran = fetch(&["--fail", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (22, ""));
    assert_eq!(ran.err, "adieu: (22) the server answered 404 Not Found\n");
    assert_eq!(fetch(&[&peer.url("/")]).ok().out, "no such thing");
}

#[test]
fn a_file_that_cannot_be_written_is_23() {
    let peer = server("hello");
    assert_eq!(fetch(&["-o", "/nowhere/at/all", &peer.url("/")]).code, 23);
}

#[test]
fn a_deadline_is_28_and_says_where() {
    let silent = peer(Script::new().read_head().read_to_end());
    let ran = fetch(&["-m", "0.2", &silent.url("/")]);
    assert_eq!(ran.code, 28);
    assert_eq!(ran.err, "adieu: (28) timed out after 200ms (-m): awaiting response (connection #1)\n");
    silent.finish().unwrap();
    let half = peer(
        Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").read_to_end(),
    );
    let ran = fetch(&["-m", "0.2", &half.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (28, "half"));
    assert!(ran.err.contains("receiving body"), "{}", ran.err);
}

#[test]
fn too_many_redirects_are_47() {
    let again = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let peer = peer(Script::new().answer_all(again));
    let ran = fetch(&["-L", "--max-redirs", "2", &peer.url("/")]);
    assert_eq!((ran.code, ran.err.as_str()), (47, "adieu: (47) more than 2 redirects\n"));
    assert_eq!(peer.finish().unwrap()[0].requests_len(), 3);
}

#[test]
fn no_byte_of_a_response_is_52() {
    let line = "adieu: (52) the peer ended before any byte of a response (connection #1)";
    exits(Script::new().read_head().fin(), 52, line);
}

#[test]
fn a_reset_while_sending_is_55() {
    let big = temporary("big", b"");
    std::fs::File::options().write(true).open(&big).unwrap().set_len(64 << 20).unwrap();
    let peer = peer(Script::new().read_head().pause(Duration::from_millis(50)).reset());
    let ran = fetch(&["-T", big.to_str().unwrap(), &peer.url("/")]);
    assert_eq!(ran.code, 55, "{}", ran.err);
}

#[test]
fn a_reset_while_waiting_is_56() {
    let line = "adieu: (56) the peer reset the connection while awaiting response (connection #1)";
    exits(Script::new().read_head().pause(Duration::from_millis(20)).reset(), 56, line);
}

#[test]
fn half_a_head_is_56() {
    let line = "adieu: (56) the peer ended inside the response head (connection #1)";
    exits(Script::new().read_head().send("HTTP/1.1 200 O").fin(), 56, line);
}

#[test]
fn a_bad_chunk_is_56() {
    let body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n";
    let peer = peer(Script::new().read_head().send(body));
    let ran = fetch(&[&peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (56, "abc"), "{}", ran.err);
}

#[test]
fn of_several_urls_the_last_failure_counts() {
    let peer = server("hello\n");
    let ran = fetch(&["ftp://h/", &peer.url("/"), "gopher://h/", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (3, "hello\nhello\n"));
    assert_eq!(ran.err.lines().count(), 2);
}

#[test]
fn silent_is_silent_unless_errors_are_wanted() {
    let ran = fetch(&["-s", "ftp://h/"]);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    assert!(!fetch(&["-sS", "ftp://h/"]).err.is_empty());
}

//! `-L`.

use adieu_testkit::peer::{Script, response};

use crate::program::{fetch, fetch_with_report, of_type, peer, seen, server, temporary};

fn moved(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone")
}

/// One redirect on one connection, then the last response.
fn one(status: u16) -> Script {
    Script::new().read_request().send(moved(status, "/b")).read_request().send(response(200, "here"))
}

#[test]
fn without_the_flag_a_redirect_is_a_response() {
    let peer = peer(Script::new().read_request().send(moved(302, "/b")));
    assert_eq!(fetch(&[&peer.url("/a")]).ok().out, "gone");
}

#[test]
fn it_is_followed_on_the_same_connection() {
    let peer = peer(one(302));
    let (ran, lines) = fetch_with_report(&["-L", &peer.url("/a")]);
    assert_eq!(ran.ok().out, "here");
    let targets: Vec<_> = seen(peer).requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/a", "/b"]);
    let requests = of_type(&lines, "request");
    assert_eq!((&requests[0]["status"], &requests[1]["status"]), (&302.into(), &200.into()));
    assert_eq!((&requests[0]["n"], &requests[1]["n"]), (&1.into(), &2.into()));
    assert_eq!((&requests[0]["reused"], &requests[1]["reused"]), (&false.into(), &true.into()));
    assert_eq!(of_type(&lines, "connection").len(), 1);
}

#[test]
fn heads_of_all_responses_are_shown() {
    let peer = peer(one(301));
    let ran = fetch(&["-i", "-L", &peer.url("/a")]).ok();
    assert!(ran.out.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{}", ran.out);
    assert!(
        ran.out.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && ran.out.ends_with("\r\n\r\nhere"),
        "{}",
        ran.out
    );
}

#[test]
fn post_becomes_get_on_302_and_stays_on_307() {
    let file = temporary("data", b"again");
    for (status, method, body) in [(302, "GET", &b""[..]), (307, "POST", b"again")] {
        let peer = peer(one(status));
        let data = format!("@{}", file.display());
        assert_eq!(fetch(&["-L", "--data-binary", &data, &peer.url("/a")]).ok().out, "here");
        let seen = seen(peer);
        let last = &seen.requests()[1];
        assert_eq!((last.method(), last.body()), (method, body), "{status}");
        assert_eq!(last.header("content-type").is_some(), status == 307);
    }
}

#[test]
fn credentials_do_not_go_to_another_origin() {
    let other = server("here");
    let first = peer(Script::new().read_request().send(moved(307, &other.url("/b"))));
    let args = ["-L", "-u", "me:secret", "-H", "Cookie: c=1", "-H", "X-Kept: 1"];
    assert_eq!(fetch(&[&args[..], &[&first.url("/a")]].concat()).ok().out, "here");
    assert!(seen(first).requests()[0].header("authorization").is_some());
    let seen = seen(other);
    let request = &seen.requests()[0];
    assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
    assert_eq!(request.header("x-kept"), Some("1"));
}

#[test]
fn where_it_cannot_go_is_code_3() {
    let peer = peer(Script::new().read_request().send(moved(302, "ftp://h/")));
    let ran = fetch(&["-L", &peer.url("/a")]);
    assert_eq!((ran.code, ran.err.as_str()), (3, "adieu: (3) bad URL ftp://h/: ftp is not spoken here\n"));
}

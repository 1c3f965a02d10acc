//! How connections are closed, as the peer sees it.

use std::time::{Duration, Instant};

use adieu_testkit::peer::{Peer, Script, Until, response};

use crate::program::{Ran, command, fetch, fetch_with_report, of_type, peer, seen, temporary};

const SOON: Duration = Duration::from_secs(2);

/// What the report says of the only connection.
fn reason(lines: &[serde_json::Value]) -> (&str, &str) {
    let line = of_type(lines, "connection")[0];
    (line["reason"].as_str().unwrap(), line["ended"].as_str().unwrap())
}

#[test]
fn graceful_and_now_say_fin() {
    for (mode, told) in [("graceful", "user_graceful"), ("now", "user_now")] {
        let peer = peer(Script::new().read_request().send(response(200, "x")));
        let (ran, lines) = fetch_with_report(&["--close", mode, &peer.url("/")]);
        ran.ok();
        seen(peer).assert_fin();
        assert_eq!(reason(&lines), (told, "clean"));
    }
}

#[test]
fn abort_resets() {
    let peer = peer(Script::new().read_request().send(response(200, "x")));
    let (ran, lines) = fetch_with_report(&["--close", "abort", &peer.url("/")]);
    ran.ok();
    let seen = seen(peer);
    seen.assert_reset();
    assert!(!seen.saw_fin());
    assert_eq!(reason(&lines), ("user_abort", "aborted"));
}

#[test]
fn half_says_fin_before_the_response() {
    let peer = peer(Script::new().read_request().expect_fin(SOON).send(response(200, "x")));
    let (ran, lines) = fetch_with_report(&["--close", "half", "-d", "whole", &peer.url("/")]);
    assert_eq!(ran.ok().out, "x");
    assert_eq!(seen(peer).requests()[0].body(), b"whole");
    assert_eq!(reason(&lines), ("user_half", "clean"));
}

#[test]
fn half_waits_for_the_last_request_of_the_connection() {
    let exchange = Script::new().read_request().send(response(200, "x"));
    let script = Script::new().times(3, exchange).read_request().expect_fin(SOON).send(response(200, "y"));
    let peer = peer(script);
    let ran = fetch(&["--close", "half", "--repeat", "2", &peer.url("/"), &peer.url("/")]).ok();
    assert_eq!(ran.out, "xxxy");
    seen(peer).assert_fin();
}

#[test]
fn half_of_a_redirect_takes_a_new_connection() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
    let half = |answer: Vec<u8>| Script::new().read_request().expect_fin(SOON).send(answer);
    let peer = Peer::builder().script(half(moved.into())).script(half(response(200, "x"))).tcp().unwrap();
    let (ran, lines) = fetch_with_report(&["-L", "--close", "half", &peer.url("/a")]);
    assert_eq!(ran.ok().out, "x");
    peer.finish().unwrap();
    assert_eq!(of_type(&lines, "connection").len(), 2);
}

#[test]
fn half_sends_the_whole_upload_first() {
    let file = temporary("data", &[b'x'; 3 << 20]);
    let peer = peer(Script::new().count_only().read_request().expect_fin(SOON).send(response(200, "x")));
    fetch(&["--close", "half", "-T", file.to_str().unwrap(), &peer.url("/")]).ok();
    assert_eq!(seen(peer).requests()[0].body_len(), 3 << 20);
}

#[test]
fn a_peer_that_takes_half_for_a_cancellation() {
    let script = Script::new().read_request().expect_fin(SOON).close();
    let peer = peer(script);
    let ran = fetch(&["--close", "half", &peer.url("/")]);
    assert_eq!(ran.code, 52);
    assert_eq!(ran.err, "adieu: (52) the peer took our half-close for a cancellation (connection #1)\n");
}

#[test]
fn drain_bounds_what_follows_a_half_close() {
    let peer = peer(Script::new().read_request().read_to_end().stall());
    let began = Instant::now();
    let ran = fetch(&["--close", "half", "--drain", "0.2", "--linger", "0.1", &peer.url("/")]);
    assert_eq!(ran.code, 28, "{}", ran.err);
    assert!(began.elapsed() < SOON);
}

#[test]
fn linger_bounds_the_wait_for_a_silent_peer() {
    let peer = peer(Script::new().read_request().send(response(200, "x")).stall());
    let began = Instant::now();
    let (ran, lines) = fetch_with_report(&["--linger", "0.1", &peer.url("/")]);
    ran.ok();
    assert!(began.elapsed() > Duration::from_millis(100) && began.elapsed() < SOON);
    assert_eq!(reason(&lines), ("user_graceful", "peer_silent"));
}

#[test]
fn an_upload_cut_by_its_deadline_is_reset() {
    let file = temporary("big", b"");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(64 << 20).unwrap();
    let peer = peer(Script::new().count_only().read_head().read_exactly(1000).pause(SOON / 4).read_to_end());
    let ran = fetch(&["-m", "0.2", "-T", file.to_str().unwrap(), &peer.url("/")]);
    assert_eq!(ran.code, 28);
    assert!(ran.err.contains("sending body"), "{}", ran.err);
    let seen = seen(peer);
    seen.assert_reset();
    assert!(!seen.saw_fin());
}

#[cfg(unix)]
#[test]
fn ctrl_c_closes_as_now_and_reports() {
    let peer = peer(Script::new().read_request().read_to_end());
    let report = temporary("report", b"");
    let args = ["fetch", "--report", report.to_str().unwrap(), &peer.url("/"), &peer.url("/never")];
    let child = command(&args).spawn().unwrap();
    peer.wait(0, Until::Requests(1)).unwrap();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (130, ""));
    seen(peer).assert_fin();
    let text = std::fs::read_to_string(report).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reason(&lines), ("user_now", "clean"));
    let requests = of_type(&lines, "request");
    assert_eq!((requests.len(), &requests[0]["error"]), (1, &"interrupted".into()));
}

#[cfg(unix)]
#[test]
fn ctrl_c_during_a_pause_is_heard() {
    let peer = peer(Script::new().read_request().send(response(200, "x")));
    let child = command(&["fetch", "--repeat", "2", "--pause", "30", &peer.url("/")]).spawn().unwrap();
    peer.wait(0, Until::Requests(1)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (130, "x"));
    seen(peer).assert_fin();
}

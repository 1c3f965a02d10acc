//! One connection an origin.

use std::time::{Duration, Instant};

use adieu_testkit::peer::{Peer, Script, response};

use crate::program::{fetch, fetch_with_report, of_type, peer, server};

#[test]
fn it_is_kept_over_urls_and_repetitions() {
    let peer = server("x");
    let (ran, lines) = fetch_with_report(&["--repeat", "3", &peer.url("/a"), &peer.url("/b")]);
    assert_eq!(ran.ok().out, "xxxxxx");
    let seen = peer.finish().unwrap();
    assert_eq!((seen.len(), seen[0].requests_len()), (1, 6));
    seen[0].assert_fin();
    let reused: Vec<_> = of_type(&lines, "request").iter().map(|line| line["reused"] == true).collect();
    assert_eq!(reused, [false, true, true, true, true, true]);
    assert_eq!(of_type(&lines, "connection")[0]["exchanges"], 6);
}

#[test]
fn each_origin_has_its_own() {
    let (one, two) = (server("1"), server("2"));
    let args = ["--repeat", "2", &one.url("/"), &two.url("/")];
    assert_eq!(fetch(&args).ok().out, "1212");
    assert_eq!((one.finish().unwrap().len(), two.finish().unwrap().len()), (1, 1));
}

#[test]
fn one_that_ended_is_replaced_and_told() {
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let script = Script::new().read_request().send(last).fin();
    let peer = Peer::builder().script(script.clone()).script(script).tcp().unwrap();
    let (ran, lines) = fetch_with_report(&["--repeat", "2", &peer.url("/")]);
    assert_eq!(ran.ok().out, "xx");
    assert_eq!(peer.finish().unwrap().len(), 2);
    let connections = of_type(&lines, "connection");
    assert_eq!(connections.len(), 2);
    assert!(connections.iter().all(|line| line["reason"] == "peer_asked_close" && line["ended"] == "clean"));
}

#[test]
fn one_that_the_peer_ended_while_idle_is_replaced_before_anything_is_written() {
    let short = Script::new().read_request().send(response(200, "x")).pause(Duration::from_millis(50)).fin();
    let peer =
        Peer::builder().script(short).script(Script::new().answer_all(response(200, "y"))).tcp().unwrap();
    let began = Instant::now();
    let (ran, lines) = fetch_with_report(&["--repeat", "2", "--pause", "0.3-0.4", &peer.url("/")]);
    assert!(began.elapsed() > Duration::from_millis(300));
    assert_eq!(ran.ok().out, "xy");
    let reasons: Vec<_> = of_type(&lines, "connection").iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["peer_closed_idle", "user_graceful"]);
    let seen = peer.finish().unwrap();
    assert_eq!((seen[0].requests_len(), seen[1].requests_len()), (1, 1));
}

#[test]
fn a_failure_does_not_stop_the_queue() {
    let broken = Script::new().read_request().reset();
    let peer =
        Peer::builder().script(broken).script(Script::new().answer_all(response(200, "y"))).tcp().unwrap();
    let (ran, lines) = fetch_with_report(&["--repeat", "2", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (56, "y"));
    let ok: Vec<_> = of_type(&lines, "request").iter().map(|line| line["ok"] == true).collect();
    assert_eq!(ok, [false, true]);
}

#[test]
fn an_unread_body_does_not_end_it_if_it_is_small() {
    let peer = peer(Script::new().answer_all(response(404, "small")));
    let ran = fetch(&["-f", "--repeat", "2", &peer.url("/")]);
    assert_eq!(ran.code, 22);
    assert_eq!(peer.finish().unwrap().len(), 1);
}

//! The queue: several workers over one client, and what is told of it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use serde_json::Value;

use crate::program::{Ran, command, fetch, fetch_with_report, of_type, server, temporary};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn workers_take_from_one_queue_over_as_many_connections() {
    let gate = Gate::new();
    let script = Script::new().read_request().gate(&gate).send(response(200, "x"));
    let script = script.times(1, Script::new().answer_all(response(200, "x"))).repeat();
    let peer = Peer::tcp(script).unwrap();
    let report = temporary("report", b"");
    let args = ["fetch", "--parallel", "3", "--repeat", "4", "--report", report.to_str().unwrap()];
    let urls = [peer.url("/a"), peer.url("/b"), peer.url("/c")];
    let child = command(&[&args[..], &urls.each_ref().map(String::as_str)].concat()).spawn().unwrap();
    // All three have a request in flight before the first is answered.
    for connection in 0..3 {
        peer.wait(connection, Until::Requests(1)).unwrap();
    }
    gate.open();
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).ok().out, "x".repeat(12));
    let seen = peer.finish().unwrap();
    assert_eq!((seen.len(), seen.iter().map(|seen| seen.requests_len()).sum::<u64>()), (3, 12));
    let text = std::fs::read_to_string(report).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut numbers: Vec<_> = of_type(&lines, "request").iter().map(|line| line["n"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).map(Some).collect::<Vec<_>>());
    let connections = of_type(&lines, "connection");
    let exchanges: u64 = connections.iter().filter_map(|line| line["exchanges"].as_u64()).sum();
    assert_eq!((connections.len(), exchanges), (3, 12));
    assert!(connections.iter().all(|line| line["reason"] == "user_graceful" && line["ended"] == "clean"));
}

#[test]
fn there_are_no_more_workers_than_urls() {
    let peer = server("x");
    fetch(&["--parallel", "1000", &peer.url("/"), &peer.url("/")]).ok();
    assert!(peer.finish().unwrap().len() <= 2);
}

#[test]
fn each_worker_pauses_by_itself() {
    let peer = server("x");
    let began = Instant::now();
    fetch(&["--parallel", "4", "--repeat", "8", "--pause", "0.3", &peer.url("/")]).ok();
    // One pause each: the second URL of a worker is followed by an empty queue, or by one more pause at most.
    assert!(began.elapsed() > Duration::from_millis(300) && began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn connections_that_end_in_the_middle_are_told_when_they_end() {
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let peer = Peer::builder()
        .script(Script::new().read_request().send(last).fin())
        .script(Script::new().read_request().reset())
        .script(Script::new().answer_all(response(200, "x")))
        .tcp()
        .unwrap();
    let (ran, lines) = fetch_with_report(&["--repeat", "4", "--pause", "0.05", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (56, "xxx"));
    let reasons: Vec<_> = of_type(&lines, "connection").iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["peer_asked_close", "reset", "user_graceful"]);
    let place = |wanted: &dyn Fn(&Value) -> bool| lines.iter().position(wanted).unwrap();
    assert!(place(&|line| line["reason"] == "reset") < place(&|line| line["n"] == 3), "{lines:?}");
}

#[test]
fn the_last_failure_is_the_exit_code() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = server("x");
    let (ran, lines) = fetch_with_report(&["ftp://h/", &format!("http://{nobody}/"), &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (7, "x"));
    let failed: Vec<_> = of_type(&lines, "request").iter().map(|line| line["ok"] == false).collect();
    assert_eq!(failed, [true, true, false]);
    // What never opened was no connection.
    assert_eq!(of_type(&lines, "connection").len(), 1);
}

#[test]
fn half_goes_for_the_last_exchange_of_each_connection() {
    let script = Script::new().read_request().expect_fin(SOON).send(response(200, "x"));
    let peer = Peer::builder().script(script.clone()).script(script).tcp().unwrap();
    let (ran, lines) =
        fetch_with_report(&["--close", "half", "--parallel", "2", &peer.url("/a"), &peer.url("/b")]);
    assert_eq!(ran.ok().out, "xx");
    peer.finish().unwrap();
    assert!(of_type(&lines, "connection").iter().all(|line| line["reason"] == "user_half"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_all_workers() {
    let peer = Peer::tcp(Script::new().read_request().read_to_end().repeat()).unwrap();
    let report = temporary("report", b"");
    let args =
        ["fetch", "--parallel", "3", "--repeat", "9", "--report", report.to_str().unwrap(), &peer.url("/")];
    let child = command(&args).spawn().unwrap();
    for connection in 0..3 {
        peer.wait(connection, Until::Requests(1)).unwrap();
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (130, ""));
    assert_eq!(peer.finish().unwrap().len(), 3);
    let text = std::fs::read_to_string(report).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests = of_type(&lines, "request");
    assert_eq!((requests.len(), of_type(&lines, "connection").len()), (3, 3));
    assert!(requests.iter().all(|line| line["error"] == "interrupted" && line["connection"].is_u64()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_23() {
    let peer = server("x");
    let ran = fetch(&["--report", "/dev/full", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (23, "x"));
    assert!(ran.err.starts_with("adieu: (23) writing to the report: "), "{}", ran.err);
}

#[test]
fn the_deadline_is_for_each_url() {
    let script = Script::new().read_head().read_to_end();
    let peer =
        Peer::builder().script(script).script(Script::new().answer_all(response(200, "x"))).tcp().unwrap();
    let (ran, lines) = fetch_with_report(&["-m", "0.2", "--repeat", "2", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (28, "x"));
    assert_eq!(of_type(&lines, "connection")[0]["reason"], "timeout_exchange");
}

#[test]
fn a_slow_name_or_a_dead_address_has_a_limit() {
    // Nobody accepts, and the backlog is full: a connect gets no answer.
    let full = socket_with_full_backlog();
    let address = full.0.local_addr().unwrap();
    let ran = fetch(&["--connect-timeout", "0.2", &format!("http://{address}/")]);
    let line = format!(
        "adieu: (28) timed out after 200ms (--connect-timeout): connecting to {address} for http://{address}\n"
    );
    assert_eq!((ran.code, ran.err), (28, line));
}

fn socket_with_full_backlog() -> (TcpListener, Vec<std::net::TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let held = std::iter::from_fn(|| {
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
    });
    let held = held.take(5_000).collect();
    (listener, held)
}

//! `--report`.

use adieu_testkit::peer::{Script, response};
use serde_json::{Value, json};

use crate::program::{fetch, fetch_with_report, of_type, peer, server};

/// All fields of a connection line, in the order of the alphabet.
pub(crate) const CONNECTION_KEYS: [&str; 24] = [
    "age_ms",
    "began_by",
    "bytes_discarded",
    "bytes_received",
    "bytes_sent",
    "closing_ms",
    "draining_ms",
    "ended",
    "ended_idle_ms",
    "exchanges",
    "explanation",
    "failed",
    "id",
    "layers",
    "lingering_ms",
    "origin",
    "peer",
    "protocol",
    "reason",
    "received",
    "round_trip_ms",
    "sent",
    "tls",
    "type",
];

pub(crate) fn keys(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Only FIN was said.
pub(crate) fn fin() -> Value {
    json!({ "goaway": false, "close_notify": false, "fin": true, "rst": false })
}

#[test]
fn a_request_line() {
    let peer = server("hello");
    let (_, lines) = fetch_with_report(&["-d", "x", &peer.url("/a")]);
    let mut line = lines[0].clone();
    assert!(line["ms"].take().as_f64().unwrap() > 0.0);
    let expected = json!({
        "type": "request", "n": 1, "method": "POST", "url": peer.url("/a"), "ok": true, "status": 200,
        "error": null, "fate": null, "connection": 1, "reused": false, "replays": 0, "ms": null,
    });
    assert_eq!(line, expected);
}

#[test]
fn a_connection_line() {
    let peer = server("hello");
    let (_, lines) = fetch_with_report(&["--close", "now", &peer.url("/a")]);
    let line = of_type(&lines, "connection")[0];
    assert_eq!(keys(line), CONNECTION_KEYS);
    assert_eq!(line["tls"], Value::Null);
    let layer = json!([{ "layer": "tcp", "connection": null, "sent": fin(), "received": fin() }]);
    assert_eq!(line["layers"], layer);
    assert_eq!(line["origin"], peer.url(""));
    assert_eq!((&line["reason"], &line["ended"]), (&"user_now".into(), &"clean".into()));
    assert_eq!((&line["sent"], &line["received"]), (&fin(), &fin()));
    assert_eq!((&line["exchanges"], &line["failed"]), (&1.into(), &0.into()));
}

#[test]
fn what_was_never_sent_says_so() {
    let (ran, lines) = fetch_with_report(&["ftp://h/"]);
    assert_eq!(ran.code, 3);
    assert_eq!((&lines[0]["fate"], &lines[0]["connection"]), (&"not_sent".into(), &Value::Null));
    assert_eq!((&lines[0]["ok"], &lines[0]["url"]), (&false.into(), &"ftp://h/".into()));
}

#[test]
fn what_may_have_been_processed_is_unknown() {
    let peer = peer(Script::new().read_request().fin());
    let (ran, lines) = fetch_with_report(&[&peer.url("/")]);
    assert_eq!(ran.code, 52);
    let request = of_type(&lines, "request")[0];
    assert_eq!((&request["fate"], &request["status"]), (&"unknown".into(), &Value::Null));
    assert_eq!(request["error"], "the peer ended before any byte of a response (connection #1)");
    assert_eq!(of_type(&lines, "connection")[0]["reason"], "peer_ended_early");
}

#[test]
fn a_dash_is_standard_error() {
    let peer = peer(Script::new().read_request().send(response(200, "hello")));
    let ran = fetch(&["--report", "-", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hello"));
    let lines: Vec<Value> = ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[1]["type"]), (&"request".into(), &"connection".into()));
}

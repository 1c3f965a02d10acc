//! `--replay`: what is sent again, and what the report says of it.

use adieu_testkit::peer::{Peer, Script, response};
use serde_json::Value;

use crate::program::{Ran, fetch_with_report, of_type};

/// Answers one request and reads one more, then closes without a word; all other connections answer everything.
fn forgetful() -> Peer {
    let first = Script::new().read_request().send(response(200, "ok")).read_request().close();
    let others = Script::new().answer_all(response(200, "ok")).or_end().repeat();
    Peer::builder().script(first).script(others).tcp().unwrap()
}

/// Two requests, the second of which may have been processed; its line.
fn second(args: &[&str]) -> (Ran, Value) {
    let peer = forgetful();
    let url = peer.url("/");
    let (ran, lines) = fetch_with_report(&[args, &["--repeat", "2", &url]].concat());
    let line = of_type(&lines, "request")[1].clone();
    (ran, line)
}

#[test]
fn what_is_safe_is_sent_again_and_says_so() {
    for args in [
        &[][..],
        &["--replay", "safe"],
        &["--replay", "idempotent"],
        &["-X", "PUT", "--replay", "idempotent"],
    ] {
        let (ran, line) = second(args);
        assert_eq!(ran.ok().out, "okok", "{args:?}");
        assert_eq!((&line["ok"], &line["replays"], &line["fate"]), (&true.into(), &1.into(), &Value::Null));
        assert_eq!((&line["connection"], &line["reused"]), (&2.into(), &false.into()));
    }
}

#[test]
fn what_may_have_been_processed_is_not_sent_again_unless_that_is_harmless() {
    for args in [
        &["--replay", "never"][..],
        &["--replay", "proven"],
        &["-d", "x"],
        &["-X", "PUT"],
        &["-d", "x", "--replay", "idempotent"],
    ] {
        let (ran, line) = second(args);
        assert_eq!(ran.code, 52, "{args:?}: {}", ran.err);
        assert_eq!((&line["ok"], &line["replays"]), (&false.into(), &0.into()), "{args:?}");
        assert_eq!(line["fate"], "unknown", "{args:?}");
    }
}

#[test]
fn each_replay_is_a_step_that_can_be_watched() {
    let peer = forgetful();
    let (ran, _) = fetch_with_report(&["-v", "--repeat", "2", &peer.url("/")]);
    assert!(ran.err.contains("is sent again (1): it may have been processed"), "{}", ran.err);
}

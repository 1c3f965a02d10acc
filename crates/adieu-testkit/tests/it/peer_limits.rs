//! Nothing hangs, and what went wrong is told.

use std::io::Read;
use std::time::{Duration, Instant};

use adieu_testkit::peer::{Event, Gate, Peer, Script, Until};

use crate::client::{GET, connect, connect_and_send, read_to_end, reset};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn every_waiting_step_keeps_its_limit() {
    let gate = Gate::new();
    for (script, failure) in [
        (Script::new().read_head(), "step 1 (read a head): not done within 20ms, 0 bytes into it"),
        (Script::new().read_request(), "step 1 (read a request): not done within 20ms, 0 bytes into it"),
        (
            Script::new().read_exactly(4),
            "step 1 (read exactly 4 bytes): not done within 20ms, 0 bytes into it",
        ),
        (
            Script::new().read_to_end(),
            "step 1 (read to the client's end): not done within 20ms, 0 bytes into it",
        ),
        (Script::new().gate(&gate), "step 1 (wait for the gate): it was not opened within 20ms"),
    ] {
        let peer = Peer::tcp(script.step_limit(SHORT)).unwrap();
        let client = connect(&peer);
        let start = Instant::now();
        let error = peer.finish().unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(error.failures().collect::<Vec<_>>(), [format!("connection 0, {failure}")]);
        assert!(matches!(error.seen()[0].entries()[0].event, Event::Failed(_)));
        // A failed script closes at once, so that the client does not hang either.
        assert_eq!(read_to_end(&client).0, b"");
    }
}

#[test]
fn an_end_in_the_middle_of_a_step_tells_how_far_it_got() {
    let peer = Peer::builder()
        .script(Script::new().read_head())
        .script(Script::new().read_exactly(100))
        .tcp()
        .unwrap();
    drop(connect_and_send(&peer, &GET[..10]));
    reset(connect_and_send(&peer, b"abc"));
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [
            "connection 0, step 1 (read a head): the client ended with FIN, 10 bytes into it",
            "connection 1, step 1 (read exactly 100 bytes): the client ended with RST, 3 bytes into it",
        ]
    );
    let told = format!("{error:?}");
    assert!(told.contains("FAILED: step 1 (read a head)") && told.contains("client sent RST"), "{told}");
}

#[test]
fn a_failure_can_be_allowed_for_one_step_only() {
    let peer = Peer::tcp(Script::new().read_head().or_end().read_head().mark("not reached")).unwrap();
    drop(connect(&peer));
    assert!(!peer.finish().unwrap()[0].saw_fin_before("not reached"));

    let peer = Peer::tcp(Script::new().read_head().or_end().read_head()).unwrap();
    drop(connect_and_send(&peer, GET));
    assert!(peer.finish().is_err());
}

#[test]
fn an_endless_head_is_a_failure() {
    let peer = Peer::tcp(Script::new().read_head()).unwrap();
    let client = connect_and_send(&peer, &vec![b'a'; 100_000]);
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().next(),
        Some("connection 0, step 1 (read a head): the head is longer than 65536 bytes")
    );
    drop(client);
}

#[test]
fn dropping_the_peer_releases_everything_at_once() {
    let gate = Gate::new();
    for script in [
        Script::new().stall(),
        Script::new().gate(&gate),
        Script::new().pause(Duration::from_secs(3600)),
        Script::new().read_head(),
        Script::new().answer_all("x"),
        Script::new(),
    ] {
        let peer = Peer::tcp(script).unwrap();
        let mut client = connect(&peer);
        peer.wait(0, Until::Accepted).unwrap();
        let start = Instant::now();
        drop(peer);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_log_of_many_steps_is_bounded() {
    let peer =
        Peer::tcp(Script::new().times(3000, Script::new().read_exactly(1).send("y")).mark("all")).unwrap();
    let mut client = connect_and_send(&peer, &[b'n'; 3000]);
    client.read_exact(&mut [0; 3000]).unwrap();
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!((seen.received_len(), seen.sent_len()), (3000, 3000));
    assert!(seen.entries().len() < 4200);
    assert!(seen.received_before("all").is_some() && seen.saw_fin());
    assert!(seen.to_string().contains("more entries of bytes received and sent"));
}

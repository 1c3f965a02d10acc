//! Every end, in both directions.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use adieu_testkit::Ended;
use adieu_testkit::peer::{Event, Gate, Peer, Script, Until};

use crate::client::{GET, connect, connect_and_send, read_to_end, reset};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn the_clients_fin_is_seen() {
    let peer = Peer::tcp(Script::new().read_head().send("bye").fin().expect_fin(SOON).mark("after")).unwrap();
    let client = connect_and_send(&peer, GET);
    assert_eq!(read_to_end(&client), (b"bye".to_vec(), Ended::Fin));
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_fin_before("after");
    seen.assert_fin();
    let sent_fin = seen.time_of(|event| *event == Event::SentFin).unwrap();
    assert!(sent_fin <= seen.time_of(|event| *event == Event::Fin).unwrap());
}

#[test]
fn the_clients_reset_is_seen() {
    for script in [Script::new().expect_reset(SOON), Script::new().read_to_end(), Script::new()] {
        let peer = Peer::tcp(script).unwrap();
        reset(connect_and_send(&peer, GET));
        let seen = peer.finish().unwrap().remove(0);
        seen.assert_received(GET);
        seen.assert_reset();
        assert!(!seen.saw_fin());
    }
}

#[test]
fn a_close_with_unread_bytes_is_a_reset_of_the_client() {
    let peer = Peer::tcp(Script::new().read_head().send("unread").mark("sent").expect_reset(SOON)).unwrap();
    let mut client = connect_and_send(&peer, GET);
    // One of its bytes is read, so that the others have come too.
    assert_eq!(std::io::Read::read(&mut client, &mut [0]).unwrap(), 1);
    drop(client);
    peer.finish().unwrap()[0].assert_reset();
}

#[test]
fn a_reset_after_a_fin_is_a_reset() {
    let peer = Peer::tcp(Script::new().expect_fin(SOON).mark("fin").expect_reset(SOON)).unwrap();
    let client = connect(&peer);
    client.shutdown(Shutdown::Write).unwrap();
    peer.wait(0, Until::Mark("fin")).unwrap();
    reset(client);
    let seen = peer.finish().unwrap().remove(0);
    assert!(seen.saw_fin_before("fin") && seen.saw_reset(), "{seen}");
    seen.assert_reset();
}

#[test]
fn the_wrong_end_is_a_failure() {
    let peer = Peer::builder()
        .script(Script::new().expect_fin(SOON))
        .script(Script::new().expect_reset(Duration::from_millis(20)))
        .script(Script::new().expect_fin(Duration::from_millis(20)))
        .tcp()
        .unwrap();
    reset(connect(&peer));
    drop(connect(&peer));
    let silent = connect(&peer);
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [
            "connection 0, step 1 (expect FIN within 5s): the client ended with RST, 0 bytes into it",
            "connection 1, step 1 (expect RST within 20ms): not done within 20ms, 0 bytes into it",
            "connection 2, step 1 (expect FIN within 20ms): not done within 20ms, 0 bytes into it",
        ]
    );
    drop(silent);
}

#[test]
fn our_fin_is_half_a_close() {
    let peer = Peer::tcp(Script::new().send("done").fin().read_exactly(5)).unwrap();
    let mut client = connect(&peer);
    assert_eq!(read_to_end(&client), (b"done".to_vec(), Ended::Fin));
    client.write_all(b"still").unwrap();
    drop(client);
    peer.finish().unwrap()[0].assert_fin();
}

#[test]
fn our_reset_is_a_reset() {
    let peer = Peer::tcp(Script::new().read_head().reset().mark("gone")).unwrap();
    let client = connect_and_send(&peer, GET);
    assert_eq!(read_to_end(&client).1, Ended::Reset);
    let seen = peer.finish().unwrap().remove(0);
    let events: Vec<_> = seen.entries().iter().map(|entry| &entry.event).collect();
    assert!(
        matches!(events[..], [Event::Received { .. }, Event::SentReset, Event::Mark(_)]),
        "a reset is the end\n{seen}"
    );
}

#[test]
fn our_close_is_fin_or_reset_by_what_is_unread() {
    for (sent, expected) in [(GET.to_vec(), Ended::Fin), ([GET, b"unread"].concat(), Ended::Reset)] {
        let gate = Gate::new();
        let peer = Peer::tcp(Script::new().read_head().gate(&gate).close()).unwrap();
        let client = connect_and_send(&peer, &sent);
        gate.open();
        assert_eq!(read_to_end(&client).1, expected);
        peer.finish().unwrap();
    }
}

#[test]
fn a_client_that_stays_is_still_open() {
    let peer = Peer::tcp(Script::new().linger(Duration::from_millis(10))).unwrap();
    let client = connect(&peer);
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_still_open();
    assert_eq!(seen.entries()[0].event, Event::StillOpen);
    assert_eq!(read_to_end(&client).1, Ended::Fin);
}

#[test]
fn an_idle_client_is_not_waited_for_twice_while_answering_all() {
    let script = Script::new().linger(Duration::from_millis(10)).answer_all("HTTP/1.1 204 \r\n\r\n");
    let peer = Peer::tcp(script).unwrap();
    let client = connect_and_send(&peer, GET);
    assert_eq!(crate::client::read_exactly(&client, 17), b"HTTP/1.1 204 \r\n\r\n");
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_still_open();
    assert!(seen.time_of(|event| *event == Event::Closed).unwrap() < Duration::from_secs(2), "{seen}");
}

#[test]
#[should_panic(expected = "expected the client's end: FIN, saw: RST")]
fn a_failed_assertion_tells_both_ends() {
    let peer = Peer::tcp(Script::new()).unwrap();
    reset(connect(&peer));
    peer.finish().unwrap()[0].assert_fin();
}

#[test]
#[should_panic(expected = "saw 3 bytes: abc")]
fn a_failed_assertion_tells_the_bytes() {
    let peer = Peer::tcp(Script::new()).unwrap();
    drop(connect_and_send(&peer, b"abc"));
    peer.finish().unwrap()[0].assert_received("abd");
}

//! Gates, marks, stalls and waits: order without sleeps.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use adieu_testkit::peer::{Event, Gate, Peer, Script, Until, response};

use crate::client::{GET, connect, connect_and_send, is_timeout, read_exactly, read_to_end};

#[test]
fn a_gate_holds_until_it_is_opened() {
    let gate = Gate::new();
    let peer =
        Peer::tcp(Script::new().read_head().mark("at the gate").gate(&gate).send("passed").fin()).unwrap();
    let mut client = connect_and_send(&peer, GET);
    peer.wait(0, Until::Mark("at the gate")).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(is_timeout(&client.read(&mut [0]).unwrap_err()));
    client.set_read_timeout(None).unwrap();
    gate.open();
    assert_eq!(read_to_end(&client).0, b"passed");
    drop(client);
    peer.finish().unwrap();
}

#[test]
fn an_open_gate_holds_nobody() {
    let gate = Gate::new();
    gate.open();
    let peer = Peer::tcp(Script::new().gate(&gate).times(2, Script::new().gate(&gate))).unwrap();
    drop(connect(&peer));
    peer.finish().unwrap();
}

#[test]
fn marks_of_both_sides_tell_the_order() {
    let peer =
        Peer::tcp(Script::new().read_exactly(1).mark("one").read_to_end().mark("end").send("x")).unwrap();
    let client = connect_and_send(&peer, b"a");
    peer.wait(0, Until::Mark("one")).unwrap();
    peer.mark("client ends");
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&client);
    peer.mark("too late, or just in time");
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    assert!(!seen.saw_fin_before("one") && !seen.saw_fin_before("client ends"));
    assert!(seen.saw_fin_before("end"));
    assert!(!seen.saw_fin_before("no such mark"));
    assert_eq!(seen.received_before("no such mark"), None);
    assert!(seen.entries().is_sorted_by_key(|entry| entry.at), "{seen}");
}

#[test]
fn a_stall_ends_by_release_by_finish_and_by_its_limit() {
    let stall = || Script::new().read_head().stall().mark("on");
    let peer = Peer::tcp(stall().mark("on")).unwrap();
    let client = connect_and_send(&peer, &[GET, GET].concat());
    peer.wait(0, Until::Requests(1)).unwrap();
    assert_eq!(peer.seen(0).unwrap().received_len(), GET.len() as u64, "a stall reads nothing");
    peer.release();
    peer.wait(0, Until::Mark("on")).unwrap();
    drop(client);
    peer.finish().unwrap()[0].assert_received([GET, GET].concat());

    let peer = Peer::tcp(stall()).unwrap();
    drop(connect_and_send(&peer, GET));
    peer.finish().unwrap()[0].assert_fin();

    let peer = Peer::tcp(stall().step_limit(Duration::from_millis(20))).unwrap();
    let client = connect_and_send(&peer, GET);
    peer.wait(0, Until::Mark("on")).unwrap();
    drop(client);
    peer.finish().unwrap();
}

#[test]
fn a_pause_takes_its_time() {
    let pause = Duration::from_millis(20);
    let peer = Peer::tcp(Script::new().mark("before").pause(pause).mark("after")).unwrap();
    drop(connect(&peer));
    let seen = peer.finish().unwrap().remove(0);
    let mark = |name: &str| seen.time_of(|event| *event == Event::Mark(name.to_owned())).unwrap();
    assert!(mark("after") - mark("before") >= pause, "{seen}");
    assert!(!seen.saw_fin_before("after"), "the FIN came in the pause, but nobody read it");
}

#[test]
fn quiet_hears_bytes_and_ends() {
    let quiet = Script::new().read_exactly(1).quiet(Duration::from_millis(20));
    let peer = Peer::builder().script(quiet.clone()).script(quiet.clone()).script(quiet).tcp().unwrap();
    drop(connect_and_send(&peer, b"ab"));
    drop(connect_and_send(&peer, b"a"));
    let client = connect_and_send(&peer, b"a");
    peer.wait(2, Until::Received(1)).unwrap();
    std::thread::sleep(Duration::from_millis(40));
    drop(client);
    let error = peer.finish().unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [
            "connection 0, step 2 (expect nothing for 20ms): 1 bytes came: b",
            "connection 1, step 2 (expect nothing for 20ms): the client ended with FIN, 0 bytes into it",
        ]
    );
}

#[test]
fn waiting_for_each_kind_of_thing() {
    let peer = Peer::tcp(Script::new().read_head().send(response(200, "")).mark("answered")).unwrap();
    let client = connect(&peer);
    assert_eq!(peer.wait(0, Until::Accepted).unwrap().connection(), 0);
    assert_eq!((peer.connections(), peer.open_connections()), (1, 1));
    std::io::Write::write_all(&mut &client, GET).unwrap();
    peer.wait(0, Until::Requests(1)).unwrap();
    peer.wait(0, Until::Received(GET.len() as u64)).unwrap();
    peer.wait(0, Until::Mark("answered")).unwrap();
    read_exactly(&client, response(200, "").len());
    drop(client);
    peer.wait(0, Until::End).unwrap().assert_fin();
    peer.wait(0, Until::Over).unwrap();
    assert_eq!((peer.connections(), peer.open_connections()), (1, 0));
    let error = peer.wait(0, Until::Mark("never")).unwrap_err();
    assert_eq!(
        error.failures().next(),
        Some("connection 0, waiting for Mark(\"never\"): the connection was over without it")
    );
}

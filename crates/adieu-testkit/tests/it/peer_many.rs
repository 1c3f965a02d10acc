//! More than one connection.

use std::time::Duration;

use adieu_testkit::Ended;
use adieu_testkit::peer::{Peer, Script, Until, response};

use crate::client::{GET, connect, connect_and_send, connect_to, read_exactly, read_to_end};

#[test]
fn scripts_are_played_in_the_order_of_connecting() {
    let peer = Peer::builder()
        .script(Script::new().send("first").fin())
        .script(Script::new().send("second").fin())
        .script(Script::new().send("further").fin().repeat())
        .tcp()
        .unwrap();
    for expected in ["first", "second", "further", "further"] {
        assert_eq!(read_to_end(&connect(&peer)).0, expected.as_bytes());
    }
    let seen = peer.finish().unwrap();
    assert_eq!(seen.iter().map(|seen| seen.connection()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(seen.is_sorted_by_key(|seen| seen.accepted_at()));
}

#[test]
fn connections_are_played_side_by_side() {
    let peer = Peer::tcp(Script::new().answer_all(response(200, "ok")).repeat()).unwrap();
    let clients: Vec<_> = (0..8).map(|_| connect_and_send(&peer, GET)).collect();
    for client in &clients {
        read_exactly(client, response(200, "ok").len());
    }
    assert_eq!((peer.connections(), peer.open_connections()), (8, 8));
    drop(clients);
    for seen in peer.finish().unwrap() {
        seen.assert_fin();
    }
}

#[test]
fn a_repeated_script_may_be_played_never() {
    assert!(Peer::tcp(Script::new().repeat()).unwrap().finish().unwrap().is_empty());
}

#[test]
fn a_script_that_is_owed_is_waited_for() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let address = peer.address();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(connect_to(address));
    });
    assert_eq!(peer.finish().unwrap().len(), 1);
    late.join().unwrap();
}

#[test]
fn scripts_never_played_are_a_failure() {
    let builder = Peer::builder().patience(Duration::from_millis(20));
    let peer = builder.script(Script::new()).script(Script::new()).script(Script::new()).tcp().unwrap();
    drop(connect(&peer));
    let error = peer.finish().unwrap_err();
    assert_eq!(error.failures().collect::<Vec<_>>(), ["2 scripts were never played: 1 connection came"]);
    assert_eq!(error.into_seen().len(), 1);
}

#[test]
fn a_connection_without_a_script_is_reset_and_told() {
    let peer = Peer::tcp(Script::new()).unwrap();
    drop(connect(&peer));
    assert_eq!(read_to_end(&connect(&peer)).1, Ended::Reset);
    let error = peer.finish().unwrap_err();
    assert_eq!(error.failures().collect::<Vec<_>>(), ["connection 1, no script is left for this connection"]);
}

#[test]
fn connections_beyond_the_limit_are_reset_and_told() {
    let peer = Peer::builder().max_connections(1).script(Script::new().repeat()).tcp().unwrap();
    let kept = connect(&peer);
    peer.wait(0, Until::Accepted).unwrap();
    assert_eq!(read_to_end(&connect(&peer)).1, Ended::Reset);
    drop(kept);
    let error = peer.finish().unwrap_err();
    assert_eq!(error.failures().collect::<Vec<_>>(), ["a connection beyond the limit of 1 was turned away"]);
    error.seen()[0].assert_fin();
}

#[test]
fn who_connected_before_the_end_is_still_served() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    for _ in 0..20 {
        drop(connect(&peer));
    }
    assert_eq!(peer.finish().unwrap().len(), 20);
}

#[test]
fn finishing_closes_the_listening_socket() {
    let peer = Peer::tcp(Script::new().repeat()).unwrap();
    let address = peer.address();
    peer.finish().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_peer_needs_scripts_in_order() {
    assert_eq!(Peer::builder().tcp().unwrap_err().to_string(), "a peer needs a script");
    let two = Peer::builder().script(Script::new().repeat()).script(Script::new().repeat());
    assert_eq!(two.tcp().unwrap_err().to_string(), "only the last script can be repeated");
}

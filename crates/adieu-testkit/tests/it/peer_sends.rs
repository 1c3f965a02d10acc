//! Every sending step.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use adieu_testkit::Ended;
use adieu_testkit::peer::{Event, Peer, Script, Seen, Until, response};

use crate::client::{GET, connect, connect_and_send, is_timeout, read_to_end};

/// Plays what `script` makes of a pause, with longer and longer pauses, until the client reads pieces of these sizes: on
/// a busy machine it may come too late and find two of them together.
fn assert_read_in_pieces(expected: &[usize], script: impl Fn(Duration) -> Script) -> Seen {
    let mut pause = Duration::from_millis(5);
    loop {
        let peer = Peer::tcp(script(pause)).unwrap();
        let sizes = read_sizes(&peer);
        let seen = peer.finish().unwrap().remove(0);
        if sizes == expected {
            return seen;
        }
        pause *= 2;
        assert!(pause < Duration::from_secs(2), "read in pieces of {sizes:?}, not {expected:?}\n{seen}");
    }
}

/// The sizes of the reads until the server's end.
fn read_sizes(peer: &Peer) -> Vec<usize> {
    let mut client = connect(peer);
    let mut sizes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer).unwrap() {
            0 => return sizes,
            size => sizes.push(size),
        }
    }
}

#[test]
fn pieces_arrive_one_by_one() {
    let seen = assert_read_in_pieces(&[3, 3, 2], |pause| {
        Script::new().piece_pause(pause).send_pieces("abcdefgh", 3).fin()
    });
    assert_eq!(seen.entries()[0].event, Event::Sent { bytes: 8, pieces: 3 });
}

#[test]
fn pieces_of_no_size_are_bytes() {
    let peer = Peer::tcp(Script::new().piece_pause(Duration::ZERO).send_pieces("abc", 0).fin()).unwrap();
    assert_eq!(read_to_end(&connect(&peer)).0, b"abc");
    assert_eq!(peer.finish().unwrap()[0].entries()[0].event, Event::Sent { bytes: 3, pieces: 3 });
}

#[test]
fn cuts_are_where_they_were_asked_for() {
    assert_read_in_pieces(&[1, 6, 1], |pause| {
        Script::new().piece_pause(pause).send_cut("abcdefgh", [7, 1, 1, 0, 8, 99]).fin()
    });
}

#[test]
fn empty_sends_are_no_trouble() {
    let peer = Peer::tcp(Script::new().send("").send_pieces("", 1).send_cut("", [0, 1]).send_filler(0).fin())
        .unwrap();
    assert_eq!(read_sizes(&peer), [0; 0]);
    assert_eq!(peer.finish().unwrap()[0].sent_len(), 0);
}

#[test]
fn a_large_download_comes_from_nowhere() {
    const LENGTH: u64 = 64 << 20;
    let peer = Peer::tcp(Script::new().read_head().send_filler(LENGTH).fin()).unwrap();
    let mut client = connect_and_send(&peer, GET);
    let read = std::io::copy(&mut client, &mut std::io::sink()).unwrap();
    drop(client);
    assert_eq!(read, LENGTH);
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!(seen.sent_len(), LENGTH);
    assert_eq!(seen.entries()[1].event, Event::Sent { bytes: LENGTH, pieces: 1 });
}

#[test]
fn a_download_that_the_client_gives_up_may_end() {
    let script = || Script::new().read_head().send_filler(1 << 30);
    let peer = Peer::builder().script(script().or_end()).script(script()).tcp().unwrap();
    for _ in 0..2 {
        let mut client = connect_and_send(&peer, GET);
        client.read_exact(&mut [0; 1000]).unwrap();
        // Unread bytes: the kernel resets.
        drop(client);
    }
    let error = peer.finish().unwrap_err();
    let failures: Vec<_> = error.failures().collect();
    assert_eq!(failures.len(), 1, "{error}");
    assert!(
        failures[0].starts_with(
            "connection 1, step 2 (send 1073741824 bytes of filler): the client ended with RST, "
        )
    );
    error.seen()[0].assert_reset();
    error.seen()[1].assert_reset();
}

#[test]
fn a_client_that_never_reads_is_told_after_the_limit() {
    let peer = Peer::tcp(Script::new().step_limit(Duration::from_millis(30)).send_filler(1 << 30)).unwrap();
    let client = connect(&peer);
    let error = peer.finish().unwrap_err();
    assert!(error.failures().next().unwrap().contains("not done within 30ms"), "{error}");
    drop(client);
}

#[test]
fn what_the_client_sent_before_its_reset_is_still_read() {
    let gate = adieu_testkit::peer::Gate::new();
    let peer = Peer::tcp(Script::new().gate(&gate).send_filler(1 << 20).or_end()).unwrap();
    let client = connect_and_send(&peer, b"before");
    crate::client::reset(client);
    gate.open();
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_reset();
    assert!(!seen.saw_fin(), "{seen}");
    seen.assert_received("before");
}

#[test]
fn an_upload_that_is_never_read_gets_stuck() {
    let script = Script::new().read_head().mark("stalling").never_read();
    let peer = Peer::builder().receive_buffer(4096).script(script).tcp().unwrap();
    let mut client = connect_and_send(&peer, GET);
    peer.wait(0, Until::Mark("stalling")).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = client.write_all(&vec![0; 32 << 20]).unwrap_err();
    assert!(is_timeout(&error), "{error}");
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_received(GET);
    seen.assert_still_open();
    // It was closed with all of that unread.
    assert_eq!(read_to_end(&client).1, Ended::Reset);
    assert_eq!(client.write_all(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn response_is_a_whole_one() {
    assert_eq!(response(404, b"no"), b"HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno");
}

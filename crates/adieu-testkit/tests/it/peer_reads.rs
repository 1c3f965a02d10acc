//! Every reading step, with the request whole and cut at every byte.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use adieu_testkit::peer::{Peer, Script, Until, response};

use crate::client::{GET, connect, connect_and_send, read_to_end};

const CHUNKED: &[u8] = b"POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
    4;ext=1\r\nwiki\r\nA\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n";

#[test]
fn a_head_is_read_to_its_empty_line_and_no_further() {
    let peer = Peer::tcp(Script::new().read_head().mark("head").close()).unwrap();
    let client = connect_and_send(&peer, &[GET, b"unread"].concat());
    peer.wait(0, Until::Mark("head")).unwrap();
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!(seen.requests()[0].head().as_bytes(), GET);
    assert_eq!(seen.requests()[0].header("HOST"), Some("example.org"));
    seen.assert_received(GET);
    // The rest stayed in the kernel, so that closing was a reset.
    assert_eq!(read_to_end(&client).1, adieu_testkit::Ended::Reset);
}

#[test]
fn a_request_has_a_body_by_content_length() {
    let request = b"PUT / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello";
    let peer = Peer::tcp(Script::new().read_request().mark("read")).unwrap();
    let client = connect_and_send(&peer, request);
    peer.wait(0, Until::Mark("read")).unwrap();
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!(seen.requests()[0].body(), b"hello");
    assert_eq!(seen.received_before("read"), Some(request.len() as u64));
}

#[test]
fn a_request_has_a_body_by_chunks_cut_at_every_byte() {
    for cut in 1..CHUNKED.len() {
        let peer = Peer::tcp(Script::new().read_request().mark("read").read_exactly(4)).unwrap();
        let mut client = connect(&peer);
        client.write_all(&CHUNKED[..cut]).unwrap();
        client.write_all(&CHUNKED[cut..]).unwrap();
        client.write_all(b"next").unwrap();
        drop(client);
        let seen = peer.finish().unwrap().remove(0);
        assert_eq!(seen.requests()[0].body(), b"wiki0123456789");
        assert_eq!(seen.requests()[0].trailers(), "Trailer: yes\r\n");
        assert_eq!(seen.received_before("read"), Some(CHUNKED.len() as u64));
        seen.assert_fin();
    }
}

#[test]
fn the_body_can_be_read_apart_from_the_head() {
    let script = Script::new()
        .read_head()
        .quiet(Duration::from_millis(10))
        .send("HTTP/1.1 100 \r\n\r\n")
        .read_body()
        .send(response(200, ""));
    let peer = Peer::tcp(script).unwrap();
    let mut client =
        connect_and_send(&peer, b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(crate::client::read_exactly(&client, 17), b"HTTP/1.1 100 \r\n\r\n");
    client.write_all(b"abc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client).0, response(200, ""));
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!(seen.requests()[0].body(), b"abc");
    seen.assert_fin();
}

#[test]
fn exactly_n_bytes() {
    let peer = Peer::tcp(Script::new().read_exactly(3).mark("three").read_exactly(2).mark("five")).unwrap();
    drop(connect_and_send(&peer, b"abcdefg"));
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!(seen.received_before("three"), Some(3));
    assert_eq!(seen.received_before("five"), Some(5));
    seen.assert_received("abcdefg");
}

#[test]
fn to_the_clients_end_and_then_an_answer() {
    let peer = Peer::tcp(Script::new().read_to_end().mark("ended").send("late")).unwrap();
    let client = connect_and_send(&peer, b"all of it");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client).0, b"late");
    let seen = peer.finish().unwrap().remove(0);
    seen.assert_received("all of it");
    seen.assert_fin_before("ended");
    seen.assert_fin();
}

#[test]
fn all_requests_are_answered_until_the_client_ends() {
    let peer = Peer::tcp(Script::new().answer_all(response(200, "ok"))).unwrap();
    let answer = response(200, "ok");
    let mut client = connect(&peer);
    for _ in 0..3 {
        client.write_all(CHUNKED).unwrap();
        assert_eq!(crate::client::read_exactly(&client, answer.len()), answer);
    }
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!((seen.requests_len(), seen.requests().len()), (3, 3));
    assert_eq!(seen.sent_len(), 3 * answer.len() as u64);
    seen.assert_fin();
}

#[test]
fn a_head_that_comes_slowly_is_waited_for_while_answering_all() {
    let peer = Peer::tcp(Script::new().answer_all(response(200, ""))).unwrap();
    let mut client = connect_and_send(&peer, &GET[..10]);
    std::thread::sleep(Duration::from_millis(25));
    client.write_all(&GET[10..]).unwrap();
    crate::client::read_exactly(&client, response(200, "").len());
    drop(client);
    assert_eq!(peer.finish().unwrap()[0].requests_len(), 1);
}

#[test]
fn an_upload_is_counted_and_not_kept() {
    const LENGTH: usize = 32 << 20;
    let peer = Peer::tcp(Script::new().count_only().read_request().send(response(200, ""))).unwrap();
    let mut client =
        connect_and_send(&peer, format!("POST / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes());
    client.write_all(&vec![0; LENGTH]).unwrap();
    crate::client::read_exactly(&client, response(200, "").len());
    drop(client);
    let seen = peer.finish().unwrap().remove(0);
    assert!(seen.received().is_empty() && seen.requests()[0].body().is_empty());
    assert_eq!(seen.requests()[0].body_len(), LENGTH as u64);
    assert_eq!(seen.received_len(), (LENGTH + seen.requests()[0].head().len()) as u64);
    assert!(seen.entries().len() < 100, "{seen}");
}

#[test]
fn a_cap_keeps_the_first_bytes() {
    let peer = Peer::tcp(Script::new().keep(4)).unwrap();
    drop(connect_and_send(&peer, b"abcdef"));
    let seen = peer.finish().unwrap().remove(0);
    assert_eq!((seen.received(), seen.received_len()), (&b"abcd"[..], 6));
}

#[test]
fn steps_that_cannot_be_done_are_failures() {
    for (script, sent, failure) in [
        (Script::new().read_body(), "", "step 1 (read a body): no head was read before this body"),
        (
            Script::new().close().read_head(),
            "",
            "step 2 (read a head): the script has closed the connection already",
        ),
        (Script::new().fin().send("x"), "", "step 2 (send 1 bytes): the script has sent FIN already"),
        (
            Script::new().read_request(),
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "step 1 (read a request): no length: Content-Length: x",
        ),
        (
            Script::new().read_request(),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "step 1 (read a request): a chunk of 1 bytes is followed by \"b\\r\\n\"",
        ),
    ] {
        let peer = Peer::tcp(script).unwrap();
        let client = connect_and_send(&peer, sent.as_bytes());
        let error = peer.finish().unwrap_err();
        assert_eq!(error.failures().collect::<Vec<_>>(), [format!("connection 0, {failure}")]);
        drop(client);
    }
}

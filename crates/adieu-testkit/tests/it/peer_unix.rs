//! The same over Unix sockets, which know no RST but for unread bytes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use adieu_testkit::peer::{Peer, Script, Until, response};

use crate::client::GET;

fn connect(peer: &Peer) -> UnixStream {
    UnixStream::connect(peer.path().unwrap()).unwrap()
}

#[test]
fn an_exchange_and_a_fin() {
    let peer = Peer::unix(Script::new().read_request().send_pieces(response(200, "ok"), 4).fin()).unwrap();
    assert_eq!(peer.url("/a"), "http://localhost/a");
    let mut client = connect(&peer);
    client.write_all(GET).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, response(200, "ok"));
    drop(client);
    peer.finish().unwrap()[0].assert_fin();
}

#[test]
fn unread_bytes_are_a_reset_both_ways() {
    let peer = Peer::builder()
        .script(Script::new().send("unread").mark("sent").expect_reset(Duration::from_secs(5)))
        .script(Script::new().read_head().close())
        .unix(std::env::temp_dir().join(format!("testkit-it-{}.sock", std::process::id())))
        .unwrap();
    let client = connect(&peer);
    peer.wait(0, Until::Mark("sent")).unwrap();
    drop(client);

    let mut client = connect(&peer);
    client.write_all(&[GET, b"unread"].concat()).unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    peer.finish().unwrap()[0].assert_reset();
}

#[test]
fn the_file_goes_with_the_peer() {
    let peer = Peer::unix(Script::new().reset()).unwrap();
    let path = peer.path().unwrap().to_owned();
    assert_eq!(connect(&peer).read(&mut [0]).unwrap(), 0);
    assert!(path.exists());
    drop(peer);
    assert!(!path.exists());
}

#[test]
#[should_panic(expected = "the peer listens on the Unix socket")]
fn it_has_no_tcp_address() {
    Peer::unix(Script::new()).unwrap().address();
}

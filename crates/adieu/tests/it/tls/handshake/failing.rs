//! Peers that speak no TLS, or stop in the middle of it: one clear line each, and an end in order on our side.

use adieu::{Blame, ErrorKind};
use adieu_testkit::Ended;
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use adieu_testkit::peer::{Alert, Gate, Peer, Script, TlsVersion, Until};

use super::super::support::{BOTH, CONNECTOR, socket};
use super::super::wire::served::Served;
use super::{saw_fin, seen, shake, told};
use crate::props::{at_each_cut, play};
use crate::support::{Memory, beside, in_time, watch_for_hangs};

const PLAIN: &str = "the peer answered in plain HTTP: this port does not speak TLS";
const NOT_TLS: &str = "the peer answered with something that is not TLS";
const ENDED: &str = "the peer ended the connection";
const RESET: &str = "the peer reset the connection";

/// A peer that reads the ClientHello and does this.
fn peer(script: impl FnOnce(Script) -> Script) -> Peer {
    Peer::tcp(script(Script::new().read_record())).unwrap()
}

/// Fails, and tells this.
async fn fails(peer: &Peer) -> String {
    let error = shake(&CONNECTOR, "localhost", peer).await.unwrap_err();
    assert_eq!(error.blame(), Blame::Peer);
    told(&error, ErrorKind::Tls)
}

#[test]
fn a_plain_text_answer_on_a_tls_port_is_named() {
    play(async || {
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        at_each_cut(&answer[..24], async |cut| {
            let peer = peer(|script| cut.after(script));
            assert_eq!(fails(&peer).await, PLAIN);
            saw_fin(peer).await;
        })
        .await;
        for end in [Script::fin as fn(Script) -> Script, Script::close] {
            let peer = peer(|script| end(script.send(answer)));
            assert_eq!(fails(&peer).await, PLAIN);
            seen(peer).await;
        }
    });
}

#[test]
fn anything_else_that_is_not_tls_is_named() {
    play(async || {
        let every: [&[u8]; 7] = [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"220 mail.example ESMTP\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"\0\0\0\0\0\0\0\0\0",
            b"\x18\x03\x03\0\x03abc",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &[0xff; 64],
        ];
        for garbage in every {
            for size in [1, 100] {
                let peer = peer(|script| script.send_pieces(garbage, size));
                assert_eq!(fails(&peer).await, NOT_TLS, "{}", garbage.escape_ascii());
                saw_fin(peer).await;
            }
        }
    });
}

#[test]
fn tls_that_makes_no_sense_is_answered_by_an_alert() {
    play(async || {
        let every: [(&str, Vec<u8>); 6] = [
            ("application data", vec![23, 3, 3, 0, 3, 1, 2, 3]),
            ("a record that is too large", [&[22, 3, 3, 0xff, 0xff][..], &[0; 64]].concat()),
            ("a message of no type", vec![22, 3, 3, 0, 4, 99, 0, 0, 0]),
            ("a ClientHello", vec![22, 3, 3, 0, 4, 1, 0, 0, 0]),
            ("a torn ServerHello", vec![22, 3, 3, 0, 6, 2, 0, 0, 2, 3, 3]),
            ("a change of keys", vec![20, 3, 3, 0, 1, 1, 20, 3, 3, 0, 1, 1, 20, 3, 3, 0, 1, 2]),
        ];
        for (what, bytes) in every {
            for size in [1, 100] {
                let peer = peer(|script| script.send_pieces(bytes.clone(), size));
                let line = fails(&peer).await;
                assert!(line != PLAIN && line != NOT_TLS && line != ENDED && line != RESET, "{what}: {line}");
                let seen = saw_fin(peer).await;
                let end = &seen.received()[seen.received().len() - 7..];
                assert!(matches!(end, [21, 3, _, 0, 2, 2, _]), "{what}: {end:?}");
            }
        }
    });
}

#[test]
fn an_alert_of_the_peer_is_named() {
    play(async || {
        for (alert, name) in
            [(40, "handshake_failure"), (70, "protocol_version"), (112, "unrecognized_name"), (199, "199")]
        {
            for size in [1, 100] {
                let bytes = [21, 3, 3, 0, 2, 2, alert];
                let peer = peer(|script| script.send_pieces(bytes, size).fin());
                assert_eq!(fails(&peer).await, format!("the peer refused it with the alert {name}"));
                saw_fin(peer).await;
            }
        }
        let peer = peer(|script| script.alert(Alert::INTERNAL_ERROR).fin());
        assert_eq!(fails(&peer).await, "the peer refused it with the alert internal_error");
        saw_fin(peer).await;
    });
}

#[test]
fn a_peer_that_ends_or_resets_at_once_is_named() {
    play(async || {
        let every: [(&str, Peer); 4] = [
            (ENDED, peer(Script::fin)),
            (ENDED, peer(|script| script.send([22, 3]).fin())),
            (RESET, peer(Script::reset)),
            (RESET, peer(|script| script.send([22, 3, 3]).reset())),
        ];
        for (what, peer) in every {
            assert_eq!(fails(&peer).await, what);
            seen(peer).await;
        }
        // Before it has read anything.
        let peer = Peer::tcp(Script::new().fin()).unwrap();
        assert_eq!(fails(&peer).await, ENDED);
        saw_fin(peer).await;
    });
}

#[test]
fn a_peer_that_is_gone_before_our_first_byte_is_named() {
    play(async || {
        for end in [Script::reset as fn(Script) -> Script, Script::close] {
            let gate = Gate::new();
            let peer = Peer::tcp(end(Script::new().gate(&gate)).mark("gone")).unwrap();
            let io = socket(&peer).await;
            gate.open();
            peer.wait_async(0, Until::Mark("gone")).await.unwrap();
            let error = CONNECTOR.connect("localhost", io).await.unwrap_err();
            let line = told(&error, ErrorKind::Tls);
            assert!([ENDED, RESET].contains(&&*line), "{line}");
            seen(peer).await;
        }
    });
}

/// The server's first flight, for a ClientHello that was read from `io`.
async fn flight(io: &mut MemoryEnd, version: TlsVersion) -> Vec<u8> {
    let mut hello = io.read_exactly(5).await.unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.extend(io.read_exactly(length).await.unwrap());
    Served::new(tokio::io::empty(), version).answer(&hello)
}

#[tokio::test]
async fn a_handshake_that_stops_anywhere_fails_as_it_stopped() {
    watch_for_hangs();
    for version in BOTH {
        let mut stops = vec![1, 4, 5, 6];
        let mut length = usize::MAX;
        while let Some(stop) = stops.pop() {
            for end in [Ended::Fin, Ended::Reset] {
                let (ours, mut theirs) = PairBuilder::new().build();
                let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
                let flight = flight(&mut theirs, version).await;
                if length == usize::MAX {
                    length = flight.len();
                    stops.extend((7..length).step_by(61).chain([length - 1]));
                }
                // Signatures differ in their length.
                let stop = stop.min(flight.len() - 1);
                theirs.send(&flight[..stop]).await.unwrap();
                match end {
                    Ended::Fin => theirs.fin().await.unwrap(),
                    _ => theirs.reset(),
                }
                let error = in_time(shaking).await.unwrap().unwrap_err();
                let line = told(&error, ErrorKind::Tls);
                assert_eq!(
                    line,
                    if end == Ended::Fin { ENDED } else { RESET },
                    "{version} after {stop} bytes"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_handshake_of_which_a_byte_is_wrong_fails_or_never_mattered() {
    watch_for_hangs();
    for version in BOTH {
        for wrong in (0..700).step_by(23) {
            let (ours, mut theirs) = PairBuilder::new().build();
            let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
            let mut flight = flight(&mut theirs, version).await;
            let Some(byte) = flight.get_mut(wrong) else { continue };
            *byte ^= 0x10;
            theirs.send(&flight).await.unwrap();
            theirs.fin().await.unwrap();
            let error = in_time(shaking).await.unwrap().unwrap_err();
            assert!([ErrorKind::Tls, ErrorKind::Certificate].contains(&error.kind()), "{wrong}: {error:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
            let (_, ended) = in_time(theirs.read_until_end()).await.unwrap();
            assert_eq!(ended, Ended::Fin, "{version}, byte {wrong}: {error}");
        }
    }
}

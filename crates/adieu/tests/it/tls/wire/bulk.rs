//! Large bodies, byte by byte the same at the other end, through buffers of any size.

use adieu::conn::http1::{Builder, handshake_on};
use adieu::transport::tls::TlsStream;
use adieu::{CloseMode, Ended};
use adieu_testkit::memory::PairBuilder;
use adieu_testkit::peer::{Event, Peer, Script, TlsVersion, response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::super::support::{BOTH, CONNECTOR, server};
use super::{Gathers, joined, pattern};
use crate::props::{beside, held, play, seen};
use crate::support::{get, in_time, post, read};

/// Odd, and more than any buffer.
const MUCH: usize = 2 * 1024 * 1024 + 17;

fn peer(version: TlsVersion, script: Script) -> Peer {
    Peer::builder().tls(&server(version)).receive_buffer(4096).script(script.keep(8 << 20)).tcp().unwrap()
}

/// A stream over a socket with the smallest buffers that a kernel gives.
async fn narrow(peer: &Peer) -> TlsStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let io = socket.connect(peer.address()).await.unwrap();
    io.set_nodelay(true).unwrap();
    CONNECTOR.connect("localhost", io).await.unwrap()
}

fn same(one: &[u8], other: &[u8]) {
    assert_eq!(one.len(), other.len());
    let wrong = one.iter().zip(other).position(|(one, other)| one != other);
    assert_eq!(wrong, None);
}

#[test]
fn a_large_body_comes_down_as_it_was() {
    play(async || {
        for version in BOTH {
            let body = pattern(MUCH);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
            let peer = peer(
                version,
                Script::new().read_request().send(head).send(body.clone()).read_to_end().goodbye(),
            );
            let (mut sender, connection) = handshake_on(narrow(&peer).await).await.unwrap();
            let got = read(sender.send_request(get("/")).await.unwrap()).await.unwrap();
            same(&got, &body);
            let report = connection.close(CloseMode::graceful()).await;
            super::super::support::check(&report);
            seen(peer).await.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn a_large_body_goes_up_as_it_was() {
    play(async || {
        for (version, length) in [(TlsVersion::Tls12, None), (TlsVersion::Tls13, Some(MUCH as u64))] {
            let peer = peer(version, Script::new().read_request().send(response(200, "ok")));
            let (mut sender, connection) = handshake_on(narrow(&peer).await).await.unwrap();
            let body = pattern(MUCH);
            let (upload, hand) = held(length);
            // Frames of all sizes, so that heads of chunks and pieces of data are gathered in all ways.
            let mut rest = &body[..];
            for size in [1, 2, 3, 1000, 16_383, 16_384, 16_385, 70_000, 5].into_iter().cycle() {
                let (frame, left) = rest.split_at(size.min(rest.len()));
                hand.give(frame.to_vec());
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            hand.end();
            let request = http::Request::post("http://example.com/up");
            let request = match length {
                Some(length) => request.header("content-length", length),
                None => request,
            };
            let answer = sender.send_request(request.body(adieu::Body::wrap(upload)).unwrap()).await.unwrap();
            assert_eq!(read(answer).await.unwrap(), "ok");
            let report = connection.close(CloseMode::graceful()).await;
            assert_eq!(report.ended, Ended::Clean, "{report}");
            let seen = seen(peer).await;
            same(seen.requests()[0].body(), &body);
            seen.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn keys_may_change_at_any_place_of_a_body() {
    play(async || {
        let body = pattern(MUCH / 3);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut script = Script::new().read_head();
        for _ in 0..3 {
            script = script.read_exactly(body.len() as u64 / 3).key_update();
        }
        script = script.read_exactly(body.len() as u64 % 3).send(head).key_update();
        for piece in body.chunks(300_001) {
            script = script.send(piece.to_vec()).key_update().key_update();
        }
        let peer =
            peer(TlsVersion::Tls13, script.read_head().send(response(200, "ok")).read_to_end().goodbye());
        let (mut sender, connection) = handshake_on(narrow(&peer).await).await.unwrap();
        let got = read(sender.send_request(post("/", body.clone())).await.unwrap()).await.unwrap();
        same(&got, &body);
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        connection.close(CloseMode::graceful()).await;
        let seen = seen(peer).await;
        seen.assert_close_notify_then_fin();
        let changes = seen.entries().iter().filter(|entry| entry.event == Event::KeyUpdate).count();
        assert!(changes > 0, "{seen}");
    });
}

#[test]
fn single_bytes_and_many_slices() {
    play(async || {
        for version in BOTH {
            let script = Script::new().read_exactly(2000).send(pattern(2000)).read_exactly(100_000).goodbye();
            let peer = peer(version, script);
            let mut stream = narrow(&peer).await;
            let body = pattern(2000);
            for byte in &body {
                stream.write_all(std::slice::from_ref(byte)).await.unwrap();
            }
            stream.flush().await.unwrap();
            let mut got = Vec::new();
            while got.len() < 2000 {
                got.push(stream.read_u8().await.unwrap());
            }
            assert_eq!(got, body);
            let much = pattern(100_000);
            let mut sent = 0;
            while sent < much.len() {
                let slices: Vec<_> = much[sent..].chunks(777).map(std::io::IoSlice::new).collect();
                let wrote = stream.write_vectored(&slices).await.unwrap();
                assert!(wrote > 0);
                sent += wrote;
            }
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            let seen = seen(peer).await;
            same(seen.received(), &[body, much].concat());
            seen.assert_close_notify_then_fin();
        }
    });
}

#[tokio::test]
async fn bodies_pass_through_buffers_of_a_few_bytes() {
    for version in BOTH {
        for (buffer, length) in [(1, 500), (5, 3000), (23, 20_000)] {
            for gathers in [Gathers::Yes, Gathers::No] {
                let (stream, mut served, probe) =
                    joined(PairBuilder::new().buffer(buffer), gathers, version).await;
                let (mut sender, connection) = Builder::new().handshake_on(stream).await.unwrap();
                let body = pattern(length);
                let before = probe.polls().total();
                let exchange = beside({
                    let request = post("/", body.clone());
                    async move {
                        let response = sender.send_request(request).await.unwrap();
                        (response.into_body().collect().await.unwrap().to_bytes(), sender)
                    }
                });
                let head = served.head().await;
                assert!(head.starts_with("POST / "), "{head}");
                same(&served.hear(length).await, &body);
                served.put(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
                served.put(&body);
                let (got, _sender) = in_time(served.during(exchange)).await.unwrap();
                same(&got, &body);
                // What each byte costs is bounded: a few polls for each time that the buffer is filled or emptied.
                let polls = probe.polls().total() - before;
                let fills = 2 * (length + 1000 + length / 100) / buffer;
                assert!(
                    polls < 8 * fills as u64,
                    "{polls} polls for {fills} buffers, {version}, {buffer}, {gathers:?}"
                );
                drop(connection);
            }
        }
    }
}

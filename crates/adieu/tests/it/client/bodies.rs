//! Bodies to send: made anew, read from a reader, streamed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adieu::{Body, Bytes, Client, ErrorKind};
use adieu_testkit::memory::MemoryEnd;
use futures_util::{TryStreamExt, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::net::{Arrivals, Net, SMALL};
use crate::support::{beside, in_time, watch_for_hangs};

const URL: &str = "http://example.com/";

fn client() -> (Client, Arrivals) {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    (net.client(|builder| builder), arrivals)
}

/// Sends a body; what the peer gets of it, framing included, so many bytes.
async fn sent(body: Body, bytes: usize) -> (String, String) {
    let (client, mut arrivals) = client();
    let sending = beside(client.post(URL).body(body).send());
    let mut peer = arrivals.next().await;
    let head = in_time(peer.read_head()).await.unwrap();
    let body = in_time(peer.read_exactly(bytes)).await.unwrap();
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    (String::from_utf8(head).unwrap().to_ascii_lowercase(), String::from_utf8(body).unwrap())
}

/// Sends a body that goes wrong: the error, and the peer's end.
async fn failing(body: Body) -> (adieu::Error, MemoryEnd) {
    let (client, mut arrivals) = client();
    let sending = beside(client.post(URL).body(body).send());
    let peer = arrivals.next().await;
    (in_time(sending).await.unwrap().unwrap_err(), peer)
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_streamed() {
    let (mut writer, reader) = tokio::io::duplex(4);
    let writing = beside(async move {
        for piece in ["some ", "thing"] {
            writer.write_all(piece.as_bytes()).await.unwrap();
        }
    });
    let reader = Body::reader(reader.chain(&b"!"[..]));
    assert_eq!((reader.size_hint().exact(), reader.is_end_stream()), (None, false));
    assert!(reader.try_clone().is_none());
    let collected = in_time(reader.collect()).await.unwrap().to_bytes();
    assert_eq!(collected, "some thing!");
    writing.await.unwrap();
    let (head, body) = sent(Body::reader(&b"whole"[..]), 15).await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "5\r\nwhole\r\n0\r\n\r\n");
    let (_, body) = sent(Body::reader(tokio::io::empty()), 5).await;
    assert_eq!(body, "0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_a_length_gives_so_many_bytes_and_no_more() {
    let body = Body::sized_reader(&b"more than that"[..], 4);
    assert_eq!(body.size_hint().exact(), Some(4));
    let (head, body) = sent(body, 4).await;
    assert!(head.contains("content-length: 4\r\n") && !head.contains("chunked"), "{head}");
    assert_eq!(body, "more");
    let (head, _) = sent(Body::sized_reader(&b"nothing of it"[..], 0), 0).await;
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    // Long ones come in pieces.
    let long = Body::sized_reader(tokio::io::repeat(b'x'), 300_000);
    assert_eq!(in_time(long.collect()).await.unwrap().to_bytes().len(), 300_000);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_ends_early_or_fails_resets_the_request() {
    let (error, mut peer) = failing(Body::sized_reader(&b"few"[..], 10)).await;
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the reader ended 7 bytes early");
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);

    let broken = tokio_test_reader();
    let (error, _peer) = failing(Body::reader(broken)).await;
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "disk on fire");
    assert_eq!(error.to_string().lines().count(), 1);
}

/// Gives a little, then an error.
fn tokio_test_reader() -> impl tokio::io::AsyncRead + Send + 'static {
    struct Fails;
    impl tokio::io::AsyncRead for Fails {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(io::Error::other("disk on fire")))
        }
    }
    (&b"a little"[..]).chain(Fails)
}

#[tokio::test(start_paused = true)]
async fn a_factory_makes_its_body_once_and_again_for_each_clone() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let body = Body::factory(move || {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        Body::from(format!("number {number}"))
    });
    assert_eq!((made.load(Ordering::SeqCst), body.size_hint().exact()), (1, Some(8)));
    let again = body.try_clone().unwrap();
    let third = again.try_clone().unwrap();
    let (head, text) = sent(body, 8).await;
    assert!(head.contains("content-length: 8\r\n"), "{head}");
    assert_eq!(text, "number 1");
    for (body, text) in [(again, "number 2"), (third, "number 3")] {
        assert_eq!(in_time(body.collect()).await.unwrap().to_bytes(), text);
    }
    assert_eq!(made.load(Ordering::SeqCst), 3, "sending makes no further one");
    let readers = Body::factory(|| Body::reader(&b"read"[..]));
    assert_eq!(readers.size_hint().exact(), None);
    assert_eq!(in_time(readers.collect()).await.unwrap().to_bytes(), "read");
    let (head, _) = sent(Body::factory(Body::empty), 0).await;
    assert!(head.contains("content-length: 0\r\n") && !head.contains("chunked"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_had_once_more() {
    for (body, text) in [(Body::empty(), ""), (Body::from("text"), "text"), (Body::from(vec![b'v']), "v")] {
        let again = body.try_clone().unwrap();
        for body in [body, again] {
            assert_eq!(in_time(body.collect()).await.unwrap().to_bytes(), text);
        }
    }
    assert!(Body::wrap(http_body_util::Full::new(Bytes::from("once"))).try_clone().is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_go_through_wrap() {
    let pieces = stream::iter(["one ", "two"].map(Ok::<_, io::Error>));
    let frames = pieces.map_ok(|piece| Frame::data(Bytes::from(piece)));
    let (head, body) = sent(Body::wrap(StreamBody::new(frames)), 22).await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"[..22]);
    let broken = stream::iter([Ok(Frame::data(Bytes::from("one"))), Err(io::Error::other("no second"))]);
    let (error, mut peer) = failing(Body::wrap(StreamBody::new(broken))).await;
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no second");
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_read() {
    let path = std::env::temp_dir().join(format!("adieu-body-{}", std::process::id()));
    std::fs::write(&path, vec![b'f'; 150_000]).unwrap();
    let file = tokio::fs::File::open(&path).await.unwrap();
    let length = file.metadata().await.unwrap().len();
    let (head, body) = sent(Body::sized_reader(file, length), 150_000).await;
    assert!(head.contains("content-length: 150000\r\n"), "{head}");
    assert!(body.bytes().all(|byte| byte == b'f'));
    let again = path.clone();
    let opened = Body::factory(move || {
        // Opened anew for each attempt; the blocking open is a matter of a moment.
        Body::reader(tokio::fs::File::from_std(std::fs::File::open(&again).unwrap()))
    });
    assert_eq!(in_time(opened.try_clone().unwrap().collect()).await.unwrap().to_bytes().len(), 150_000);
    std::fs::remove_file(path).unwrap();
}

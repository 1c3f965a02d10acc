//! FIN, reset and drop of the in-memory transport.

use std::io::ErrorKind;

use adieu_testkit::Ended;
use adieu_testkit::memory::{Deed, InFlight, LateWrites, MemoryEnd, PairBuilder, Side, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn read_kind(end: &mut MemoryEnd) -> Result<usize, ErrorKind> {
    end.read(&mut [0; 64]).await.map_err(|error| error.kind())
}

async fn write_kind(end: &mut MemoryEnd) -> Result<usize, ErrorKind> {
    end.write(b"x").await.map_err(|error| error.kind())
}

#[tokio::test]
async fn a_shutdown_is_half_a_close() {
    let (mut client, mut server) = pair();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(server.read_until_end().await.unwrap(), (b"question".to_vec(), Ended::Fin));
    assert_eq!(read_kind(&mut server).await, Ok(0));
    server.send("answer").await.unwrap();
    assert_eq!(client.read_exactly(6).await.unwrap(), b"answer");
    assert_eq!(server.seen().ended(), Ended::Fin);
    assert_eq!(client.seen().ended(), Ended::StillOpen);
}

#[tokio::test]
async fn a_reset_is_told_once_after_what_had_arrived() {
    let (mut client, mut server) = pair();
    server.send("hello").await.unwrap();
    client.send("lost").await.unwrap();
    server.reset();
    server.reset();
    assert_eq!(read_kind(&mut client).await, Ok(5));
    assert_eq!(read_kind(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(read_kind(&mut client).await, Ok(0));
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(client.shutdown().await.unwrap_err().kind(), ErrorKind::NotConnected);
    // The one who reset has nothing left.
    assert_eq!(read_kind(&mut server).await, Err(ErrorKind::NotConnected));
    assert_eq!(write_kind(&mut server).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(server.fin().await.unwrap_err().kind(), ErrorKind::NotConnected);
    drop(client);
    assert!(server.seen().of(Side::Ours).eq([&Deed::Sent { bytes: 5 }, &Deed::Reset]));
    assert!(server.seen().of(Side::Theirs).eq([&Deed::Sent { bytes: 4 }, &Deed::Dropped]));
}

#[tokio::test]
async fn a_reset_is_told_to_a_write_if_that_comes_first() {
    let (mut client, mut server) = pair();
    server.send("hello").await.unwrap();
    server.reset();
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(client.read_until_end().await.unwrap(), (b"hello".to_vec(), Ended::Fin));
    assert_eq!(client.seen().ended(), Ended::Reset);
}

#[tokio::test]
async fn a_reset_can_overtake_what_was_in_flight() {
    let (mut client, mut server) = PairBuilder::new().in_flight(InFlight::Lost).build();
    server.send("hello").await.unwrap();
    server.reset();
    assert_eq!(client.read_until_end().await.unwrap(), (Vec::new(), Ended::Reset));
}

#[tokio::test]
async fn a_reset_after_a_fin_is_told() {
    let (mut client, mut server) = pair();
    server.fin().await.unwrap();
    server.reset();
    assert_eq!(read_kind(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(client.seen().ended(), Ended::Reset);
}

#[tokio::test]
async fn a_drop_is_a_fin_if_everything_was_read() {
    let (mut client, mut server) = pair();
    client.send("abc").await.unwrap();
    server.read_exactly(3).await.unwrap();
    server.send("rest").await.unwrap();
    drop(server);
    assert_eq!(client.seen().ended(), Ended::Fin);
    assert_eq!(client.read_until_end().await.unwrap(), (b"rest".to_vec(), Ended::Fin));
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(read_kind(&mut client).await, Ok(0));
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_drop_with_bytes_unread_is_a_reset() {
    let (mut client, mut server) = pair();
    client.send("abc").await.unwrap();
    server.read_exactly(2).await.unwrap();
    server.send("rest").await.unwrap();
    drop(server);
    assert_eq!(client.read_until_end().await.unwrap(), (b"rest".to_vec(), Ended::Reset));
    assert!(client.seen().in_order((Side::Theirs, Deed::Reset), (Side::Theirs, Deed::Dropped)));
}

#[tokio::test]
async fn the_first_late_write_can_vanish() {
    let (mut client, server) = PairBuilder::new().late_writes(LateWrites::FirstVanishes).build();
    drop(server);
    assert_eq!(client.write(b"hello").await.unwrap(), 5);
    assert_eq!(write_kind(&mut client).await, Err(ErrorKind::BrokenPipe));
    assert_eq!(read_kind(&mut client).await, Ok(0));
    assert!(client.seen().of(Side::Ours).eq([&Deed::Vanished { bytes: 5 }]));
    assert_eq!(client.seen().sent(Side::Ours), 0);
}

#[tokio::test]
async fn every_end_wakes_a_reader_that_waits() {
    let ends: [fn(MemoryEnd); 2] = [drop, |end| end.reset()];
    for (end, expected) in ends.into_iter().zip([Ended::Fin, Ended::Reset]) {
        let (mut client, server) = pair();
        let reader = tokio::spawn(async move { client.read_until_end().await });
        tokio::task::yield_now().await;
        end(server);
        assert_eq!(reader.await.unwrap().unwrap().1, expected);
    }
}

#[tokio::test]
async fn every_end_wakes_a_writer_that_waits() {
    let ends: [fn(MemoryEnd); 2] = [drop, |end| end.reset()];
    for end in ends {
        let (mut client, server) = PairBuilder::new().buffer(2).build();
        let writer = tokio::spawn(async move { client.send("more than fits").await });
        tokio::task::yield_now().await;
        end(server);
        assert_eq!(writer.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_head_that_is_cut_short_is_an_error() {
    let (mut client, mut server) = pair();
    client.send("GET / HT").await.unwrap();
    drop(client);
    let error = server.read_head().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "FIN instead of a head, after 8 bytes");
    assert_eq!(server.read_exactly(1).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

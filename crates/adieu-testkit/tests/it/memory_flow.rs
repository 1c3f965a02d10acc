//! Buffers, chunks, counters and the log of the in-memory transport.

use std::io::IoSlice;
use std::time::Duration;

use adieu_testkit::memory::{Chunks, Deed, MemoryEnd, MemoryProbe, PairBuilder, Side, pair};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

async fn read_sizes(end: &mut MemoryEnd) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        match end.read(&mut [0; 64]).await.unwrap() {
            0 => return sizes,
            size => sizes.push(size),
        }
    }
}

#[tokio::test]
async fn reads_are_dealt_in_chunks() {
    for (chunks, expected) in [
        (Chunks::Whole, vec![10]),
        (Chunks::AtMost(4), vec![4, 4, 2]),
        (Chunks::AtMost(0), vec![1; 10]),
        (Chunks::Cut(vec![7, 2, 2, 0, 99]), vec![2, 5, 3]),
    ] {
        let (mut client, mut server) = PairBuilder::new().chunks(chunks).build();
        server.send("0123456789").await.unwrap();
        server.fin().await.unwrap();
        assert_eq!(read_sizes(&mut client).await, expected);
    }
}

#[tokio::test]
async fn chunks_can_be_changed_on_the_way() {
    let (mut client, mut server) = pair();
    server.send("0123456789").await.unwrap();
    client.set_chunks(Chunks::AtMost(1));
    assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 1);
    client.set_chunks(Chunks::Whole);
    assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 9);
}

#[tokio::test]
async fn everything_gets_through_a_small_buffer() {
    let sent: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    let (mut client, mut server) = PairBuilder::new().buffer(7).chunks(Chunks::AtMost(3)).build();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    assert_eq!(server.read_until_end().await.unwrap().0, expected);
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_stalls_the_writer_until_it_is_read() {
    let (mut client, mut server) = PairBuilder::new().buffer(4).build();
    let writer = tokio::spawn(async move { client.send("abcdef").await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!writer.is_finished());
    assert_eq!(server.read_exactly(6).await.unwrap(), b"abcdef");
    writer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_for_one_direction_and_ends_when_it_is_lifted() {
    let (mut client, mut server) = pair();
    client.set_buffer(0);
    server.send("the other way").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), client.send("a")).await.is_err());
    let ((), read) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.set_buffer(1);
            client.send("b").await.unwrap();
        },
        server.read_exactly(1)
    );
    assert_eq!(read.unwrap(), b"b");
}

#[tokio::test]
async fn a_waiting_writer_is_woken_by_a_larger_buffer() {
    let (mut client, server) = PairBuilder::new().buffer(0).build();
    let probe = client.probe();
    let writer = tokio::spawn(async move {
        let sent = client.write(b"abc").await;
        (client, sent)
    });
    tokio::task::yield_now().await;
    assert_eq!(probe.polls().writes, 1);
    // The buffer belongs to the end that writes; here it was given away.
    drop(server);
    assert!(writer.await.unwrap().1.is_err());
}

#[tokio::test]
async fn vectored_writes_are_one_write() {
    let (mut client, mut server) = PairBuilder::new().buffer(6).build();
    assert!(client.is_write_vectored());
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde"), IoSlice::new(b"fgh")];
    assert_eq!(client.write_vectored(&pieces).await.unwrap(), 6);
    assert_eq!(client.polls().writes, 1);
    assert_eq!(server.read_exactly(6).await.unwrap(), b"abcdef");
    assert_eq!(client.write_vectored(&[]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn polls_are_counted_and_a_waiting_end_is_not_polled() {
    let (mut client, mut server) = pair();
    let probe = client.probe();
    let reader = tokio::spawn(async move {
        client.flush().await.unwrap();
        let read = client.read_u8().await;
        client.shutdown().await.unwrap();
        read
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((probe.polls().reads, probe.polls().flushes), (1, 1));
    server.send("a").await.unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), b'a');
    let polls = probe.polls();
    assert_eq!((polls.reads, polls.shutdowns, polls.total()), (2, 1, 4));
}

#[tokio::test]
async fn the_log_has_both_sides_in_order() {
    let (mut client, mut server) = pair();
    client.send("a").await.unwrap();
    client.send("bc").await.unwrap();
    server.send("d").await.unwrap();
    server.mark("here");
    client.send("e").await.unwrap();
    client.fin().await.unwrap();
    assert_eq!(
        server.seen().to_string(),
        "they  sent 3 bytes\nwe    sent 1 bytes\nwe    mark \"here\"\nthey  sent 1 bytes\nthey  sent FIN"
    );
    assert_eq!(client.seen().sent(Side::Ours), 4);
    assert!(client.seen().in_order((Side::Theirs, Deed::Mark("here".to_owned())), (Side::Ours, Deed::Fin)));
    assert!(!client.seen().in_order((Side::Ours, Deed::Reset), (Side::Ours, Deed::Fin)));
}

#[tokio::test]
async fn the_log_is_bounded() {
    let (mut client, mut server) = pair();
    for _ in 0..5000 {
        client.send("ab").await.unwrap();
        server.send("c").await.unwrap();
        server.read_exactly(2).await.unwrap();
        client.read_exactly(1).await.unwrap();
    }
    let seen = server.seen();
    assert!(seen.entries().len() < 4200);
    assert_eq!((seen.sent(Side::Theirs), seen.sent(Side::Ours)), (10_000, 5000));
}

#[test]
fn ends_go_anywhere() {
    fn goes_anywhere<T: Send + Sync + Unpin + 'static>() {}
    goes_anywhere::<MemoryEnd>();
    goes_anywhere::<MemoryProbe>();
}

//! Every limit of the builder: what is within it passes, what is beyond it is told and ends the connection, and no peer
//! makes a client hold more than the limit.

use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{Blame, CloseMode, CloseReason, Ended, Error, ErrorKind, State};
use adieu_testkit::memory::{Chunks, MemoryEnd, PairBuilder, Side};
use http_body_util::BodyExt;

use crate::support::{ask, beside, get, in_memory_over, in_time, pass, read, settle, watch_for_hangs};

/// What waits in the transport beside what the client holds.
const IN_TRANSPORT: usize = 1024;

async fn connect(builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_over(PairBuilder::new().buffer(IN_TRANSPORT), builder).await
}

/// Sends an answer however slowly it is taken; how much of it was.
async fn feed(peer: &mut MemoryEnd, answer: &[u8]) -> u64 {
    let before = peer.seen().sent(Side::Ours);
    let _ = tokio::time::timeout(Duration::from_millis(1), peer.send(answer)).await;
    peer.seen().sent(Side::Ours) - before
}

/// The result of one exchange, and how much of the answer was taken.
async fn exchange(builder: &Builder, answer: &[u8]) -> (Result<(), Error>, Connection, MemoryEnd, u64) {
    let (mut sender, connection, mut peer) = connect(builder).await;
    let reading = beside(async move {
        let response = sender.send_request(get("/")).await?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(())
    });
    peer.read_head().await.unwrap();
    let taken = feed(&mut peer, answer).await;
    (in_time(reading).await.unwrap(), connection, peer, taken)
}

async fn assert_passes(builder: &Builder, answer: &[u8]) {
    let (result, connection, _peer, _) = exchange(builder, answer).await;
    result.unwrap();
    assert_eq!(connection.state(), State::Idle);
}

async fn assert_too_large(builder: &Builder, answer: &[u8], what: &str) {
    let (result, connection, mut peer, _) = exchange(builder, answer).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.blame()), (ErrorKind::TooLarge, Blame::Peer), "{error:?}");
    let Some(CloseReason::LimitExceeded(limit)) = error.close_reason() else { panic!("{error:?}") };
    assert!(limit.contains(what), "{limit} is not about {what}");
    assert!(error.to_string().contains(limit), "{error}");
    // The request was whole: the peer is told goodbye, not reset.
    let closed = beside(connection.closed());
    let ended = in_time(peer.read_until_end()).await.unwrap().1;
    assert_eq!(ended, adieu_testkit::Ended::Fin);
    peer.fin().await.unwrap();
    let report = in_time(closed).await.unwrap();
    assert_eq!(
        (&report.reason, report.ended),
        (&CloseReason::LimitExceeded(limit), Ended::Clean),
        "{report}"
    );
    assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
}

/// What never ends is not read much further than its limit.
async fn assert_endless(builder: Builder, answer: &[u8], limit: usize) {
    let (result, connection, _peer, taken) = exchange(&builder.max_discard(0), answer).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(in_time(connection.closed()).await.ended, Ended::Aborted);
    assert!(
        taken < (2 * limit.max(8 * 1024) + 3 * IN_TRANSPORT) as u64,
        "{taken} bytes for a limit of {limit}"
    );
}

fn chunked(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes()
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_head() {
    for limit in [64, 200, 5_000, 64 * 1024] {
        let builder = if limit == 64 * 1024 { Builder::new() } else { Builder::new().max_head_size(limit) };
        let head = |size: usize| {
            let bare = "HTTP/1.1 204 No Content\r\nA: \r\n\r\n";
            format!("HTTP/1.1 204 No Content\r\nA: {}\r\n\r\n", "x".repeat(size - bare.len())).into_bytes()
        };
        assert_passes(&builder, &head(limit)).await;
        assert_too_large(&builder, &head(limit + 1), "head").await;
        // One that never ends is not read much further.
        let endless = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'x'; 400_000]].concat();
        assert_endless(builder, &endless, limit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_size_of_an_interim_head() {
    let builder = Builder::new().max_head_size(100);
    let interim = |size: usize| format!("HTTP/1.1 103 Early Hints\r\nA: {}\r\n\r\n", "x".repeat(size - 33));
    assert_passes(&builder, format!("{0}{0}{0}HTTP/1.1 204 No\r\n\r\n", interim(100)).as_bytes()).await;
    assert_too_large(&builder, format!("{}{}", interim(100), interim(101)).as_bytes(), "head").await;
}

#[tokio::test(start_paused = true)]
async fn the_number_of_fields() {
    for limit in [0, 1, 31, 32, 33, 128] {
        let builder = if limit == 128 { Builder::new() } else { Builder::new().max_header_fields(limit) };
        let head = |fields: usize| {
            format!("HTTP/1.1 204 No Content\r\n{}\r\n", "A: b\r\n".repeat(fields)).into_bytes()
        };
        assert_passes(&builder, &head(limit)).await;
        assert_too_large(&builder, &head(limit + 1), "fields").await;
        if limit > 0 {
            let trailers = |fields: usize| chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(fields)));
            assert_passes(&builder, &trailers(limit)).await;
            assert_too_large(&builder, &trailers(limit + 1), "fields").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_chunk_line() {
    for limit in [16, 100, 4 * 1024] {
        let builder = if limit == 4 * 1024 { Builder::new() } else { Builder::new().max_chunk_line(limit) };
        // Counted without its last byte.
        let line = |length: usize| chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(length - 3)));
        assert_passes(&builder, &line(limit)).await;
        assert_too_large(&builder, &line(limit + 1), "chunk").await;
        let endless = chunked(&format!("3;{}", "x".repeat(300_000)));
        assert_endless(builder, &endless, limit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_extensions_of_all_chunks() {
    let chunks = |number: usize| chunked(&format!("{}0\r\n\r\n", "1;23456789\r\nx\r\n".repeat(number)));
    let builder = Builder::new().max_chunk_extensions(100);
    assert_passes(&builder, &chunks(9)).await;
    assert_too_large(&builder, &chunks(13), "extension").await;
    assert_passes(&Builder::new(), &chunks(1_600)).await;
    assert_too_large(&Builder::new(), &chunks(2_100), "extension").await;
}

#[tokio::test(start_paused = true)]
async fn the_size_of_trailers() {
    for limit in [64, 1_000, 16 * 1024] {
        let builder =
            if limit == 16 * 1024 { Builder::new() } else { Builder::new().max_trailers_size(limit) };
        let trailers = |size: usize| chunked(&format!("0\r\nA: {}\r\n\r\n", "x".repeat(size - 7)));
        assert_passes(&builder, &trailers(limit)).await;
        assert_too_large(&builder, &trailers(limit + 1), "trailer").await;
        let endless = chunked(&format!("0\r\nA: {}", "x".repeat(300_000)));
        assert_endless(builder, &endless, limit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_interim_responses() {
    for limit in [0, 1, 32] {
        let builder = if limit == 32 { Builder::new() } else { Builder::new().max_interim_responses(limit) };
        let answer = |number: usize| {
            format!("{}HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n".repeat(number))
                .into_bytes()
        };
        assert_passes(&builder, &answer(limit)).await;
        assert_too_large(&builder, &answer(limit + 1), "interim").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_of_a_reader_that_does_not_read() {
    for ahead in [0, 1, 1_000, 64 * 1024, 500_000] {
        for head in ["Content-Length: 3000000", "Transfer-Encoding: chunked", "Connection: close"] {
            let (mut sender, connection, mut peer) = connect(&Builder::new().read_ahead(ahead)).await;
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            let coded = head.contains("chunked");
            let response = ask(&mut sender, &mut peer, head).await;
            // One look, then nothing for a long time.
            let mut body = response.into_body();
            if coded {
                peer.send("2dc6c0\r\n").await.unwrap();
            }
            assert!(tokio::time::timeout(Duration::from_millis(1), body.frame()).await.is_err());
            let mut sent = 0;
            for _ in 0..2_000 {
                let more = feed(&mut peer, &[b'x'; 1_000]).await;
                if more == 0 {
                    break;
                }
                sent += more;
            }
            let bound = ahead.max(8 * 1024) * 3 + IN_TRANSPORT;
            assert!(sent <= bound as u64, "{sent} bytes were taken ahead with a limit of {ahead}");
            // It is all there when the reader reads on.
            let mut came = 0;
            while came < sent {
                let data = in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap();
                assert!(data.len() <= ahead.max(1), "a piece of {} with a limit of {ahead}", data.len());
                came += data.len() as u64;
            }
            assert_eq!(came, sent);
            in_time(connection.close(CloseMode::abort())).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_of_nothing_still_reads() {
    for chunks in [Chunks::Whole, Chunks::AtMost(1), Chunks::AtMost(3)] {
        for ahead in [0, 1, 2, 7] {
            watch_for_hangs();
            let pair = PairBuilder::new().chunks(chunks.clone());
            let (mut sender, connection, mut peer) =
                in_memory_over(pair, &Builder::new().read_ahead(ahead)).await;
            for _ in 0..3 {
                let answer =
                    b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
                let response = ask(&mut sender, &mut peer, answer).await;
                assert_eq!(in_time(read(response)).await.unwrap(), "0123456789");
                let response =
                    ask(&mut sender, &mut peer, chunked("5;a=b\r\n01234\r\n5\r\n56789\r\n0\r\nA: b\r\n\r\n"))
                        .await;
                let whole = in_time(response.into_body().collect()).await.unwrap();
                assert_eq!(whole.trailers().unwrap()["a"], "b");
                assert_eq!(whole.to_bytes(), "0123456789");
            }
            assert_eq!(connection.state(), State::Idle);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_discarded_after_our_goodbye() {
    for (builder, limit) in [
        (Builder::new(), 256 * 1024),
        (Builder::new().max_discard(5_000), 5_000),
        (Builder::new().max_discard(0), 0),
    ] {
        for over in [0, 1] {
            let (_sender, connection, mut peer) = connect(&builder).await;
            let closing = beside(connection.close(CloseMode::graceful()));
            settle().await;
            assert_eq!(connection.state(), State::Lingering);
            let mut left: usize = limit + over;
            while left > 0 {
                let more = left.min(IN_TRANSPORT);
                if peer.send(vec![b'x'; more]).await.is_err() {
                    break;
                }
                settle().await;
                left -= more;
            }
            if over == 0 {
                peer.fin().await.unwrap();
                let report = in_time(closing).await.unwrap();
                assert_eq!((report.ended, report.bytes_discarded), (Ended::Clean, limit as u64), "{report}");
            } else {
                let report = in_time(closing).await.unwrap();
                assert_eq!(report.ended, Ended::Aborted, "{report}");
                assert!(report.bytes_discarded > limit as u64, "{report}");
                assert_eq!(report.reason, CloseReason::User(adieu::CloseKind::Graceful));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_takes_nothing_but_its_end() {
    for text in ["x", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 408 Request Timeout\r\n\r\n", "HTTP/1.1 40"] {
        let (mut sender, connection, mut peer) = connect(&Builder::new()).await;
        ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
        peer.send(text).await.unwrap();
        pass(Duration::from_secs(5)).await;
        if text.ends_with("40") {
            // It may become a 408; until then nothing may begin.
            peer.fin().await.unwrap();
        }
        drop(peer);
        let report = in_time(connection.closed()).await;
        let expected =
            if text.contains(" 4") { CloseReason::PeerClosedIdle } else { CloseReason::UnexpectedData };
        assert_eq!(report.reason, expected, "{text:?}: {report}");
        assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
    }
}

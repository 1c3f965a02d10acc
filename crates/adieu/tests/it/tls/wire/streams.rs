//! A TLS stream by itself: how each side ends, and two tasks on one stream.

use std::future::poll_fn;
use std::io::ErrorKind as Io;
use std::pin::Pin;
use std::task::Poll;

use adieu::transport::{PeerEnd, Transport};
use adieu::{Layer, Signal, Signals};
use adieu_testkit::Ended;
use adieu_testkit::memory::{MemoryEnd, PairBuilder, Side};
use adieu_testkit::peer::TlsVersion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::super::support::{BOTH, signals};
use super::served::{Reading, Served};
use super::{Gathers, joined, pattern};
use crate::support::{beside, in_time, settle};

async fn pair_of(version: TlsVersion) -> (adieu::transport::tls::TlsStream, Served<MemoryEnd>) {
    let (stream, served, _) = joined(PairBuilder::new(), Gathers::Yes, version).await;
    (stream, served)
}

/// What TLS said at the end: ours, theirs.
fn said(stream: &impl Transport) -> [Signals; 2] {
    let layers = stream.layers();
    assert_eq!(layers[0].layer, Layer::Tls);
    [layers[0].sent, layers[0].received]
}

#[tokio::test]
async fn close_notify_and_then_the_fin_are_two_ends() {
    for version in BOTH {
        // One after the other, and both before the first read.
        for together in [false, true] {
            let (mut stream, mut served) = pair_of(version).await;
            served.say("words").await;
            served.close_notify().await;
            if together {
                served.send_fin().await;
            }
            let mut all = Vec::new();
            in_time(stream.read_to_end(&mut all)).await.unwrap();
            assert_eq!(all, b"words");
            assert_eq!(stream.peer_end(), PeerEnd::CloseNotify);
            assert_eq!(said(&stream), [signals([]), signals([Signal::CloseNotify])]);
            if !together {
                let mut none = [0];
                let mut none = ReadBuf::new(&mut none);
                let waits = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_read(cx, &mut none))).await;
                assert!(waits.is_pending());
                assert_eq!(stream.peer_end(), PeerEnd::CloseNotify);
                served.send_fin().await;
            }
            for _ in 0..2 {
                assert_eq!(in_time(stream.read(&mut [0])).await.unwrap(), 0);
                assert_eq!(stream.peer_end(), PeerEnd::Fin);
            }
            assert_eq!(said(&stream), [signals([]), signals([Signal::CloseNotify])]);
            // Our side is still open.
            stream.write_all(b"answer").await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(served.hear(6).await, b"answer");
        }
    }
}

#[tokio::test]
async fn a_fin_without_close_notify_is_bare() {
    for version in BOTH {
        for torn in [&b""[..], b"\x17", b"\x17\x03\x03\x40\x00", b"\x17\x03\x03\x40\x00abc"] {
            let (mut stream, mut served) = pair_of(version).await;
            served.put("words");
            served.put_raw(torn);
            served.send_fin().await;
            let mut all = Vec::new();
            let error = in_time(stream.read_to_end(&mut all)).await.unwrap_err();
            assert_eq!((all.as_slice(), error.kind()), (&b"words"[..], Io::UnexpectedEof));
            // Told as often as it is asked for.
            assert_eq!(in_time(stream.read(&mut [0])).await.unwrap_err().kind(), Io::UnexpectedEof);
            assert_eq!(stream.peer_end(), PeerEnd::BareFin);
            assert_eq!(said(&stream), [signals([]), signals([])]);
            stream.write_all(b"still").await.unwrap();
            stream.shutdown().await.unwrap();
            served.until(|served| served.close_notify && served.plain == b"still").await;
        }
    }
}

#[tokio::test]
async fn a_large_answer_ends_as_it_ended() {
    // Large reads have a way of their own.
    for version in BOTH {
        for (end, ended) in [("goodbye", PeerEnd::CloseNotify), ("fin", PeerEnd::BareFin)] {
            let (mut stream, mut served) = pair_of(version).await;
            let much = pattern(300_000);
            let reading = beside(async move {
                let mut all = Vec::new();
                let read = stream.read_to_end(&mut all).await;
                assert_eq!(read.is_ok(), ended == PeerEnd::CloseNotify, "{read:?}");
                (stream, all)
            });
            served.say(&much).await;
            match end {
                "goodbye" => served.goodbye().await,
                _ => served.send_fin().await,
            }
            let (stream, all) = in_time(reading).await.unwrap();
            assert!(all == much);
            assert_eq!(stream.peer_end(), ended);
        }
    }
}

#[tokio::test]
async fn what_comes_after_close_notify_is_no_data_and_bounded() {
    for version in BOTH {
        for (much, bounded) in [(1, false), (200_000, false), (400_000, true)] {
            let (mut stream, mut served) = pair_of(version).await;
            served.say("words").await;
            served.close_notify().await;
            let mut all = Vec::new();
            in_time(stream.read_to_end(&mut all)).await.unwrap();
            assert_eq!(all, b"words");
            let sending = async {
                served.put_raw(&vec![b'x'; much]);
                served.flush().await;
                served.send_fin().await;
            };
            let mut none = [0; 100];
            let outcome = tokio::select! {
                biased;
                outcome = in_time(stream.read(&mut none)) => outcome,
                () = async { sending.await; std::future::pending().await } => unreachable!(),
            };
            match bounded {
                false => assert_eq!((outcome.unwrap(), stream.peer_end()), (0, PeerEnd::Fin)),
                true => assert_eq!(outcome.unwrap_err().kind(), Io::InvalidData),
            }
        }
    }
}

#[tokio::test]
async fn data_and_close_notify_that_come_with_garbage_behind_them() {
    for version in BOTH {
        let (mut stream, mut served) = pair_of(version).await;
        served.put("words");
        served.tls.send_close_notify();
        served.put_raw(b"garbage that nobody asked for");
        served.send_fin().await;
        let mut all = Vec::new();
        in_time(stream.read_to_end(&mut all)).await.unwrap();
        assert_eq!((all.as_slice(), stream.peer_end()), (&b"words"[..], PeerEnd::CloseNotify));
        assert_eq!(in_time(stream.read(&mut [0])).await.unwrap(), 0);
        assert_eq!(stream.peer_end(), PeerEnd::Fin);
    }
}

#[tokio::test]
async fn a_violation_is_told_after_the_data_before_it() {
    for version in BOTH {
        let (mut stream, mut served) = pair_of(version).await;
        served.put("words");
        served.put_raw(&[&[23, 3, 3, 0, 40][..], &[9; 40]].concat());
        served.flush().await;
        let mut all = Vec::new();
        let error = in_time(stream.read_to_end(&mut all)).await.unwrap_err();
        assert_eq!((all.as_slice(), error.kind()), (&b"words"[..], Io::InvalidData));
        assert!(error.to_string().starts_with("the peer broke TLS: "), "{error}");
        assert_eq!(stream.write(b"more").await.unwrap_err().kind(), Io::BrokenPipe);
        // The alert is our goodbye: no close_notify after it.
        stream.shutdown().await.unwrap();
        served.until(|served| served.fin).await;
        assert!(matches!(
            served.fault,
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac))
        ));
        assert_eq!(said(&stream), [signals([]), signals([])]);
        served.send_fin().await;
        assert_eq!(in_time(stream.read(&mut [0])).await.unwrap_err().kind(), Io::UnexpectedEof);
        assert_eq!(stream.peer_end(), PeerEnd::BareFin);
    }
}

#[tokio::test]
async fn shutdown_sends_what_is_held_back_then_close_notify_then_fin() {
    for version in BOTH {
        for buffer in [3, 1000, 1 << 16] {
            let (mut stream, mut served, _) =
                joined(PairBuilder::new().buffer(buffer), Gathers::No, version).await;
            let much = pattern(50_000);
            let wrote = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &much)).await.unwrap();
            assert_eq!(said(&stream), [signals([]), signals([])]);
            served.during(stream.shutdown()).await.unwrap();
            assert_eq!(said(&stream), [signals([Signal::CloseNotify]), signals([])]);
            served.until(|served| served.fin).await;
            assert!(served.plain == much[..wrote] && served.close_notify);
            let records = served.records.len();
            // Again is fine, and says nothing more; a write is refused.
            stream.shutdown().await.unwrap();
            assert_eq!(stream.write(b"more").await.unwrap_err().kind(), Io::BrokenPipe);
            assert_eq!(served.records.len(), records);
            // Theirs goes on.
            served.put("last words");
            served.tls.send_close_notify();
            let mut all = Vec::new();
            served.during(stream.read_to_end(&mut all)).await.unwrap();
            assert_eq!(all, b"last words");
        }
    }
}

#[tokio::test]
async fn a_shutdown_that_the_wire_does_not_take_claims_nothing() {
    for version in BOTH {
        let (mut stream, mut served, _) = joined(PairBuilder::new().buffer(3), Gathers::Yes, version).await;
        served.reading(Reading::Off);
        for _ in 0..3 {
            let waits = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_shutdown(cx))).await;
            assert!(waits.is_pending());
            assert_eq!(said(&stream), [signals([]), signals([])]);
            assert_eq!(served.io.seen().ended(), Ended::StillOpen);
        }
    }
}

#[tokio::test]
async fn dropped_it_says_nothing() {
    for version in BOTH {
        let (mut stream, mut served) = pair_of(version).await;
        // With tickets unread the drop would be a reset.
        served.say("word").await;
        in_time(stream.read_exact(&mut [0; 4])).await.unwrap();
        let records = served.records.len();
        drop(stream);
        served.until(|served| served.fin).await;
        assert_eq!((served.close_notify, served.records.len()), (false, records));
    }
}

#[tokio::test]
async fn after_our_end_nothing_leaves_whatever_the_peer_asks() {
    let (mut stream, mut served) = pair_of(TlsVersion::Tls13).await;
    stream.shutdown().await.unwrap();
    served.until(|served| served.fin).await;
    let sent = served.io.seen().sent(Side::Theirs);
    // A change of keys asks for one of ours.
    served.update_keys();
    served.put("words");
    served.update_keys();
    served.goodbye().await;
    let mut all = Vec::new();
    in_time(stream.read_to_end(&mut all)).await.unwrap();
    assert_eq!((all.as_slice(), stream.peer_end()), (&b"words"[..], PeerEnd::CloseNotify));
    assert_eq!(served.io.seen().sent(Side::Theirs), sent);
}

#[tokio::test]
async fn a_read_into_nothing_changes_nothing() {
    for version in BOTH {
        let (mut stream, mut served) = pair_of(version).await;
        served.goodbye().await;
        for _ in 0..3 {
            assert_eq!(stream.read(&mut []).await.unwrap(), 0);
        }
        assert_eq!(in_time(stream.read(&mut [0])).await.unwrap(), 0);
        assert_eq!(stream.peer_end(), PeerEnd::CloseNotify);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_does_not_take_the_writers_call() {
    for version in BOTH {
        let (stream, mut served, _) = joined(PairBuilder::new().buffer(100), Gathers::Yes, version).await;
        served.reading(Reading::Off);
        let (mut from, mut to) = tokio::io::split(stream);
        let writing = beside(async move {
            to.write_all(&pattern(200_000)).await.unwrap();
            to.flush().await.unwrap();
            to
        });
        settle().await;
        assert!(!writing.is_finished());
        // Another task reads meanwhile: what waits to be written is none of its business.
        let reading = beside(async move {
            let mut word = [0; 4];
            from.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"word");
            from.read_exact(&mut word).await.unwrap();
            (from, word)
        });
        settle().await;
        served.say("word").await;
        settle().await;
        served.reading(Reading::On);
        let got = served.hear(200_000).await;
        assert!(got == pattern(200_000));
        drop(in_time(served.during(writing)).await.unwrap());
        served.put("done");
        assert_eq!(in_time(served.during(reading)).await.unwrap().1, *b"done");
    }
}

#[tokio::test(start_paused = true)]
async fn two_tasks_carry_much_in_both_directions() {
    for version in BOTH {
        for buffer in [60, 5000] {
            let (stream, mut served, _) =
                joined(PairBuilder::new().buffer(buffer), Gathers::Yes, version).await;
            let (mut from, mut to) = tokio::io::split(stream);
            let much = pattern(200_000);
            let writing = beside({
                let much = much.clone();
                async move {
                    to.write_all(&much).await.unwrap();
                    to.flush().await.unwrap();
                    to
                }
            });
            let reading = beside(async move {
                let mut all = vec![0; 200_000];
                from.read_exact(&mut all).await.unwrap();
                (from, all)
            });
            for piece in much.chunks(9_999) {
                served.put(piece);
                if version == TlsVersion::Tls13 {
                    served.update_keys();
                }
            }
            served.until(|served| served.plain.len() == 200_000).await;
            assert!(served.plain == much);
            let (_from, all) = in_time(served.during(reading)).await.unwrap();
            assert!(all == much);
            drop(in_time(served.during(writing)).await.unwrap());
        }
    }
}

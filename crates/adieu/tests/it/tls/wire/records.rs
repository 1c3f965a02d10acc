//! Where records end on the wire: what `wire_end` and `wire_taken` say, against what the server got.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use adieu::transport::Transport;
use adieu::transport::tls::{TlsConnector, TlsStream};
use adieu_testkit::memory::{MemoryEnd, PairBuilder, Side, pair};
use adieu_testkit::peer::TlsVersion;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::support::{AUTHORITY, BOTH};
use super::served::{Reading, Served};
use super::{Gathers, Wire, joined, pattern};
use crate::support::{Memory, beside, in_time, watch_for_hangs};

/// So many records of one turn are remembered.
const KEPT: usize = 16;

/// One turn: it writes these pieces, the server gets them.
async fn writes(stream: &mut TlsStream, served: &mut Served<MemoryEnd>, pieces: &[usize]) {
    let total = pieces.iter().sum();
    let mut got = Vec::new();
    let writing = async {
        for piece in pieces {
            stream.write_all(&pattern(*piece)).await.unwrap();
            // Each piece is records of its own.
            stream.flush().await.unwrap();
        }
    };
    served.during(writing).await;
    got.extend(served.hear(total).await);
    assert_eq!(got.len(), total);
    assert_eq!(stream.wire_taken(), Some(served.io.seen().sent(Side::Theirs)));
}

/// The server says something, and it is read.
async fn answers(stream: &mut TlsStream, served: &mut Served<MemoryEnd>) {
    served.put("answer");
    let mut answer = [0; 6];
    served.during(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"answer");
}

/// Places in a turn from `from` to `to` at which to ask.
fn places(from: u64, to: u64) -> impl Iterator<Item = u64> {
    let step = ((to - from) / 40).max(1);
    (from + 1..=to).filter(move |at| (at - from) % step == 1 % step || *at == to || (at - from) % 16_384 < 2)
}

/// Every claim about what was written since `from` agrees with the records that the server got.
#[track_caller]
fn assert_claims(stream: &TlsStream, served: &Served<MemoryEnd>, from: u64, first_record: usize) {
    let turn = &served.records[first_record..];
    let (_, _, to) = *turn.last().unwrap();
    for place in places(from, to) {
        let index = turn.iter().position(|(_, _, plain)| *plain >= place).unwrap();
        let claim = stream.wire_end(place);
        if index < KEPT - 4 {
            assert_eq!(claim, Some(turn[index].1), "byte {place}");
        } else {
            // Beyond what is remembered nothing is claimed, or the truth.
            assert!(claim.is_none() || claim == Some(turn[index].1), "byte {place}: {claim:?}");
        }
    }
    assert_eq!(stream.wire_end(to + 1), None);
    assert_eq!(stream.wire_end(0), None);
}

#[tokio::test]
async fn the_end_of_the_record_that_holds_a_byte_is_known() {
    for version in BOTH {
        for gathers in [Gathers::Yes, Gathers::No] {
            for buffer in [7, 300, 1 << 17] {
                let (mut stream, mut served, _) =
                    joined(PairBuilder::new().buffer(buffer), gathers, version).await;
                assert_eq!(stream.wire_taken(), Some(served.io.seen().sent(Side::Theirs)));
                let turns: [&[usize]; 6] = [
                    &[100],
                    &[1],
                    &[16_384],
                    &[16_385],
                    &[10, 40_000, 1, 1, 2000],
                    if buffer > 1000 { &[60_000, 60_000, 60_000, 60_000, 60_000, 60_000] } else { &[33] },
                ];
                for pieces in turns {
                    let (from, first) =
                        (served.records.last().map_or(0, |last| last.2), served.records.len());
                    writes(&mut stream, &mut served, pieces).await;
                    assert_claims(&stream, &served, from, first);
                    // An answer alone makes nothing unknown; the next turn does.
                    answers(&mut stream, &mut served).await;
                    assert_claims(&stream, &served, from, first);
                }
                let (first, last) = (100, served.records.last().unwrap().2);
                writes(&mut stream, &mut served, &[5]).await;
                assert_eq!((stream.wire_end(first), stream.wire_end(last)), (None, None));
                assert!(stream.wire_end(last + 1).is_some());
            }
        }
    }
}

#[tokio::test]
async fn what_the_wire_has_not_taken_ends_beyond_what_it_took() {
    for version in BOTH {
        let (mut stream, mut served, _) = joined(PairBuilder::new().buffer(500), Gathers::Yes, version).await;
        served.reading(Reading::Off);
        let before = stream.wire_taken().unwrap();
        let much = pattern(20_000);
        let wrote = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &much)).await.unwrap();
        assert_eq!(wrote, much.len());
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_flush(cx))).await.is_pending());
        let taken = stream.wire_taken().unwrap();
        assert!(taken > before && taken == served.io.seen().sent(Side::Theirs));
        let (first, last) = (stream.wire_end(1).unwrap(), stream.wire_end(20_000).unwrap());
        assert!(taken < first && first < last, "{taken} {first} {last}");
        // And it becomes true.
        served.reading(Reading::On);
        let records = served.records.len();
        served.during(stream.flush()).await.unwrap();
        served.hear(20_000).await;
        assert_eq!((first, last), (served.records[records].1, served.records.last().unwrap().1));
        assert_eq!(stream.wire_taken(), Some(last));
    }
}

#[tokio::test]
async fn a_change_of_keys_makes_nothing_wrong() {
    let (mut stream, mut served, _) = joined(PairBuilder::new(), Gathers::Yes, TlsVersion::Tls13).await;
    for pieces in [&[100][..], &[16_384], &[40_000], &[10, 20]] {
        served.update_keys();
        answers(&mut stream, &mut served).await;
        // The answer to the change goes out with what is written next: a record that holds none of it.
        let (from, first) = (served.records.last().map_or(0, |last| last.2), served.records.len());
        writes(&mut stream, &mut served, pieces).await;
        let turn = &served.records[first..];
        assert_eq!(turn[0].2, from, "there is such a record");
        let (_, _, to) = *turn.last().unwrap();
        for place in places(from, to) {
            let truth = turn.iter().find(|(_, _, plain)| *plain >= place).unwrap().1;
            let claim = stream.wire_end(place);
            assert!(claim.is_none() || claim == Some(truth), "byte {place}: {claim:?} instead of {truth}");
        }
        // Afterwards it is known again.
        answers(&mut stream, &mut served).await;
        let (from, first) = (to, served.records.len());
        writes(&mut stream, &mut served, &[100]).await;
        assert_claims(&stream, &served, from, first);
    }
}

#[tokio::test]
async fn smaller_records_are_not_mistaken_for_whole_ones() {
    watch_for_hangs();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(AUTHORITY.pem().as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.max_fragment_size = Some(10_005);
    let connector = TlsConnector::builder().rustls_config(Arc::new(config)).build().unwrap();
    let (ours, theirs) = pair();
    let shaking = beside(async move { connector.connect_on("localhost", Wire(Memory(ours))).await });
    let mut served = Served::shaken(theirs, TlsVersion::Tls13).await;
    let mut stream = in_time(served.during(shaking)).await.unwrap().unwrap();
    for size in [5000, 20_000, 30_000, 16_384] {
        let (from, first) = (served.records.last().map_or(0, |last| last.2), served.records.len());
        writes(&mut stream, &mut served, &[size]).await;
        let turn = &served.records[first..];
        for place in places(from, from + size as u64) {
            let truth = turn.iter().find(|(_, _, plain)| *plain >= place).unwrap().1;
            let claim = stream.wire_end(place);
            assert!(
                claim.is_none() || claim == Some(truth),
                "{size}, byte {place}: {claim:?} instead of {truth}"
            );
        }
        answers(&mut stream, &mut served).await;
    }
}

//! Chunked bodies: the same however they are cut, and what a simple decoder by the letter of the RFC makes of them.
//!
//! First line: the limits, how the body is chunked anew, then the lengths of the pieces. The rest is the body.

#![no_main]

use adieu_fuzz::chunks::{self, Extensions, Verdict};
use adieu_fuzz::plan::Plan;
use adieu_proto::codec::Malformed;
use adieu_proto::codec::chunked::{CHUNK_END, Decoder, Step, end_body, open_chunk};
use adieu_proto::codec::limits::Limits;
use adieu_proto::codec::request::sendable_trailers;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(plan) = Plan::of(input) else { return };
    let limits = limits(plan.choice(0, 3));
    let whole = told(&[plan.bytes], &limits);
    assert_eq!(told(&plan.pieces(2), &limits), whole, "cut as planned");
    let single: Vec<_> = plan.bytes.chunks(1).collect();
    assert_eq!(told(&single, &limits), whole, "byte by byte");
    assert!(whole.data.len() + whole.left <= plan.bytes.len(), "more came out than went in");
    judge(&whole, plan.bytes, &limits);
    if let Ended::Whole(trailers) = &whole.ended {
        read_back(&whole.data, trailers.as_ref(), plan.choice(1, 62));
    }
});

/// What a decoder made of some bytes.
#[derive(Debug, PartialEq)]
struct Told {
    data: Vec<u8>,
    ended: Ended,
    /// Bytes that it left.
    left: usize,
}

#[derive(Debug, PartialEq)]
enum Ended {
    NotYet,
    Whole(Option<HeaderMap>),
    Wrong(Malformed),
}

fn limits(choice: usize) -> Limits {
    let mut limits = Limits::default();
    match choice {
        0 => {}
        1 => {
            (limits.chunk_line, limits.chunk_extensions) = (20, 30);
            (limits.trailers, limits.fields, limits.read_ahead) = (40, 3, 5);
        }
        _ => {
            (limits.chunk_line, limits.chunk_extensions) = (1, 0);
            (limits.trailers, limits.fields, limits.read_ahead) = (2, 0, 0);
        }
    }
    limits
}

/// Decodes what comes in these pieces.
fn told(pieces: &[&[u8]], limits: &Limits) -> Told {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let mut told = Told { data: Vec::new(), ended: Ended::NotYet, left: 0 };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while told.ended == Ended::NotYet {
            match decoder.decode(&mut buffer, limits) {
                Ok(Step::NeedMore) => {
                    let most = limits.chunk_line.max(limits.trailers).max(1);
                    assert!(buffer.len() <= most, "{} bytes are kept", buffer.len());
                    break;
                }
                Ok(Step::Data(data)) => {
                    assert!(!data.is_empty() && data.len() <= limits.read_ahead.max(1));
                    told.data.extend_from_slice(&data);
                }
                Ok(Step::End(trailers)) => {
                    let left = buffer.len();
                    assert_eq!(decoder.decode(&mut buffer, limits), Ok(Step::End(None)));
                    assert_eq!(buffer.len(), left, "something was taken after the end");
                    told.ended = Ended::Whole(trailers);
                }
                Ok(other) => panic!("an unknown step: {other:?}"),
                Err(malformed) => told.ended = Ended::Wrong(malformed),
            }
        }
    }
    // What is left after an error depends on where the last cut was.
    told.left = if matches!(told.ended, Ended::Wrong(_)) { 0 } else { buffer.len() };
    told
}

/// What is legal is accepted; what is accepted says the same to everybody.
fn judge(told: &Told, bytes: &[u8], limits: &Limits) {
    if let Verdict::Legal(body) = chunks::decode(bytes, Extensions::Legal) {
        // A line is measured with its CR.
        let within = body.longest_line < limits.chunk_line
            && body.extensions <= limits.chunk_extensions
            && body.trailer_section <= limits.trailers.max(2)
            && body.trailers.len() <= limits.fields;
        assert!(!within || matches!(told.ended, Ended::Whole(_)), "a legal body was refused: {told:?}");
    }
    match (&told.ended, chunks::decode(bytes, Extensions::Any)) {
        (Ended::Whole(trailers), Verdict::Legal(body)) => {
            assert_eq!((&told.data, bytes.len() - told.left), (&body.data, body.length));
            agree(trailers.as_ref(), &body.trailers);
        }
        (Ended::Whole(_), _) => panic!("accepted, but not by the letter: {told:?}"),
        (Ended::NotYet, Verdict::Legal(_)) => panic!("there is more to take: {told:?}"),
        _ => {}
    }
}

fn agree(trailers: Option<&HeaderMap>, fields: &[(String, Vec<u8>)]) {
    assert_eq!(trailers.map_or(0, HeaderMap::len), fields.len(), "{trailers:?} {fields:?}");
    for (name, _) in fields {
        let mine = fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_slice());
        let theirs = trailers.into_iter().flat_map(|map| map.get_all(name)).map(http::HeaderValue::as_bytes);
        assert!(mine.eq(theirs), "{name} in {trailers:?}");
    }
}

/// What is written anew, in chunks of another size, is read back.
fn read_back(data: &[u8], trailers: Option<&HeaderMap>, size: usize) {
    let (mut out, trailers) = (Vec::new(), trailers.cloned().map(sendable_trailers));
    for chunk in data.chunks(size + 1) {
        open_chunk(chunk.len(), &mut out);
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    end_body(trailers.as_ref(), &mut out);
    let mut limits = Limits::default();
    (limits.trailers, limits.fields) = (usize::MAX, 1000);
    let told = told(&[&out], &limits);
    assert_eq!((Bytes::from(told.data), told.left), (Bytes::copy_from_slice(data), 0));
    assert_eq!(told.ended, Ended::Whole(trailers.filter(|trailers| !trailers.is_empty())));
}

//! Response heads: the same however they are cut, within their limits, and nothing in them that the bytes do not say;
//! where their body ends, by a second reading of RFC 9112 section 6.3.
//!
//! First line: the limits, then the lengths of the pieces. The rest is heads, one after the other.

#![no_main]

use adieu_fuzz::chunks::{field, is_text, is_token};
use adieu_fuzz::plan::Plan;
use adieu_proto::codec::Malformed;
use adieu_proto::codec::framing::{Doubt, Framing, Notes, Persistence};
use adieu_proto::codec::limits::Limits;
use adieu_proto::codec::response::{Head, HeadReader};
use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(plan) = Plan::of(input) else { return };
    let limits = limits(plan.choice(0, 3));
    let whole = read(&[plan.bytes], &limits);
    compare(&whole, &read(&plan.pieces(1), &limits));
    // Each look begins anew, so byte by byte is for the short.
    if plan.bytes.len() <= 200 {
        let single: Vec<_> = plan.bytes.chunks(1).collect();
        compare(&whole, &read(&single, &limits));
    }
    let mut from = 0;
    for (head, length) in &whole.heads {
        assert!(*length <= limits.head && head.response.headers().len() <= limits.fields);
        check(head, &plan.bytes[from..from + length]);
        from += length;
    }
});

/// What a reader made of some bytes.
struct Read {
    /// Each head, and how long it was.
    heads: Vec<(Head, usize)>,
    wrong: Option<Malformed>,
    left: usize,
}

fn limits(choice: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.head, limits.fields) = [(limits.head, limits.fields), (700, 40), (90, 3)][choice];
    limits
}

fn read(pieces: &[&[u8]], limits: &Limits) -> Read {
    let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
    let mut read = Read { heads: Vec::new(), wrong: None, left: 0 };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while read.wrong.is_none() {
            let before = buffer.len();
            match reader.read(&mut buffer, limits) {
                Ok(Some(head)) => read.heads.push((head, before - buffer.len())),
                Ok(None) => {
                    assert!(buffer.len() <= limits.head, "{} bytes are kept", buffer.len());
                    break;
                }
                Err(malformed) => read.wrong = Some(malformed),
            }
        }
    }
    read.left = buffer.len();
    read
}

/// A reader that is given little by little may notice later that something is wrong, but makes nothing else of it.
fn compare(whole: &Read, cut: &Read) {
    assert_eq!(whole.heads.len(), cut.heads.len(), "{:?} {:?}", whole.wrong, cut.wrong);
    for ((a, a_length), (b, b_length)) in whole.heads.iter().zip(&cut.heads) {
        assert_eq!((a_length, a.notes), (b_length, b.notes));
        assert_eq!(
            (a.response.status(), a.response.version(), a.response.headers()),
            (b.response.status(), b.response.version(), b.response.headers())
        );
    }
    match whole.wrong {
        None => assert_eq!((cut.wrong, cut.left), (None, whole.left)),
        Some(_) => assert!(cut.wrong.is_some() || cut.left > 0),
    }
}

/// Nothing is in the head that the bytes do not say.
fn check(head: &Head, bytes: &[u8]) {
    let text = bytes.trim_ascii_start();
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let (version, status) = (head.response.version(), head.response.status());
    let start = format!("HTTP/1.{} {}", u8::from(version == Version::HTTP_11), status.as_str());
    assert!(status_line.starts_with(start.as_bytes()), "{start}: {}", String::from_utf8_lossy(status_line));
    let mut fields = Vec::new();
    for line in lines {
        if line.is_empty() {
            break;
        }
        fields.push(field(line).unwrap_or_else(|| panic!("no field: {}", String::from_utf8_lossy(line))));
    }
    let headers = head.response.headers();
    assert_eq!(headers.len(), fields.len());
    for (name, _) in &fields {
        let mine = fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_slice());
        assert!(mine.eq(headers.get_all(name).iter().map(HeaderValue::as_bytes)), "{name} in {headers:?}");
    }
    for (name, value) in headers {
        assert!(name.as_str().bytes().all(is_token) && value.as_bytes().iter().copied().all(is_text));
    }
    assert_eq!(head.notes, Notes::of(headers));
    assert_eq!(head.notes.names_length(), headers.contains_key("content-length"));
    assert_eq!(head.notes.persistence, persistence(headers));
    for method in [Method::GET, Method::HEAD, Method::POST, Method::CONNECT, Method::OPTIONS] {
        for version in [Version::HTTP_10, Version::HTTP_11] {
            let told = head.notes.response_framing(&method, version, status).ok();
            assert_eq!(told, framing(&method, version, status, headers), "{method} {status} {headers:?}");
        }
    }
}

/// The items of all fields with this name.
fn items<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    let values = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii).collect()
}

fn persistence(headers: &HeaderMap) -> Persistence {
    let said = items(headers, "connection");
    let says = |token: &[u8]| said.iter().any(|item| item.eq_ignore_ascii_case(token));
    match (says(b"close"), says(b"keep-alive")) {
        (true, _) => Persistence::Close,
        (_, true) => Persistence::KeepAlive,
        _ => Persistence::Silent,
    }
}

/// RFC 9112 section 6.3, read a second time. `None`: nobody can tell.
fn framing(
    method: &Method,
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<(Framing, Doubt)> {
    let plain = |framing| Some((framing, Doubt::None));
    match status.as_u16() {
        101 => return plain(Framing::Upgrade),
        100..200 | 204 | 304 => return plain(Framing::None),
        _ if method == Method::HEAD => return plain(Framing::None),
        200..300 if method == Method::CONNECT => return plain(Framing::Upgrade),
        _ => {}
    }
    let mut length = None;
    for item in items(headers, "content-length") {
        let is_number = !item.is_empty() && item.len() <= 20 && item.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(item).ok().filter(|_| is_number)?.parse::<u64>().ok()?;
        if length.is_some_and(|length| length != number) {
            return None;
        }
        length = Some(number);
    }
    if !headers.contains_key("transfer-encoding") {
        return plain(length.map_or(Framing::UntilClose, Framing::Length));
    }
    let codings = items(headers, "transfer-encoding");
    let codings: Vec<_> = codings
        .iter()
        .map(|item| item.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii())
        .filter(|name| !name.is_empty())
        .collect();
    let framing = match codings.iter().position(|name| name.eq_ignore_ascii_case(b"chunked")) {
        None => Framing::UntilClose,
        Some(at) if at + 1 == codings.len() => Framing::Chunked,
        Some(_) => return None,
    };
    let doubt = match length {
        _ if version == Version::HTTP_10 => Doubt::CodingInOldVersion,
        Some(_) => Doubt::BothLengths,
        None => Doubt::None,
    };
    Some((framing, doubt))
}

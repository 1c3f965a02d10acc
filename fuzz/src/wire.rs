//! Whether a request is whole, judged by the bytes that reached the transport, and by nothing else.

use crate::chunks::{self, Extensions, Verdict};

/// How much of a request there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    None,
    /// A part.
    Part,
    /// All of it.
    Whole,
}

/// How much of one request these bytes are. More than one, or anything that is none, panics.
pub fn extent(bytes: &[u8]) -> Extent {
    if bytes.is_empty() {
        return Extent::None;
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let head_length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Extent::Part,
        Err(error) => panic!("{error} in what was sent: {}", String::from_utf8_lossy(bytes)),
    };
    let body = &bytes[head_length..];
    let values = |name: &str| -> Vec<_> {
        head.headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
            .collect()
    };
    match (values("transfer-encoding").as_slice(), values("content-length").as_slice()) {
        ([], []) => {
            assert!(body.is_empty(), "a body that no field announced");
            Extent::Whole
        }
        ([], [length]) => {
            let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
            assert!(body.len() <= length, "a body longer than announced");
            if body.len() == length { Extent::Whole } else { Extent::Part }
        }
        ([b"chunked"], []) => match chunks::decode(body, Extensions::Legal) {
            Verdict::Legal(chunked) => {
                assert_eq!(chunked.length, body.len(), "more than one request");
                Extent::Whole
            }
            Verdict::Partial => Extent::Part,
            Verdict::Illegal => panic!("a chunked body that is none: {}", String::from_utf8_lossy(bytes)),
        },
        (codings, lengths) => {
            panic!("a framing that two parties can read differently: {codings:?} {lengths:?}")
        }
    }
}

//! Where the body of a request ends: just enough of RFC 9112, section 6, to read it and no byte more.

use super::request::header;

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// RFC 9112, 6.3: "If this is a request message and none of the above are true, then the message body length is
    /// zero (no message body is present)."
    Empty,
    Length(u64),
    Chunked,
}

/// The framing that `head` announces, or what is wrong with it.
pub(super) fn framing_of(head: &str) -> Result<Framing, String> {
    if let Some(codings) = header(head, "transfer-encoding") {
        let last = codings.rsplit(',').next().unwrap_or_default().trim();
        return match last.eq_ignore_ascii_case("chunked") {
            true => Ok(Framing::Chunked),
            false => Err(format!("a request cannot end with Transfer-Encoding: {codings}")),
        };
    }
    match header(head, "content-length") {
        None => Ok(Framing::Empty),
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => match digits.parse() {
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => Err(format!("no length: Content-Length: {digits}")),
        },
        Some(other) => Err(format!("no length: Content-Length: {other}")),
    }
}

/// The size that a chunk's first line tells, extensions aside.
pub(super) fn chunk_size(line: &str) -> Result<u64, String> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => u64::from_str_radix(digits, 16).map_err(|_| format!("no chunk size: {line:?}")),
        false => Err(format!("no chunk size: {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &str) -> Result<Framing, String> {
        framing_of(&format!("POST / HTTP/1.1\r\n{fields}\r\n"))
    }

    #[test]
    fn tells_the_three_framings() {
        assert_eq!(framing("Host: x\r\n"), Ok(Framing::Empty));
        assert_eq!(framing("content-LENGTH:  12 \r\n"), Ok(Framing::Length(12)));
        assert_eq!(
            framing("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 4\r\n"),
            Ok(Framing::Chunked)
        );
    }

    #[test]
    fn refuses_what_has_no_end() {
        for fields in [
            "Content-Length: +5\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            assert!(framing(fields).is_err(), "{fields}");
        }
        assert!(framing("Content-Length: \r\n").is_err());
    }

    #[test]
    fn reads_chunk_sizes() {
        assert_eq!(chunk_size("1aF;name=value"), Ok(0x1af));
        for line in ["", "+1", "xyz", "11111111111111111"] {
            assert!(chunk_size(line).is_err(), "{line}");
        }
    }
}

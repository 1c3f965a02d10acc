//! The chunked transfer coding, both ways: RFC 9112 section 7.1.
//!
//! Decoding is strict where leniency lets two parties disagree about where a body ends: a size is hexadecimal
//! digits only, and every line ends in CRLF. Extensions are skipped, within bounds.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::limits::Limits;
use super::{Malformed, response};

/// Reads a chunked body out of a buffer, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// Bytes of the line or trailer section looked at so far without finding its end.
    scanned: usize,
    extensions: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A chunk-size line comes.
    #[default]
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// The CRLF after a chunk's data.
    DataEnd,
    /// The trailer section, after the last chunk.
    Trailers,
    /// Nothing.
    Done,
}

/// What a look at the buffer gave.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// More bytes are needed.
    NeedMore,
    /// A piece of the body.
    Data(Bytes),
    /// The body has ended; its trailer fields.
    End(Option<HeaderMap>),
}

impl Decoder {
    /// Takes the next piece out of `buffer`.
    pub fn decode(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Step, Malformed> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = self.line(buffer, limits.chunk_line, "chunk-size lines")? else {
                        return Ok(Step::NeedMore);
                    };
                    let (size, extension) = parse_size(&line)?;
                    self.extensions += extension;
                    if self.extensions > limits.chunk_extensions {
                        return Err(Malformed::TooLarge("chunk extensions"));
                    }
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Step::NeedMore);
                    }
                    let take =
                        usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len()).min(limits.piece());
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Step::Data(buffer.split_to(take).freeze()));
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&buffer[..buffer.len().min(2)]) {
                        return Err(Malformed::Body("a chunk that does not end where its size says"));
                    }
                    if buffer.len() < 2 {
                        return Ok(Step::NeedMore);
                    }
                    buffer.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    if buffer.len() >= 2 && buffer.starts_with(b"\r\n") {
                        buffer.advance(2);
                        self.state = State::Done;
                        return Ok(Step::End(None));
                    }
                    let Some(end) = self.section_end(buffer, limits.trailers)? else {
                        return Ok(Step::NeedMore);
                    };
                    let section = buffer.split_to(end).freeze();
                    if has_bare_line_feed(&section) {
                        return Err(Malformed::Body("a trailer line that does not end in CRLF"));
                    }
                    let trailers = response::parse_fields(&section, limits.fields)?;
                    self.state = State::Done;
                    return Ok(Step::End(Some(trailers)));
                }
                State::Done => return Ok(Step::End(None)),
            }
        }
    }

    /// Takes one line without its CRLF.
    fn line(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
        what: &'static str,
    ) -> Result<Option<Bytes>, Malformed> {
        let Some(at) = buffer[self.scanned..].iter().position(|&b| b == b'\n') else {
            self.scanned = buffer.len();
            return if buffer.len() > limit { Err(Malformed::TooLarge(what)) } else { Ok(None) };
        };
        let at = self.scanned + at;
        self.scanned = 0;
        if at > limit {
            return Err(Malformed::TooLarge(what));
        }
        let line = buffer.split_to(at + 1).freeze();
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(Some(line.slice(..text.len()))),
            None => Err(Malformed::Body("a chunk-size line that does not end in CRLF")),
        }
    }

    /// Where the trailer section ends, its last CRLF CRLF included.
    fn section_end(&mut self, buffer: &BytesMut, limit: usize) -> Result<Option<usize>, Malformed> {
        let from = self.scanned.saturating_sub(3);
        let end = buffer[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| from + at + 4);
        self.scanned = buffer.len();
        if end.unwrap_or(buffer.len()) > limit {
            return Err(Malformed::TooLarge("trailers"));
        }
        Ok(end)
    }
}

/// The size in a chunk-size line, and how long its extension is.
fn parse_size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = &line[digits..];
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let rest = &rest[blanks..];
    // Eight bytes of size are sixteen digits; leading zeros beyond that serve nobody.
    if digits == 0 || digits > 16 || !(rest.is_empty() || rest.starts_with(b";")) {
        return Err(Malformed::Body("a chunk size that is no hexadecimal number"));
    }
    if rest.iter().any(|&b| b == b'\r' || b == 0) {
        return Err(Malformed::Body("a chunk extension with control bytes"));
    }
    let size = line[..digits]
        .iter()
        .fold(0u64, |size, &b| size << 4 | u64::from((b as char).to_digit(16).unwrap_or(0)));
    Ok((size, rest.len()))
}

/// Whether a line ends in another way than by CRLF.
fn has_bare_line_feed(lines: &[u8]) -> bool {
    lines.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || lines[at - 1] != b'\r'))
}

/// Writes the line that opens a chunk of `size` bytes (not zero: that would end the body).
pub fn open_chunk(size: usize, out: &mut Vec<u8>) {
    debug_assert!(size > 0, "an empty chunk is the last one");
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.extend_from_slice(&[b"0123456789abcdef"[size >> (4 * place) & 15]]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailer section.
pub fn end_body(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, its trailers, and how much is left over.
    type Decoded = (Vec<u8>, Option<HeaderMap>, usize);

    /// Decodes `input` handed over in pieces cut at `cuts`.
    fn decode(input: &[u8], cuts: &[usize]) -> Result<Option<Decoded>, Malformed> {
        let (mut decoder, mut buffer, mut body) = (Decoder::default(), BytesMut::new(), Vec::new());
        let mut from = 0;
        for to in cuts.iter().copied().chain([input.len()]) {
            buffer.extend_from_slice(&input[from..to]);
            from = to;
            loop {
                match decoder.decode(&mut buffer, &Limits::default())? {
                    Step::NeedMore => break,
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::End(trailers) => {
                        return Ok(Some((body, trailers, buffer.len() + input.len() - from)));
                    }
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn lines_end_in_crlf_and_nothing_else() {
        for input in [
            &b"0\r\nX: 7\n\nlost: z\r\n\r\n"[..],
            b"0\r\n\nlost: z\r\n\r\n",
            b"0\r\nX: 7\nY: 8\r\n\r\n",
            b"1\r\r\nA\r\n0\r\n\r\n",
            b"1\r;x\r\nA\r\n0\r\n\r\n",
            b"1\x0c\r\nA\r\n0\r\n\r\n",
            b"1\nA\r\n0\r\n\r\n",
        ] {
            for cut in 0..input.len() {
                assert!(decode(input, &[cut]).is_err(), "{:?}", String::from_utf8_lossy(input));
            }
        }
        assert_eq!(decode(b"1 \t;x\r\nA\r\n0\r\n\r\n", &[]).unwrap().unwrap().0, b"A");
    }

    #[test]
    fn a_body_is_the_same_however_its_bytes_are_cut() {
        let input = b"5;name=\"v\"\r\nhello\r\n1\r\n \r\n00005\r\nworld\r\n0\r\nX-Sum: 7\r\nY: z\r\n\r\nNEXT";
        for cut in 0..input.len() {
            let (body, trailers, left) = decode(input, &[cut]).unwrap().unwrap();
            assert_eq!((body.as_slice(), left), (&b"hello world"[..], 4), "cut at {cut}");
            assert_eq!(trailers.unwrap()["x-sum"], "7");
        }
        let every: Vec<_> = (1..input.len()).collect();
        assert_eq!(decode(input, &every).unwrap().unwrap().0, b"hello world");
    }

    #[test]
    fn a_size_has_sixteen_digits_at_most() {
        assert_eq!(
            decode(b"000000000000000a\r\n0123456789\r\n0\r\n\r\n", &[]).unwrap().unwrap().0,
            b"0123456789"
        );
        assert_eq!(decode(b"FFFFFFFFFFFFFFFF\r\nx", &[]), Ok(None));
        assert!(decode(b"0000000000000000a\r\n", &[]).is_err());
    }

    #[test]
    fn what_two_parties_could_read_differently_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b" 1\r\n",
            b"0x1\r\n",
            b"1\nA\r\n",
            b"1\r\nAB",
            b"1 2\r\n",
            b"11111111111111111\r\n",
            b"1\r\nA\n0\r\n\r\n",
            b"1;a\rb\r\n",
            b"0\r\nbad field\r\n\r\n",
            b"1\r\nA\rX",
        ] {
            assert!(decode(bad, &[]).is_err(), "{:?}", String::from_utf8_lossy(bad));
            let every: Vec<_> = (1..bad.len()).collect();
            assert!(decode(bad, &every).is_err(), "{:?} byte by byte", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn lines_extensions_and_trailers_are_bounded() {
        let long = [&b"1;"[..], &b"x".repeat(5000), b"\r\n"].concat();
        assert_eq!(decode(&long, &[]), Err(Malformed::TooLarge("chunk-size lines")));
        let many = b"1;yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nA\r\n".repeat(300);
        assert_eq!(decode(&many, &[]), Err(Malformed::TooLarge("chunk extensions")));
        let trailers = [&b"0\r\nx: "[..], &b"x".repeat(20_000)].concat();
        assert_eq!(decode(&trailers, &[]), Err(Malformed::TooLarge("trailers")));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for size in [1, 9, 10, 15, 16, 255, 256, 4095, 65_536, 1 << 20] {
            let mut out = Vec::new();
            open_chunk(size, &mut out);
            assert_eq!(out, format!("{size:x}\r\n").as_bytes());
        }
        let mut out = b"1\r\nA\r\n".to_vec();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        end_body(Some(&trailers), &mut out);
        assert_eq!(decode(&out, &[]).unwrap().unwrap(), (b"A".to_vec(), Some(trailers), 0));
    }
}

//! Bytes to a response head, by httparse.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

use super::Malformed;
use super::framing::{About, Notes};
use super::limits::Limits;

/// Reads heads out of a buffer; remembers how far it looked, so that a slow peer costs no second look.
#[derive(Clone, Debug, Default)]
pub struct HeadReader {
    /// Bytes looked at without finding the end of the head.
    scanned: usize,
    /// Where the fields of the head at hand lie; kept for the next.
    spans: Vec<Span>,
}

/// A response head, and what was noted of it.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what RFC 9112 section 4 says a head is, and what was noted of it"
)]
pub struct Head {
    /// The head.
    pub response: Response<()>,
    /// What its fields say of framing and connection.
    pub notes: Notes,
}

/// What httparse said of the start of a buffer, free of the borrow.
struct Parsed {
    length: usize,
    status: u16,
    version: Version,
}

/// Where one field lies.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

/// So many fields need no allocation to be parsed.
const USUAL_FIELDS: usize = 32;

impl HeadReader {
    /// Takes one head out of `buffer` once it is there as a whole.
    pub fn read(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Head>, Malformed> {
        let mut head = None;
        self.read_into(&mut head, buffer, limits)?;
        Ok(head)
    }

    /// The same, made where it will be: a head is large. After an error nothing is to be made of what is there.
    #[inline]
    pub(crate) fn read_into(
        &mut self,
        place: &mut Option<Head>,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<(), Malformed> {
        if buffer.is_empty() || !self.worth_a_look(buffer) {
            return self.more(buffer, limits);
        }
        let mut fields = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
        let parsed = match parse(buffer, &mut self.spans, &mut fields) {
            Err(Malformed::TooLarge(_)) if limits.fields > USUAL_FIELDS => {
                parse(buffer, &mut self.spans, &mut vec![MaybeUninit::uninit(); limits.fields])?
            }
            parsed => parsed?,
        };
        self.take_into(place, parsed, buffer, limits)
    }

    /// Lets go of memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.spans = Vec::new();
    }

    /// Takes the head out of the buffer and cuts it where the fields lie: nothing is copied.
    #[inline]
    fn take_into(
        &mut self,
        place: &mut Option<Head>,
        parsed: Option<Parsed>,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<(), Malformed> {
        let Some(parsed) = parsed else { return self.more(buffer, limits) };
        if parsed.length > limits.head {
            return Err(Malformed::TooLarge("response heads"));
        }
        if self.spans.len() > limits.fields {
            return Err(Malformed::TooLarge("header fields"));
        }
        self.scanned = 0;
        let bytes = buffer.split_to(parsed.length).freeze();
        let head = place.insert(Head { response: Response::new(()), notes: Notes::default() });
        *head.response.status_mut() =
            StatusCode::from_u16(parsed.status).map_err(|_| Malformed::Head("a status that is no status"))?;
        *head.response.version_mut() = parsed.version;
        cut(&bytes, &self.spans, &mut head.notes, head.response.headers_mut())
    }

    fn more(&mut self, buffer: &BytesMut, limits: &Limits) -> Result<(), Malformed> {
        self.scanned = buffer.len();
        if buffer.len() > limits.head { Err(Malformed::TooLarge("response heads")) } else { Ok(()) }
    }

    /// Parsing starts anew at each try, so a try needs a sign that it can succeed: few bytes, an end of a head
    /// among the new ones, or twice as many as before (so that garbage is noticed early).
    fn worth_a_look(&self, buffer: &[u8]) -> bool {
        if self.scanned == 0 || buffer.len() < 512 || buffer.len() >= 2 * self.scanned {
            return true;
        }
        let new = &buffer[self.scanned.saturating_sub(3)..];
        new.windows(2).any(|w| w == b"\n\n") || new.windows(3).any(|w| w == b"\n\r\n")
    }
}

/// Parses a section of fields on its own: a trailer section with its last empty line.
pub fn parse_fields(section: &Bytes, limit: usize) -> Result<HeaderMap, Malformed> {
    let mut fields = vec![httparse::EMPTY_HEADER; limit];
    match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => {
            let spans: Vec<_> = fields.iter().map(|field| Span::of(section, field)).collect();
            let mut trailers = HeaderMap::new();
            cut(section, &spans, &mut Notes::default(), &mut trailers)?;
            Ok(trailers)
        }
        Ok(httparse::Status::Partial) => Err(Malformed::Body("trailers that do not end")),
        Err(httparse::Error::TooManyHeaders) => Err(Malformed::TooLarge("trailer fields")),
        Err(_) => Err(Malformed::Body("a trailer that is no field")),
    }
}

fn parse<'b>(
    buffer: &'b [u8],
    spans: &mut Vec<Span>,
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<Parsed>, Malformed> {
    let mut head = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut head, buffer, fields)
    {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooLarge("header fields")),
        Err(error) => return Err(Malformed::Head(explain(error))),
    };
    spans.clear();
    spans.extend(head.headers.iter().map(|field| Span::of(buffer, field)));
    let version = if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    Ok(Some(Parsed { length, status: head.code.unwrap_or(0), version }))
}

/// Fills `map` with the fields that lie at `spans` of `bytes`, sharing them.
fn cut(bytes: &Bytes, spans: &[Span], notes: &mut Notes, map: &mut HeaderMap) -> Result<(), Malformed> {
    map.reserve(spans.len());
    for span in spans {
        let name = &bytes[span.name.0..span.name.1];
        let name = match usual(name) {
            Some((name, About::Nothing)) => name,
            Some((name, about)) => {
                notes.note_about(about, &bytes[span.value.0..span.value.1]);
                name
            }
            None => {
                notes.note(name, &bytes[span.value.0..span.value.1]);
                HeaderName::from_bytes(name).map_err(|_| Malformed::Head("a field name that is no token"))?
            }
        };
        let value = HeaderValue::from_maybe_shared(bytes.slice(span.value.0..span.value.1))
            .map_err(|_| Malformed::Head("a field value with control bytes"))?;
        map.append(name, value);
    }
    Ok(())
}

/// The names that most responses have, in their usual spelling: one comparison instead of a look-up.
fn usual(name: &[u8]) -> Option<(HeaderName, About)> {
    use About::{Coding, Length, Nothing, Persistence, Rhythm};
    Some(match name.len() {
        4 if name == b"Date" || name == b"date" => (header::DATE, Nothing),
        4 if name == b"ETag" || name == b"etag" => (header::ETAG, Nothing),
        4 if name == b"Vary" || name == b"vary" => (header::VARY, Nothing),
        6 if name == b"Server" || name == b"server" => (header::SERVER, Nothing),
        10 if name == b"Connection" || name == b"connection" => (header::CONNECTION, Persistence),
        12 if name == b"Content-Type" || name == b"content-type" => (header::CONTENT_TYPE, Rhythm),
        13 if name == b"Cache-Control" || name == b"cache-control" => (header::CACHE_CONTROL, Nothing),
        13 if name == b"Last-Modified" || name == b"last-modified" => (header::LAST_MODIFIED, Nothing),
        13 if name == b"Accept-Ranges" || name == b"accept-ranges" => (header::ACCEPT_RANGES, Nothing),
        14 if name == b"Content-Length" || name == b"content-length" => (header::CONTENT_LENGTH, Length),
        17 if name == b"Transfer-Encoding" || name == b"transfer-encoding" => {
            (header::TRANSFER_ENCODING, Coding)
        }
        _ => return None,
    })
}

impl Span {
    fn of(buffer: &[u8], field: &httparse::Header<'_>) -> Self {
        let at = |part: &[u8]| {
            let from = part.as_ptr() as usize - buffer.as_ptr() as usize;
            (from, from + part.len())
        };
        Self { name: at(field.name.as_bytes()), value: at(field.value) }
    }
}

fn explain(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a field name that is no token",
        httparse::Error::HeaderValue => "a field value with control bytes",
        httparse::Error::NewLine => "a line that does not end in CRLF",
        httparse::Error::Status => "a status that is no number",
        httparse::Error::Version => "bytes that are not HTTP/1.x",
        _ => "a response head that cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], cuts: &[usize]) -> Result<Option<(Head, usize)>, Malformed> {
        let (mut reader, mut buffer, mut from) = (HeadReader::default(), BytesMut::new(), 0);
        for to in cuts.iter().copied().chain([input.len()]) {
            buffer.extend_from_slice(&input[from..to]);
            from = to;
            if let Some(head) = reader.read(&mut buffer, &Limits::default())? {
                return Ok(Some((head, buffer.len() + input.len() - from)));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_is_the_same_however_its_bytes_are_cut() {
        let input =
            b"HTTP/1.1 207 Multi-Status\r\nA: 1\r\nSet-Cookie: a\r\nset-cookie: b\r\nEmpty:\r\n\r\nBODY";
        let every: Vec<_> = (1..input.len()).collect();
        for cuts in (0..input.len()).map(|cut| vec![cut]).chain([every]) {
            let (head, left) = read(input, &cuts).unwrap().unwrap();
            assert_eq!(
                (head.response.status().as_u16(), head.response.version(), left),
                (207, Version::HTTP_11, 4)
            );
            assert_eq!(head.response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(
                (&head.response.headers()["a"], &head.response.headers()["empty"]),
                (&"1".parse().unwrap(), &"".parse().unwrap())
            );
        }
    }

    #[test]
    fn many_fields_are_read_up_to_the_limit() {
        let head = |n: usize| [&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n".repeat(n), b"\r\n"].concat();
        for n in [0, 31, 32, 33, 128] {
            assert_eq!(read(&head(n), &[]).unwrap().unwrap().0.response.headers().len(), n);
        }
        assert_eq!(read(&head(129), &[]).unwrap_err(), Malformed::TooLarge("header fields"));
    }

    #[test]
    fn a_head_that_never_ends_is_cut_at_the_limit_and_looked_at_seldom() {
        let long = [&b"HTTP/1.1 200 OK\r\nx: "[..], &b"y".repeat(70_000)].concat();
        let every: Vec<_> = (1..long.len()).collect();
        assert_eq!(read(&long, &every).unwrap_err(), Malformed::TooLarge("response heads"));
    }

    #[test]
    fn garbage_is_refused_early() {
        for bad in [
            "SSH-2.0-OpenSSH",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "<html>",
            "HTTP/1.1 200 OK\r\nbad field\r\n\r\n",
            "HTTP/1.1 099 No\r\n\r\n",
        ] {
            assert!(matches!(read(bad.as_bytes(), &[]), Err(Malformed::Head(_))), "{bad}");
        }
    }
}

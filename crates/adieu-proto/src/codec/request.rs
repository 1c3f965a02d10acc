//! A request head to bytes, and how its body will be framed.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri, Version, request};

use super::framing::{Notes, Persistence, list};

/// How a request body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyFraming {
    /// There is none.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked.
    Chunked,
}

/// Why a request cannot be sent as it is. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsendable {
    /// An origin-form target without a `Host` field: RFC 9112 section 3.2 demands one.
    NoHost,
    /// More than one `Host` field.
    TwoHosts,
    /// `Content-Length` disagrees with the length that the body announced, is no number, or is there twice.
    WrongLength,
    /// `Content-Length` and `Transfer-Encoding` together, or a coding other than chunked.
    WrongCoding,
    /// HTTP/1.0 knows no chunked coding and the body's length is not known.
    LengthUnknown,
    /// CONNECT needs `host:port` as its target.
    NoAuthority,
    /// Only HTTP/1.0 and HTTP/1.1 can be spoken here.
    Version,
}

/// What the head says that its connection and exchange must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// How the body is framed.
    pub body: BodyFraming,
    /// `Expect: 100-continue`, with a body to hold back.
    pub expect_continue: Wish,
    /// `Connection: close`.
    pub close: Wish,
    /// `Connection: upgrade` with an `Upgrade` field, or CONNECT.
    pub upgrade: Wish,
}

impl Asked {
    /// A head that asks for nothing but an answer.
    pub const NOTHING: Self =
        Self { body: BodyFraming::None, expect_continue: Wish::No, close: Wish::No, upgrade: Wish::No };
}

/// Whether a head asks for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a wish is there or not")]
pub enum Wish {
    /// It does.
    Yes,
    /// It does not.
    #[default]
    No,
}

/// In which form the target of a request is written (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a server is asked in the one form, a proxy in the other")]
pub enum TargetForm {
    /// `/path?query`, as a server is asked.
    #[default]
    Origin,
    /// `http://host/path?query`, as a proxy is asked.
    Absolute,
}

/// Writes the head of a request whose body announced `length` bytes (`None`: not known).
///
/// An absolute target becomes origin-form, unless `form` asks for it as it is, and gives the `Host` field, unless one is
/// there. CONNECT keeps its authority, `OPTIONS *` its asterisk. After an error what was written is to be thrown away.
pub fn encode(
    head: &request::Parts,
    length: Option<u64>,
    form: TargetForm,
    out: &mut Vec<u8>,
) -> Result<Asked, Unsendable> {
    if head.version != Version::HTTP_11 && head.version != Version::HTTP_10 {
        return Err(Unsendable::Version);
    }
    let is_connect = head.method == Method::CONNECT;
    let authority = || host_of(&head.uri);
    if is_connect && authority().is_none() {
        return Err(Unsendable::NoAuthority);
    }
    out.reserve(256);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    if form == TargetForm::Absolute
        && !is_connect
        && let (Some(scheme), Some(host)) = (head.uri.scheme_str(), authority())
    {
        for part in [scheme, "://", host] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    match (is_connect, head.uri.path_and_query()) {
        (true, _) => out.extend_from_slice(authority().unwrap_or_default().as_bytes()),
        (false, Some(target)) => {
            // RFC 9112 3.2.1: an empty path is sent as `/`, before its query too.
            if target.as_str().starts_with('?') {
                out.push(b'/');
            }
            out.extend_from_slice(target.as_str().as_bytes());
        }
        (false, None) => out.push(b'/'),
    }
    out.extend_from_slice(if head.version == Version::HTTP_11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });

    let mut notes = RequestNotes::default();
    for (name, value) in &head.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        notes.note(name, value);
        put_field(out, name, value);
    }
    match notes.hosts {
        0 => match authority() {
            Some(host) => put_field(out, b"host", host.as_bytes()),
            None if head.version == Version::HTTP_11 => return Err(Unsendable::NoHost),
            None => {}
        },
        1 => {}
        _ => return Err(Unsendable::TwoHosts),
    }
    let body = body_framing(head, &notes, length)?;
    match body {
        BodyFraming::Length(length) if !notes.framing.names_length() => {
            out.extend_from_slice(b"content-length: ");
            put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyFraming::Chunked if notes.codings == 0 => put_field(out, b"transfer-encoding", b"chunked"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(Asked {
        body,
        // RFC 9110 10.1.1: not without a body, and HTTP/1.0 does not know it.
        expect_continue: match body {
            BodyFraming::None | BodyFraming::Length(0) => Wish::No,
            _ if head.version < Version::HTTP_11 => Wish::No,
            _ => notes.expect_continue,
        },
        close: if notes.framing.persistence == Persistence::Close { Wish::Yes } else { Wish::No },
        upgrade: if is_connect { Wish::Yes } else { notes.upgrade },
    })
}

/// What the fields of a request say, noted as they are written.
#[derive(Default)]
struct RequestNotes {
    framing: Notes,
    hosts: usize,
    lengths: usize,
    expect_continue: Wish,
    upgrade: Wish,
    codings: usize,
    /// How many Transfer-Encoding fields there are that are not just `chunked`.
    odd_codings: usize,
}

impl RequestNotes {
    /// Notes one field; its name is in lower case.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let has = |token: &[u8]| list(value).any(|item| item.eq_ignore_ascii_case(token));
        match name.len() {
            4 if name == b"host" => self.hosts += 1,
            6 if name == b"expect" && has(b"100-continue") => self.expect_continue = Wish::Yes,
            10 if name == b"connection" => {
                self.framing.note(name, value);
                if has(b"upgrade") {
                    self.upgrade = Wish::Yes;
                }
            }
            14 if name == b"content-length" => {
                // A list that agrees is for recipients to bear, not for senders to send (RFC 9110 8.6).
                self.lengths += if value.contains(&b',') { 2 } else { 1 };
                self.framing.note(name, value);
            }
            17 if name == b"transfer-encoding" => {
                self.codings += 1;
                self.odd_codings += usize::from(!value.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
}

/// RFC 9112 section 6: a length where it is known, chunked where it is not.
fn body_framing(
    head: &request::Parts,
    notes: &RequestNotes,
    length: Option<u64>,
) -> Result<BodyFraming, Unsendable> {
    let named = notes.framing.content_length().map_err(|_| Unsendable::WrongLength)?;
    if notes.lengths > 1 {
        return Err(Unsendable::WrongLength);
    }
    if notes.codings > 0 {
        let only_chunked = notes.codings == 1 && notes.odd_codings == 0;
        return match named {
            None if only_chunked && head.version == Version::HTTP_11 => Ok(BodyFraming::Chunked),
            _ => Err(Unsendable::WrongCoding),
        };
    }
    match (named, length) {
        (Some(named), Some(length)) if named != length => Err(Unsendable::WrongLength),
        (Some(length), _) => Ok(BodyFraming::Length(length)),
        // RFC 9110 8.6: no length on a request whose method foresees no content; 0 where it does.
        (None, Some(0)) if foresees_content(&head.method) => Ok(BodyFraming::Length(0)),
        (None, Some(0)) => Ok(BodyFraming::None),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
        (None, None) if head.version == Version::HTTP_11 => Ok(BodyFraming::Chunked),
        (None, None) => Err(Unsendable::LengthUnknown),
    }
}

fn foresees_content(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT || *method == Method::PATCH
}

/// The authority without its userinfo (RFC 9110 section 4.2.4), as `Host` and CONNECT want it.
fn host_of(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?.as_str();
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// The trailer fields that may be sent after a chunked body: all but those that frame or route a message
/// (RFC 9110 section 6.5.1).
#[must_use]
pub fn sendable_trailers(trailers: HeaderMap) -> HeaderMap {
    let forbidden = [TRANSFER_ENCODING, CONTENT_LENGTH, HOST, TRAILER, CONNECTION];
    let mut trailers = trailers;
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}

fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn encoded(request: request::Builder, length: Option<u64>) -> Result<(String, Asked), Unsendable> {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let asked = encode(&head, length, TargetForm::Origin, &mut out)?;
        Ok((String::from_utf8(out).unwrap(), asked))
    }

    #[test]
    fn an_absolute_target_becomes_origin_form_and_gives_the_host() {
        let (head, asked) = encoded(Request::get("http://user@example.com:81/a?b=c#d"), Some(0)).unwrap();
        assert_eq!(head, "GET /a?b=c HTTP/1.1\r\nhost: example.com:81\r\n\r\n");
        assert_eq!(
            asked,
            Asked { body: BodyFraming::None, expect_continue: Wish::No, close: Wish::No, upgrade: Wish::No }
        );
        let (head, _) = encoded(Request::get("http://example.com").header("host", "other"), Some(0)).unwrap();
        assert_eq!(head, "GET / HTTP/1.1\r\nhost: other\r\n\r\n");
        let (head, _) = encoded(Request::options("*").header("host", "h"), Some(0)).unwrap();
        assert_eq!(head, "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n");
        let (head, asked) = encoded(Request::connect("example.com:443"), Some(0)).unwrap();
        assert_eq!(
            (head.as_str(), asked.upgrade),
            ("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n", Wish::Yes)
        );
    }

    /// RFC 9112 section 3.2.2: "a client MUST send the target URI in 'absolute-form' as the request-target."
    #[test]
    fn a_proxy_is_asked_in_absolute_form() {
        let asked = |request: request::Builder| {
            let (head, ()) = request.body(()).unwrap().into_parts();
            let mut out = Vec::new();
            encode(&head, Some(0), TargetForm::Absolute, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let (line, fields) = text.split_once("\r\n").unwrap();
            (line.to_owned(), fields.trim_end().to_owned())
        };
        for (uri, target, host) in [
            ("http://user:pass@h:8080?q", "http://h:8080/?q", "h:8080"),
            ("http://h", "http://h/", "h"),
            ("http://h/a/b?c=d#e", "http://h/a/b?c=d", "h"),
            ("https://h:444/", "https://h:444/", "h:444"),
            ("http://[::1]:81/a", "http://[::1]:81/a", "[::1]:81"),
        ] {
            let (line, fields) = asked(Request::get(uri));
            assert_eq!((&*line, &*fields), (&*format!("GET {target} HTTP/1.1"), &*format!("host: {host}")));
        }
        let (line, fields) = asked(Request::get("http://h/").header("host", "other"));
        assert_eq!(
            (&*line, &*fields),
            ("GET http://h/ HTTP/1.1", "host: other"),
            "a Host that is there is kept"
        );
        let (line, _) = asked(Request::get("http://h/").version(Version::HTTP_10));
        assert_eq!(line, "GET http://h/ HTTP/1.0");
        // A tunnel has an authority and nothing else, and what names no origin cannot be asked for in full.
        assert_eq!(asked(Request::connect("h:443")).0, "CONNECT h:443 HTTP/1.1");
        assert_eq!(asked(Request::get("/a").header("host", "h")).0, "GET /a HTTP/1.1");
        assert_eq!(asked(Request::options("*").header("host", "h")).0, "OPTIONS * HTTP/1.1");
    }

    #[test]
    fn a_body_is_framed_by_what_is_known_of_it() {
        let post = || Request::post("http://h/");
        assert!(encoded(post(), Some(0)).unwrap().0.contains("content-length: 0\r\n"));
        assert!(encoded(post(), Some(1234567890)).unwrap().0.contains("content-length: 1234567890\r\n"));
        assert!(encoded(post(), None).unwrap().0.contains("transfer-encoding: chunked\r\n"));
        let (head, asked) = encoded(post().header("content-length", "7"), None).unwrap();
        assert_eq!((head.matches("content-length").count(), asked.body), (1, BodyFraming::Length(7)));
        let (head, asked) = encoded(post().header("transfer-encoding", "chunked"), Some(7)).unwrap();
        assert_eq!((head.matches("transfer-encoding").count(), asked.body), (1, BodyFraming::Chunked));
    }

    #[test]
    fn what_cannot_be_said_truly_is_not_said() {
        let post = || Request::post("http://h/");
        assert_eq!(encoded(post().header("content-length", "7"), Some(8)), Err(Unsendable::WrongLength));
        assert_eq!(encoded(post().header("content-length", "x"), None), Err(Unsendable::WrongLength));
        assert_eq!(encoded(post().header("content-length", "7, 7"), Some(7)), Err(Unsendable::WrongLength));
        let twice = post().header("content-length", "7").header("content-length", "7");
        assert_eq!(encoded(twice, Some(7)), Err(Unsendable::WrongLength));
        let hosts = post().header("host", "a").header("host", "b");
        assert_eq!(encoded(hosts, Some(7)), Err(Unsendable::TwoHosts));
        assert_eq!(encoded(post().header("transfer-encoding", "gzip"), None), Err(Unsendable::WrongCoding));
        let both = post().header("transfer-encoding", "chunked").header("content-length", "1");
        assert_eq!(encoded(both, None), Err(Unsendable::WrongCoding));
        assert_eq!(encoded(post().version(Version::HTTP_10), None), Err(Unsendable::LengthUnknown));
        assert_eq!(encoded(post().version(Version::HTTP_2), None), Err(Unsendable::Version));
        assert_eq!(encoded(Request::get("/"), Some(0)), Err(Unsendable::NoHost));
        assert_eq!(encoded(Request::connect("/"), Some(0)), Err(Unsendable::NoAuthority));
        assert!(encoded(Request::get("/").version(Version::HTTP_10), Some(0)).is_ok());
    }

    #[test]
    fn wishes_are_read_from_lists_whatever_their_case() {
        let post = || Request::post("http://h/");
        let asked = |request, length| encoded(request, length).unwrap().1;
        assert_eq!(asked(post().header("connection", "x, Close"), Some(0)).close, Wish::Yes);
        assert_eq!(asked(post().header("expect", "100-Continue"), Some(1)).expect_continue, Wish::Yes);
        assert_eq!(asked(post().header("expect", "100-continue"), Some(0)).expect_continue, Wish::No);
        let old = post().header("expect", "100-continue").version(Version::HTTP_10);
        assert_eq!(asked(old, Some(1)).expect_continue, Wish::No);
        assert_eq!(
            asked(post().header("connection", "Upgrade").header("upgrade", "ws"), Some(0)).upgrade,
            Wish::Yes
        );
    }
}

//! A request as the peer read it, and the shortest whole response to answer it with.

/// One request that a script read with [`Script::read_head`](super::Script::read_head),
/// [`Script::read_request`](super::Script::read_request) or [`Script::answer_all`](super::Script::answer_all).
///
/// ```
/// use std::io::Write;
/// use adieu_testkit::peer::{Peer, Script};
///
/// let peer = Peer::tcp(Script::new().read_request())?;
/// let mut client = std::net::TcpStream::connect(peer.address())?;
/// client.write_all(b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n")?;
/// drop(client);
///
/// let seen = peer.finish()?;
/// let request = &seen[0].requests()[0];
/// assert_eq!((request.method(), request.target()), ("PUT", "/a"));
/// assert_eq!(request.header("host"), Some("x"));
/// assert_eq!((request.body(), request.body_len()), (&b"abc"[..], 3));
/// assert_eq!(request.trailers(), "T: 1\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRequest {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) body_len: u64,
    pub(super) trailers: String,
}

impl SeenRequest {
    pub(super) fn new(head: String) -> Self {
        Self { head, body: Vec::new(), body_len: 0, trailers: String::new() }
    }

    /// The head as text, its last empty line included; bytes that are no UTF-8 are replaced.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The first word of the request line.
    pub fn method(&self) -> &str {
        self.request_line_word(0)
    }

    /// The second word of the request line: the path, or the whole URL to a proxy, or `host:port` of a CONNECT.
    pub fn target(&self) -> &str {
        self.request_line_word(1)
    }

    /// The value of the first header of that name, whatever its case, without the white space around it.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body with the chunks taken apart; cut off at [`Script::keep`](super::Script::keep).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The length of the body that was read, also beyond what was kept.
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The lines after the last chunk, as text.
    pub fn trailers(&self) -> &str {
        &self.trailers
    }

    fn request_line_word(&self, index: usize) -> &str {
        self.head.lines().next().and_then(|line| line.split(' ').nth(index)).unwrap_or_default()
    }
}

/// The value of the first header `name` in `head`.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A whole response: status line, `Content-Length`, body.
///
/// ```
/// use adieu_testkit::peer::response;
///
/// assert_eq!(response(200, "hello"), b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello");
/// ```
pub fn response(status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut whole = format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    whole
}

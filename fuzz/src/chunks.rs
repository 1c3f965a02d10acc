//! A chunked body decoded by the letter of RFC 9112 section 7.1, as simply as can be: the whole of it at once.

/// A body that is legal in every byte.
pub struct Body {
    /// Its data.
    pub data: Vec<u8>,
    /// Its trailers, in order; names in lower case.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// How many bytes it took.
    pub length: usize,
    /// The longest chunk-size line without its CRLF, the bytes of all extensions, those of the trailer section.
    pub longest_line: usize,
    pub extensions: usize,
    pub trailer_section: usize,
}

/// What can be said of some bytes.
pub enum Verdict {
    /// They begin with a legal body.
    Legal(Body),
    /// They are the start of a legal body.
    Partial,
    /// They are neither.
    Illegal,
}

/// How much of RFC 9112 is asked for in a chunk extension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extensions {
    /// All of it.
    Legal,
    /// Anything but control bytes that could end a line.
    Any,
}

/// Decodes the body at the start of `bytes`.
pub fn decode(bytes: &[u8], asked: Extensions) -> Verdict {
    let mut body = Body {
        data: Vec::new(),
        trailers: Vec::new(),
        length: 0,
        longest_line: 0,
        extensions: 0,
        trailer_section: 0,
    };
    let mut rest = bytes;
    loop {
        let Some((line, after)) = line(rest) else { return unfinished(rest) };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let Some(size) = number(&line[..digits]) else { return Verdict::Illegal };
        let extension = &line[digits..];
        if !is_extension(extension, asked) {
            return Verdict::Illegal;
        }
        body.longest_line = body.longest_line.max(line.len());
        body.extensions += extension.len();
        rest = after;
        if size == 0 {
            break;
        }
        let Ok(size) = usize::try_from(size) else { return Verdict::Partial };
        if rest.len() < size {
            return Verdict::Partial;
        }
        body.data.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        match rest {
            [b'\r', b'\n', ..] => rest = &rest[2..],
            [] | [b'\r'] => return Verdict::Partial,
            _ => return Verdict::Illegal,
        }
    }
    let before = rest.len();
    loop {
        let Some((line, after)) = line(rest) else { return Verdict::Partial };
        rest = after;
        if line.is_empty() {
            break;
        }
        let Some(field) = field(line) else { return Verdict::Illegal };
        body.trailers.push(field);
    }
    body.trailer_section = before - rest.len();
    body.length = bytes.len() - rest.len();
    Verdict::Legal(body)
}

/// A field line of a trailer section or a head: name in lower case, value without the blanks around it.
pub fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if name.is_empty() || !name.iter().copied().all(is_token) || !value.iter().copied().all(is_text) {
        return None;
    }
    Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
}

/// Without the blanks at both ends.
pub fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    &value[from..to]
}

/// RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 5.5: visible, a blank, or beyond ASCII.
pub fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// One line that ends in CRLF, and what follows it. No CR or LF is in it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// A chunk-size line that has not ended: whether it still may.
fn unfinished(line: &[u8]) -> Verdict {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let bare = line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    let started = line.is_empty() || number(&line[..digits]).is_some();
    if bare || !started { Verdict::Illegal } else { Verdict::Partial }
}

/// At most sixteen digits: eight bytes.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    if text.len() > 16 { None } else { u64::from_str_radix(text, 16).ok() }
}

fn is_extension(extension: &[u8], asked: Extensions) -> bool {
    if asked == Extensions::Any {
        let start = trim(extension);
        let controls = extension.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        return (start.is_empty() || start.starts_with(b";")) && !controls;
    }
    let mut rest = extension;
    while !rest.is_empty() {
        let Some(after) = trim_start(rest).strip_prefix(b";") else { return false };
        let Some(after) = token(trim_start(after)) else { return false };
        rest = after;
        if let Some(after) = trim_start(rest).strip_prefix(b"=") {
            let value = trim_start(after);
            let Some(after) = (if value.starts_with(b"\"") { quoted(value) } else { token(value) }) else {
                return false;
            };
            rest = after;
        }
    }
    true
}

fn trim_start(value: &[u8]) -> &[u8] {
    let from = value.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(value.len());
    &value[from..]
}

/// What follows a token.
fn token(value: &[u8]) -> Option<&[u8]> {
    let length = value.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &value[length..])
}

/// What follows a quoted string.
fn quoted(value: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match *value.get(at)? {
            b'"' => return Some(&value[at + 1..]),
            b'\\' if is_text(*value.get(at + 1)?) => at += 2,
            byte if byte != b'\\' && is_text(byte) => at += 1,
            _ => return None,
        }
    }
}

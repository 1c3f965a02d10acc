//! Where a response body ends: RFC 9112 section 6.3, rule by rule.

use http::{HeaderMap, Method, StatusCode, Version};

use super::Malformed;

/// Where a response body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
    /// There is none, and what follows belongs to another protocol.
    Upgrade,
}

/// Whether the framing leaves a doubt that forbids using the connection again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// None.
    None,
    /// Transfer-Encoding and Content-Length together: a smuggling attempt, or a broken peer (RFC 9112 6.1).
    BothLengths,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 6.1).
    CodingInOldVersion,
}

/// What a head says of its own framing and of its connection, noted field by field as the head is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    length: Length,
    coding: Coding,
    /// What it says of the connection's future.
    pub persistence: Persistence,
    /// What it says of pauses in its body.
    pub rhythm: Rhythm,
    /// How long and how often the peer says that it will go on.
    pub hint: Hint,
}

/// What `Keep-Alive` says (RFC 2068 section 19.7.1.1): no promise, but worth believing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// So many seconds an idle connection is kept.
    pub timeout: Option<u32>,
    /// So many exchanges more will be done.
    pub max: Option<u32>,
}

/// What a response says of the connection's future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 9112 section 9.3 knows these")]
pub enum Persistence {
    /// Nothing.
    #[default]
    Silent,
    /// `Connection: keep-alive`.
    KeepAlive,
    /// `Connection: close`; it wins over `keep-alive`.
    Close,
}

/// Whether a pause in a body means something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum Rhythm {
    /// It does.
    #[default]
    Steady,
    /// Streams of events and gRPC are silent for as long as nothing happens.
    Silent,
}

/// What a field is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Nothing,
    Persistence,
    Hint,
    Rhythm,
    Length,
    Coding,
}

/// All Content-Length fields together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Known(u64),
    Bad(&'static str),
}

/// All Transfer-Encoding fields together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    /// Chunked is the last coding.
    Chunked,
    /// Another coding is the last.
    Other,
    Bad(&'static str),
}

impl Hint {
    /// What is no number, or too large a one, says nothing. What is said twice counts by the lesser.
    fn note(&mut self, value: &[u8]) {
        for item in list(value) {
            let Ok(item) = std::str::from_utf8(item) else { continue };
            let Some((name, number)) = item.split_once('=') else { continue };
            let Ok(number) = number.trim().trim_matches('"').parse::<u32>() else { continue };
            let known = match name.trim() {
                name if name.eq_ignore_ascii_case("timeout") => &mut self.timeout,
                name if name.eq_ignore_ascii_case("max") => &mut self.max,
                _ => continue,
            };
            *known = Some(known.map_or(number, |known| known.min(number)));
        }
    }
}

impl Notes {
    /// Notes one field. By the length of its name first: most fields say nothing here.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        let about = match name.len() {
            10 if is(name, b"Connection", b"connection") => About::Persistence,
            10 if is(name, b"Keep-Alive", b"keep-alive") => About::Hint,
            12 if is(name, b"Content-Type", b"content-type") => About::Rhythm,
            14 if is(name, b"Content-Length", b"content-length") => About::Length,
            17 if is(name, b"Transfer-Encoding", b"transfer-encoding") => About::Coding,
            _ => return,
        };
        self.note_about(about, value);
    }

    /// Notes a field whose name is known.
    pub(super) fn note_about(&mut self, about: About, value: &[u8]) {
        match about {
            About::Nothing => {}
            About::Persistence => self.persistence.note(value),
            About::Hint => self.hint.note(value),
            About::Rhythm => self.rhythm.note(value),
            About::Length => self.length.note(value),
            About::Coding => self.coding.note(value),
        }
    }

    /// The notes on all of these fields.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut notes = Self::default();
        headers.iter().for_each(|(name, value)| notes.note(name.as_str().as_bytes(), value.as_bytes()));
        notes
    }

    /// The one length that all Content-Length fields agree on. Equal numbers in a list are one (RFC 9110 8.6).
    pub fn content_length(&self) -> Result<Option<u64>, Malformed> {
        match self.length {
            Length::None => Ok(None),
            Length::Known(length) => Ok(Some(length)),
            Length::Bad(what) => Err(Malformed::Head(what)),
        }
    }

    /// Whether there is a Content-Length field.
    #[must_use]
    pub fn names_length(&self) -> bool {
        self.length != Length::None
    }

    /// The framing of the response to a request with `method`, whose head these notes are of.
    pub fn response_framing(
        &self,
        method: &Method,
        version: Version,
        status: StatusCode,
    ) -> Result<(Framing, Doubt), Malformed> {
        // Rule 1, and 101: terminal for HTTP.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((Framing::Upgrade, Doubt::None));
        }
        if method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
        {
            return Ok((Framing::None, Doubt::None));
        }
        // Rule 2.
        if method == Method::CONNECT && status.is_success() {
            return Ok((Framing::Upgrade, Doubt::None));
        }
        let length = self.content_length()?;
        // Rules 3 and 4: Transfer-Encoding overrides Content-Length.
        let framing = match self.coding {
            // Rules 5, 6 and 8.
            Coding::None => return Ok((length.map_or(Framing::UntilClose, Framing::Length), Doubt::None)),
            Coding::Chunked => Framing::Chunked,
            Coding::Other => Framing::UntilClose,
            Coding::Bad(what) => return Err(Malformed::Head(what)),
        };
        let doubt = match () {
            () if version < Version::HTTP_11 => Doubt::CodingInOldVersion,
            () if length.is_some() => Doubt::BothLengths,
            () => Doubt::None,
        };
        Ok((framing, doubt))
    }
}

impl Persistence {
    fn note(&mut self, value: &[u8]) {
        if value == b"keep-alive" && *self == Self::Silent {
            *self = Self::KeepAlive;
            return;
        }
        for token in list(value) {
            match token.len() {
                5 if is(token, b"close", b"Close") => *self = Self::Close,
                10 if is(token, b"keep-alive", b"Keep-Alive") && *self == Self::Silent => {
                    *self = Self::KeepAlive
                }
                _ => {}
            }
        }
    }
}

impl Rhythm {
    fn note(&mut self, value: &[u8]) {
        let starts = |kind: &[u8]| value.get(..kind.len()).is_some_and(|v| v.eq_ignore_ascii_case(kind));
        // Told apart by a byte that other types of the same start do not share.
        let silent = match value.first() {
            Some(b't' | b'T') => matches!(value.get(5), Some(b'e' | b'E')) && starts(b"text/event-stream"),
            Some(b'a' | b'A') => matches!(value.get(12), Some(b'g' | b'G')) && starts(b"application/grpc"),
            _ => false,
        };
        if silent {
            *self = Self::Silent;
        }
    }
}

/// Whether a name is this one, whatever its case; its two usual spellings cost one comparison each.
fn is<const N: usize>(name: &[u8], usual: &[u8; N], other: &[u8; N]) -> bool {
    name == usual || name == other || name.eq_ignore_ascii_case(usual)
}

impl Length {
    fn note(&mut self, value: &[u8]) {
        if let (Self::None, Some(number)) = (*self, digits(value)) {
            *self = Self::Known(number);
            return;
        }
        for number in list(value) {
            *self = match (*self, digits(number)) {
                (Self::Bad(what), _) => Self::Bad(what),
                (_, None) => Self::Bad("a Content-Length that is no number"),
                (Self::Known(known), Some(number)) if known != number => {
                    Self::Bad("Content-Length fields that contradict each other")
                }
                (_, Some(number)) => Self::Known(number),
            };
        }
    }
}

impl Coding {
    fn note(&mut self, value: &[u8]) {
        for coding in list(value) {
            let name = coding.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            *self = match *self {
                _ if name.is_empty() => continue,
                Self::Bad(what) => Self::Bad(what),
                Self::Chunked => Self::Bad("a Transfer-Encoding in which chunked is not last"),
                _ if name.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
                _ => Self::Other,
            };
        }
        // A field without any coding still says that there is one.
        if *self == Self::None {
            *self = Self::Other;
        }
    }
}

/// The items of a list field (`Connection`, `Expect`).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let item = match value.contains(&b',') {
            false => rest.take()?,
            true => {
                let at = value.iter().position(|&b| b == b',')?;
                rest = Some(&value[at + 1..]);
                &value[..at]
            }
        };
        Some(item.trim_ascii())
    })
}

fn digits(bytes: &[u8]) -> Option<u64> {
    // Nineteen digits fit whatever they are; a twentieth has to be looked at.
    if bytes.is_empty() || bytes.len() > 20 {
        return None;
    }
    let (most, last) = bytes.split_at(bytes.len().min(19));
    let mut number = 0u64;
    for &byte in most {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    match last {
        [] => Some(number),
        [byte] if byte.is_ascii_digit() => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for &(name, value) in fields {
            map.append(name, http::HeaderValue::from_static(value));
        }
        map
    }

    fn framing(
        method: Method,
        status: u16,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(Framing, Doubt), Malformed> {
        let status = StatusCode::from_u16(status).unwrap();
        Notes::of(&headers(fields)).response_framing(&method, Version::HTTP_11, status)
    }

    #[test]
    fn rule_1_no_body_whatever_the_fields_say() {
        let fields = [("content-length", "10")];
        for (method, status) in
            [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304), (Method::GET, 100)]
        {
            assert_eq!(framing(method, status, &fields), Ok((Framing::None, Doubt::None)));
        }
    }

    #[test]
    fn rule_2_a_2xx_to_connect_is_a_tunnel_and_another_status_is_not() {
        let fields = [("transfer-encoding", "chunked")];
        assert_eq!(framing(Method::CONNECT, 200, &fields), Ok((Framing::Upgrade, Doubt::None)));
        assert_eq!(framing(Method::CONNECT, 407, &fields), Ok((Framing::Chunked, Doubt::None)));
        assert_eq!(framing(Method::GET, 101, &fields), Ok((Framing::Upgrade, Doubt::None)));
    }

    #[test]
    fn rule_3_transfer_encoding_overrides_content_length_and_leaves_a_doubt() {
        let both = [("transfer-encoding", "chunked"), ("content-length", "3")];
        assert_eq!(framing(Method::GET, 200, &both), Ok((Framing::Chunked, Doubt::BothLengths)));
        let old =
            Notes::of(&headers(&both[..1])).response_framing(&Method::GET, Version::HTTP_10, StatusCode::OK);
        assert_eq!(old, Ok((Framing::Chunked, Doubt::CodingInOldVersion)));
    }

    #[test]
    fn rule_4_chunked_counts_only_when_it_is_last() {
        let chunked =
            |value| framing(Method::GET, 200, &[("transfer-encoding", value)]).map(|(framing, _)| framing);
        assert_eq!(chunked("gzip, chunked"), Ok(Framing::Chunked));
        assert_eq!(chunked("Chunked"), Ok(Framing::Chunked));
        assert_eq!(chunked("gzip"), Ok(Framing::UntilClose));
        assert!(chunked("chunked, gzip").is_err());
        assert!(chunked("chunked, chunked").is_err());
    }

    #[test]
    fn rules_5_and_6_lengths_must_be_numbers_that_agree() {
        let length =
            |value| framing(Method::GET, 200, &[("content-length", value)]).map(|(framing, _)| framing);
        assert_eq!(length("42"), Ok(Framing::Length(42)));
        assert_eq!(length("42, 42"), Ok(Framing::Length(42)));
        assert_eq!(length("18446744073709551615"), Ok(Framing::Length(u64::MAX)));
        assert_eq!(length("00000000000000000042"), Ok(Framing::Length(42)));
        for bad in ["42, 43", "-1", "+1", "0x1", "", "1 2", "18446744073709551616", "4e1"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert!(framing(Method::GET, 200, &[("content-length", "1"), ("content-length", "2")]).is_err());
    }

    #[test]
    fn rule_8_without_a_length_the_body_ends_with_the_connection() {
        assert_eq!(framing(Method::GET, 200, &[]), Ok((Framing::UntilClose, Doubt::None)));
    }

    #[test]
    fn close_wins_over_keep_alive_in_any_list() {
        let persistence = |values: &[&'static str]| {
            let fields: Vec<_> = values.iter().map(|&value| ("connection", value)).collect();
            Notes::of(&headers(&fields)).persistence
        };
        assert_eq!(persistence(&[]), Persistence::Silent);
        assert_eq!(persistence(&["Keep-Alive"]), Persistence::KeepAlive);
        assert_eq!(persistence(&["keep-alive, x", "y ,CLOSE"]), Persistence::Close);
        assert_eq!(persistence(&["close", "keep-alive"]), Persistence::Close);
        assert_eq!(persistence(&["upgrade"]), Persistence::Silent);
    }

    #[test]
    fn a_keep_alive_hint_is_read_whatever_its_spelling() {
        let hint = |values: &[&'static str]| {
            let fields: Vec<_> = values.iter().map(|&value| ("keep-alive", value)).collect();
            let hint = Notes::of(&headers(&fields)).hint;
            (hint.timeout, hint.max)
        };
        assert_eq!(hint(&[]), (None, None));
        assert_eq!(hint(&["timeout=5, max=100"]), (Some(5), Some(100)));
        assert_eq!(hint(&["MAX=1 ,Timeout = 60"]), (Some(60), Some(1)));
        assert_eq!(hint(&["timeout=5", "max=2"]), (Some(5), Some(2)), "two fields are one list");
        assert_eq!(hint(&["timeout=\"5\""]), (Some(5), None), "as some write it");
        assert_eq!(hint(&["timeout=5;max=2"]), (None, None), "that is no list");
        assert_eq!(hint(&["300"]), (None, None), "as long ago");
        assert_eq!(hint(&["timeout=0, max=0"]), (Some(0), Some(0)));
        assert_eq!(hint(&["timeout=4294967295"]), (Some(u32::MAX), None));
        for nothing in
            ["", ",", "timeout", "timeout=", "timeout=-1", "timeout=1.5", "timeout=4294967296", "max=x"]
        {
            assert_eq!(hint(&[nothing]), (None, None), "{nothing}");
        }
    }

    #[test]
    fn a_hint_that_says_nothing_takes_none_away() {
        let hint =
            |value| Notes::of(&headers(&[("keep-alive", "timeout=5, max=7"), ("keep-alive", value)])).hint;
        assert_eq!(hint("timeout=soon"), Hint { timeout: Some(5), max: Some(7) });
        assert_eq!(hint("timeout=9, timeout=3, max=8"), Hint { timeout: Some(3), max: Some(7) }, "the least");
    }
}

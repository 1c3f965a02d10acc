//! Where a response body ends: RFC 9112 section 6.3, rule by rule.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
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

/// The framing of the response to a request with `method`.
pub fn of_response(
    method: &Method,
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
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
    let length = content_length(headers)?;
    // Rules 3 and 4: Transfer-Encoding overrides Content-Length.
    if headers.contains_key(TRANSFER_ENCODING) {
        let doubt = match () {
            () if version < Version::HTTP_11 => Doubt::CodingInOldVersion,
            () if length.is_some() => Doubt::BothLengths,
            () => Doubt::None,
        };
        let framing = if is_chunked(headers)? { Framing::Chunked } else { Framing::UntilClose };
        return Ok((framing, doubt));
    }
    // Rules 5, 6 and 8.
    Ok((length.map_or(Framing::UntilClose, Framing::Length), Doubt::None))
}

/// The one length that all Content-Length fields agree on. Lists of equal numbers are one number (RFC 9110 8.6).
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for number in value.as_bytes().split(|&b| b == b',') {
            let number =
                digits(number.trim_ascii()).ok_or(Malformed::Head("a Content-Length that is no number"))?;
            if length.is_some_and(|other| other != number) {
                return Err(Malformed::Head("Content-Length fields that contradict each other"));
            }
            length = Some(number);
        }
    }
    Ok(length)
}

/// Whether a list field (`Connection`, `Transfer-Encoding`) has this token, whatever its case.
#[must_use]
pub fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether chunked is the last transfer coding; an error where it is applied but not last, or twice.
fn is_chunked(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut chunked = false;
    for value in headers.get_all(TRANSFER_ENCODING) {
        for coding in value.as_bytes().split(|&b| b == b',') {
            let name = coding.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            if name.is_empty() {
                continue;
            }
            if chunked {
                return Err(Malformed::Head("a Transfer-Encoding in which chunked is not last"));
            }
            chunked = name.eq_ignore_ascii_case(b"chunked");
        }
    }
    Ok(chunked)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
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
        of_response(&method, Version::HTTP_11, status, &headers(fields))
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
        let old = of_response(&Method::GET, Version::HTTP_10, StatusCode::OK, &headers(&both[..1]));
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
        for bad in ["42, 43", "-1", "+1", "0x1", "", "1 2", "18446744073709551616", "4e1"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert!(framing(Method::GET, 200, &[("content-length", "1"), ("content-length", "2")]).is_err());
    }

    #[test]
    fn rule_8_without_a_length_the_body_ends_with_the_connection() {
        assert_eq!(framing(Method::GET, 200, &[]), Ok((Framing::UntilClose, Doubt::None)));
    }
}

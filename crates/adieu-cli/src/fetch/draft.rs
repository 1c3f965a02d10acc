//! What every request of a run has in common, and the request that comes of it for one URL.

use adieu::Body;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Version};

use super::failure::Failure;
use super::progress::Progress;
use super::redirect::{Leg, Payload, Trust};
use super::upload::Source;
use crate::exit::Exit;

/// What every request of a run has in common.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) version: Version,
    /// `-H`, in order.
    pub(super) fields: Vec<Field>,
    pub(super) source: Source,
    /// The type of the body, unless `-H` says otherwise.
    pub(super) content_type: Option<HeaderValue>,
    /// `-u`
    pub(super) user: Option<Vec<u8>>,
}

/// One `-H`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Sent, instead of what would be sent by default.
    Sent(HeaderName, HeaderValue),
    /// Not sent, where it would be by default.
    LeftOut(HeaderName),
}

impl Field {
    /// `Name: value`, `Name;` for an empty value, `Name:` for none at all.
    pub(super) fn parse(line: &str) -> Result<Self, Failure> {
        let bad = || Failure::before(Exit::USAGE, format!("-H {line:?} is no header field"));
        let name = |name: &str| HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad());
        let Some((field, value)) = line.split_once(':') else {
            let empty = line.trim_end().strip_suffix(';').ok_or_else(bad)?;
            return Ok(Self::Sent(name(empty)?, HeaderValue::from_static("")));
        };
        if value.trim().is_empty() {
            return Ok(Self::LeftOut(name(field)?));
        }
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| bad())?;
        Ok(Self::Sent(name(field)?, value))
    }

    fn name(&self) -> &HeaderName {
        match self {
            Self::Sent(name, _) | Self::LeftOut(name) => name,
        }
    }

    /// What must not reach another origin than the one it was meant for.
    fn is_private(&self) -> bool {
        [AUTHORIZATION, COOKIE, HOST].contains(self.name())
    }
}

impl Draft {
    /// The request of this leg. All that frames it is told in its head, so that `-v` shows what is sent.
    pub(super) async fn request(&self, leg: &Leg, progress: Progress) -> Result<Request<Body>, Failure> {
        let (body, length) = match leg.payload {
            Payload::Kept => self.source.body(progress).await?,
            Payload::Dropped => (Body::empty(), Some(0)),
        };
        let mut request = Request::new(body);
        *request.method_mut() = leg.method.clone();
        *request.uri_mut() = leg.target.uri();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers(leg, length);
        Ok(request)
    }

    fn headers(&self, leg: &Leg, length: Option<u64>) -> HeaderMap {
        let sends_body = leg.payload == Payload::Kept && !matches!(self.source, Source::Empty);
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(host_of(leg.target.authority())) {
            headers.insert(HOST, host);
        }
        if let Some(credentials) = self.authorization(leg) {
            headers.insert(AUTHORIZATION, credentials);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let fields = || {
            let sent = move |field: &&Field| leg.trust == Trust::First || !field.is_private();
            let framing = move |field: &&Field| {
                sends_body || ![CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE].contains(field.name())
            };
            self.fields.iter().filter(sent).filter(framing)
        };
        let is_framed = fields().any(|field| [CONTENT_LENGTH, TRANSFER_ENCODING].contains(field.name()));
        if sends_body && !is_framed {
            match length {
                Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
                None if self.version == Version::HTTP_11 => {
                    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                // HTTP/1.0 has no way to say it, and the connection will refuse.
                None => {}
            }
        }
        if let (true, Some(content_type)) = (sends_body, &self.content_type) {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        // A default gives way to the first field of its name; further ones are added.
        for field in fields() {
            headers.remove(field.name());
        }
        for field in fields() {
            if let Field::Sent(name, value) = field {
                headers.append(name, value.clone());
            }
        }
        headers
    }

    fn authorization(&self, leg: &Leg) -> Option<HeaderValue> {
        let ours = self.user.clone().filter(|_| leg.trust == Trust::First);
        let credentials = ours.or_else(|| leg.target.credentials())?;
        let mut value =
            HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(credentials))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Without credentials (RFC 9110 section 4.2.4).
fn host_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

const PRODUCT: &str = concat!("adieu/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::target::Target;

    fn headers(fields: &[&str], user: Option<&str>, trust: Trust) -> HeaderMap {
        let draft = Draft {
            method: Method::GET,
            version: Version::HTTP_11,
            fields: fields.iter().map(|line| Field::parse(line).unwrap()).collect(),
            source: Source::Empty,
            content_type: None,
            user: user.map(|user| user.as_bytes().to_vec()),
        };
        let target = Target::parse("http://a:b@h:81/").unwrap();
        draft.headers(&Leg { target, method: Method::GET, payload: Payload::Kept, trust }, Some(0))
    }

    #[test]
    fn a_field_replaces_a_default_or_leaves_it_out() {
        let headers =
            headers(&["User-Agent: me", "accept:", "X-A: 1", "X-A: 2", "X-Empty;"], None, Trust::First);
        assert_eq!(headers[USER_AGENT], "me");
        assert!(!headers.contains_key(ACCEPT));
        assert_eq!(headers.get_all("x-a").iter().count(), 2);
        assert_eq!(headers["x-empty"], "");
        assert_eq!(headers[HOST], "h:81");
    }

    #[test]
    fn secrets_stay_with_the_first_origin() {
        let fields = ["Authorization: Bearer t", "Cookie: c", "Host: other", "X-Kept: 1"];
        let first = headers(&fields, None, Trust::First);
        assert_eq!(
            (&first[AUTHORIZATION], &first[HOST]),
            (&"Bearer t".parse().unwrap(), &"other".parse().unwrap())
        );
        let stranger = headers(&fields, Some("me:secret"), Trust::Stranger);
        // What the redirect's own URL says is its own affair.
        assert_eq!(stranger[AUTHORIZATION], "Basic YTpi");
        assert!(!stranger.contains_key(COOKIE) && stranger[HOST] == "h:81");
        assert_eq!(stranger["x-kept"], "1");
        assert_eq!(headers(&[], Some("me:secret"), Trust::First)[AUTHORIZATION], "Basic bWU6c2VjcmV0");
    }

    #[test]
    fn nonsense_is_no_field() {
        for line in ["nonsense", "a b: c", ": c", "a: b\u{7f}"] {
            assert_eq!(Field::parse(line).unwrap_err().exit, Exit::USAGE, "{line:?}");
        }
    }
}

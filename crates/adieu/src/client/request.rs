//! Building a request: sugar over `http::Request`.

use std::fmt;
use std::time::Duration;

use adieu_proto::fate::Replay;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::options::RequestOptions;
use super::response::ResponseFuture;
use super::timeouts::Timeouts;
use super::{Client, invalid};
use crate::conn::body::Body;
use crate::error::Error;

/// A request being built. What is wrong with it is told by the response future.
#[must_use = "a request is sent by `send`"]
pub struct RequestBuilder {
    client: Client,
    request: Result<Request<Body>, Error>,
    /// Who we are by the URI, until a field says otherwise.
    credentials: Option<HeaderValue>,
    options: RequestOptions,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, uri: Result<Uri, http::Error>) -> Self {
        let credentials = uri.as_ref().ok().and_then(credentials);
        let request = uri
            .and_then(bare)
            .and_then(|uri| Request::builder().method(method).uri(uri).body(Body::empty()))
            .map_err(invalid);
        Self { client, request, credentials, options: RequestOptions::new() }
    }

    fn with(mut self, change: impl FnOnce(&mut Request<Body>) -> Result<(), http::Error>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = change(request)
        {
            self.request = Err(invalid(error));
        }
        self
    }

    /// Adds a header field.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Into<http::Error>,
        V: TryInto<HeaderValue>,
        V::Error: Into<http::Error>,
    {
        self.with(|request| {
            let name = name.try_into().map_err(Into::into)?;
            let value = value.try_into().map_err(Into::into)?;
            request.headers_mut().try_append(name, value)?;
            Ok(())
        })
    }

    /// Sets these header fields, in place of those of the same names.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|request| {
            request.headers_mut().extend(headers);
            Ok(())
        })
    }

    /// HTTP/1.1 or 1.0. Default: 1.1.
    pub fn version(self, version: Version) -> Self {
        self.with(|request| {
            *request.version_mut() = version;
            Ok(())
        })
    }

    /// The body. Default: none.
    pub fn body(self, body: impl Into<Body>) -> Self {
        let body = body.into();
        self.with(|request| {
            *request.body_mut() = body;
            Ok(())
        })
    }

    /// `Authorization: Basic` with these credentials (RFC 7617). Those of the URI are taken by themselves, unless the
    /// request has such a field.
    pub fn basic_auth(self, user: impl fmt::Display, password: Option<impl fmt::Display>) -> Self {
        let password = password.map(|password| password.to_string()).unwrap_or_default();
        let value = basic(&format!("{user}:{password}"));
        self.authorization(value)
    }

    /// `Authorization: Bearer` with this token (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        let value = HeaderValue::try_from(format!("Bearer {token}")).map(secret);
        self.authorization(value.map_err(Into::into))
    }

    fn authorization(self, value: Result<HeaderValue, http::Error>) -> Self {
        self.with(|request| {
            request.headers_mut().insert(AUTHORIZATION, value?);
            Ok(())
        })
    }

    /// A body of JSON, and `Content-Type` where there is none.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.typed_body("application/json", bytes),
            Err(error) => self.refused(error),
        }
    }

    /// A body as HTML forms send it, and `Content-Type` where there is none.
    #[cfg(feature = "form")]
    pub fn form<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_urlencoded::to_string(value) {
            Ok(text) => self.typed_body("application/x-www-form-urlencoded", text),
            Err(error) => self.refused(error),
        }
    }

    /// Adds to the query of the URI, as HTML forms do.
    #[cfg(feature = "form")]
    pub fn query<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        let added = match serde_urlencoded::to_string(value) {
            Ok(added) if added.is_empty() => return self,
            Ok(added) => added,
            Err(error) => return self.refused(error),
        };
        self.with(|request| {
            let mut parts = request.uri().clone().into_parts();
            let before = parts.path_and_query.as_ref().map_or("/", |before| before.as_str());
            let joint = match before.split_once('?') {
                None => "?",
                Some((_, "")) => "",
                Some((_, query)) if query.ends_with('&') => "",
                Some(_) => "&",
            };
            parts.path_and_query = Some(format!("{before}{joint}{added}").parse()?);
            *request.uri_mut() = Uri::from_parts(parts)?;
            Ok(())
        })
    }

    #[cfg(any(feature = "json", feature = "form"))]
    fn typed_body(self, kind: &'static str, body: impl Into<Body>) -> Self {
        let body = body.into();
        self.with(|request| {
            let kind = HeaderValue::from_static(kind);
            request.headers_mut().entry(http::header::CONTENT_TYPE).or_insert(kind);
            *request.body_mut() = body;
            Ok(())
        })
    }

    #[cfg(any(feature = "json", feature = "form"))]
    fn refused(mut self, error: impl Into<crate::error::BoxError>) -> Self {
        if self.request.is_ok() {
            self.request = Err(Error::new(crate::error::ErrorKind::InvalidRequest).with(error));
        }
        self
    }

    /// As [`RequestOptions::timeout`].
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.opting(|options| options.timeout(limit))
    }

    /// As [`RequestOptions::timeouts`].
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        self.opting(|options| options.timeouts(timeouts))
    }

    /// As [`RequestOptions::partition`].
    pub fn partition(self, partition: impl Into<std::sync::Arc<str>>) -> Self {
        self.opting(|options| options.partition(partition))
    }

    /// As [`RequestOptions::fresh_connection`].
    pub fn fresh_connection(self) -> Self {
        self.opting(RequestOptions::fresh_connection)
    }

    /// As [`RequestOptions::replay`].
    pub fn replay(self, rule: Replay) -> Self {
        self.opting(|options| options.replay(rule))
    }

    /// As [`RequestOptions::repeatable`].
    pub fn repeatable(self) -> Self {
        self.opting(RequestOptions::repeatable)
    }

    /// As [`RequestOptions::close_afterwards`].
    pub fn close_afterwards(self) -> Self {
        self.opting(RequestOptions::close_afterwards)
    }

    fn opting(mut self, change: impl FnOnce(RequestOptions) -> RequestOptions) -> Self {
        self.options = change(self.options);
        self
    }

    /// The request as it would be sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): the URI, a field or a body cannot be sent.
    pub fn build(self) -> Result<Request<Body>, Error> {
        let mut request = self.request?;
        if let Some(credentials) = self.credentials {
            request.headers_mut().entry(AUTHORIZATION).or_insert(credentials);
        }
        request.extensions_mut().insert(self.options);
        Ok(request)
    }

    /// Sends it.
    pub fn send(self) -> ResponseFuture {
        let client = self.client.clone();
        match self.build() {
            Ok(request) => client.request(request),
            Err(error) => ResponseFuture::refused(client.shared, error),
        }
    }
}

/// A URI without its credentials.
fn bare(uri: Uri) -> Result<Uri, http::Error> {
    let Some((_, place)) = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')) else {
        return Ok(uri);
    };
    let place = place.parse()?;
    let mut parts = uri.into_parts();
    parts.authority = Some(place);
    Ok(Uri::from_parts(parts)?)
}

/// The credentials of a URI, as a field.
fn credentials(uri: &Uri) -> Option<HeaderValue> {
    let (userinfo, _) = uri.authority()?.as_str().rsplit_once('@')?;
    let decoded = percent_encoding::percent_decode_str(userinfo).decode_utf8_lossy();
    let both = if userinfo.contains(':') { decoded.into_owned() } else { format!("{decoded}:") };
    basic(&both).ok()
}

fn basic(credentials: &str) -> Result<HeaderValue, http::Error> {
    Ok(secret(HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials)))?))
}

/// Debug output does not show it.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RequestBuilder");
        debug.field("request", &self.request).field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

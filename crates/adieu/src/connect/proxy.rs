//! One proxy: what it speaks, where it is, and who we are to it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::target::{Bracketed, host_and_port};
use crate::error::{Error, ErrorKind};

/// A proxy. Cheap to clone. Prints without its credentials, as `http://proxy.example:3128`.
///
/// ```
/// use adieu::connect::Proxy;
///
/// let proxy: Proxy = "socks5h://user:p%40ss@proxy.example".parse()?;
/// assert_eq!(proxy.to_string(), "socks5h://proxy.example:1080");
/// # Ok::<(), adieu::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    speaks: Speaks,
    host: Arc<str>,
    port: u16,
    credentials: Option<Arc<Credentials>>,
}

/// What is spoken with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5; names are resolved here.
    Socks5,
    /// SOCKS5; names are resolved by the proxy.
    Socks5h,
}

/// Who we are to a proxy.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Proxy {
    /// Reads `scheme://user:password@host:port`: `http` (which is also meant where no scheme is named), `https`,
    /// `socks5` (names are resolved here) or `socks5h` (names are resolved by the proxy). Ports where none is named: 80,
    /// 443, 1080. What is special in user and password is percent-encoded. A path plays no part.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`], with what is wrong as its source; the password is not in there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let speaks = match scheme.to_ascii_lowercase().as_str() {
            "http" => Speaks::Http,
            "https" => Speaks::Https,
            "socks5" => Speaks::Socks5,
            "socks5h" => Speaks::Socks5h,
            other => {
                let known = "http, https, socks5 and socks5h are";
                return Err(invalid(format!("the proxy's scheme {other} is not known: {known}")));
            }
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = host_and_port(authority).and_then(|(host, port)| {
            let graphic = host.bytes().all(|byte| byte.is_ascii_graphic());
            if graphic { Ok((host, port)) } else { Err(format!("{host:?} is no host")) }
        });
        let (host, port) = place.map_err(|why| match text.contains('@') {
            // What looks wrong may be a piece of the password.
            true => {
                invalid("the proxy cannot be read: is its user or password not percent-encoded?".to_owned())
            }
            false => invalid(format!("the proxy cannot be read: {why}")),
        })?;
        let login = authority.rsplit_once('@').map(|(login, _)| login).filter(|login| !login.is_empty());
        let credentials = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Credentials { user: decoded(user), password: decoded(password) }
        });
        let port = port.unwrap_or_else(|| speaks.default_port());
        Ok(Self { speaks, host: host.into(), port, credentials: credentials.map(Arc::new) })
    }

    /// The same proxy with these credentials, as they are: nothing in them is decoded.
    #[must_use]
    pub fn with_credentials(mut self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let (user, password) = (user.as_ref().into(), password.as_ref().into());
        self.credentials = Some(Arc::new(Credentials { user, password }));
        self
    }

    pub(super) fn speaks(&self) -> Speaks {
        self.speaks
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    /// The `Proxy-Authorization` that goes with every request that this proxy sees.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let credentials = self.credentials()?;
        // RFC 7617 section 2: user-id and password "separated by a single colon", in base64.
        let pair = [&*credentials.user, b":", &*credentials.password].concat();
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Speaks {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            // RFC 1928 section 3.
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidRequest).with(what)
}

impl FromStr for Proxy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.speaks.scheme(), Bracketed(&self.host), self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { " with credentials" } else { "" };
        write!(f, "Proxy({self}{credentials})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_and_print_without_credentials() {
        for (text, prints) in [
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("http://Proxy.Example", "http://proxy.example:80"),
            ("HTTPS://user@proxy.example/", "https://proxy.example:443"),
            ("socks5://user:secret@[::1]:9050", "socks5://[::1]:9050"),
            ("socks5h://127.0.0.1", "socks5h://127.0.0.1:1080"),
            ("user:secret@proxy.example", "http://proxy.example:80"),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), prints);
            assert!(!format!("{proxy:?}").contains("secret"), "{proxy:?}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_sent_as_basic() {
        let proxy = Proxy::parse("http://Aladdin:open%20sesame@proxy.example").unwrap();
        let authorization = proxy.authorization().unwrap();
        // The example of RFC 7617 section 2.
        assert_eq!(authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(authorization.is_sensitive());
        let same = Proxy::parse("http://proxy.example").unwrap().with_credentials("Aladdin", "open sesame");
        assert_eq!(proxy, same);
        assert!(Proxy::parse("http://@proxy.example").unwrap().authorization().is_none());
    }

    #[test]
    fn a_bad_proxy_is_told_without_its_password() {
        for (text, why) in [
            (
                "socks4://proxy.example",
                "the proxy's scheme socks4 is not known: http, https, socks5 and socks5h are",
            ),
            ("http://", "the proxy cannot be read: there is no host"),
            ("http://proxy.example:123456", "the proxy cannot be read: 123456 is no port"),
            ("http://pro xy", "the proxy cannot be read: \"pro xy\" is no host"),
            (
                "http://user:sec/ret@proxy.example",
                "the proxy cannot be read: is its user or password not percent-encoded?",
            ),
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert_eq!(error.to_string(), format!("invalid request: {why}"));
        }
    }
}

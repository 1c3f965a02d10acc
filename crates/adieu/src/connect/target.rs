//! Where a connection shall lead: scheme, host and port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::Uri;

use crate::error::{Error, ErrorKind};

/// Plain HTTP, or HTTP over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `http`: plain.
    Http,
    /// `https`: over TLS.
    Https,
}

/// An origin: where a connection shall lead. Cheap to clone. Prints as `https://example.com`, a default port left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: Scheme,
    host: Arc<str>,
    port: u16,
}

impl Scheme {
    /// The port where none is named: 80 or 443 (RFC 9110 sections 4.2.1 and 4.2.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Target {
    /// The origin of an absolute URI. Its path, query and user information play no part.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`], with the one thing that is wrong as its source: no scheme, a scheme other than `http`
    /// and `https`, no host, an IPv6 address that is none, a port that is none.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => {
                return Err(invalid(format!("the scheme {other} is not known: http and https are")));
            }
            None => {
                // Without a scheme it is an authority or a path. Who we are is not told.
                let shown =
                    uri.authority().map_or_else(|| uri.to_string(), |text| place_of(text.as_str()).into());
                return Err(invalid(format!("{shown} has no scheme: give an absolute URI, as http://host/")));
            }
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let (host, port) = host_and_port(authority).map_err(invalid)?;
        Ok(Self { scheme, host: host.into(), port: port.unwrap_or_else(|| scheme.default_port()) })
    }

    /// Plain, or over TLS.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case: a name, or an IP address (IPv6 without brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: the URI's, or that of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as CONNECT names it.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", Bracketed(&self.host), self.port)
    }

    /// The host as TLS names it: RFC 6066 section 3 has it "without a trailing dot".
    pub(super) fn tls_name(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }
}

/// Takes `user:password@host:port` apart: the host in lower case and without brackets, and the port if one is named.
pub(super) fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let place = place_of(authority);
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, rest)) => {
            let address: Ipv6Addr = literal.parse().map_err(|_| format!("[{literal}] is no IPv6 address"))?;
            (address.to_string(), rest)
        }
        None => {
            let end = place.find(':').unwrap_or(place.len());
            let (name, rest) = place.split_at(end);
            (name.to_ascii_lowercase(), rest)
        }
    };
    if host.is_empty() {
        return Err("there is no host".to_owned());
    }
    // RFC 3986 section 3.2.3: a colon without a port is as good as none.
    let digits = port.strip_prefix(':').unwrap_or(port);
    if digits.is_empty() {
        return Ok((host, None));
    }
    match digits.parse() {
        Ok(0) => Err("port 0 cannot be connected to".to_owned()),
        Ok(port) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
        _ => Err(format!("{digits} is no port")),
    }
}

/// `host:port` of `user:password@host:port`.
fn place_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, place)| place)
}

/// A host as it stands in a URI: IPv6 addresses in brackets.
pub(super) struct Bracketed<'h>(pub(super) &'h str);

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidRequest).with(what)
}

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse() {
            Ok(IpAddr::V6(address)) => write!(f, "[{address}]"),
            _ => f.write_str(self.0),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, Bracketed(&self.host))?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().unwrap()).unwrap()
    }

    fn wrong(uri: &str) -> String {
        let error = Target::of(&uri.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        error.to_string()
    }

    #[test]
    fn origins_print_without_default_ports() {
        for (uri, origin) in [
            ("http://Example.COM/a?b", "http://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("HTTPS://example.com:80", "https://example.com:80"),
            ("http://user:p%40ss@example.com:8080/", "http://example.com:8080"),
            ("http://example.com:/", "http://example.com"),
            ("http://[0:0::1]:8080/", "http://[::1]:8080"),
            ("https://127.0.0.1/", "https://127.0.0.1"),
        ] {
            assert_eq!(target(uri).to_string(), origin, "{uri}");
        }
    }

    #[test]
    fn the_parts_are_bare() {
        let address = target("https://[::1]/");
        assert_eq!((address.scheme(), address.host(), address.port()), (Scheme::Https, "::1", 443));
        assert_eq!(address.authority(), "[::1]:443");
        assert_eq!(target("https://example.com./").tls_name(), "example.com");
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (uri, why) in [
            ("/path", "invalid request: /path has no scheme: give an absolute URI, as http://host/"),
            (
                "example.com:80",
                "invalid request: example.com:80 has no scheme: give an absolute URI, as http://host/",
            ),
            ("ftp://example.com/", "invalid request: the scheme ftp is not known: http and https are"),
            ("http://example.com:0/", "invalid request: port 0 cannot be connected to"),
            ("http://example.com:65536/", "invalid request: 65536 is no port"),
            ("http://[::g]/", "invalid request: [::g] is no IPv6 address"),
        ] {
            if uri.parse::<Uri>().is_ok() {
                assert_eq!(wrong(uri), why, "{uri}");
            }
        }
        assert_eq!(host_and_port("user@:80").unwrap_err(), "there is no host");
        assert_eq!(host_and_port("host:+80").unwrap_err(), "+80 is no port");
    }
}

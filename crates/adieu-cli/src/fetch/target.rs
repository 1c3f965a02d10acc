//! What a URL says: where to connect, and what to ask there.

use std::borrow::Cow;
use std::fmt;

use adieu::connect::Target as Origin;
use http::Uri;
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::{Failure, why};
use crate::exit::Exit;

/// A URL that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    url: Url,
    uri: Uri,
    origin: Origin,
}

impl Target {
    /// Reads a URL as typed: `example.com/a` means `http://example.com/a`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let whole: Cow<'_, str> =
            if text.contains("://") { text.into() } else { format!("http://{text}").into() };
        Self::check(Url::parse(&whole).map_err(|error| bad(text, error))?)
    }

    /// Where a `Location` leads from here.
    pub(super) fn join(&self, location: &str) -> Result<Self, Failure> {
        Self::check(self.url.join(location).map_err(|error| bad(location, error))?)
    }

    fn check(mut url: Url) -> Result<Self, Failure> {
        match url.scheme() {
            "http" | "https" => {}
            other => return Err(bad(url.as_str(), format_args!("{other} is not spoken here"))),
        }
        url.set_fragment(None);
        let bare = Self::bare(&url);
        let uri = bare.as_str().parse().map_err(|error| bad(bare.as_str(), error))?;
        let origin = Origin::of(&uri).map_err(|error| bad(bare.as_str(), why(&error)))?;
        Ok(Self { url, uri, origin })
    }

    /// Without credentials.
    fn bare(url: &Url) -> Url {
        let mut bare = url.clone();
        // Neither fails on a URL that has a host.
        let _unchanged = bare.set_username("").and_then(|()| bare.set_password(None));
        bare
    }

    /// The same URL with `name` as its last segment, if it has none.
    pub(super) fn with_file_name(&self, name: &str) -> Result<Self, Failure> {
        let mut url = self.url.clone();
        if let (true, Ok(mut segments)) = (url.path().ends_with('/'), url.path_segments_mut()) {
            segments.pop_if_empty().push(name);
        }
        Self::check(url)
    }

    /// Where its connections lead; prints as `http://example.com:8080`.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// As the `Host` field has it.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// The absolute target of a request.
    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// `user:password`, if the URL has them.
    pub(super) fn credentials(&self) -> Option<Vec<u8>> {
        let user = self.url.username();
        if user.is_empty() && self.url.password().is_none() {
            return None;
        }
        let mut credentials: Vec<u8> = percent_decode_str(user).collect();
        credentials.push(b':');
        credentials.extend(percent_decode_str(self.url.password().unwrap_or_default()));
        Some(credentials)
    }
}

/// Without credentials.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn bad(url: &str, why: impl fmt::Display) -> Failure {
    let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at + 3));
    Failure::before(Exit::URL, format!("bad URL {scheme}{}: {why}", without_credentials(rest)))
}

/// What follows the scheme of a URL that may not be one, without who we are.
fn without_credentials(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let end = match authority.rfind('@') {
        Some(at) => Some(at),
        // A password with a slash in it looks like a port.
        None if authority.rsplit_once(':').is_some_and(|(_, port)| !is_number(port)) => rest.rfind('@'),
        None => None,
    };
    end.map_or(rest, |at| &rest[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_http() {
        let target = Target::parse("localhost:8080/a b?c#d").unwrap();
        assert_eq!(target.to_string(), "http://localhost:8080/a%20b?c");
        assert_eq!(target.origin().to_string(), "http://localhost:8080");
        assert_eq!(Target::parse("[::1]:81").unwrap().origin().host(), "::1");
    }

    #[test]
    fn https_has_its_own_port_which_no_host_field_names() {
        let target = Target::parse("https://example.com:443/a").unwrap();
        assert_eq!((target.origin().port(), target.authority()), (443, "example.com"));
        assert_ne!(target.join("http://example.com/a").unwrap().origin(), target.origin());
    }

    #[test]
    fn credentials_are_taken_out_of_it() {
        let target = Target::parse("http://us%40er:pass@example.com/").unwrap();
        assert_eq!(target.to_string(), "http://example.com/");
        assert_eq!(target.credentials().unwrap(), b"us@er:pass");
        assert_eq!(target.join("/b").unwrap().to_string(), "http://example.com/b");
    }

    #[test]
    fn what_cannot_be_fetched_is_code_3() {
        for url in ["https://", "ftp://example.com", "http://", "http://exa mple.com", "http://h:0/"] {
            assert_eq!(Target::parse(url).unwrap_err().exit, Exit::URL, "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_fetched_is_told_without_its_credentials() {
        for (url, told) in [
            ("http://user:secret@h:99999/a@b", "http://h:99999/a@b: invalid port number"),
            ("ftp://user:secret@h/", "ftp://h/: ftp is not spoken here"),
            ("user:secret@h h", "h h: invalid international domain name"),
            ("http://user:sec/ret@h/", "http://h/: invalid port number"),
            ("http://h:99999/a@b", "http://h:99999/a@b: invalid port number"),
            ("http://user:secret@[::g]:1/", "http://[::g]:1/: invalid IPv6 address"),
        ] {
            assert_eq!(Target::parse(url).unwrap_err().what, format!("bad URL {told}"));
        }
        let from = Target::parse("http://h/").unwrap();
        let what = from.join("http://user:secret@h:99999/").unwrap_err().what;
        assert_eq!(what, "bad URL http://h:99999/: invalid port number");
    }

    #[test]
    fn an_upload_to_a_folder_gets_the_name_of_its_file() {
        let target = Target::parse("http://h/in/?q").unwrap();
        assert_eq!(target.with_file_name("a b").unwrap().to_string(), "http://h/in/a%20b?q");
        assert_eq!(Target::parse("h").unwrap().with_file_name("f").unwrap().to_string(), "http://h/f");
        let named = Target::parse("http://h/in").unwrap();
        assert_eq!(named.with_file_name("f").unwrap(), named);
    }
}

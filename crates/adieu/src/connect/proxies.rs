//! Which proxy for which target.

use std::env;

use super::no_proxy::NoProxy;
use super::proxy::Proxy;
use super::target::{Scheme, Target};
use crate::error::{Error, ErrorKind};

/// Which proxy is used for which target. None to begin with.
///
/// ```
/// use adieu::connect::{Proxies, Proxy};
///
/// let proxies = Proxies::new()
///     .https(Proxy::parse("http://proxy.example:3128")?)
///     .no_proxy("localhost, .internal.example, 10.0.0.0/8");
/// # drop(proxies);
/// # Ok::<(), adieu::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: NoProxy,
}

impl Proxies {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This one for every target.
    #[must_use]
    pub fn all(self, proxy: Proxy) -> Self {
        self.http(proxy.clone()).https(proxy)
    }

    /// This one for `http` targets. An HTTP proxy forwards their requests.
    #[must_use]
    pub fn http(mut self, proxy: Proxy) -> Self {
        self.http = Some(proxy);
        self
    }

    /// This one for `https` targets. An HTTP proxy makes a tunnel to them (CONNECT).
    #[must_use]
    pub fn https(mut self, proxy: Proxy) -> Self {
        self.https = Some(proxy);
        self
    }

    /// None for these targets, whatever else is said. A list of rules with commas or blanks between them:
    ///
    /// | rule | fits |
    /// |---|---|
    /// | `example.com`, `.example.com`, `*.example.com` | that domain and all below it |
    /// | `10.1.2.3`, `::1`, `[::1]` | that address |
    /// | `10.0.0.0/8`, `fd00::/8` | the addresses of that network |
    /// | any of these with a port, as `example.com:8080`, `[::1]:80` | the same at that port alone |
    /// | `*` | everything |
    ///
    /// Names are compared as they are written: nothing is resolved for a rule. What fits none of these forms fits nothing.
    /// A list given before is replaced.
    #[must_use]
    pub fn no_proxy(mut self, list: &str) -> Self {
        self.except = NoProxy::parse(list);
        self
    }

    /// What the environment says: `http_proxy`, `https_proxy`, `all_proxy` (for what has no variable of its own) and
    /// `no_proxy`, or the same in upper case, lower case first. `HTTP_PROXY` is not read: in a CGI program it is what a
    /// client sent as its `Proxy` field. An empty variable means no proxy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`]: a variable that is needed cannot be read; its source names it.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(|name| env::var(name).ok())
    }

    /// The same from variables of your own.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let named =
            |names: &[&'static str]| names.iter().find_map(|name| look_up(name).map(|value| (*name, value)));
        let all = || named(&["all_proxy", "ALL_PROXY"]);
        let read = |found: Option<(&str, String)>| match found {
            Some((_, value)) if value.trim().is_empty() => Ok(None),
            Some((name, value)) => Proxy::parse(&value).map(Some).map_err(|error| misread(name, &error)),
            None => Ok(None),
        };
        let http = read(named(&["http_proxy"]).or_else(all))?;
        let https = read(named(&["https_proxy", "HTTPS_PROXY"]).or_else(all))?;
        let except =
            named(&["no_proxy", "NO_PROXY"]).map_or_else(NoProxy::default, |(_, list)| NoProxy::parse(&list));
        Ok(Self { http, https, except })
    }

    /// The proxy for a target; `None`: it is reached directly.
    #[must_use]
    pub fn proxy_for(&self, target: &Target) -> Option<&Proxy> {
        let proxy = match target.scheme() {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        };
        proxy.filter(|_| !self.except.fits(target))
    }
}

fn misread(name: &str, error: &Error) -> Error {
    let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Error::new(ErrorKind::InvalidRequest).with(format!("the variable {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_for(variables: &[(&str, &str)], uri: &str) -> Option<String> {
        let proxies = Proxies::from_vars(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let target = Target::of(&uri.parse().unwrap()).unwrap();
        proxies.unwrap().proxy_for(&target).map(ToString::to_string)
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        let (http, https) = ("http://example.com/", "https://example.com/");
        let (one, two) = (Some("http://one:80".to_owned()), Some("http://two:80".to_owned()));
        assert_eq!(proxy_for(&[], http), None);
        assert_eq!(proxy_for(&[("http_proxy", "one")], http), one);
        assert_eq!(proxy_for(&[("http_proxy", "one")], https), None);
        assert_eq!(proxy_for(&[("HTTP_PROXY", "one")], http), None);
        assert_eq!(proxy_for(&[("HTTPS_PROXY", "one")], https), one);
        assert_eq!(proxy_for(&[("HTTPS_PROXY", "two"), ("https_proxy", "one")], https), one);
        assert_eq!(proxy_for(&[("ALL_PROXY", "one")], http), one);
        assert_eq!(proxy_for(&[("all_proxy", "one"), ("https_proxy", "two")], https), two);
        assert_eq!(proxy_for(&[("all_proxy", "one"), ("http_proxy", "")], http), None);
        assert_eq!(proxy_for(&[("all_proxy", "one"), ("NO_PROXY", "example.com")], http), None);
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named() {
        let error = Proxies::from_vars(|name| (name == "ALL_PROXY").then(|| "ftp://one".to_owned()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "invalid request: the variable ALL_PROXY: the proxy's scheme ftp is not known: \
             http, https, socks5 and socks5h are"
        );
    }
}

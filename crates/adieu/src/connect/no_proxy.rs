//! For which targets there is no proxy: the rules of `no_proxy`.

use std::net::IpAddr;

use super::target::Target;

/// A list of rules; a target that fits one of them has no proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProxy(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    whom: Whom,
    /// `None`: whatever the port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Everyone,
    /// The domain and all below it; lower case, without dots around it.
    Domain(Box<str>),
    /// The addresses that share so many leading bits with this one.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Rules with commas or blanks between them. What is none fits nothing.
    pub(super) fn parse(list: &str) -> Self {
        let rules = list.split(|c: char| c == ',' || c.is_whitespace()).filter_map(Rule::parse);
        Self(rules.collect())
    }

    pub(super) fn fits(&self, target: &Target) -> bool {
        self.0.iter().any(|rule| rule.fits(target))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        if let Some(whom) = Whom::parse(text) {
            return Some(Self { whom, port: None });
        }
        let (whom, port) = text.rsplit_once(':')?;
        Some(Self { whom: Whom::parse(whom)?, port: Some(port.parse().ok()?) })
    }

    fn fits(&self, target: &Target) -> bool {
        self.port.is_none_or(|port| port == target.port()) && self.whom.fits(target.tls_name())
    }
}

impl Whom {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(all);
            return (bits <= all).then_some(Self::Network(address, bits));
        }
        let name = text.strip_prefix('*').unwrap_or(text).trim_matches('.').to_ascii_lowercase();
        let plausible = !name.is_empty() && !name.contains([':', '/', '*', '[', ']']);
        plausible.then(|| Self::Domain(name.into()))
    }

    fn fits(&self, host: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Domain(_) if host.parse::<IpAddr>().is_ok() => false,
            Self::Domain(domain) => {
                host.strip_suffix(&**domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            Self::Network(network, bits) => {
                host.parse().is_ok_and(|address| share_leading_bits(*network, address, *bits))
            }
        }
    }
}

/// Whether two addresses of one family have so many leading bits in common.
fn share_leading_bits(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let different = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    different >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// List, host and port, whether it fits.
    const TABLE: &[(&str, &str, bool)] = &[
        ("", "example.com", false),
        ("*", "example.com", true),
        ("*", "10.1.2.3", true),
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com.", true),
        ("Example.COM.", "example.com", true),
        ("example.com", "www.example.com", true),
        ("example.com", "notexample.com", false),
        ("example.com", "example.com.evil.example", false),
        (".example.com", "example.com", true),
        (".example.com", "a.b.example.com", true),
        (".example.com", "notexample.com", false),
        ("*.example.com", "www.example.com", true),
        ("com", "example.com", true),
        ("other.example, example.com", "example.com", true),
        ("other.example example.com", "example.com", true),
        (",,\texample.com ,", "example.com", true),
        ("localhost", "localhost", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("10.1.2.3", "110.1.2.3", false),
        ("1.2.3", "10.1.2.3", false),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.1.2.3/8", "10.9.9.9", true),
        ("10.0.0.0/33", "10.0.0.0", false),
        ("10.0.0.0/x", "10.0.0.0", false),
        ("0.0.0.0/0", "192.0.2.1", true),
        ("0.0.0.0/0", "[2001:db8::1]", false),
        ("192.168.4.0/22", "192.168.7.255", true),
        ("192.168.4.0/22", "192.168.8.0", false),
        ("10.0.0.0/8", "ten.example", false),
        ("::1", "[::1]", true),
        ("[::1]", "[::1]", true),
        ("::1", "[::2]", false),
        ("fd00::/8", "[fd12:3456::1]", true),
        ("fd00::/8", "[fe80::1]", false),
        ("example.com:8080", "example.com:8080", true),
        ("example.com:8080", "example.com", false),
        ("[::1]:8080", "[::1]:8080", true),
        ("10.1.2.3:8080", "10.1.2.3:8080", true),
        ("10.1.2.3:8080", "10.1.2.3", false),
        ("example.com:http", "example.com", false),
        (".", "example.com", false),
    ];

    #[test]
    fn no_proxy_table() {
        for (list, host, fits) in TABLE {
            let target = Target::of(&format!("http://{host}/").parse().unwrap()).unwrap();
            assert_eq!(NoProxy::parse(list).fits(&target), *fits, "{list:?} and {host}");
        }
    }
}

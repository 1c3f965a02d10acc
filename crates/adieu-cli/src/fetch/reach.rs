//! How origins are reached: names, addresses, sockets, proxies.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use adieu::connect::{Family, Proxies, Proxy};
use adieu::{ClientBuilder, Error};
use clap::Args;

use super::args::seconds;
use super::failure::{Failure, why};
use crate::exit::Exit;

/// The flags of connecting.
#[derive(Args)]
pub(super) struct ReachArgs {
    /// Connects over IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = CONNECTING)]
    ipv4: bool,
    /// Connects over IPv6 only
    #[arg(short = '6', long, help_heading = CONNECTING)]
    ipv6: bool,
    /// Takes these addresses for a host and port; `*` is every host
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]", help_heading = CONNECTING)]
    resolve: Vec<String>,
    /// Connects to a Unix socket instead; proxies play no part then
    #[arg(long, value_name = "PATH", help_heading = CONNECTING)]
    unix_socket: Option<PathBuf>,
    /// Goes through this proxy, whatever the environment says; an empty one is none. See below
    #[arg(short = 'x', long, value_name = "[SCHEME://][USER:PASSWORD@]HOST[:PORT]", help_heading = CONNECTING)]
    proxy: Option<String>,
    /// Goes through no proxy to these hosts, domains and networks; `*` is all [default: $no_proxy]
    #[arg(long, value_name = "LIST", help_heading = CONNECTING)]
    noproxy: Option<String>,
    /// For opening a connection: names, connecting, proxies and TLS together [default: 15 s, 10 s, 10 s and 10 s]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = CONNECTING)]
    connect_timeout: Option<Duration>,
}

/// How origins are reached.
pub(super) struct Reach {
    family: Family,
    overrides: Vec<Override>,
    unix_socket: Option<PathBuf>,
    pub(super) proxies: Proxies,
    /// For all of opening a connection.
    pub(super) limit: Option<Duration>,
}

/// One `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Override {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Reach {
    pub(super) fn new(args: &ReachArgs) -> Result<Self, Failure> {
        let overrides = args.resolve.iter().map(|text| {
            let bad = || Failure::before(Exit::USAGE, format!("--resolve {text:?} is no HOST:PORT:ADDR"));
            Override::parse(text).ok_or_else(bad)
        });
        Ok(Self {
            family: match (args.ipv4, args.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            overrides: overrides.collect::<Result<_, _>>()?,
            unix_socket: args.unix_socket.clone(),
            proxies: match &args.unix_socket {
                Some(_) => Proxies::new(),
                None => proxies(args.proxy.as_deref(), args.noproxy.as_deref())?,
            },
            limit: args.connect_timeout.filter(|limit| !limit.is_zero()),
        })
    }

    /// Tells a client.
    pub(super) fn set_up(&self, client: ClientBuilder) -> ClientBuilder {
        let client = client.family(self.family).proxies(self.proxies.clone());
        let client = self.overrides.iter().fold(client, |client, Override { host, port, addresses }| {
            client.resolve_port(host, *port, addresses.iter().copied())
        });
        #[cfg(unix)]
        if let Some(path) = &self.unix_socket {
            return client.unix_socket(path);
        }
        client
    }
}

/// Those of the flags, or else those of the environment; its `no_proxy` counts for both, as with curl.
fn proxies(proxy: Option<&str>, except: Option<&str>) -> Result<Proxies, Failure> {
    let bad = |of: &str, error: Error| Failure::before(Exit::PROXY_NAME, format!("{of}{}", why(&error)));
    let proxies = match proxy {
        None => Proxies::from_env().map_err(|error| bad("", error))?,
        Some("") => Proxies::new(),
        Some(text) => {
            let proxy = Proxy::parse(text).map_err(|error| bad("-x: ", error))?;
            let exceptions =
                |name: &str| env::var(name).ok().filter(|_| name.eq_ignore_ascii_case("no_proxy"));
            Proxies::from_vars(exceptions).map_err(|error| bad("", error))?.all(proxy)
        }
    };
    Ok(match except {
        Some(list) => proxies.no_proxy(list),
        None => proxies,
    })
}

impl Override {
    /// `HOST:PORT:ADDR[,ADDR]`; addresses of IPv6 may stand in brackets. A plus before it, with which curl lets an entry
    /// grow old, changes nothing here.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let (host, port_and_addresses) = text.split_once(':')?;
        let (port, addresses) = port_and_addresses.split_once(':')?;
        let addresses: Option<Vec<_>> =
            addresses.split(',').map(|address| address.trim_matches(['[', ']']).parse().ok()).collect();
        Some(Self { host: host.to_owned(), port: port.parse().ok()?, addresses: addresses? })
    }
}

const CONNECTING: &str = "Connecting";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_names_host_port_and_addresses() {
        let parsed = Override::parse("example.com:80:127.0.0.1,[::1]").unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.addresses.len()), ("example.com", 80, 2));
        assert_eq!(Override::parse("+*:80:127.0.0.1").unwrap().host, "*");
        for bad in ["example.com", "example.com:80", "example.com:x:127.0.0.1", "example.com:80:nowhere"] {
            assert_eq!(Override::parse(bad), None, "{bad}");
        }
    }
}

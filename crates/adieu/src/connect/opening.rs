//! The steps of opening one connection, each of them told.

use std::net::SocketAddr;
use std::time::Duration;

use adieu_proto::codec::request::TargetForm;
use adieu_proto::fate::Receipts;
use adieu_proto::lifecycle::Phase;

use super::connector::{Opened, Settings, Way};
use super::dial::{Pace, race};
use super::proxy::{Proxy, Speaks};
use super::resolve::Whose;
use super::socks::{self, Destination};
use super::target::{Scheme, Target};
use super::tls::Tls;
use super::{tunnel, user};
use crate::error::{Error, ErrorKind};
use crate::observe::{Happening, Teller};
use crate::rt;
use crate::transport::{LeadsTo, OwnTcp, Transport};

/// One connection that is being opened.
pub(super) struct Opening<'o> {
    pub(super) settings: &'o Settings,
    pub(super) target: &'o Target,
    pub(super) teller: &'o Teller,
}

/// How a plain target is reached behind an HTTP proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// The proxy is asked for it, request by request.
    Forward,
    /// The proxy makes a tunnel to it.
    Tunnel,
}

impl Opening<'_> {
    pub(super) async fn open(&self, plain: Plain) -> Result<Opened, Error> {
        match &self.settings.way {
            Way::User(connect) => {
                let transport = connect.connect(self.target).await.map_err(user::failed)?;
                Ok(Opened::direct(transport))
            }
            #[cfg(unix)]
            Way::Unix(path) => {
                self.check_tls()?;
                self.finish(self.dial_unix(path).await?).await
            }
            Way::Network(proxies) => {
                self.check_tls()?;
                match proxies.proxy_for(self.target) {
                    Some(proxy) => self.through(proxy, plain).await,
                    None => {
                        let addresses = self.own_addresses().await?;
                        self.finish(self.dial(addresses, LeadsTo::Origin).await?).await
                    }
                }
            }
        }
    }

    /// To which addresses it would be connected now; none: in another way.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        match &self.settings.way {
            Way::Network(proxies) => match proxies.proxy_for(self.target) {
                Some(proxy) => self.proxys_addresses(proxy).await,
                None => self.own_addresses().await,
            },
            _ => Ok(Vec::new()),
        }
    }

    /// Whether TLS can be had where it is needed, before anybody is asked anything.
    fn check_tls(&self) -> Result<(), Error> {
        match self.target.scheme() {
            Scheme::Http => Ok(()),
            Scheme::Https => self.settings.tls.ready().map(drop),
        }
    }

    async fn own_addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = (self.target.host(), self.target.port());
        self.settings.book.look_up(host, port, Whose::Origin, self.teller).await
    }

    async fn proxys_addresses(&self, proxy: &Proxy) -> Result<Vec<SocketAddr>, Error> {
        self.settings.book.look_up(proxy.host(), proxy.port(), Whose::Proxy, self.teller).await
    }

    async fn dial(&self, addresses: Vec<SocketAddr>, leads_to: LeadsTo) -> Result<Box<dyn Transport>, Error> {
        let limits = &self.settings.limits;
        let pace = Pace { head_start: limits.head_start, limit: limits.connect };
        let socket = race(&self.settings.tcp, &addresses, pace, self.teller).await?;
        Ok(Box::new(OwnTcp::new(socket, leads_to)))
    }

    #[cfg(unix)]
    async fn dial_unix(&self, path: &std::path::Path) -> Result<Box<dyn Transport>, Error> {
        let connecting = tokio::net::UnixStream::connect(path);
        match rt::within(self.settings.limits.connect, connecting).await {
            Some(Ok(socket)) => Ok(Box::new(socket)),
            Some(Err(error)) => Err(Error::new(ErrorKind::Connect).with(format!(
                "{}: {}",
                path.display(),
                super::dial::words(&error)
            ))),
            None => {
                Err(Error::new(ErrorKind::Timeout(Phase::Connect))
                    .with(format!("{}: no answer", path.display())))
            }
        }
    }

    async fn through(&self, proxy: &Proxy, plain: Plain) -> Result<Opened, Error> {
        // Resolved first: a proxy would wait for nothing.
        let there = match proxy.speaks() {
            Speaks::Socks5 => self.own_addresses().await?.first().copied(),
            _ => None,
        };
        let mut io = self.dial(self.proxys_addresses(proxy).await?, LeadsTo::Proxy).await?;
        if proxy.speaks() == Speaks::Https {
            io = self.shake_hands(&self.settings.proxy_tls, proxy.host(), io).await.map_err(|error| {
                Error::new(error.kind()).with(format!("with the proxy {proxy}: {}", cause(&error)))
            })?;
        }
        let is_http = matches!(proxy.speaks(), Speaks::Http | Speaks::Https);
        if is_http && self.target.scheme() == Scheme::Http && plain == Plain::Forward {
            let authorization = proxy.authorization();
            let (form, receipts) = (TargetForm::Absolute, Receipts::None);
            return Ok(Opened { transport: io, form, authorization, receipts });
        }
        let began = rt::now();
        let asked = async {
            match is_http {
                true => tunnel::ask(io, self.target, proxy.authorization()).await,
                false => {
                    let there = self.destination(there);
                    socks::ask(&mut *io, there, proxy.credentials()).await.map(|()| io)
                }
            }
        };
        let limit = self.settings.limits.proxy;
        let io = match rt::within(limit, asked).await {
            Some(Ok(io)) => io,
            Some(Err(did)) => return Err(Error::new(ErrorKind::Proxy).with(format!("{proxy} {did}"))),
            None => return Err(silent(proxy, limit)),
        };
        let now = rt::now();
        let took = now.saturating_duration_since(began);
        self.teller.tell(now, || Happening::ProxyDone { proxy: proxy.to_string().into(), took });
        self.finish(io).await
    }

    /// Where a SOCKS proxy shall connect to: an address that was found here, or what it is to resolve.
    fn destination(&self, found: Option<SocketAddr>) -> Destination<'_> {
        let (host, port) = (self.target.host(), self.target.port());
        match (found, host.parse()) {
            (Some(address), _) => Destination::Address(address),
            (None, Ok(literal)) => Destination::Address(SocketAddr::new(literal, port)),
            (None, Err(_)) => Destination::Name(host, port),
        }
    }

    /// TLS with the origin where the target asks for it.
    async fn finish(&self, io: Box<dyn Transport>) -> Result<Opened, Error> {
        match self.target.scheme() {
            Scheme::Http => Ok(Opened::direct(io)),
            Scheme::Https => {
                self.shake_hands(&self.settings.tls, self.target.tls_name(), io).await.map(Opened::direct)
            }
        }
    }

    async fn shake_hands(
        &self,
        tls: &Tls,
        host: &str,
        io: Box<dyn Transport>,
    ) -> Result<Box<dyn Transport>, Error> {
        let began = rt::now();
        let io = tls.over(host, io).await?;
        if let Some(session) = io.tls() {
            let now = rt::now();
            let took = now.saturating_duration_since(began);
            self.teller.tell(now, || Happening::TlsDone { session: session.clone(), took });
        }
        Ok(io)
    }
}

fn silent(proxy: &Proxy, limit: Option<Duration>) -> Error {
    let limit = limit.unwrap_or_default();
    Error::new(ErrorKind::Timeout(Phase::ProxyHandshake))
        .with(format!("{proxy} gave no answer within {limit:?}"))
}

/// What an error says beyond its kind.
fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| "it took too long".to_owned(), ToString::to_string)
}

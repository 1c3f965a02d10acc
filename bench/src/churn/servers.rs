//! The servers of `churn`, each on a thread of its own, which may be on another host: started, reloaded, ended, their logs
//! read.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use interop::{Apache, ApacheConfig, Haproxy, HaproxyConfig, Identity, Nginx, NginxConfig, Pki};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::hosts::Hosts;
use super::processed::{self, Processed};
use super::row::{IDLE_LIMIT, REQUESTS_LIMIT, Reloads, Row, Server};
use crate::row::Security;
use crate::{Error, drive};

/// A server that runs, and is reloaded if its row says so, until it is ended.
pub(crate) struct Running {
    address: SocketAddr,
    root: String,
    end: oneshot::Sender<()>,
    thread: JoinHandle<Result<Option<Served>, Error>>,
}

/// What became of a server.
pub(crate) struct Served {
    pub(crate) processed: Processed,
    pub(crate) reloads: u32,
}

impl Running {
    /// Starts the server of a row and waits until it answers; `None`: it is not on this machine, which has been told.
    pub(crate) fn start(row: Row, hosts: &Arc<Hosts>) -> Result<Option<Self>, Error> {
        let pki = Pki::new();
        let ip = hosts.server_address();
        let identity = match row.security {
            Security::Plain => None,
            Security::Tls => Some(pki.server_named(&ip.to_string())),
        };
        let (ready, address) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let hosts = Arc::clone(hosts);
        let thread = thread::Builder::new().name(format!("bench {row}")).spawn(move || {
            hosts.enter_server();
            drive::runtime()?.block_on(serve(row.server, ip, identity, ready, ended))
        })?;
        match address.recv() {
            Ok(address) => Ok(Some(Self { address, root: pki.root(), end, thread })),
            Err(_) => match joined(thread)? {
                None => Ok(None),
                Some(_) => Err("the server ended".into()),
            },
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that signed the server's, PEM.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Ends it and tells what it did.
    pub(crate) fn end(self) -> Result<Served, Error> {
        // Fails only if it has ended already.
        let _ = self.end.send(());
        joined(self.thread)?.ok_or_else(|| "the server did not start".into())
    }
}

fn joined(thread: JoinHandle<Result<Option<Served>, Error>>) -> Result<Option<Served>, Error> {
    thread.join().map_err(|_| "the server failed")?
}

async fn serve(
    server: Server,
    ip: Ipv4Addr,
    identity: Option<Identity>,
    ready: mpsc::Sender<SocketAddr>,
    mut ended: oneshot::Receiver<()>,
) -> Result<Option<Served>, Error> {
    let Some(started) = Started::start(server, ip, identity).await else { return Ok(None) };
    ready.send(SocketAddr::from((ip, started.port())))?;
    drop(ready);
    let mut reloads = 0;
    if let Reloads::Every(time) = server.reloads() {
        let mut ticks = ticks(time);
        loop {
            tokio::select! {
                _ = &mut ended => break,
                _ = ticks.tick() => {}
            }
            started.reload().await;
            reloads += 1;
        }
    } else {
        // Dropped or told to: the end either way.
        let _ = ended.await;
    }
    tokio::time::sleep(LOGGED).await;
    let log = std::fs::read_to_string(started.folder().join(LOG))?;
    Ok(Some(Served { processed: processed::read(&log), reloads }))
}

fn ticks(time: Duration) -> Interval {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

enum Started {
    Nginx(Nginx),
    /// With an nginx behind it, whose log tells what came through.
    Haproxy(Haproxy, Nginx),
    Apache(Apache),
}

impl Started {
    /// `None`: it is not on this machine.
    async fn start(server: Server, ip: Ipv4Addr, identity: Option<Identity>) -> Option<Self> {
        Some(match server {
            Server::NginxIdle => {
                let limit = format!("keepalive_timeout {}ms; ", IDLE_LIMIT.as_millis());
                Self::Nginx(nginx(ip, identity, &limit).await?)
            }
            Server::NginxRequests => {
                let limit = format!("keepalive_requests {REQUESTS_LIMIT}; ");
                Self::Nginx(nginx(ip, identity, &limit).await?)
            }
            Server::NginxReload => Self::Nginx(nginx(ip, identity, "keepalive_requests 1000000; ").await?),
            Server::HaproxyReload => {
                let behind = nginx(Ipv4Addr::LOCALHOST, None, "keepalive_requests 1000000; ").await?;
                let mut config = HaproxyConfig::to(behind.address()).front("no log");
                let mut bind = format!("bind {ip}:{{port}}");
                if let Some(identity) = identity {
                    config = config.tls(identity, "");
                    bind.push_str(" ssl crt {dir}/both.pem");
                }
                if !ip.is_loopback() {
                    config = config.front(&bind);
                }
                Self::Haproxy(Haproxy::start(config).await?, behind)
            }
            Server::ApacheReload => Self::Apache(apache(ip, identity).await?),
        })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Nginx(nginx) => nginx.address().port(),
            Self::Haproxy(haproxy, _) => haproxy.address().port(),
            Self::Apache(apache) => apache.address().port(),
        }
    }

    /// The directory with the log.
    fn folder(&self) -> PathBuf {
        match self {
            Self::Nginx(nginx) | Self::Haproxy(_, nginx) => nginx.folder(),
            Self::Apache(apache) => apache.folder(),
        }
    }

    async fn reload(&self) {
        match self {
            Self::Nginx(nginx) => nginx.reload().await,
            Self::Haproxy(haproxy, _) => haproxy.reload().await,
            Self::Apache(apache) => apache.reload().await,
        }
    }
}

async fn nginx(ip: Ipv4Addr, identity: Option<Identity>, directives: &str) -> Option<Nginx> {
    let ssl = if identity.is_some() { " ssl" } else { "" };
    let listen = if ip.is_loopback() { String::new() } else { format!("listen {ip}:{{port}}{ssl}; ") };
    let mut config = NginxConfig::new()
        // What it says of each connection is not needed, and takes time.
        .http("error_log stderr notice; log_format churn '$status $http_x_request'; ")
        .server(&format!("{listen}access_log {{dir}}/{LOG} churn; "))
        .server(directives)
        // A file would refuse a POST.
        .server(&format!("location / {{ return 200 '{ANSWER}'; }}"));
    if let Some(identity) = identity {
        config = config.tls(identity);
    }
    Nginx::start(config).await
}

async fn apache(ip: Ipv4Addr, identity: Option<Identity>) -> Option<Apache> {
    let listen = if ip.is_loopback() { String::new() } else { format!("Listen {ip}:{{port}}") };
    let mut config = ApacheConfig::new()
        .document("hello", ANSWER)
        .access_log(&format!("{{dir}}/{LOG} \"%>s %{{X-Request}}i\""))
        .directives(&listen)
        // Those that end have room beside those that begin.
        .directives(
            "LogLevel notice\nServerLimit 16\nThreadLimit 64\nThreadsPerChild 64\nMaxRequestWorkers 1024",
        )
        .directives("MinSpareThreads 64\nMaxSpareThreads 1024\nMaxKeepAliveRequests 0");
    if let Some(identity) = identity {
        config = config.tls(identity);
    }
    Apache::start(config).await
}

/// What every server answers to everything.
pub(crate) const ANSWER: &str = "hello, world\n";
/// Until the last line is in the log: it is written after the answer.
const LOGGED: Duration = Duration::from_millis(500);
const LOG: &str = "churn.log";

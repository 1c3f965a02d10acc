//! `https`: whose certificates are accepted, which one is shown, and the handshake.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use adieu::transport::tls::{TlsConnector, TlsStream, TlsVersions};
use adieu::{Error, ErrorKind, TlsSession};
use clap::{Args, ValueEnum};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout_at;

use super::failure::Failure;
use super::target::Target;
use super::voice::Opening;
use crate::clock;
use crate::exit::Exit;

/// The flags of TLS.
#[derive(Args)]
pub(super) struct TlsArgs {
    /// Accepts any certificate: whoever is on the way can read and change everything
    #[arg(short = 'k', long, help_heading = TLS)]
    insecure: bool,
    /// Trusts the authorities in FILE (PEM) in place of the platform's
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    cacert: Option<PathBuf>,
    /// Shows the certificate in FILE (PEM, its chain after it) to a server that asks for one
    #[arg(short = 'E', long, value_name = "FILE", help_heading = TLS)]
    cert: Option<PathBuf>,
    /// Its key (PEM, without a password); by default it is looked for in the file of --cert
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = TLS)]
    key: Option<PathBuf>,
    /// TLS 1.2 or later, as it is anyway
    #[arg(long = "tlsv1.2", overrides_with = "tls13", help_heading = TLS)]
    tls12: bool,
    /// TLS 1.3 or later
    #[arg(long = "tlsv1.3", overrides_with = "tls12", help_heading = TLS)]
    tls13: bool,
    /// The latest version of TLS
    #[arg(long = "tls-max", value_name = "VERSION", value_enum, default_value_t = Latest::Default, help_heading = TLS)]
    tls_max: Latest,
}

/// `--tls-max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Latest {
    Default,
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

/// The client's certificate and its key, PEM.
struct Identity {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// The one connector of a run, so that sessions are resumed from one connection to the next.
#[derive(Clone, Debug)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Reads all files, so that what is wrong with them is told before the first connection.
    pub(super) fn new(args: &TlsArgs, limits: Limits) -> Result<Self, Failure> {
        let mut builder = TlsConnector::builder().alpn(["http/1.1"]).versions(args.versions()?);
        if limits == Limits::OfTheCaller {
            builder = builder.handshake_timeout(None);
        }
        if let Some(path) = &args.cacert {
            let bad = |why: String| {
                Failure::before(Exit::AUTHORITIES, format!("--cacert {}: {why}", path.display()))
            };
            let authorities = fs::read(path).map_err(|error| bad(error.to_string()))?;
            builder = builder.platform_roots(false).add_root_certificates(authorities);
            builder.clone().build().map_err(|error| bad(why(&error)))?;
        }
        if let Some(Identity { chain, key }) = args.identity()? {
            builder = builder.client_certificate(chain, key);
        }
        if args.insecure {
            builder = builder.dangerously_accept_any_certificate();
        }
        // All but the client's certificate was seen to be good.
        let connector = builder.build().map_err(|error| args.bad_identity(&why(&error)))?;
        Ok(Self(connector))
    }

    /// Shakes hands over `socket`, until then at the latest.
    pub(super) async fn shake_hands<T>(
        &self,
        target: &Target,
        socket: T,
        until: Option<Instant>,
        opening: &Opening,
    ) -> Result<TlsStream, Failure>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let doing = format!("TLS handshake with {}", target.host_and_port());
        opening.begins(&doing);
        let began = clock::now();
        let host = target.host();
        let shaken = self.0.connect(&host, socket);
        let shaken = match until {
            None => shaken.await,
            Some(until) => timeout_at(until.into(), shaken)
                .await
                .map_err(|_| Failure::before(Exit::TIMEOUT, format!("timed out: {doing}")))?,
        };
        let stream = shaken.map_err(|error| failure(&doing, &error))?;
        let took = clock::millis(began.elapsed());
        opening.tell(format_args!("{} ({took:.3} ms)", agreed(stream.session())));
        Ok(stream)
    }
}

/// Who limits the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    /// 10 s.
    Default,
    /// `--connect-timeout`, which is for all of opening.
    OfTheCaller,
}

impl TlsArgs {
    fn versions(&self) -> Result<TlsVersions, Failure> {
        match (self.tls13, self.tls_max) {
            (false, Latest::Default | Latest::Tls13) => Ok(TlsVersions::All),
            (false, Latest::Tls12) => Ok(TlsVersions::Only12),
            (true, Latest::Default | Latest::Tls13) => Ok(TlsVersions::Only13),
            (true, Latest::Tls12) => {
                Err(Failure::before(Exit::USAGE, "--tlsv1.3 and --tls-max 1.2 leave no version"))
            }
        }
    }

    /// What --cert and --key name.
    fn identity(&self) -> Result<Option<Identity>, Failure> {
        let Some(path) = &self.cert else { return Ok(None) };
        let chain = match fs::read(path) {
            Ok(chain) => chain,
            Err(_) if has_password(path) => {
                return Err(self.bad_identity(LOCKED));
            }
            Err(error) => return Err(self.bad_identity(&error.to_string())),
        };
        let key = match &self.key {
            Some(path) => fs::read(path).map_err(|error| self.bad_identity(&error.to_string()))?,
            None => chain.clone(),
        };
        let key_text = String::from_utf8_lossy(&key);
        if key_text.contains("ENCRYPTED") {
            return Err(self.bad_identity(LOCKED));
        }
        if !key_text.contains("PRIVATE KEY-----") {
            let hint = if self.key.is_none() { "; --key names its file" } else { "" };
            return Err(self.bad_identity(&format!("no private key is in there (PEM){hint}")));
        }
        Ok(Some(Identity { chain, key }))
    }

    fn bad_identity(&self, why: &str) -> Failure {
        let file = |flag: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!("{flag} {}", path.display()))
        };
        let files = [file("--cert", &self.cert), file("--key", &self.key)];
        let files = files.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Failure::before(Exit::CLIENT_CERTIFICATE, format!("{files}: {why}"))
    }
}

/// Whether it is curl's `FILE:PASSWORD`.
fn has_password(path: &Path) -> bool {
    path.to_str().and_then(|path| path.split_once(':')).is_some_and(|(file, _)| Path::new(file).exists())
}

/// `TLSv1.3, TLS13_AES_256_GCM_SHA384, ALPN http/1.1, full handshake`
fn agreed(session: &TlsSession) -> String {
    let alpn = session.alpn.as_ref().map_or_else(|| "no ALPN".to_owned(), |alpn| format!("ALPN {alpn}"));
    let handshake = if session.resumed { "session resumed" } else { "full handshake" };
    format!("{}, {}, {alpn}, {handshake}", session.version, session.cipher_suite)
}

fn failure(doing: &str, error: &Error) -> Failure {
    let (exit, why) = match error.kind() {
        ErrorKind::Certificate => {
            (Exit::CERTIFICATE, format!("the peer's certificate is not accepted: {}", why(error)))
        }
        ErrorKind::InvalidRequest => (Exit::URL, why(error)),
        ErrorKind::Timeout(_) => (Exit::TLS, "timed out after 10 s".to_owned()),
        _ => (Exit::TLS, why(error)),
    };
    Failure::before(exit, format!("{doing}: {why}"))
}

/// The cause alone: whatever was being done is told anyway.
fn why(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

const TLS: &str = "TLS";
const LOCKED: &str = "a key with a password is not supported: decrypt it first";

//! `https`: whose certificates are accepted, and which one is shown.

use std::fs;
use std::path::{Path, PathBuf};

use adieu::transport::tls::{TlsBuilder, TlsConnector, TlsVersions};
use clap::{Args, ValueEnum};

use super::failure::{Failure, why};
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

/// What a client is told of TLS. Reads all files, so that what is wrong with them is told before the first connection.
pub(super) fn settings(args: &TlsArgs) -> Result<TlsBuilder, Failure> {
    let mut builder = TlsConnector::builder().alpn(["http/1.1"]).versions(args.versions()?);
    if let Some(path) = &args.cacert {
        let bad =
            |why: String| Failure::before(Exit::AUTHORITIES, format!("--cacert {}: {why}", path.display()));
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
    builder.clone().build().map_err(|error| args.bad_identity(&why(&error)))?;
    Ok(builder)
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

const TLS: &str = "TLS";
const LOCKED: &str = "a key with a password is not supported: decrypt it first";

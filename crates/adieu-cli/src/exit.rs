//! The exit codes: curl's, where both programs have the thing.

use std::fmt;
use std::process::ExitCode;

/// How the program exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// All is well.
    pub(crate) const OK: Self = Self(0);
    /// The demo ended otherwise than told.
    pub(crate) const OTHERWISE: Self = Self(1);
    /// The command line makes no sense, asks for what does not exist yet, or names a file that cannot be opened.
    pub(crate) const USAGE: Self = Self(2);
    /// A URL that cannot be fetched.
    pub(crate) const URL: Self = Self(3);
    /// The proxy cannot be read, or its name has no address.
    pub(crate) const PROXY_NAME: Self = Self(5);
    /// The host name has no address.
    pub(crate) const HOST: Self = Self(6);
    /// No connection.
    pub(crate) const CONNECT: Self = Self(7);
    /// The response head breaks the protocol.
    pub(crate) const BAD_RESPONSE: Self = Self(8);
    /// The response body is shorter than it said.
    pub(crate) const PARTIAL: Self = Self(18);
    /// `--fail`, and a status of 400 or more.
    pub(crate) const STATUS: Self = Self(22);
    /// What came could not be written.
    pub(crate) const WRITE: Self = Self(23);
    /// A deadline passed.
    pub(crate) const TIMEOUT: Self = Self(28);
    /// The TLS handshake failed.
    pub(crate) const TLS: Self = Self(35);
    /// Too many redirects.
    pub(crate) const REDIRECTS: Self = Self(47);
    /// The peer ended without a byte of a response.
    pub(crate) const NO_RESPONSE: Self = Self(52);
    /// Sending failed.
    pub(crate) const SEND: Self = Self(55);
    /// Receiving failed, or a proxy made no tunnel.
    pub(crate) const RECEIVE: Self = Self(56);
    /// The client's certificate or its key cannot be used.
    pub(crate) const CLIENT_CERTIFICATE: Self = Self(58);
    /// The peer's certificate is not accepted.
    pub(crate) const CERTIFICATE: Self = Self(60);
    /// The file of trusted authorities cannot be used.
    pub(crate) const AUTHORITIES: Self = Self(77);
    /// SOCKS failed.
    pub(crate) const SOCKS: Self = Self(97);
    /// Ctrl-C.
    pub(crate) const INTERRUPTED: Self = Self(130);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

impl From<Exit> for i32 {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

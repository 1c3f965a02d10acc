//! What went wrong with a request: an exit code and one line.

use std::error::Error as _;

use adieu::connect::{Proxy, Target as Origin};
use adieu::{Blame, Error, ErrorKind, ExchangePhase, Fate, Phase};

use crate::exit::Exit;

/// Why a request failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(super) exit: Exit,
    /// One line, without the exit code.
    pub(super) what: String,
    pub(super) fate: Fate,
    pub(super) tell: Tell,
}

/// Whether it is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Aloud,
    /// Whoever reads our output has left; that is how `| head` works.
    No,
}

impl Failure {
    /// A failure before anything was written.
    pub(super) fn before(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), fate: Fate::NotSent, tell: Tell::Aloud }
    }

    /// A failure after something was written.
    pub(super) fn after(exit: Exit, what: impl Into<String>) -> Self {
        Self { fate: Fate::Unknown, ..Self::before(exit, what) }
    }

    /// A failure after the response began to come.
    pub(super) fn answered(exit: Exit, what: impl Into<String>) -> Self {
        Self { fate: Fate::Answered, ..Self::before(exit, what) }
    }

    /// What the client says of a request to this origin; it and its proxy are named where no connection is.
    pub(super) fn of(error: &Error, origin: &Origin, proxy: Option<&Proxy>) -> Self {
        let mut what = error.to_string();
        let source = error.source().map(ToString::to_string);
        if let Some(source) = source.filter(|source| !what.contains(source)) {
            what = format!("{what}: {source}");
        }
        if error.connection().is_none() && error.kind() != ErrorKind::InvalidRequest {
            let connecting = matches!(error.kind(), ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect));
            what = match proxy.filter(|_| connecting) {
                Some(proxy) => format!("{origin} through the proxy {proxy}: {what}"),
                None => format!("{origin}: {what}"),
            };
        }
        Self { exit: exit_of(error), what, fate: error.fate(), tell: Tell::Aloud }
    }

    /// What came could not be written.
    pub(super) fn write(error: &std::io::Error, whereto: &str) -> Self {
        let tell = if error.kind() == std::io::ErrorKind::BrokenPipe { Tell::No } else { Tell::Aloud };
        Self { tell, ..Self::answered(Exit::WRITE, format!("writing to {whereto}: {error}")) }
    }
}

/// The cause alone, where what was being done is told anyway.
pub(super) fn why(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// curl's code for it.
fn exit_of(error: &Error) -> Exit {
    let sending = matches!(
        error.phase(),
        ExchangePhase::SendingHead | ExchangePhase::AwaitingContinue | ExchangePhase::SendingBody
    );
    let in_body = error.phase() == ExchangePhase::ReceivingBody;
    match error.kind() {
        ErrorKind::InvalidRequest => Exit::USAGE,
        ErrorKind::ProxyResolve => Exit::PROXY_NAME,
        ErrorKind::Resolve => Exit::HOST,
        ErrorKind::Connect => Exit::CONNECT,
        ErrorKind::Proxy if why(error).starts_with("socks5") => Exit::SOCKS,
        ErrorKind::Proxy => Exit::RECEIVE,
        ErrorKind::Certificate => Exit::CERTIFICATE,
        ErrorKind::TlsSetup => Exit::AUTHORITIES,
        ErrorKind::Tls if error.connection().is_none() => Exit::TLS,
        ErrorKind::NoResponse => Exit::NO_RESPONSE,
        ErrorKind::HalfCloseRefused if in_body => Exit::PARTIAL,
        ErrorKind::HalfCloseRefused => Exit::NO_RESPONSE,
        ErrorKind::IncompleteBody => Exit::PARTIAL,
        ErrorKind::BadResponse => Exit::BAD_RESPONSE,
        ErrorKind::TooLarge if !in_body => Exit::BAD_RESPONSE,
        ErrorKind::Timeout(_) => Exit::TIMEOUT,
        ErrorKind::Reset | ErrorKind::Network | ErrorKind::Tls if sending => Exit::SEND,
        ErrorKind::IncompleteHead
        | ErrorKind::BadBody
        | ErrorKind::TooLarge
        | ErrorKind::Reset
        | ErrorKind::Network
        | ErrorKind::Tls => Exit::RECEIVE,
        // It was gone before anything was written.
        ErrorKind::Closed if matches!(error.blame(), Blame::Peer | Blame::Network) => Exit::RECEIVE,
        _ => Exit::SEND,
    }
}

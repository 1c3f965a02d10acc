//! What can go wrong with a request, and who can mend it.

use std::fmt;
use std::io;

use adieu_proto::codec::request::Unsendable;
use adieu_proto::fate::{Answer, Facts, Fate, Refusal, fate_of};
use adieu_proto::h1::{BodyMisfit, Failure};
use adieu_proto::lifecycle::{Blame, CloseReason, ConnectionId, ExchangePhase, Phase};
use http::StatusCode;

/// Any error of a caller's own body or transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request failed. Prints as one line for people; [`kind`](Self::kind) is for code.
pub struct Error(Box<Cause>);

struct Cause {
    kind: ErrorKind,
    reason: Option<CloseReason>,
    at: ExchangePhase,
    facts: Option<Facts>,
    answer: Answer,
    connection: Option<ConnectionId>,
    source: Option<BoxError>,
    replays: u32,
    earlier: Earlier,
    refusal: Option<Refusal>,
}

/// What became of the attempts before the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// There were none, or none of them was processed.
    Harmless,
    /// One of them may have been processed.
    Unknown,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be sent as it is. Nothing was written.
    InvalidRequest,
    /// There is no tokio runtime here.
    NoRuntime,
    /// The client was closed before the request could begin.
    ClientClosed,
    /// The name of the host was not found.
    Resolve,
    /// The name of the proxy was not found.
    ProxyResolve,
    /// No address of the host, or of the proxy, took a connection; the source lists them.
    Connect,
    /// The response has this status, and [`ResponseExt::error_for_status`](crate::ResponseExt::error_for_status) was asked.
    Status(StatusCode),
    /// The proxy refused, or answered something else than a proxy would.
    Proxy,
    /// The response before this one is still being read: read it to its end or drop it. Nothing was written.
    NotReady,
    /// The connection was on its way out, gone, or closed by this side; [`Error::close_reason`] tells why.
    Closed,
    /// The connection ended before any byte of a response.
    NoResponse,
    /// The connection ended inside the response head.
    IncompleteHead,
    /// The response head breaks the protocol.
    BadResponse,
    /// The connection ended inside the response body.
    IncompleteBody,
    /// The coding of the response body breaks the protocol.
    BadBody,
    /// The peer sent more than a limit allows.
    TooLarge,
    /// A deadline passed; which phase was too long.
    Timeout(Phase),
    /// The peer reset the connection.
    Reset,
    /// The network failed otherwise.
    Network,
    /// The TLS handshake failed, or TLS broke later on: an alert of the peer, a violation, no TLS at all.
    Tls,
    /// TLS cannot be set up: a certificate or key of ours cannot be read, or there is no provider of cryptography.
    TlsSetup,
    /// The certificate that the peer showed in the TLS handshake is not accepted.
    Certificate,
    /// The request's own body failed, or did not fit its length.
    RequestBody,
    /// The peer ended without a whole response after our side had ended on purpose.
    HalfCloseRefused,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Cause {
            kind,
            reason: None,
            at: ExchangePhase::None,
            facts: None,
            answer: Answer::None,
            connection: None,
            source: None,
            replays: 0,
            earlier: Earlier::Harmless,
            refusal: None,
        }))
    }

    pub(crate) fn closed(reason: CloseReason, connection: ConnectionId) -> Self {
        Self::new(ErrorKind::Closed).because(reason).on(connection)
    }

    pub(crate) fn unsendable(unsendable: Unsendable) -> Self {
        Self::new(ErrorKind::InvalidRequest).with(match unsendable {
            Unsendable::NoHost => "the request has no Host: give an absolute URI or a Host header",
            Unsendable::TwoHosts => "the request has more than one Host header",
            Unsendable::WrongLength => "Content-Length is no number, or not the length of the body",
            Unsendable::WrongCoding => {
                "only `Transfer-Encoding: chunked` can be sent, and not with Content-Length"
            }
            Unsendable::LengthUnknown => "HTTP/1.0 needs a body whose length is known",
            Unsendable::NoAuthority => "CONNECT needs host:port as its target",
            Unsendable::Version => "only HTTP/1.0 and HTTP/1.1 can be spoken on this connection",
            _ => "the request cannot be sent as it is",
        })
    }

    pub(crate) fn failed(failure: Failure, connection: ConnectionId) -> Self {
        use CloseReason as R;
        let in_body = failure.at == ExchangePhase::ReceivingBody;
        let kind = match &failure.reason {
            R::PeerEndedEarly | R::TlsTruncated if in_body => ErrorKind::IncompleteBody,
            R::PeerEndedEarly | R::TlsTruncated if failure.facts.answered == 0 => ErrorKind::NoResponse,
            R::PeerEndedEarly | R::TlsTruncated => ErrorKind::IncompleteHead,
            R::ProtocolError(_) if in_body => ErrorKind::BadBody,
            R::ProtocolError(_) => ErrorKind::BadResponse,
            R::LimitExceeded(_) => ErrorKind::TooLarge,
            R::TimedOut(phase) => ErrorKind::Timeout(*phase),
            R::Reset => ErrorKind::Reset,
            R::Network(_) => ErrorKind::Network,
            R::TlsAlert(_) | R::TlsBroken(_) => ErrorKind::Tls,
            R::RequestBodyFailed => ErrorKind::RequestBody,
            R::HalfCloseRefused => ErrorKind::HalfCloseRefused,
            // The peer had ended it before, and the request met its end.
            R::PeerClosedIdle if failure.facts.handed > 0 => ErrorKind::NoResponse,
            _ => ErrorKind::Closed,
        };
        let mut error = Self::new(kind).because(failure.reason).on(connection);
        error.0.at = failure.at;
        error.of_request(failure.facts, failure.answer)
    }

    /// What is known of the request, and what came back for it.
    pub(crate) fn of_request(mut self, facts: Facts, answer: Answer) -> Self {
        (self.0.facts, self.0.answer) = (Some(facts), answer);
        self
    }

    /// How often it was sent again before this, what became of it then, and why it was not sent once more.
    pub(crate) fn after(&mut self, replays: u32, earlier: Earlier, refusal: Option<Refusal>) {
        (self.0.replays, self.0.earlier, self.0.refusal) = (replays, earlier, refusal);
    }

    pub(crate) fn misfit(misfit: BodyMisfit) -> Self {
        Self::new(ErrorKind::RequestBody).because(CloseReason::RequestBodyFailed).with(misfit)
    }

    pub(crate) fn request_body(source: BoxError) -> Self {
        let source = match source.downcast::<Self>() {
            // A wrapped body has said so already.
            Ok(said) if said.0.kind == ErrorKind::RequestBody => match said.0.source {
                Some(source) => source,
                None => said.into(),
            },
            Ok(other) => other,
            Err(source) => source,
        };
        Self::new(ErrorKind::RequestBody).because(CloseReason::RequestBodyFailed).with(source)
    }

    fn because(mut self, reason: CloseReason) -> Self {
        self.0.reason = Some(reason);
        self
    }

    pub(crate) fn on(mut self, connection: ConnectionId) -> Self {
        self.0.connection = Some(connection);
        self
    }

    pub(crate) fn with(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Who can mend it: the peer, the network, a policy or limit of this side, or the caller.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match (self.0.kind, &self.0.reason) {
            (ErrorKind::InvalidRequest | ErrorKind::NotReady | ErrorKind::RequestBody, _) => Blame::Caller,
            (_, Some(reason)) => reason.blame(),
            (ErrorKind::Resolve | ErrorKind::ProxyResolve | ErrorKind::Connect, None) => Blame::Network,
            (ErrorKind::Proxy | ErrorKind::Status(_) | ErrorKind::BadBody, None) => Blame::Peer,
            (ErrorKind::Timeout(Phase::TlsHandshake), None) => Blame::Peer,
            (ErrorKind::Timeout(Phase::PoolWait | Phase::Exchange), None) => Blame::Policy,
            (ErrorKind::Timeout(Phase::ProxyHandshake), None) => Blame::Peer,
            (ErrorKind::Timeout(_), None) => Blame::Network,
            (ErrorKind::Tls | ErrorKind::Certificate, None) => Blame::Peer,
            (_, None) => Blame::Caller,
        }
    }

    /// Why the connection ended, where that is why the request failed.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.0.reason.as_ref()
    }

    /// How far the exchange was.
    #[must_use]
    pub fn phase(&self) -> ExchangePhase {
        self.0.at
    }

    /// What the connection of the last attempt knows of the request; `None`: it was not begun there, not a byte was
    /// written. What became of attempts before it, the [fate](Self::fate) tells.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.0.facts.as_ref()
    }

    /// What became of the request: whether the peer can have acted on it. A verdict, drawn from the
    /// [facts](Self::facts) alone; of a request that was sent several times, over all of its attempts.
    ///
    /// ```
    /// # fn example(error: adieu::Error) -> bool {
    /// use adieu::Fate;
    ///
    /// let may_be_sent_again = matches!(error.fate(), Fate::NotSent | Fate::NotProcessed(_));
    /// # may_be_sent_again
    /// # }
    /// ```
    #[must_use]
    pub fn fate(&self) -> Fate {
        match (self.last_fate(), self.0.earlier) {
            (Fate::NotSent | Fate::NotProcessed(_), Earlier::Unknown) => Fate::Unknown,
            (last, _) => last,
        }
    }

    /// What became of the last attempt.
    pub(crate) fn last_fate(&self) -> Fate {
        match (&self.0.facts, self.0.kind) {
            (Some(facts), _) => fate_of(facts, self.0.answer),
            // They are about a response.
            (None, ErrorKind::Status(_) | ErrorKind::BadBody | ErrorKind::IncompleteBody) => Fate::Answered,
            (None, _) => Fate::NotSent,
        }
    }

    /// How often the request was sent again before it failed for good.
    #[must_use]
    pub fn replays(&self) -> u32 {
        self.0.replays
    }

    /// Why a client did not send the request again; `None`: that was no question, for it never came so far, or was sent on
    /// a connection of the caller's own.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.0.refusal
    }

    /// On which connection.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.0.connection
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = &*self.0;
        match (cause.kind, &cause.reason) {
            (ErrorKind::InvalidRequest, _) => f.write_str("invalid request")?,
            (ErrorKind::NoRuntime, _) => f.write_str("no tokio runtime here: call it from within one")?,
            (ErrorKind::ClientClosed, _) => f.write_str("the client is closed")?,
            (ErrorKind::Resolve, _) => f.write_str("the host was not found")?,
            (ErrorKind::ProxyResolve, _) => f.write_str("the proxy was not found")?,
            (ErrorKind::Connect, _) => f.write_str("could not connect")?,
            (ErrorKind::Proxy, _) => f.write_str("the proxy refused")?,
            (ErrorKind::Status(status), _) => write!(f, "the response has the status {status}")?,
            (ErrorKind::NotReady, _) => {
                f.write_str(
                    "the response before this one is still being read: read it to its end or drop it",
                )?;
            }
            (ErrorKind::Closed, Some(reason)) => write!(f, "the connection is closed: {reason}")?,
            (ErrorKind::Closed, None) => f.write_str("the connection is closed")?,
            (ErrorKind::NoResponse, _) => f.write_str("the peer ended before any byte of a response")?,
            (ErrorKind::IncompleteHead, _) => f.write_str("the peer ended inside the response head")?,
            (ErrorKind::IncompleteBody, Some(CloseReason::TlsTruncated)) => {
                f.write_str("the peer ended without close_notify: the response body may be cut short")?;
            }
            (ErrorKind::IncompleteBody, _) => f.write_str("the peer ended inside the response body")?,
            (ErrorKind::BadResponse, Some(CloseReason::ProtocolError(what))) => {
                write!(f, "bad response head: {what}")?
            }
            (ErrorKind::BadBody, Some(CloseReason::ProtocolError(what))) => {
                write!(f, "bad response body: {what}")?
            }
            (ErrorKind::BadBody, None) => f.write_str("bad response body")?,
            (ErrorKind::Tls, None) => f.write_str("the TLS handshake failed")?,
            (ErrorKind::TlsSetup, _) => f.write_str("TLS cannot be set up")?,
            (ErrorKind::Certificate, _) => {
                f.write_str("the TLS handshake failed: the peer's certificate is not accepted")?;
            }
            (ErrorKind::Timeout(phase), _) => write!(f, "timed out: {phase}")?,
            (ErrorKind::Reset, _) => write!(f, "the peer reset the connection while {}", cause.at)?,
            (ErrorKind::RequestBody, _) => f.write_str("the request body failed")?,
            (_, Some(reason)) => write!(f, "{reason}")?,
            (kind, None) => write!(f, "{kind:?}")?,
        }
        // Only the source tells what a person could do about it.
        let tells = matches!(
            cause.kind,
            ErrorKind::InvalidRequest
                | ErrorKind::Resolve
                | ErrorKind::ProxyResolve
                | ErrorKind::Connect
                | ErrorKind::Proxy
                | ErrorKind::BadBody
                | ErrorKind::Tls
                | ErrorKind::TlsSetup
                | ErrorKind::Certificate
        ) || matches!((cause.kind, &cause.reason), (ErrorKind::Timeout(_), None));
        if let Some(source) = &cause.source
            && tells
        {
            write!(f, ": {source}")?;
        }
        match (cause.connection, cause.replays) {
            (None, 0) => Ok(()),
            (None, replays) => write!(f, " (sent again{})", times(replays)),
            (Some(connection), 0) => write!(f, " (connection {connection})"),
            (Some(connection), replays) => {
                write!(f, " (connection {connection}, sent again{})", times(replays))
            }
        }
    }
}

/// Once goes without saying.
fn times(replays: u32) -> String {
    if replays == 1 { String::new() } else { format!(" {replays} times") }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("reason", &self.0.reason).field("at", &self.0.at);
        debug
            .field("fate", &self.fate())
            .field("facts", &self.0.facts)
            .field("connection", &self.0.connection)
            .field("replays", &self.0.replays)
            .field("refusal", &self.0.refusal)
            .field("source", &self.0.source);
        debug.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.0.kind, &error.0.reason) {
            (ErrorKind::InvalidRequest, _) => io::ErrorKind::InvalidInput,
            (ErrorKind::Timeout(_), _) => io::ErrorKind::TimedOut,
            (ErrorKind::Resolve | ErrorKind::ProxyResolve, _) => io::ErrorKind::NotFound,
            (ErrorKind::Connect, _) => io::ErrorKind::ConnectionRefused,
            (ErrorKind::ClientClosed, _) => io::ErrorKind::ConnectionAborted,
            (ErrorKind::Reset, _) => io::ErrorKind::ConnectionReset,
            (ErrorKind::NoResponse | ErrorKind::IncompleteHead | ErrorKind::IncompleteBody, _) => {
                io::ErrorKind::UnexpectedEof
            }
            (ErrorKind::BadResponse | ErrorKind::BadBody | ErrorKind::TooLarge, _)
            | (ErrorKind::Tls | ErrorKind::Certificate, _) => io::ErrorKind::InvalidData,
            (ErrorKind::Network, Some(CloseReason::Network(kind))) => *kind,
            (ErrorKind::Closed | ErrorKind::HalfCloseRefused, _) => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

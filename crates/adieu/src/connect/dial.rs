//! To the first of several addresses that takes the connection: Happy Eyeballs (RFC 8305).

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::Phase;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::options::TcpOptions;
use crate::error::{Error, ErrorKind};
use crate::observe::{Happening, Teller};
use crate::rt;

/// Connects to one address.
pub(super) trait Dial: Sync {
    /// What a connect gives.
    type Socket: Send;

    /// Dropped, it gives up at once and leaves nothing behind.
    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Dial for TcpOptions {
    type Socket = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connect(address).await
    }
}

/// How long addresses are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Each, before the next one is tried beside it.
    pub(super) head_start: Duration,
    /// All of them together.
    pub(super) limit: Option<Duration>,
}

/// Connects to the first address that takes the connection, in this order. Those that lost are let go of before this
/// returns.
pub(super) async fn race<D: Dial>(
    dial: &D,
    addresses: &[SocketAddr],
    pace: Pace,
    teller: &Teller,
) -> Result<D::Socket, Error> {
    let attempts = addresses.iter().map(|address| Attempt { address: *address, state: State::Waiting });
    let mut race = Race { dial, teller, began: rt::now(), attempts: attempts.collect() };
    match rt::within(pace.limit, race.run(pace.head_start.max(SHORTEST_HEAD_START))).await {
        Some(Some(socket)) => Ok(socket),
        Some(None) => Err(Error::new(ErrorKind::Connect).with(race.tried())),
        None => Err(Error::new(ErrorKind::Timeout(Phase::Connect)).with(race.tried())),
    }
}

struct Race<'r, D: Dial> {
    dial: &'r D,
    teller: &'r Teller,
    began: Instant,
    /// In the order in which they are tried.
    attempts: Vec<Attempt<'r, D::Socket>>,
}

struct Attempt<'r, S> {
    address: SocketAddr,
    state: State<'r, S>,
}

enum State<'r, S> {
    /// Its turn has not come.
    Waiting,
    Running(Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'r>>),
    Failed(Box<str>),
}

/// What to do after a wait.
enum Turn<S> {
    Won(S),
    /// The next address may try: one failed, or the head start is over.
    Next,
}

impl<'r, D: Dial> Race<'r, D> {
    /// `None`: all failed.
    async fn run(&mut self, head_start: Duration) -> Option<D::Socket> {
        loop {
            self.start_next();
            if !self.attempts.iter().any(Attempt::is_running) {
                return None;
            }
            let mut head_start = pin!(rt::sleep(head_start));
            match poll_fn(|cx| self.poll_turn(cx, head_start.as_mut())).await {
                Turn::Won(socket) => return Some(socket),
                Turn::Next => {}
            }
        }
    }

    fn start_next(&mut self) {
        let Some(next) = self.attempts.iter_mut().find(|attempt| attempt.is_waiting()) else { return };
        let address = next.address;
        let dial: &'r D = self.dial;
        next.state = State::Running(Box::pin(dial.dial(address)));
        self.teller.tell(rt::now(), || Happening::Connecting { address });
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, head_start: Pin<&mut Sleep>) -> Poll<Turn<D::Socket>> {
        let mut failures = 0_usize;
        for attempt in &mut self.attempts {
            let State::Running(connecting) = &mut attempt.state else { continue };
            let address = attempt.address;
            match connecting.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(socket)) => {
                    let now = rt::now();
                    let took = now.saturating_duration_since(self.began);
                    self.teller.tell(now, || Happening::Connected { address, took });
                    return Poll::Ready(Turn::Won(socket));
                }
                Poll::Ready(Err(error)) => {
                    let words = words(&error);
                    self.teller.tell(rt::now(), || Happening::ConnectFailed {
                        address,
                        error: words.as_str().into(),
                    });
                    attempt.state = State::Failed(words.into());
                    failures += 1;
                }
            }
        }
        // RFC 8305 section 5: the delay is cut short where an attempt has failed before its end.
        if failures > 0 {
            return Poll::Ready(Turn::Next);
        }
        match self.attempts.iter().any(Attempt::is_waiting) {
            true => head_start.poll(cx).map(|()| Turn::Next),
            false => Poll::Pending,
        }
    }

    fn tried(&self) -> Tried {
        let outcome = |attempt: &Attempt<'_, _>| match &attempt.state {
            State::Waiting => (attempt.address, "not tried".into()),
            State::Running(_) => (attempt.address, "no answer".into()),
            State::Failed(why) => (attempt.address, why.clone()),
        };
        Tried(self.attempts.iter().map(outcome).collect())
    }
}

impl<S> Attempt<'_, S> {
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }
}

/// What became of each address.
#[derive(Debug)]
struct Tried(Vec<(SocketAddr, Box<str>)>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (address, outcome)) in self.0.iter().enumerate() {
            let before = if number == 0 { "" } else { "; " };
            write!(f, "{before}{address}: {outcome}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Tried {}

/// An error of the system without its number.
pub(super) fn words(error: &io::Error) -> String {
    if error.raw_os_error().is_none() {
        return error.to_string();
    }
    let known = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "no answer, the system gave up",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::AddrNotAvailable => "address not available",
        io::ErrorKind::PermissionDenied => "not permitted",
        io::ErrorKind::NotFound => "not found",
        _ => return error.to_string(),
    };
    known.to_owned()
}

/// RFC 8305 section 5: the delay "MUST NOT be less than 10 milliseconds".
const SHORTEST_HEAD_START: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;

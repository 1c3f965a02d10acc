//! One connection an origin: kept, used again, replaced when it is gone, closed and awaited at the end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use adieu::conn::http1::{Builder, SendRequest};
use adieu::conn::{Connection, Watch};
use adieu::{CloseKind, CloseMode, CloseReport, State, Use};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::failure::{Failure, Tell};
use super::plan::Plan;
use super::report::Report;
use super::route::{Route, Socket};
use super::story::Story;
use super::target::Target;
use super::tls::Tls;
use super::voice::{Opening, Voice};
use crate::exit::Exit;

/// The connections of a run.
pub(super) struct Origins<'p> {
    route: &'p Route,
    tls: &'p Tls,
    close: CloseMode,
    builder: Builder,
    voice: Arc<Voice>,
    report: Arc<Report>,
    /// By origin, while nobody uses them.
    kept: RefCell<HashMap<String, Hold>>,
    /// All that are not gone.
    handles: RefCell<Vec<Connection>>,
    /// One a connection; each ends with its connection's report.
    witnesses: RefCell<JoinSet<Result<(), Failure>>>,
    doors: Cell<Doors>,
}

/// A connection in use.
pub(super) struct Hold {
    pub(super) sender: SendRequest,
    pub(super) connection: Connection,
    pub(super) story: Arc<Story>,
    pub(super) used: Use,
}

/// Whether connections may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doors {
    Open,
    Shut,
}

impl<'p> Origins<'p> {
    pub(super) fn new(plan: &'p Plan, voice: Arc<Voice>, report: Arc<Report>) -> Self {
        let close = plan.close;
        let interim = voice.clone();
        let builder =
            Builder::new().linger(close.linger_limit()).on_interim(move |head| interim.response(head));
        Self {
            route: &plan.route,
            tls: &plan.tls,
            close,
            builder,
            voice,
            report,
            kept: RefCell::default(),
            handles: RefCell::default(),
            witnesses: RefCell::default(),
            doors: Cell::new(Doors::Open),
        }
    }

    /// The kept connection of this origin, or a new one.
    pub(super) async fn check_out(&self, target: &Target, opening: &Opening) -> Result<Hold, Failure> {
        let kept = self.kept.borrow_mut().remove(&target.origin());
        if let Some(mut hold) = kept {
            match hold.sender.ready().await {
                Ok(()) => return Ok(Hold { used: Use::Reused, ..hold }),
                Err(error) => self.voice.step(error),
            }
        }
        self.open(target, opening).await
    }

    /// Keeps a connection for the next request; whether it can take one is seen then.
    pub(super) fn check_in(&self, target: &Target, hold: Hold) {
        self.kept.borrow_mut().insert(target.origin(), hold);
    }

    async fn open(&self, target: &Target, opening: &Opening) -> Result<Hold, Failure> {
        if self.doors.get() == Doors::Shut {
            return Err(Failure { tell: Tell::No, ..Failure::before(Exit::INTERRUPTED, "interrupted") });
        }
        let origin = target.origin();
        let until = self.route.until();
        let builder = self.builder.clone().origin(&origin);
        let (sender, connection) = match self.route.dial(target, until, opening).await? {
            Socket::Tcp(socket) => self.speak(&builder, target, socket, until, opening).await?,
            #[cfg(unix)]
            Socket::Unix(socket) => self.speak(&builder, target, socket, until, opening).await?,
        };
        self.voice.connection(connection.id(), format_args!("connected to {origin}"));
        let story = Arc::new(Story::new(&connection, self.voice.clone()));
        let watch = self.voice.tells_steps().then(|| connection.watch());
        let mut witnesses = self.witnesses.borrow_mut();
        witnesses.spawn(witness(watch, connection.closed(), story.clone(), self.report.clone()));
        while let Some(done) = witnesses.try_join_next() {
            told(done)?;
        }
        let mut handles = self.handles.borrow_mut();
        handles.retain(|connection| connection.report().is_none());
        handles.push(connection.clone());
        Ok(Hold { sender, connection, story, used: Use::Fresh })
    }

    /// HTTP over `socket`, or over TLS over it.
    async fn speak<T>(
        &self,
        builder: &Builder,
        target: &Target,
        socket: T,
        until: Option<Instant>,
        opening: &Opening,
    ) -> Result<(SendRequest, Connection), Failure>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let opened = if target.is_tls() {
            let stream = self.tls.shake_hands(target, socket, until, opening).await?;
            builder.handshake_on(stream).await
        } else {
            builder.handshake(socket).await
        };
        opened.map_err(|error| Failure::of(&error))
    }

    /// With `--close half`, ends our side of a connection whose last exchange is in flight.
    pub(super) fn end_our_side(&self, connection: &Connection) {
        if self.close.kind() == CloseKind::Half {
            drop(connection.close(self.close));
        }
    }

    /// Closes all, beginning with this call, and opens none from now on; the future is done when all are gone.
    pub(super) fn close_all(&self, mode: CloseMode) -> impl Future<Output = ()> + use<> {
        self.doors.set(Doors::Shut);
        let closings: Vec<_> =
            self.handles.borrow().iter().map(|connection| connection.close(mode)).collect();
        async move {
            for closing in closings {
                closing.await;
            }
        }
    }

    /// Waits until every report is written.
    pub(super) async fn told(&self) -> Result<(), Failure> {
        let mut witnesses = self.witnesses.take();
        while let Some(done) = witnesses.join_next().await {
            told(done)?;
        }
        Ok(())
    }
}

/// Tells each state of a connection as it comes, and its report.
async fn witness(
    mut watch: Option<Watch>,
    closed: impl Future<Output = CloseReport>,
    story: Arc<Story>,
    report: Arc<Report>,
) -> Result<(), Failure> {
    let mut closed = pin!(closed);
    let ended = loop {
        let Some(states) = &mut watch else { break closed.await };
        tokio::select! {
            biased;
            state = states.changed() => {
                story.catch_up();
                if state == State::Closed {
                    watch = None;
                }
            }
            ended = &mut closed => break ended,
        }
    };
    story.ends(&ended);
    report.connection(&ended)
}

fn told(done: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    done.unwrap_or_else(|error| Err(Failure::after(Exit::WRITE, format!("a report was lost: {error}"))))
}

//! What the client tells of its connections, made into steps, report lines, and what is being done right now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use adieu::connect::{Proxies, Scheme, Target as Origin};
use adieu::observe::{Event, Happening};
use adieu::{Client, CloseKind, CloseReport, ConnectionId, State};

use super::plan::Plan;
use super::queue::Queue;
use super::report::Report;
use super::voice::{Told, Voice};

/// Listens to the client.
pub(super) struct Watch {
    plan: Arc<Plan>,
    queue: Arc<Queue>,
    voice: Arc<Voice>,
    report: Arc<Report>,
    /// Set once there is one.
    client: OnceLock<Client>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Connections that are being opened: whom for, and the last step.
    opening: BTreeMap<ConnectionId, (Arc<str>, Happening)>,
    /// The request whose turn it is, as long as it has no connection.
    turn: Option<Told>,
}

impl Watch {
    pub(super) fn new(plan: Arc<Plan>, queue: Arc<Queue>, voice: Arc<Voice>, report: Arc<Report>) -> Self {
        Self { plan, queue, voice, report, client: OnceLock::new(), notes: Mutex::default() }
    }

    /// This is the client that is watched.
    pub(super) fn meet(&self, client: Client) {
        self.client.get_or_init(|| client);
    }

    /// Gives a request its turn; its head is told, and taken away, when it has its connection. All turns are taken on one
    /// thread, so that the exchange which begins in a turn is that of its request.
    pub(super) fn turn<T>(&self, head: &mut Option<Told>, take: impl FnOnce() -> T) -> T {
        self.notes().turn = head.take();
        let outcome = take();
        *head = self.notes().turn.take();
        outcome
    }

    /// Something happened.
    pub(super) fn observe(&self, event: &Event) {
        if let Happening::Replayed { .. } | Happening::NotReplayed { .. } = event.what {
            return self.voice.step(&event.what);
        }
        let Some(id) = event.connection else { return };
        self.tell(id, event);
        match &event.what {
            Happening::Opened => {
                self.notes().opening.remove(&id);
            }
            Happening::ExchangeBegan { .. } => {
                if let Some(head) = self.notes().turn.take() {
                    self.voice.tell(head);
                }
                self.end_our_side(id, &event.origin);
            }
            Happening::Closed { report } => self.closed(report),
            step @ (Happening::Opening
            | Happening::Resolving { .. }
            | Happening::Connecting { .. }
            | Happening::Connected { .. }
            | Happening::ProxyDone { .. }) => {
                self.notes().opening.insert(id, (event.origin.clone(), step.clone()));
            }
            _ => {}
        }
    }

    fn closed(&self, report: &CloseReport) {
        // What never opened was no connection.
        if self.notes().opening.remove(&report.id).is_none() {
            self.report.connection(report);
        }
    }

    /// The step, for people.
    fn tell(&self, id: ConnectionId, event: &Event) {
        if !self.voice.tells_steps() {
            return;
        }
        match &event.what {
            Happening::Opening => {
                self.voice.step(format_args!("{id} opening a connection to {}", event.origin))
            }
            Happening::Closed { report } => self.voice.step(report),
            Happening::StateChanged { to, .. } => match to {
                // Exchanges are told anyway, and so is the report.
                State::Idle | State::Active | State::Closed => {}
                leaving => self.voice.step(format_args!("{id} {leaving}")),
            },
            // Waiting is nothing that a connection does.
            Happening::Served { .. } => {}
            what => self.voice.step(format_args!("{id} {what}")),
        }
    }

    /// With `--close half`, ends our side of a connection whose last exchange has begun.
    fn end_our_side(&self, id: ConnectionId, origin: &str) {
        let mode = self.plan.close;
        if mode.kind() == CloseKind::Half
            && !self.queue.holds(origin)
            && let Some(client) = self.client.get()
        {
            drop(client.close_connection(id, mode));
        }
    }

    /// What is being done to get a connection to this origin: what was begun last.
    pub(super) fn doing(&self, origin: &Origin) -> String {
        let name = origin.to_string();
        let notes = self.notes();
        let mut ours = notes.opening.values().rev().filter(|(of, _)| **of == *name);
        match ours.next() {
            Some((_, step)) => doing(step, origin, &self.plan.reach.proxies),
            None => "waiting for a connection".to_owned(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes on after this step; neither TLS nor what a proxy is asked is told when it begins.
fn doing(step: &Happening, origin: &Origin, proxies: &Proxies) -> String {
    match (step, proxies.proxy_for(origin)) {
        (Happening::Connected { .. }, Some(proxy)) => format!("waiting for the proxy {proxy}"),
        (Happening::Connected { .. } | Happening::ProxyDone { .. }, _)
            if origin.scheme() == Scheme::Https =>
        {
            "TLS handshake".to_owned()
        }
        (Happening::Resolving { .. } | Happening::Connecting { .. }, _) => step.to_string(),
        _ => "opening a connection".to_owned(),
    }
}

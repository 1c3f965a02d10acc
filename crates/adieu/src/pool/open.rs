//! The task that opens a connection. It belongs to nobody: a request that is cancelled leaves it to the others.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use adieu_proto::h1::Engine;
use adieu_proto::lifecycle::{
    CloseReason, CloseReport, Input, Lifecycle, LifecycleLimits, Protocol, Readers,
};
use adieu_proto::shelf::{Effects, Opening, Origin};

use super::desk::Todo;
use super::registry::{Birth, Live};
use super::{Learn, Pool, Shelved};
use crate::connect::{Opened, Target};
use crate::drive::{Kept, Parts, Wire, next_id};
use crate::error::{Error, ErrorKind};
use crate::observe::{Happening, Teller};
use crate::rt::{self, Runtime};

/// An opening under way. Dropped before its end (its runtime is gone, or a connector panicked) it has failed.
struct Attempt {
    pool: Arc<Pool>,
    opening: Opening,
    origin: Origin,
    birth: Arc<Birth>,
    teller: Teller,
    stage: Stage,
    begun: Arc<Mutex<Begun>>,
}

/// Whether its task has begun for whoever spawned it, who then does what follows from an end that came before.
enum Begun {
    NotYet(Option<Todo>),
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Over,
}

impl Pool {
    /// Opens a connection, in a task of its own on the runtime of its origin. Where that runtime is gone, gives what
    /// follows from it.
    pub(super) fn open(self: &Arc<Self>, opening: Opening, origin: Origin) -> Option<Todo> {
        let (now, id) = (rt::now(), next_id());
        let mut desk = self.desk();
        if self.settings.learn == Learn::Yes {
            desk.review(origin, now);
        }
        let entry = desk.entry(origin)?;
        let (target, text, runtime) = (entry.target.clone(), entry.text.clone(), entry.runtime.clone());
        drop(desk);
        let life = Lifecycle::new(now, self.life_limits());
        let birth = Birth::new(id, text.clone(), life);
        let teller = Teller::new(self.settings.observers.clone(), id, text);
        let attempt = Attempt {
            pool: self.clone(),
            opening,
            origin,
            birth: birth.clone(),
            teller,
            stage: Stage::Running,
            begun: Arc::new(Mutex::new(Begun::NotYet(None))),
        };
        let begun = attempt.begun.clone();
        let farewell = self.registry.add(id, origin, Live::Opening(birth));
        attempt.teller.tell(now, || Happening::Opening);
        if let Some(farewell) = farewell {
            attempt.birth.call_off(farewell);
        }
        runtime.clone().spawn(attempt.run(target, runtime));
        match std::mem::replace(&mut *begun.lock().unwrap_or_else(PoisonError::into_inner), Begun::Yes) {
            Begun::NotYet(todo) => todo,
            Begun::Yes => None,
        }
    }

    /// What a connection is told when it begins: the settings, with an age of its own.
    fn life_limits(&self) -> LifecycleLimits {
        let mut limits = self.settings.config.life;
        let jitter = self.settings.age_jitter.clamp(0.0, 1.0) * rt::chance();
        limits.age = limits.age.map(|age| age.mul_f64(1.0 - jitter));
        limits
    }
}

impl Attempt {
    async fn run(mut self, target: Arc<Target>, runtime: Runtime) {
        let ended = {
            let mut opened = pin!(self.pool.settings.connector.open(&target, &self.teller));
            poll_fn(|cx| {
                if let Poll::Ready(reason) = self.birth.poll_off(cx) {
                    return Poll::Ready(Err((reason, None)));
                }
                opened.as_mut().poll(cx).map_err(|error| (reason_of(&error), Some(error)))
            })
            .await
        };
        match ended {
            Ok(opened) => self.is_open(opened, runtime),
            Err((reason, error)) => self.failed(reason, error),
        }
    }

    fn is_open(&mut self, opened: Opened, runtime: Runtime) {
        let now = rt::now();
        let Some(mut life) = self.birth.take_life() else { return };
        let mut config = self.pool.settings.config;
        (config.half_close, config.target) = (opened.transport.half_close(), opened.form);
        config.receipts = opened.receipts;
        if self.teller.observers.anybody() {
            life.journal().keep_for(Readers::Some);
        }
        let keeper = Arc::new(Shelved { pool: self.pool.clone(), origin: self.origin });
        let learned = self.pool.desk().entry(self.origin).map(|entry| entry.learned.clone());
        let mut kept = Kept::new(keeper, self.teller.observers.clone(), learned.unwrap_or_default());
        (kept.authorization, kept.opening) = (opened.authorization, self.teller.took());
        let parts = Parts {
            id: self.birth.id,
            io: opened.transport,
            engine: Engine::resume(now, life, config),
            origin: Some(self.birth.origin.clone()),
            runtime,
            departures: self.pool.settings.departures.clone(),
            kept: Some(kept),
        };
        let wire = Wire::new(now, parts);
        self.stage = Stage::Over;
        let farewell = self.pool.registry.add(wire.id(), self.origin, Live::Open(wire.clone()));
        let called_off = self.birth.became(&wire);
        let mut todo = Effects::default();
        let mut desk = self.pool.desk();
        desk.opened(self.opening, self.origin, &wire, &mut todo);
        if let Some(entry) = desk.entry_mut(self.origin) {
            entry.resolved = Some(now);
        }
        drop(desk);
        // Not before: whoever is told that it is open finds it open, and counted.
        wire.begin(now);
        if self.teller.observers.anybody() {
            // Race window: who subscribed since the look above may have found only the opening.
            wire.keep_journal();
        }
        for farewell in [called_off, farewell].into_iter().flatten() {
            farewell.bid(&wire);
        }
        self.pool.carry_out(todo);
        // Race window: it lives since it was made, so it may have left, or be gone, before the pool knew it; then nobody says
        // so again.
        if wire.has_left() {
            self.pool.left(&wire);
        }
        if wire.report().is_some() {
            let gone = self.pool.registry.remove(wire.id());
            drop(gone);
        }
    }

    fn failed(&mut self, reason: CloseReason, error: Option<Error>) {
        self.stage = Stage::Over;
        let now = rt::now();
        let Some(mut life) = self.birth.take_life() else { return };
        let input = if error.is_some() { Input::Broken } else { Input::Abort };
        life.handle_end(now, input, reason.clone());
        // Whatever was being opened was only dropped.
        life.handle_reset_unable();
        let mut report = CloseReport::new(self.birth.id, Protocol::Http1, &life, now);
        report.origin = Some(self.birth.origin.to_string());
        let mut todo = Effects::default();
        let error = error.unwrap_or_else(|| Error::closed(reason, self.birth.id));
        let mut desk = self.pool.desk();
        desk.books(self.origin).not_opened += 1;
        let untold = desk.shelf.open_failed(self.opening, error, &mut todo);
        let gone = self.pool.registry.remove(self.birth.id);
        drop(desk);
        drop((untold, gone));
        let closed = report.clone();
        self.birth.failed(report);
        self.teller.tell(now, || Happening::Closed { report: Arc::new(closed) });
        if let Begun::NotYet(place) = &mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner) {
            *place = Some(todo);
            return;
        }
        self.pool.carry_out(todo);
    }
}

/// Why a connection did not open, as its report says it.
fn reason_of(error: &Error) -> CloseReason {
    match (error.kind(), error.close_reason()) {
        (_, Some(reason)) => reason.clone(),
        (ErrorKind::Timeout(phase), None) => CloseReason::TimedOut(phase),
        (ErrorKind::Resolve | ErrorKind::ProxyResolve, None) => CloseReason::NotOpened("resolve"),
        (ErrorKind::Connect, None) => CloseReason::NotOpened("connect"),
        (ErrorKind::Proxy, None) => CloseReason::NotOpened("proxy"),
        (ErrorKind::Certificate, None) => CloseReason::NotOpened("certificate"),
        (ErrorKind::Tls, None) => CloseReason::NotOpened("TLS"),
        _ => CloseReason::NotOpened("setup"),
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.stage == Stage::Running {
            let (reason, what) = match std::thread::panicking() {
                true => (CloseReason::NotOpened("setup"), "the connector panicked"),
                false => (CloseReason::RuntimeGone, "the runtime on which it was being opened is gone"),
            };
            self.failed(reason, Some(Error::new(ErrorKind::Connect).with(what)));
        }
    }
}

//! The connections that a client opens, counted where it asks its connector for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

/// How many connections were asked for.
#[derive(Clone, Default)]
pub(crate) struct Openings(Arc<AtomicU64>);

/// A connector whose calls are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    connector: S,
    openings: Openings,
}

impl Openings {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn counting<S>(&self, connector: S) -> Counted<S> {
        Counted { connector, openings: self.clone() }
    }
}

impl<S> Layer<S> for Openings {
    type Service = Counted<S>;

    fn layer(&self, connector: S) -> Counted<S> {
        self.counting(connector)
    }
}

impl<R, S: Service<R>> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, target: R) -> S::Future {
        self.openings.0.fetch_add(1, Ordering::Relaxed);
        self.connector.call(target)
    }
}

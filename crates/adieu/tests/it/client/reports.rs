//! What is left of connections, as an observer is told.

use std::sync::{Arc, Mutex};

use adieu::observe::{Event, Happening};
use adieu::{Client, ClientBuilder, CloseReport};

/// The reports of connections that are gone, in the order of their end.
#[derive(Clone, Default)]
pub(super) struct Reports(Arc<Mutex<Vec<Arc<CloseReport>>>>);

impl Reports {
    /// A client that is watched.
    pub(super) fn of(builder: ClientBuilder) -> (Self, Client) {
        let reports = Self::default();
        let told = reports.clone();
        let client = builder.observer(move |event: &Event| {
            if let Happening::Closed { report } = &event.what {
                told.0.lock().unwrap().push(report.clone());
            }
        });
        (reports, client.build().unwrap())
    }

    pub(super) fn all(&self) -> Vec<Arc<CloseReport>> {
        self.0.lock().unwrap().clone()
    }
}

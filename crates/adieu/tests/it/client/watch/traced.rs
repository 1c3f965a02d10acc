//! Events as those of `tracing`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use adieu::CloseMode;
use adieu::observe::Tracing;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use super::{URL, exchange, polite};
use crate::client::net::Net;
use crate::support::{in_time, watch_for_hangs};

/// Keeps all events of the target `adieu`.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<Entry>>>);

/// One of them: its level, and its fields in words.
type Entry = (Level, BTreeMap<&'static str, String>);

impl Subscriber for Book {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "adieu"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Book {
    /// Each event as `LEVEL what`.
    fn levels(&self) -> Vec<String> {
        let entries = self.0.lock().unwrap();
        entries.iter().map(|(level, fields)| format!("{level} {}", fields["what"])).collect()
    }

    fn fields_of(&self, what: &str) -> BTreeMap<&'static str, String> {
        let entries = self.0.lock().unwrap();
        entries.iter().find(|(_, fields)| fields["what"] == what).unwrap().1.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_in_events_of_tracing() {
    watch_for_hangs();
    let book = Book::default();
    let _here = tracing::subscriber::set_default(book.clone());
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let client = net.client(|builder| builder.observer(Tracing::new()));
    exchange(&client).await;
    let id = client.connections()[0].id;
    in_time(client.close(CloseMode::graceful())).await;
    assert_eq!(
        book.levels(),
        [
            "TRACE queued",
            "DEBUG opening",
            "DEBUG opened",
            "TRACE served",
            "TRACE state_changed",
            "TRACE exchange_began",
            "TRACE exchange_ended",
            "TRACE state_changed",
            "TRACE state_changed",
            "DEBUG retired",
            "TRACE state_changed",
            "TRACE state_changed",
            "DEBUG closed",
        ]
    );
    let closed = book.fields_of("closed");
    assert_eq!(closed["connection"], id.number().to_string());
    assert_eq!((&*closed["origin"], &*closed["reason"]), ("http://example.com", "user_graceful"));
    assert!(closed["message"].starts_with(&format!("{id} http://example.com: closed: ")), "{closed:?}");
    let ended = book.fields_of("exchange_ended");
    assert_eq!((&*ended["exchange"], &*ended["outcome"]), ("1", "done"));
    let changed = book.fields_of("state_changed");
    assert_eq!((&*changed["from"], &*changed["to"]), ("idle", "active"));
    assert!(!book.fields_of("queued").contains_key("connection"));
}

#[tokio::test]
async fn the_steps_of_opening_have_their_addresses_and_errors() {
    watch_for_hangs();
    let book = Book::default();
    let _here = tracing::subscriber::set_default(book.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = adieu::Client::builder().no_proxies().observer(Tracing::new()).build().unwrap();
    in_time(client.get(format!("http://localhost:{port}/")).send()).await.unwrap_err();
    assert_eq!(book.fields_of("resolving")["host"], "localhost");
    let resolved = book.fields_of("resolved");
    assert!(resolved["addresses"].contains(&format!("127.0.0.1:{port}")), "{resolved:?}");
    assert!(resolved["took_ms"].parse::<f64>().unwrap() < 1_000.0);
    let failed = book.fields_of("connect_failed");
    assert!(
        failed["error"].contains("refused") && failed["address"].ends_with(&format!(":{port}")),
        "{failed:?}"
    );
    assert_eq!(book.fields_of("closed")["reason"], "not_opened");
    assert!(book.0.lock().unwrap().iter().all(|(level, _)| *level != Level::WARN), "{:?}", book.levels());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_worth_a_warning() {
    watch_for_hangs();
    let book = Book::default();
    let _here = tracing::subscriber::set_default(book.clone());
    let (net, arrivals) = Net::new();
    arrivals.serve("SSH-2.0-what\r\n\r\n");
    let client = net.client(|builder| builder.observer(Tracing::new()));
    in_time(client.get(URL).send()).await.unwrap_err();
    in_time(client.close(CloseMode::now())).await;
    assert!(book.levels().contains(&"WARN closed".to_owned()), "{:?}", book.levels());
    assert_eq!(book.fields_of("closed")["reason"], "protocol_error");
}

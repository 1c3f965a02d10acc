//! The same under bad conditions: a third of the tasks change their minds at random moments, the server ends connections
//! at random, and the client is closed in the middle of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Client, CloseMode, ErrorKind, State};
use adieu_testkit::world::Chance;

use super::counting::{Counting, Manners};
use super::reports::Reports;
use super::wires::{self, Net, text};
use crate::support::{beside, in_time, watch_for_hangs};

const TASKS: u64 = 1_000;
const LIMIT: usize = 10;

/// How tasks ended.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    /// Lost with their connection.
    failed: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
}

impl Tally {
    fn note(&self, ended: Result<Result<String, adieu::Error>, tokio::time::error::Elapsed>) {
        let counter = match ended {
            Ok(Ok(_)) => &self.done,
            Ok(Err(error)) if error.kind() == ErrorKind::ClientClosed => &self.refused,
            Ok(Err(_)) => &self.failed,
            Err(_) => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Whether callers change their minds.
#[derive(Clone, Copy)]
enum Callers {
    Patient,
    /// A third of them does.
    Fickle,
}

/// Everybody asks at once.
fn ask(
    client: &Client,
    server: &Counting,
    callers: Callers,
) -> (Arc<Tally>, Vec<tokio::task::JoinHandle<()>>) {
    let tally = Arc::<Tally>::default();
    let mut chance = Chance::new(7);
    let tasks = (0..TASKS).map(|_| {
        let (client, url, tally) = (client.clone(), server.url("/"), tally.clone());
        let patience = match callers {
            Callers::Fickle if chance.once_in(3) => chance.up_to(Duration::from_millis(60)),
            _ => Duration::from_secs(60),
        };
        beside(async move {
            tally.note(tokio::time::timeout(patience, text(client.get(url).send())).await);
        })
    });
    let tasks = tasks.collect();
    (tally, tasks)
}

async fn storm() {
    watch_for_hangs();
    let server =
        Counting::start(Manners { pause: Duration::from_micros(300), ends_one_in: 7, slow_one_in: 0 });
    let client = Client::builder().no_proxies().max_connections_per_origin(LIMIT).build().unwrap();
    let (tally, tasks) = ask(&client, &server, Callers::Fickle);
    for task in tasks {
        task.await.unwrap();
    }
    let (done, cancelled) = (Tally::of(&tally.done), Tally::of(&tally.cancelled));
    assert!(done >= TASKS / 2, "{done} done, {cancelled} cancelled");
    assert_eq!(Tally::of(&tally.refused), 0);
    assert!(client.waiting().is_empty());
    assert!(server.most() <= LIMIT, "{} at once", server.most());
    let report = in_time(client.close(CloseMode::graceful())).await;
    server.assert_over().await;
    assert_eq!(report.total.opened as usize, server.accepted());
    assert!(report.total.exchanges >= done, "{}", report.total);
    assert_eq!((report.total.alive(), report.total.waiting), (0, 0));
    assert_eq!(report.total.closed.values().sum::<u64>(), report.total.opened);
    assert!(client.connections().is_empty());
}

#[tokio::test]
async fn a_third_changes_its_mind_and_connections_end_at_random() {
    storm().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_on_many_threads() {
    storm().await;
}

/// One request in forty takes longer than the drain.
async fn closed_in_the_middle(mode: CloseMode) {
    watch_for_hangs();
    let server =
        Counting::start(Manners { pause: Duration::from_micros(300), ends_one_in: 11, slow_one_in: 40 });
    let client = Client::builder().no_proxies().max_connections_per_origin(LIMIT).build().unwrap();
    let (tally, tasks) = ask(&client, &server, Callers::Patient);
    while server.requests() < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = in_time(client.close(mode)).await;
    for task in tasks {
        task.await.unwrap();
    }
    server.assert_over().await;
    assert!(report.took < Duration::from_secs(2), "{:?}", report.took);
    let (done, failed) = (Tally::of(&tally.done), Tally::of(&tally.failed));
    let total = &report.total;
    // What was called off may have been connected already.
    let (opened, accepted) = (total.opened as usize, server.accepted());
    assert!(
        (opened..=opened + total.not_opened as usize).contains(&accepted),
        "{accepted} accepted, {total}"
    );
    let again = total.replayed;
    assert_eq!((total.exchanges, total.failed), (done, failed + again), "{total}");
    assert!(Tally::of(&tally.refused) > 0 && done > 0, "{total}");
    assert_eq!(done + failed + Tally::of(&tally.refused), TASKS);
    let asked = server.requests() as u64;
    assert!((done..=done + failed + again).contains(&asked), "{asked} requests came, {total}");
    assert_eq!((total.alive(), total.waiting, total.closed.values().sum()), (0, 0, total.opened));
    assert_eq!(client.stats().total, *total, "nothing happens later");
    assert!(server.most() <= LIMIT, "{} at once", server.most());
}

#[tokio::test]
async fn closed_gracefully_in_the_middle_nothing_is_left_and_the_sums_agree() {
    closed_in_the_middle(CloseMode::graceful().drain(Duration::from_millis(100))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_on_many_threads_and_at_once() {
    closed_in_the_middle(CloseMode::graceful().drain(Duration::from_millis(100))).await;
    closed_in_the_middle(CloseMode::now()).await;
    closed_in_the_middle(CloseMode::abort()).await;
}

/// Over and over: whoever learns that a close is over finds all of it in the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sums_agree_at_the_moment_at_which_a_close_is_over() {
    watch_for_hangs();
    const CONNECTIONS: u64 = 16;
    // Whoever is slow to hear of an end gives others the time to look.
    let slow = |event: &Event| {
        if matches!(event.what, Happening::StateChanged { to: State::Closed, .. }) {
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    for _ in 0..100 {
        let (reports, client) = Reports::of(Net::polite().client().observer(slow));
        client.prewarm("http://host/", CONNECTIONS as usize).await.unwrap();
        let asked: Vec<_> = (0..CONNECTIONS).map(|_| wires::ask(&client, "http://host/")).collect();
        for task in asked {
            task.await.unwrap().unwrap();
        }
        let opened = client.stats().total.opened;
        let report = in_time(client.close(CloseMode::now())).await;
        assert_eq!(report.connections.len() as u64, opened, "{report}");
        assert_eq!(reports.all().len() as u64, opened, "each was told before");
        assert_eq!((report.total.opened, report.total.closed.values().sum()), (opened, opened), "{report}");
        assert_eq!((report.total.exchanges, report.total.alive()), (CONNECTIONS, 0), "{report}");
        assert_eq!(client.stats().total, report.total);
        assert!(client.connections().is_empty());
    }
}

//! What a new user tries first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Client, CloseMode, ErrorKind, ResponseExt, State};

use super::counting::{Counting, Manners};

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let server = Counting::start(Manners::POLITE);
    let client = Client::builder().no_proxies().build().unwrap();
    for number in 1..=5 {
        let response = client.get(server.url("/")).send().await.unwrap();
        let info = response.info().unwrap().clone();
        assert_eq!((info.exchange, info.is_reused()), (number, number > 1));
        assert_eq!(info.opening.is_some(), number == 1);
        assert_eq!(response.text().await.unwrap(), "ok");
    }
    assert_eq!((server.accepted(), server.requests()), (1, 5));
    let [connection] = &client.connections()[..] else { panic!("one connection") };
    assert_eq!((connection.state, connection.done), (State::Idle, 5));
    assert_eq!(connection.origin.as_deref(), Some(&*server.url("")));
    let stats = client.stats().total;
    assert_eq!((stats.opened, stats.reused, stats.exchanges, stats.idle), (1, 4, 5, 1));
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.connections.len(), report.total.exchanges, report.total.alive()), (1, 5, 0));
    assert_eq!(client.get(server.url("/")).send().await.unwrap_err().kind(), ErrorKind::ClientClosed);
    assert_eq!(server.open(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_over_ten_connections() {
    let server = Counting::start(Manners { pause: Duration::from_millis(1), ends_one_in: 7, slow_one_in: 0 });
    let events = Arc::new(Mutex::new(Vec::<Event>::new()));
    let log = events.clone();
    let client = Client::builder()
        .no_proxies()
        .max_connections_per_origin(10)
        .observer(move |event: &Event| log.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    let failed = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..1000 {
        let (client, url, failed) = (client.clone(), server.url("/"), failed.clone());
        tasks.push(tokio::spawn(async move {
            let response = client.get(url).send().await;
            let text = match response {
                Ok(response) => response.text().await,
                Err(error) => Err(error),
            };
            if text.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let failed = failed.load(Ordering::Relaxed);
    assert!(server.most() <= 10, "{} at once", server.most());
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!(report.total.opened as usize, server.accepted());
    assert_eq!(server.open(), 0);
    let events = events.lock().unwrap();
    let closed = events.iter().filter(|event| matches!(event.what, Happening::Closed { .. })).count();
    assert_eq!(closed, server.accepted());
    let lost = failed + report.total.replayed as usize;
    assert_eq!(report.total.failed as usize, lost, "what failed was lost with its connection");
}

//! Snapshots, reports, watching, and closing more than once.

use std::time::Duration;

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, CloseReport, Ended, ErrorKind, State};

use super::{LONG, NOTHING, connect};
use crate::support::{
    ask, beside, clock, get, in_memory_with, in_time, pass, poll_once, read, settle, watch_for_hangs,
};

#[tokio::test(start_paused = true)]
async fn snapshots_and_reports_print_as_one_line() {
    watch_for_hangs();
    let builder = Builder::new().origin("http://example.com");
    let (mut sender, connection, mut peer) = in_memory_with(&builder).await;
    let line = |text: String| {
        assert!(text.starts_with(&format!("{} http/1.1 http://example.com: ", connection.id())), "{text}");
        assert!(!text.contains('\n') && text.len() < 300, "{text}");
        text
    };
    let idle = line(connection.snapshot().to_string());
    assert!(idle.contains("idle") && idle.contains("0 done"), "{idle}");
    assert_eq!(connection.to_string(), idle);
    let response = ask(&mut sender, &mut peer, LONG).await;
    let active = line(connection.snapshot().to_string());
    assert!(active.contains("active") && active.contains("receiving body"), "{active}");
    assert!(connection.report().is_none());
    peer.send(vec![b'x'; 1000]).await.unwrap();
    read(response).await.unwrap();
    let closing = beside(connection.close(CloseMode::graceful()));
    settle().await;
    let leaving = line(connection.snapshot().to_string());
    assert!(leaving.contains("lingering") && leaving.contains("closed by the user (graceful)"), "{leaving}");
    peer.fin().await.unwrap();
    let report = in_time(closing).await.unwrap();
    let over = line(report.to_string());
    assert!(over.contains("ended clean; sent FIN, received FIN; 1 done"), "{over}");
    assert_eq!(connection.report(), Some(report.clone()));
    assert_eq!(report.origin.as_deref(), Some("http://example.com"));
    assert_eq!(connection.snapshot().state, State::Closed);
    assert!(!format!("{connection:?} {report:?}").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_each_state_that_lasts() {
    let (mut sender, connection, mut peer) = connect().await;
    let mut watch = connection.watch();
    assert_eq!(watch.state(), State::Idle);
    let mut sending = sender.send_request(get("/"));
    assert!(poll_once(&mut sending).await.is_pending());
    assert_eq!(in_time(watch.changed()).await, State::Active);
    let closing = beside(connection.close(CloseMode::graceful()));
    assert_eq!(in_time(watch.changed()).await, State::Draining { theirs: adieu::Side::Open });
    peer.read_head().await.unwrap();
    peer.send(NOTHING).await.unwrap();
    in_time(sending).await.unwrap();
    let mut states = Vec::new();
    while states.last() != Some(&State::Closed) {
        if states.last() == Some(&State::Lingering) {
            peer.fin().await.unwrap();
        }
        states.push(in_time(watch.changed()).await);
    }
    assert!(states.ends_with(&[State::Lingering, State::Closed]), "{states:?}");
    // Nothing comes after it, and nobody waits for it.
    assert_eq!(in_time(watch.changed()).await, State::Closed);
    in_time(closing).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_handle_gets_the_same_report_whoever_closes_and_however_often() {
    let (mut sender, connection, mut peer) = connect().await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let other = connection.clone();
    let began = clock();
    let lax = beside(connection.close(CloseMode::graceful()));
    let closed = beside(connection.closed());
    let stricter = beside(async move {
        pass(Duration::from_secs(3)).await;
        other.close(CloseMode::now().linger(Duration::from_secs(1))).await
    });
    assert_eq!(in_time(sending).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(clock() - began, Duration::from_secs(3));
    let reports: [CloseReport; 3] =
        [in_time(lax).await.unwrap(), in_time(closed).await.unwrap(), in_time(stricter).await.unwrap()];
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_eq!(
        (&reports[0].reason, reports[0].ended),
        (&CloseReason::User(CloseKind::Graceful), Ended::PeerSilent)
    );
    assert!(clock() - began <= Duration::from_millis(4_010));
    assert_eq!(in_time(connection.close(CloseMode::abort())).await, reports[0]);
}

#[tokio::test(start_paused = true)]
async fn a_laxer_close_after_a_stricter_one_only_waits() {
    let (_sender, connection, _peer) = connect().await;
    let strict = beside(connection.close(CloseMode::graceful().linger(Duration::from_millis(100))));
    settle().await;
    let began = clock();
    let report = in_time(connection.close(CloseMode::graceful().linger(Duration::from_secs(1_000)))).await;
    assert!(clock() - began <= Duration::from_millis(110), "{report}");
    assert_eq!(in_time(strict).await.unwrap(), report);
}

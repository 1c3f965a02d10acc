//! Dropped on other threads, in other tasks, and after the runtime is gone.

use adieu::{CloseMode, CloseReason, Ended, State};

use super::{LONG, connect, ms};
use crate::support::{
    ask, beside, get, handed_body, in_time, pass, poll_once, read, settle, upload, watch_for_hangs, within,
};

#[test]
fn dropping_on_a_plain_thread_outside_of_the_runtime() {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for what in 0..6 {
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let closed = connection.closed();
        match what {
            0 => drop((sender, connection)),
            1 => {
                let body = runtime.block_on(ask(&mut sender, &mut peer, LONG)).into_body();
                drop(body);
                drop((sender, connection));
            }
            2 => {
                let mut sending = sender.send_request(get("/"));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                drop(sending);
                drop((sender, connection));
            }
            3 => {
                let (_body, frames) = handed_body();
                let mut sending = sender.send_request(upload(frames, None));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                drop((sending, sender, connection));
            }
            4 => {
                drop(connection.close(CloseMode::graceful()));
                drop((sender, connection));
            }
            _ => {
                let sending = sender.send_request(get("/"));
                std::thread::spawn(move || drop((sender, sending, connection))).join().unwrap();
            }
        }
        let end = runtime.block_on(within(ms(5_000), peer.read_until_end())).unwrap().1;
        assert_eq!(
            end,
            if what == 3 { adieu_testkit::Ended::Reset } else { adieu_testkit::Ended::Fin },
            "{what}"
        );
        drop(peer);
        let report = runtime.block_on(within(ms(5_000), closed));
        assert_eq!(report.ended, if what == 3 { Ended::Aborted } else { Ended::Clean }, "{report}");
    }
}

#[test]
fn dropping_after_the_runtime_is_gone() {
    watch_for_hangs();
    for what in 0..8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let mut held: Option<Box<dyn std::any::Any>> = None;
        match what {
            0 => {}
            1 => held = Some(Box::new(runtime.block_on(ask(&mut sender, &mut peer, LONG)))),
            2 => {
                let mut sending = sender.send_request(get("/"));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                held = Some(Box::new(sending));
            }
            3 => {
                let (body, frames) = handed_body();
                let mut sending = sender.send_request(upload(frames, None));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                held = Some(Box::new((sending, body)));
            }
            4 => held = Some(Box::new(sender.send_request(get("/")))),
            5 => {
                let closing = connection.close(CloseMode::graceful());
                runtime.block_on(settle());
                held = Some(Box::new(closing));
            }
            6 => held = Some(Box::new(connection.close(CloseMode::abort()))),
            _ => {
                // Long idle: no alarm is set, nothing is awaited.
                runtime.block_on(pass(ms(1_100)));
            }
        }
        drop(runtime);
        drop(held);
        let other = connection.clone();
        drop(sender);
        drop(connection);
        let closing = other.close(CloseMode::now());
        let report = other.report().unwrap_or_else(|| panic!("no report in case {what}"));
        drop(closing);
        assert_ne!(other.state(), State::Idle);
        assert!(report.failed <= 1, "{report}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_, end) = runtime.block_on(within(ms(5_000), peer.read_until_end())).unwrap();
        if what == 3 {
            assert_eq!(
                end,
                adieu_testkit::Ended::Reset,
                "an upload that was cut short looks whole: {report}"
            );
        }
    }
}

#[test]
fn polling_after_the_runtime_is_gone_fails_and_does_not_panic() {
    watch_for_hangs();
    std::thread::scope(|scope| {
        for idle in [0, 1_100] {
            for what in 0..4 {
                scope.spawn(move || polling_after_the_runtime_is_gone(idle, what));
            }
        }
    });
}

fn polling_after_the_runtime_is_gone(idle: u64, what: u32) {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut sender, connection, mut peer) = first.block_on(connect());
    first.block_on(pass(ms(idle)));
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match what {
        0 => {
            drop(first);
            let error = second.block_on(within(ms(5_000), sender.send_request(get("/")))).unwrap_err();
            assert_eq!(error.close_reason(), Some(&CloseReason::RuntimeGone), "{error}");
        }
        1 => {
            let response = first.block_on(ask(&mut sender, &mut peer, LONG));
            drop(first);
            assert!(second.block_on(within(ms(5_000), read(response))).is_err());
        }
        2 => {
            let mut sending = sender.send_request(get("/"));
            assert!(first.block_on(poll_once(&mut sending)).is_pending());
            drop(first);
            assert!(second.block_on(within(ms(5_000), sending)).is_err());
        }
        _ => {
            drop(first);
            second.block_on(within(ms(5_000), connection.close(CloseMode::graceful())));
        }
    }
    second.block_on(within(ms(5_000), connection.closed()));
}

#[tokio::test(start_paused = true)]
async fn dropping_everything_inside_another_task() {
    let (mut sender, connection, mut peer) = connect().await;
    let closed = connection.closed();
    let response = ask(&mut sender, &mut peer, LONG).await;
    beside(async move {
        drop(connection);
        let mut next = sender.send_request(get("/next"));
        assert!(poll_once(&mut next).await.is_ready(), "NotReady: the body is still held");
        drop((next, sender, response));
    });
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    peer.fin().await.unwrap();
    in_time(closed).await;
}

#[test]
fn dropping_while_another_thread_closes() {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..300 {
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let closed = connection.closed();
        let body = (round % 2 == 0).then(|| runtime.block_on(ask(&mut sender, &mut peer, LONG)).into_body());
        let mode =
            [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()][round / 2 % 4];
        let other = connection.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(other.close(mode)));
            scope.spawn(move || drop(body));
            scope.spawn(move || drop(sender));
            scope.spawn(move || drop(connection));
        });
        drop(peer);
        let report = runtime.block_on(within(ms(5_000), closed));
        assert!(report.exchanges + report.failed <= 1, "{report}");
    }
}

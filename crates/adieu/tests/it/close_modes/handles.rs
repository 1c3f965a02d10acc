//! Many closes, many threads, watching, asking.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, Ended, Signal, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use tokio::runtime;

use crate::props::{
    beside, check, ms, pause, play, play_on, poll_once, reaches, refuses, seen, short, upload,
};
use crate::support::{connect, connect_with, get, read};

/// Waits for a future on a thread that has no runtime.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn closing_twice_gives_both_the_report() {
    play(async || {
        let peer =
            Peer::tcp(Script::new().read_request().send(response(200, "ok")).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        assert!(connection.report().is_none());
        let other = connection.clone();
        let waiting = beside(other.closed());
        let (first, second) =
            (connection.close(CloseMode::graceful()), connection.close(CloseMode::graceful()));
        let third = beside(async move { other.close(CloseMode::graceful()).await });
        let (first, second) = (first.await, second.await);
        assert_eq!(first, second);
        assert_eq!(first, third.await.unwrap());
        assert_eq!(first, waiting.await.unwrap());
        assert_eq!(connection.report(), Some(first));
        seen(peer).await.assert_fin();
    });
}

#[test]
fn dropping_the_closing_does_not_stop_it() {
    play(async || {
        for polled in [false, true] {
            let gate = Gate::new();
            let script =
                Script::new().read_request().gate(&gate).send(response(200, "ok")).read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let mut closing = Box::pin(connection.close(CloseMode::graceful()));
            if polled {
                assert!(poll_once(closing.as_mut()).await.is_none());
            }
            drop(closing);
            reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
            gate.open();
            assert_eq!(exchange.await.unwrap().unwrap(), "ok");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended),
                (CloseReason::User(CloseKind::Graceful), Ended::Clean),
                "{report}"
            );
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn dropping_every_handle_after_a_close_does_not_stop_it() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(sender.send_request(get("/")));
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        drop(connection.close(short(CloseMode::graceful())));
        drop((connection, sender));
        assert!(exchange.await.unwrap().unwrap_err().is_timeout());
        seen(peer).await.assert_fin();
    });
}

#[test]
fn close_from_another_thread_without_a_runtime() {
    for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
        for threads in [1, 2] {
            let kind = match threads {
                1 => runtime::Builder::new_current_thread(),
                _ => runtime::Builder::new_multi_thread(),
            };
            play_on(kind, async move || {
                let script =
                    Script::new().read_request().send(response(200, "ok")).read_to_end().fin().or_end();
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
                let handle = connection.clone();
                let elsewhere = thread::spawn(move || wait_for(handle.close(mode)));
                let report = connection.closed().await;
                assert_eq!(elsewhere.join().unwrap(), report);
                assert_eq!(report.reason, CloseReason::User(mode.kind()), "{report}");
                seen(peer).await;
            });
        }
    }
}

#[test]
fn close_from_many_threads_at_once_ends_once() {
    let mut kind = runtime::Builder::new_multi_thread();
    kind.worker_threads(2);
    play_on(kind, async || {
        for _ in 0..10 {
            let peer = Peer::tcp(Script::new().read_request().read_to_end().fin().or_end()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let modes = [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::graceful()];
            let all = modes.map(|mode| {
                let handle = connection.clone();
                thread::spawn(move || wait_for(handle.close(short(mode))))
            });
            exchange.await.unwrap().unwrap_err();
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.failed, report.exchanges), (1, 0), "{report}");
            for one in all {
                assert_eq!(one.join().unwrap(), report);
            }
            seen(peer).await;
        }
    });
}

// Asking.

#[test]
fn watch_sees_the_states_go_by() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_request().gate(&gate).send(response(200, "ok"));
        let peer = Peer::tcp(script.read_to_end().pause(ms(60)).fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut watch = connection.watch();
        assert_eq!(watch.state(), State::Idle);
        let mut late = connection.watch();
        let watcher = beside(async move {
            let mut seen = vec![watch.state()];
            while *seen.last().unwrap() != State::Closed {
                seen.push(watch.changed().await);
            }
            // After the last there is no other, and nobody waits for one.
            let more = tokio::time::timeout(ms(30), watch.changed()).await;
            (seen, more == Ok(State::Closed))
        });
        pause(5).await;
        let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        pause(20).await;
        let closing = connection.close(CloseMode::graceful());
        pause(20).await;
        gate.open();
        assert_eq!(exchange.await.unwrap().unwrap(), "ok");
        closing.await;
        let (states, over) = watcher.await.unwrap();
        assert!(over, "the last state is not told again");
        let names: Vec<_> = states.iter().map(|state| state.name()).collect();
        // The latest is told, so that short ones may be missing; these were long.
        for long in ["idle", "active", "draining", "lingering", "closed"] {
            assert!(names.contains(&long), "{names:?}");
        }
        let order = ["idle", "active", "draining", "closing", "lingering", "closed"];
        let ranks: Vec<_> =
            names.iter().map(|name| order.iter().position(|known| known == name).unwrap()).collect();
        assert!(ranks.is_sorted(), "{names:?}");
        assert_eq!(ranks.iter().collect::<BTreeSet<_>>().len(), ranks.len(), "{names:?}");
        // One who looked away sees the latest.
        assert_eq!(late.changed().await, State::Closed);
        seen(peer).await.assert_fin();
    });
}

#[test]
fn snapshot_prints_one_line_in_each_state() {
    play(async || {
        let mut names = BTreeSet::new();
        let mut look = |connection: &adieu::conn::Connection| {
            let snapshot = connection.snapshot();
            let line = snapshot.to_string();
            assert!(!line.contains('\n') && line.contains(snapshot.state.name()), "{line}");
            assert!(line.starts_with(&format!("{} http/1.1", connection.id())), "{line}");
            assert_eq!(snapshot.id, connection.id());
            assert!(snapshot.in_state <= snapshot.age, "{snapshot:?}");
            assert_eq!(connection.to_string().split(':').next(), line.split(':').next());
            names.insert(snapshot.state.name());
        };

        // Idle, active, draining, lingering, closed.
        let gate = Gate::new();
        let script = Script::new().read_request().gate(&gate).send(response(200, "ok")).read_to_end();
        let peer = Peer::tcp(script.pause(ms(40)).fin()).unwrap();
        let (mut sender, connection) =
            connect_with(&peer, &Builder::new().origin("http://example.com")).await;
        look(&connection);
        let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        look(&connection);
        let closing = connection.close(CloseMode::graceful());
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        look(&connection);
        gate.open();
        exchange.await.unwrap().unwrap();
        reaches(&connection, |state| state == State::Lingering).await;
        look(&connection);
        closing.await;
        look(&connection);
        seen(peer).await;

        // Half-closing, half-closed.
        let script = Script::new().read_head().read_body().read_to_end().stall();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        let exchange = beside(sender.send_request(request));
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        let closing = connection.close(CloseMode::half());
        reaches(&connection, |state| state == State::HalfClosing).await;
        look(&connection);
        hand.end();
        reaches(&connection, |state| state == State::HalfClosed).await;
        look(&connection);
        drop(connection.close(CloseMode::abort()));
        closing.await;
        exchange.await.unwrap().unwrap_err();
        seen(peer).await;

        // Yielding.
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let peer = Peer::tcp(Script::new().read_request().send(answer).quiet(ms(20)).fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        read(sender.send_request(get("/")).await.unwrap()).await.unwrap();
        look(&connection);
        connection.closed().await;
        seen(peer).await;

        let all =
            ["active", "closed", "draining", "half-closed", "half-closing", "idle", "lingering", "yielding"];
        assert!(names.iter().eq(all.iter()), "{names:?}");
    });
}

#[test]
fn a_new_request_after_a_close_fails_at_once_and_writes_nothing() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
            // Idle, and with an exchange in flight that the close lets live.
            for busy in [false, true] {
                let gate = Gate::new();
                let script = Script::new().read_request();
                let script = if busy { script.gate(&gate) } else { script };
                let script = script.send(response(200, "ok")).or_end().read_to_end().fin().or_end();
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                let exchange = beside(sender.send_request(get("/first")));
                peer.wait_async(0, Until::Requests(1)).await.unwrap();
                let first = if busy { None } else { Some(exchange.await.unwrap().unwrap()) };
                if let Some(first) = first {
                    read(first).await.unwrap();
                }
                let closing = connection.close(short(mode));
                let refused = tokio::time::timeout(ms(100), refuses(&mut sender)).await;
                assert_eq!(refused.expect("it waits"), CloseReason::User(mode.kind()));
                let ready = tokio::time::timeout(ms(100), sender.ready()).await.expect("it waits");
                assert_eq!(ready.unwrap_err().kind(), adieu::ErrorKind::Closed);
                assert!(sender.is_closed() && !sender.is_ready());
                let mut given = sender.try_send_request(get("/again")).await.unwrap_err();
                assert_eq!(given.take_message().unwrap().uri().path(), "/again");
                gate.open();
                closing.await;
                let seen = seen(peer).await;
                assert_eq!(seen.requests_len(), 1, "{seen}");
                let head = seen.requests()[0].head().len() as u64;
                assert_eq!(seen.received_len(), head, "{seen}");
            }
        }
    });
}

#[test]
fn a_report_says_what_was_carried() {
    play(async || {
        let peer = Peer::tcp(
            Script::new()
                .times(3, Script::new().read_request().send(response(200, "x".repeat(1000))))
                .read_to_end()
                .fin(),
        )
        .unwrap();
        let (mut sender, connection) =
            connect_with(&peer, &Builder::new().origin("http://example.com")).await;
        for _ in 0..3 {
            read(sender.send_request(get("/")).await.unwrap()).await.unwrap();
        }
        let local = connection.snapshot().local.clone();
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        let seen = seen(peer).await;
        assert_eq!(
            (report.bytes_sent, report.bytes_received),
            (seen.received_len(), seen.sent_len()),
            "{report}"
        );
        assert_eq!((report.exchanges, report.failed, report.bytes_discarded), (3, 0, 0), "{report}");
        assert!(report.sent.contains(Signal::Fin) && report.received.contains(Signal::Fin), "{report}");
        assert_eq!(report.id, connection.id());
        assert!(local.is_some() && report.peer.is_some());
        let line = report.to_string();
        for part in
            ["http/1.1", "http://example.com", "closed by the user (graceful)", "clean", "FIN", "3 done"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
    });
}

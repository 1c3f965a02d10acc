//! Closing a client, or a part of it, in every mode and at every moment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Client, CloseKind, CloseMode, CloseReason, ConnectionId, Ended, ErrorKind, State};
use adieu_testkit::Ended as End;

use super::reports::Reports;
use super::wires::{AT_ONCE, Net, OK, Plan, answer, answer_all, ask, exchange};
use crate::support::{beside, clock, in_time, pass, settle};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_says_goodbye_in_every_mode_but_abort() {
    for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
        let (net, mut accepts) = Net::by_hand();
        let client = net.client().build().unwrap();
        let asked = ask(&client, URL);
        let mut peer = accepts.next().await;
        answer(&mut peer, OK).await.unwrap();
        in_time(asked).await.unwrap().unwrap();
        let closing = beside(client.close(mode));
        let aborts = mode.kind() == CloseKind::Abort;
        let (_, end) = in_time(peer.read_until_end()).await.unwrap();
        assert_eq!(end, if aborts { End::Reset } else { End::Fin }, "{mode:?}");
        drop(peer);
        let report = in_time(closing).await.unwrap();
        let [connection] = &report.connections[..] else { panic!("{report}") };
        assert_eq!(connection.reason, CloseReason::User(mode.kind()));
        assert_eq!(connection.ended, if aborts { Ended::Aborted } else { Ended::Clean }, "{report}");
        assert_eq!((connection.exchanges, connection.failed, report.total.alive()), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_ends_by_itself_or_fails_as_the_mode_says() {
    for (mode, answered) in [
        (CloseMode::graceful(), true),
        (CloseMode::half(), true),
        (CloseMode::now(), false),
        (CloseMode::abort(), false),
        (CloseMode::graceful().drain(secs(1.0)), false),
    ] {
        let (net, mut accepts) = Net::by_hand();
        let client = net.client().build().unwrap();
        let asked = ask(&client, URL);
        let mut peer = accepts.next().await;
        in_time(peer.read_head()).await.unwrap();
        let closing = beside(client.close(mode));
        pass(secs(2.0)).await;
        let sent = peer.send(OK).await;
        assert!(sent.is_ok() || !answered);
        let ended = in_time(asked).await.unwrap();
        drop(peer);
        let report = in_time(closing).await.unwrap();
        match ended {
            Ok(_) => assert!(answered, "{mode:?}"),
            Err(error) => {
                assert!(!answered, "{mode:?}: {error}");
                let timed_out = error.kind() == ErrorKind::Timeout(adieu::Phase::Drain);
                assert!(error.kind() == ErrorKind::Closed || timed_out, "{error:?}");
            }
        }
        assert_eq!((report.total.exchanges, report.total.failed), (answered.into(), (!answered).into()));
        assert_eq!(report.connections[0].reason, CloseReason::User(mode.kind()), "{report}");
        assert_eq!((net.alive(), client.connections().len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stricter_close_escalates_and_a_laxer_one_only_waits() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    let asked = ask(&client, URL);
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let first = beside(client.close(CloseMode::graceful()));
    pass(secs(1.0)).await;
    assert!(matches!(client.connections()[0].state, State::Draining { .. }));
    let (second, began) = (beside(client.close(CloseMode::abort())), clock());
    let third = beside(client.close(CloseMode::graceful()));
    let error = in_time(asked).await.unwrap().unwrap_err();
    assert_eq!(error.close_reason(), Some(&CloseReason::User(CloseKind::Abort)));
    let reports = [in_time(first).await.unwrap(), in_time(second).await.unwrap()];
    for report in reports {
        assert_eq!(report.connections[0].reason, CloseReason::User(CloseKind::Graceful), "the first cause");
        assert_eq!(report.connections[0].ended, Ended::Aborted);
    }
    // Whether it still found something depends on the moment.
    in_time(third).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let fourth = in_time(client.close(CloseMode::abort())).await;
    assert_eq!((fourth.connections.len(), fourth.total.failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_close_calls_off_what_is_being_opened_and_those_who_wait_fail_at_once() {
    let (net, _accepts) = Net::planned(|_| Plan { takes: secs(3_600.0), fails: None });
    let client = net.client().max_connections(2).build().unwrap();
    let asked: Vec<_> = (0..5).map(|_| ask(&client, URL)).collect();
    settle().await;
    assert_eq!((client.stats().total.opening, client.stats().total.waiting), (2, 5));
    assert!(client.connections().iter().all(|connection| connection.state == State::Opening));
    let began = clock();
    let report = in_time(client.close(CloseMode::graceful())).await;
    for task in asked {
        assert_eq!(in_time(task).await.unwrap().unwrap_err().kind(), ErrorKind::ClientClosed);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((report.connections.len(), report.total.not_opened, report.total.opened), (2, 2, 0));
    for connection in &report.connections {
        assert_eq!(connection.reason, CloseReason::User(CloseKind::Graceful), "{report}");
        assert!(connection.sent.is_empty(), "there was nothing that could be reset: {report}");
    }
    for url in [URL, "http://another/"] {
        let error = in_time(client.get(url).send()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientClosed);
    }
    assert_eq!(client.prewarm(URL, 1).await.unwrap_err().kind(), ErrorKind::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn the_idle_ones_can_be_closed_and_the_client_goes_on() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    client.prewarm(URL, 2).await.unwrap();
    client.prewarm("http://other/", 1).await.unwrap();
    let busy = ask(&client, URL);
    settle().await;
    let peers: Vec<_> = (0..3).map(|_| accepts.try_next().unwrap()).collect();
    let closing = beside(client.close_idle());
    settle().await;
    // Lifo: the second has the request.
    for (number, mut peer) in peers.into_iter().enumerate() {
        if number == 1 {
            beside(answer_all(peer));
        } else {
            assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), End::Fin));
        }
    }
    let report = in_time(closing).await.unwrap();
    assert_eq!((report.connections.len(), report.ended(Ended::Clean)), (2, 2), "{report}");
    in_time(busy).await.unwrap().unwrap();
    assert_eq!(exchange(&client, URL).await, 2, "it was not idle");
}

#[tokio::test(start_paused = true)]
async fn one_origin_can_be_closed_in_all_partitions_and_the_client_goes_on() {
    let net = Net::polite();
    let client = net.client().build().unwrap();
    exchange(&client, URL).await;
    in_time(client.get("http://HOST:80/").partition("x").send()).await.unwrap();
    exchange(&client, "http://other/").await;
    let report = in_time(client.close_origin(URL, CloseMode::now()).unwrap()).await;
    assert_eq!(report.connections.len(), 2, "{report}");
    assert!(report.connections.iter().all(|connection| connection.origin.as_deref() == Some("http://host")));
    assert_eq!((exchange(&client, URL).await, exchange(&client, "http://other/").await), (1, 2));
    assert!(client.close_origin("/no-origin", CloseMode::now()).is_err());
    assert!(
        in_time(client.close_origin("http://never/", CloseMode::now()).unwrap()).await.connections.is_empty()
    );
}

/// An origin without an open connection is forgotten among so many others; what drains for it is its own all the same.
#[tokio::test(start_paused = true)]
async fn what_drains_for_an_origin_that_was_forgotten_is_closed_with_it() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    let asked = client.get(URL).send();
    let asked = beside(asked);
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    let response = in_time(asked).await.unwrap().unwrap();
    for number in 0..1_100 {
        assert_eq!(in_time(client.prewarm(format!("http://host{number}/"), 0)).await.unwrap(), 0);
    }
    assert_eq!(client.connections().len(), 1);
    let report = in_time(client.close_origin(URL, CloseMode::now()).unwrap()).await;
    assert_eq!(report.connections.len(), 1, "{report}");
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn the_idle_ones_of_one_origin_can_be_closed_and_those_in_use_stay() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    let first = ask(&client, URL);
    beside(answer_all(accepts.next().await));
    in_time(first).await.unwrap().unwrap();
    let other = ask(&client, "http://other/");
    beside(answer_all(accepts.next().await));
    in_time(other).await.unwrap().unwrap();
    let busy = beside(client.get(URL).fresh_connection().send());
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let report = in_time(client.close_idle_of("http://HOST:80/any").unwrap()).await;
    let [closed] = &report.connections[..] else { panic!("the idle one: {report}") };
    assert_eq!((closed.origin.as_deref(), closed.exchanges), (Some("http://host"), 1));
    let left = client.stats().total;
    assert_eq!((left.active, left.idle), (1, 1), "{left}");
    peer.send(OK).await.unwrap();
    in_time(busy).await.unwrap().unwrap();
    assert!(client.close_idle_of("/no-origin").is_err());
}

/// Those that wait for the origin get a connection of their own once the others drain.
#[tokio::test(start_paused = true)]
async fn who_waits_while_its_origin_is_closed_gets_a_new_connection() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections_per_origin(1).build().unwrap();
    let first = ask(&client, URL);
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let second = ask(&client, URL);
    settle().await;
    let closing = beside(client.close_origin(URL, CloseMode::graceful()).unwrap());
    beside(answer_all(accepts.next().await));
    in_time(second).await.unwrap().unwrap();
    peer.send(OK).await.unwrap();
    in_time(first).await.unwrap().unwrap();
    drop(peer);
    assert_eq!(in_time(closing).await.unwrap().connections.len(), 1);
    assert_eq!(client.connections().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_opened_is_left_to_those_who_wait_unless_they_shall_fail_at_once() {
    let slow = || Plan { takes: Duration::from_secs(1), ..AT_ONCE };
    let (net, mut accepts) = Net::planned(move |_| slow());
    let client = net.client().build().unwrap();
    let first = ask(&client, URL);
    settle().await;
    let report = in_time(client.close_origin(URL, CloseMode::graceful()).unwrap()).await;
    assert!(report.connections.is_empty(), "{report}");
    beside(answer_all(accepts.next().await));
    in_time(first).await.unwrap().unwrap();
    in_time(client.close_idle()).await;
    let second = ask(&client, URL);
    settle().await;
    let report = in_time(client.close_origin(URL, CloseMode::now()).unwrap()).await;
    assert_eq!(report.connections.len(), 1, "{report}");
    assert_eq!(in_time(second).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_connection_can_be_closed() {
    let net = Net::polite();
    let client = net.client().build().unwrap();
    client.prewarm(URL, 2).await.unwrap();
    let [first, second] = &client.connections()[..] else { panic!("two connections") };
    let report = in_time(client.close_connection(first.id, CloseMode::graceful()).unwrap()).await;
    assert_eq!(
        (report.id, report.ended, &report.reason),
        (first.id, Ended::Clean, &CloseReason::User(CloseKind::Graceful))
    );
    assert!(client.close_connection(first.id, CloseMode::abort()).is_none(), "it is gone");
    assert!(client.connection(first.id).is_none());
    assert!(client.close_connection(ConnectionId::new(u64::MAX), CloseMode::now()).is_none());
    let response = client.get(URL).send().await.unwrap();
    assert_eq!(adieu::ResponseExt::connection(&response), Some(second.id));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_being_opened_can_be_closed_too() {
    let (net, _accepts) = Net::planned(|_| Plan { takes: secs(3_600.0), fails: None });
    let client = net.client().build().unwrap();
    let asked = ask(&client, URL);
    settle().await;
    let [opening] = &client.connections()[..] else { panic!("one connection") };
    let report = in_time(client.close_connection(opening.id, CloseMode::now()).unwrap()).await;
    assert_eq!((report.reason, report.age), (CloseReason::User(CloseKind::Now), Duration::ZERO));
    let error = in_time(asked).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.connection()), (ErrorKind::Closed, Some(opening.id)));
}

/// A hook that is told of an opening may close the connection, and need not wait for that.
#[tokio::test(start_paused = true)]
async fn one_that_has_just_opened_is_closed_by_whoever_says_so_first() {
    let client = Arc::new(OnceLock::<Client>::new());
    let held = client.clone();
    let closes = move |event: &Event| {
        let at_once = matches!(event.what, Happening::Opened).then_some(event.connection).flatten();
        if let (Some(id), Some(client)) = (at_once, held.get()) {
            drop(client.close_connection(id, CloseMode::now()).unwrap());
        }
    };
    let net = Net::polite();
    let (reports, built) = Reports::of(net.client().observer(closes));
    client.set(built).unwrap();
    let client = client.get().unwrap();
    // A request takes no more than so many that are gone before they can be used.
    let error = in_time(client.get(URL).send()).await.unwrap_err();
    assert_eq!((error.kind(), net.connects()), (ErrorKind::Closed, 3));
    settle().await;
    assert_eq!((reports.all().len(), net.alive(), client.connections().len()), (3, 0, 0));
    assert!(reports.all().iter().all(|report| report.reason == CloseReason::User(CloseKind::Now)));
}

/// Without any traffic, and though nobody polls anything.
#[tokio::test(start_paused = true)]
async fn a_peers_end_on_an_idle_connection_is_answered_within_a_second() {
    for after in [0.0, 0.3, 1.5, 30.0] {
        for resets in [false, true] {
            let (net, mut accepts) = Net::by_hand();
            let (reports, client) = Reports::of(net.client());
            let asked = ask(&client, URL);
            let mut peer = accepts.next().await;
            answer(&mut peer, OK).await.unwrap();
            in_time(asked).await.unwrap().unwrap();
            pass(secs(after)).await;
            if resets {
                peer.reset();
            } else {
                peer.fin().await.unwrap();
                let began = clock();
                assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), End::Fin));
                assert!(began.elapsed() <= secs(1.001), "{:?}", began.elapsed());
            }
            pass(secs(1.001)).await;
            assert_eq!((client.connections().len(), net.alive()), (0, 0), "after {after} s");
            let expected = if resets { CloseReason::Reset } else { CloseReason::PeerClosedIdle };
            assert_eq!((reports.all().len(), &reports.all()[0].reason), (1, &expected));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_has_used_is_watched_as_well() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    client.prewarm(URL, 1).await.unwrap();
    drop(accepts.next().await);
    pass(secs(1.001)).await;
    assert_eq!((client.connections().len(), net.alive()), (0, 0));
}

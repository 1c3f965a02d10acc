//! Idle ages that are learned from the peers that end connections, and what comes of them.

use std::time::Duration;

use adieu::{Client, CloseReason, Order, ResponseExt};
use adieu_testkit::memory::MemoryEnd;
use adieu_testkit::peer::{Peer, Script, response};

use super::reports::Reports;
use super::wires::{Net, OK, answer, exchange, text};
use crate::support::{beside, in_time, pass};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A network whose servers end each connection after it has been idle for so long; how long, the connections say in turn.
fn impatient(idle: impl Fn(usize) -> f64 + Send + 'static) -> Net {
    let (net, mut accepts) = Net::by_hand();
    beside(async move {
        for number in 0.. {
            beside(serve(accepts.next().await, secs(idle(number))));
        }
    });
    net
}

async fn serve(mut peer: MemoryEnd, idle: Duration) {
    while let Ok(Ok(())) = tokio::time::timeout(idle, answer(&mut peer, OK)).await {}
}

/// Each connection idles until it ends; why each did.
async fn ends(net: &Net, rounds: usize, learn: bool) -> (Vec<CloseReason>, Client) {
    let (reports, client) = Reports::of(net.client().learn_idle(learn));
    for _ in 0..rounds {
        exchange(&client, URL).await;
        pass(secs(20.0)).await;
    }
    (reports.all().iter().map(|report| report.reason.clone()).collect(), client)
}

use CloseReason::{IdleLimit, PeerClosedIdle};

#[tokio::test(start_paused = true)]
async fn an_age_is_learned_from_those_that_ended_and_others_retire_before_it() {
    let (reasons, client) = ends(&impatient(|_| 5.0), 6, true).await;
    let gone = || PeerClosedIdle;
    assert_eq!(reasons, [gone(), gone(), gone(), IdleLimit, IdleLimit, IdleLimit]);
    exchange(&client, URL).await;
    pass(secs(1.0)).await;
    let [snapshot] = &client.connections()[..] else { panic!() };
    // A twentieth before.
    assert_eq!(snapshot.learned_idle, Some(secs(4.75)));
    assert_eq!(snapshot.deadline, Some(secs(3.75)));
}

#[tokio::test(start_paused = true)]
async fn what_peers_say_or_do_not_agree_upon_teaches_nothing() {
    let (reasons, _) = ends(&impatient(|number| 3.0 + number as f64), 6, true).await;
    assert!(reasons.iter().all(|reason| *reason == PeerClosedIdle), "{reasons:?}");
    let (reasons, _) = ends(&impatient(|_| 5.0), 6, false).await;
    assert!(reasons.iter().all(|reason| *reason == PeerClosedIdle), "switched off: {reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_is_forgotten() {
    let net = impatient(|_| 5.0);
    let (_, client) = ends(&net, 6, true).await;
    pass(secs(600.0)).await;
    exchange(&client, URL).await;
    let [snapshot] = &client.connections()[..] else { panic!() };
    assert_eq!(snapshot.learned_idle, None);
}

/// A connection that learns of its limit as it is passed over is retired in time all the same.
#[tokio::test(start_paused = true)]
async fn who_learns_while_it_is_passed_over_retires_in_time() {
    let net = impatient(|_| 5.0);
    let (reports, client) = Reports::of(net.client());
    for _ in 0..2 {
        exchange(&client, URL).await;
        pass(secs(20.0)).await;
    }
    // The third is idle for five seconds, and another comes back half a second before it ends.
    let third = in_time(client.get(URL).send()).await.unwrap();
    let another = in_time(client.get(URL).fresh_connection().send()).await.unwrap();
    let id = another.connection().unwrap();
    assert_eq!(in_time(third.text()).await.unwrap(), "ok");
    assert_eq!(in_time(another.text()).await.unwrap(), "ok");
    pass(secs(4.5)).await;
    assert_eq!(in_time(client.get(URL).send()).await.unwrap().connection(), Some(id));
    pass(secs(1.7)).await;
    // What is opened now has the lesson taken; the other does not know it.
    let opened = in_time(client.get(URL).fresh_connection().close_afterwards().send()).await.unwrap();
    drop(in_time(opened.text()).await.unwrap());
    pass(secs(2.1)).await;
    let posted = in_time(client.post(URL).send()).await.unwrap();
    assert_ne!(posted.connection(), Some(id), "it was near its end");
    pass(secs(20.0)).await;
    let report = reports.all().into_iter().find(|report| report.id == id).unwrap();
    assert_eq!(report.reason, IdleLimit, "{report}");
}

/// A restart: many connections of many ages at once, again and again.
#[tokio::test(start_paused = true)]
async fn restarts_teach_nothing() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    for _ in 0..6 {
        let mut peers = Vec::new();
        let asks: Vec<_> = (0..4).map(|_| beside(text(client.get(URL).send()))).collect();
        for _ in 0..4 {
            peers.push(accepts.next().await);
        }
        for peer in &mut peers {
            // So they are idle for 1.5, 3, 4.5 and 6 seconds when the server restarts.
            answer(peer, OK).await.unwrap();
            pass(secs(1.5)).await;
        }
        for ask in asks {
            in_time(ask).await.unwrap().unwrap();
        }
        drop(peers);
        pass(secs(5.0)).await;
    }
    assert_eq!(reports.all().len(), 24);
    let known = |report: &std::sync::Arc<adieu::CloseReport>| report.ended_idle.is_some();
    assert!(reports.all().iter().all(known), "what is watched is known");
    let (asked, mut peer) = (beside(text(client.get(URL).send())), accepts.next().await);
    answer(&mut peer, OK).await.unwrap();
    in_time(asked).await.unwrap().unwrap();
    assert_eq!(client.connections()[0].learned_idle, None);
}

/// A request that could not be sent again takes the youngest, whatever the order; and none where all are near their end.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_again_takes_no_chances() {
    let net = Net::polite();
    let client = net.client().order(Order::Fifo).build().unwrap();
    assert_eq!(client.prewarm(URL, 2).await.unwrap(), 2);
    let connection = async |request: adieu::RequestBuilder| {
        let response = in_time(request.send()).await.unwrap();
        let id = response.connection().unwrap();
        assert_eq!(in_time(response.text()).await.unwrap(), "ok");
        id
    };
    let first = connection(client.get(URL)).await;
    let second = connection(client.get(URL)).await;
    assert_ne!(first, second, "the one that has been idle longest");
    assert_eq!(connection(client.post(URL)).await, second, "the youngest");
    assert_eq!(connection(client.get(URL)).await, first);
    assert_eq!(connection(client.post(URL).repeatable()).await, second, "it takes its chances");
    // The limit is 55 s.
    pass(secs(40.0)).await;
    assert_eq!((connection(client.post(URL)).await, net.connects()), (second, 2));
    pass(secs(42.0)).await;
    let third = connection(client.post(URL)).await;
    assert_eq!(net.connects(), 3);
    assert!(third != first && third != second);
    assert!([first, second].contains(&connection(client.get(URL)).await), "a GET takes its chances");
}

/// The kernel tells when an end came, though it was noticed late.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_end_that_is_noticed_late_has_its_true_age() {
    let answer = Script::new().read_request().send(response(200, "ok"));
    let script = answer.pause(Duration::from_millis(100)).close().repeat();
    let peer = Peer::builder().script(script).tcp().unwrap();
    let (reports, client) = Reports::of(Client::builder().no_proxies());
    for _ in 0..3 {
        assert_eq!(in_time(text(client.get(peer.url("/")).send())).await.unwrap(), "ok");
        // Nothing looks at it for the first second, but the next request.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let reports = reports.all();
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert_eq!(report.reason, PeerClosedIdle);
        let age = report.ended_idle.unwrap();
        assert!(age > Duration::from_millis(90) && age < Duration::from_millis(200), "{age:?}: {report}");
        assert!(report.round_trip.is_some());
    }
}

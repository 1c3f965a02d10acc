//! `connections()`, `connection(id)`, `stats()`, and how a response came.

use std::time::Duration;

use adieu::{Client, CloseMode, ErrorKind, ResponseExt, State};

use super::{URL, exchange, polite, polite_client};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, in_time, pass, settle, watch_for_hangs};

#[tokio::test(start_paused = true)]
async fn snapshots_follow_a_connection_from_its_opening_to_its_end() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let client = net.delay(Duration::from_secs(2)).client(|builder| builder);
    let sending = beside(client.get(URL).send());
    settle().await;
    pass(Duration::from_secs(1)).await;
    let [opening] = &client.connections()[..] else { panic!("one") };
    let id = opening.id;
    let text = opening.to_string();
    assert!(
        text.starts_with(&format!("{id} http/1.1 http://example.com: opening for 1.0s; 0 done")),
        "{text}"
    );
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let active = client.connection(id).unwrap();
    assert_eq!((active.state, active.in_flight, active.done), (State::Active, 1, 0));
    assert!(active.to_string().contains(": active for 0.0ns, awaiting response; 0 done; "), "{active}");
    peer.send(SMALL).await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    assert_eq!(response.connection(), Some(id));
    pass(Duration::from_secs(3)).await;
    let idle = client.connection(id).unwrap();
    assert_eq!((idle.state, idle.idle.map(|idle| idle.as_secs())), (State::Idle, Some(3)));
    assert_eq!(idle.deadline.map(|left| left.as_secs()), Some(52));
    assert_eq!(idle.age.as_secs(), 5, "from the moment at which its opening began");
    let closing = beside(client.close_connection(id, CloseMode::graceful()).unwrap());
    settle().await;
    let lingering = client.connection(id).unwrap();
    assert_eq!((lingering.state, client.stats().total.closing), (State::Lingering, 1));
    assert!(lingering.to_string().contains("closed by the user (graceful); 1 done"), "{lingering}");
    drop(peer);
    assert_eq!(in_time(closing).await.unwrap().id, id);
    assert!(client.connection(id).is_none() && client.close_connection(id, CloseMode::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn counts_are_kept_by_origin_and_partition_and_in_all() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let client = net.client(|builder| builder.max_connections_per_origin(1));
    for (url, partition) in
        [("http://a/", None), ("http://a/", Some("x")), ("https://b:8443/", None), ("http://a/", None)]
    {
        let request = client.get(url);
        let request = match partition {
            Some(partition) => request.partition(partition),
            None => request,
        };
        in_time(in_time(request.send()).await.unwrap().text()).await.unwrap();
    }
    in_time(in_time(client.get("http://a/").close_afterwards().send()).await.unwrap().text()).await.unwrap();
    settle().await;
    let stats = client.stats();
    let text = "all: 0 opening, 2 idle, 0 active, 0 draining, 0 closing, 0 waiting; 3 opened, 2 reused; 5 done, 0 failed; 1 request_asked_close\n\
        http://a: 0 opening, 0 idle, 0 active, 0 draining, 0 closing, 0 waiting; 1 opened, 2 reused; 3 done, 0 failed; 1 request_asked_close\n\
        http://a [x]: 0 opening, 1 idle, 0 active, 0 draining, 0 closing, 0 waiting; 1 opened, 0 reused; 1 done, 0 failed\n\
        https://b:8443: 0 opening, 1 idle, 0 active, 0 draining, 0 closing, 0 waiting; 1 opened, 0 reused; 1 done, 0 failed";
    assert_eq!(stats.to_string(), text);
    let report = in_time(client.close(CloseMode::graceful())).await;
    let text = report.to_string();
    assert!(text.starts_with("2 connections closed in 0.0ns, 2 clean\n#"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert_eq!((report.total.opened, report.total.closed["user_graceful"]), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn openings_waits_and_failures_are_counted() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let net = net.delay(Duration::from_secs(1));
    let client = net.client(|builder| builder.max_connections_per_origin(2));
    let tasks: Vec<_> = (0..5).map(|_| beside(client.get(URL).send())).collect();
    settle().await;
    let total = client.stats().total;
    assert_eq!((total.opening, total.waiting, total.opened, total.alive()), (2, 5, 0, 2), "{total}");
    pass(Duration::from_secs(2)).await;
    let total = client.stats().total;
    assert_eq!((total.opening, total.active, total.waiting, total.opened), (0, 2, 3, 2), "{total}");
    for task in &tasks {
        task.abort();
    }
    settle().await;
    drop((arrivals.next().await, arrivals.next().await));
    settle().await;
    let total = client.stats().total;
    assert_eq!((total.alive(), total.waiting, total.failed, total.closed["request_cancelled"]), (0, 0, 2, 2));
}

/// So many origins that the unused ones are forgotten; what they have counted stays in the total.
#[tokio::test(start_paused = true)]
async fn origins_that_are_forgotten_stay_in_the_total() {
    let (client, _log) = polite_client(|builder| builder);
    const ORIGINS: u64 = 1_300;
    let visit = async |number: u64| {
        let request = client.get(format!("http://host-{number}/")).close_afterwards();
        in_time(in_time(request.send()).await.unwrap().text()).await.unwrap();
    };
    in_time(in_time(client.get("http://kept/").send()).await.unwrap().text()).await.unwrap();
    for number in 0..ORIGINS {
        visit(number).await;
    }
    visit(3).await;
    settle().await;
    let stats = client.stats();
    assert!(stats.origins.len() < 1_100, "{} are known", stats.origins.len());
    let total = &stats.total;
    assert_eq!((total.opened, total.exchanges, total.failed), (ORIGINS + 2, ORIGINS + 2, 0), "{total}");
    assert_eq!(total.closed["request_asked_close"], ORIGINS + 1);
    let kept = stats.origins.iter().find(|origin| origin.origin == "http://kept").unwrap();
    assert_eq!((kept.tally.idle, total.idle), (1, 1), "one that has a connection is not forgotten");
}

/// An origin is forgotten between being found and being queued at: its request finds it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forgetting_origins_disturbs_nobody() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let client = net.client(|builder| builder);
    let tasks = (0..8).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..400 {
                let request = client.get(format!("http://host-{task}-{number}/")).close_afterwards();
                assert_eq!(request.send().await.unwrap().text().await.unwrap(), "ok");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(client.stats().total.exchanges, 3_200);
}

#[tokio::test(start_paused = true)]
async fn a_response_tells_how_it_came() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    let client = net.delay(Duration::from_secs(2)).client(|builder| builder);
    arrivals.each(|mut peer| async move {
        while peer.read_head().await.is_ok() {
            pass(Duration::from_secs(1)).await;
            peer.send(SMALL).await.unwrap();
        }
    });
    let first = in_time(client.get(URL).send()).await.unwrap();
    let info = first.info().unwrap().clone();
    assert_eq!((info.waited().as_secs(), info.head().as_secs(), info.exchange), (2, 3, 1));
    assert!(!info.is_reused() && info.opening.is_some() && info.replays == 0);
    assert_eq!(info.opening.unwrap(), Default::default(), "a way of one's own has no steps");
    in_time(first.text()).await.unwrap();
    let second = in_time(client.get(URL).send()).await.unwrap();
    let info = second.info().unwrap().clone();
    assert_eq!((info.waited(), info.head().as_secs(), info.exchange), (Duration::ZERO, 1, 2));
    assert!(info.is_reused() && info.opening.is_none());
    assert_eq!(Some(info.connection), second.connection());
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_response_tells_how_long_each_step_of_opening_took() {
    use adieu_testkit::peer::{Script, TlsVersion};
    watch_for_hangs();
    let peer = crate::tls::support::peer(TlsVersion::Tls13, Script::new().answer_all(SMALL));
    let roots = crate::tls::support::AUTHORITY.pem();
    let client = Client::builder().no_proxies();
    let client = client.tls(|tls| tls.platform_roots(false).add_root_certificates(roots)).build().unwrap();
    let url = format!("https://localhost:{}/", peer.address().port());
    let response = in_time(client.get(url).send()).await.unwrap();
    let info = response.info().unwrap().clone();
    let steps = info.opening.clone().unwrap();
    let all = [steps.resolve, steps.connect, steps.tls].map(Option::unwrap);
    assert!(steps.proxy.is_none() && all.iter().sum::<Duration>() <= info.waited(), "{info:?}");
    in_time(response.text()).await.unwrap();
    let [connection] = &client.connections()[..] else { panic!("one") };
    let text = connection.to_string();
    assert!(text.contains(&format!("https://localhost:{}", peer.address().port())), "{text}");
    assert!(text.contains("TLS") && text.contains("(127.0.0.1:"), "{text}");
    in_time(client.close(CloseMode::graceful())).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_still_answers_questions() {
    let (client, _log) = polite_client(|builder| builder);
    exchange(&client).await;
    in_time(client.close(CloseMode::graceful())).await;
    assert!(client.connections().is_empty() && client.waiting().is_empty());
    assert_eq!(client.stats().total.exchanges, 1);
    assert_eq!(in_time(client.get(URL).send()).await.unwrap_err().kind(), ErrorKind::ClientClosed);
    assert_eq!(client.events().try_next().map(|_| ()), None);
    let again = in_time(client.close(CloseMode::abort())).await;
    assert_eq!((again.connections.len(), again.to_string().as_str()), (0, "0 connections closed in 0.0ns"));
}

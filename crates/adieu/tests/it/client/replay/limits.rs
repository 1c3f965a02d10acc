//! Nothing is sent again for ever, nor beyond its time, nor beyond what the traffic allows.

use adieu::{Client, Fate, Refusal};
use adieu_testkit::peer::{Peer, Script};

use super::{in_time, ms, ok, text};

#[tokio::test]
async fn a_server_that_refuses_for_ever_is_given_up() {
    // Whatever it is sent, it resets.
    let peer = Peer::builder().max_connections(100).script(Script::new().read_exactly(1).reset().repeat());
    let peer = peer.tcp().unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    for _ in 0..5 {
        let before = peer.connections();
        let error = in_time(client.get(peer.url("/")).send()).await.unwrap_err();
        assert_eq!((error.fate(), error.replays()), (Fate::Unknown, 0), "{error}");
        assert_eq!(peer.connections() - before, 1);
    }
    // It takes connections and ends them at once.
    let peer = Peer::builder().max_connections(1_000).script(Script::new().close().repeat()).tcp().unwrap();
    for _ in 0..20 {
        let before = peer.connections();
        let error = in_time(client.post(peer.url("/")).body("b").send()).await.unwrap_err();
        assert!(peer.connections() - before <= 8, "{error}: {}", peer.connections() - before);
    }
}

/// What may have been processed goes on a connection of its own: no other pooled one is tried.
#[tokio::test]
async fn what_may_have_been_processed_is_not_tried_on_one_pooled_connection_after_the_other() {
    let peer = Peer::builder()
        .max_connections(100)
        .script(Script::new().read_request().send(ok()).read_request().close().repeat());
    let peer = peer.tcp().unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let asks: Vec<_> = (0..8).map(|_| tokio::spawn(text(client.get(peer.url("/"))))).collect();
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    let before = peer.connections();
    assert_eq!(text(client.get(peer.url("/"))).await.unwrap(), "ok");
    assert_eq!((peer.connections() - before, client.stats().total.replayed), (1, 1));
}

/// What is left of the time is handed on: a replay does not begin anew.
#[tokio::test]
async fn a_replay_has_what_is_left_of_the_time() {
    let first = Script::new().read_request().send(ok()).read_request().pause(ms(150)).close();
    let peer = Peer::builder().script(first).script(Script::new().read_request().stall()).tcp().unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let began = std::time::Instant::now();
    let error = in_time(client.get(peer.url("/")).timeout(ms(300)).send()).await.unwrap_err();
    let took = began.elapsed();
    assert!(error.is_timeout() && took >= ms(290) && took < ms(440), "{error} after {took:?}");
    // It may have been processed on the first connection, whatever became of it on the second.
    assert_eq!((error.replays(), error.fate()), (1, Fate::Unknown));
}

#[tokio::test]
async fn a_fate_is_over_all_attempts() {
    // Sent again, it finds nobody: but it may have been processed before.
    let first = Script::new().read_request().send(ok()).read_request().pause(ms(50)).close();
    let peer = Peer::builder().script(first).tcp().unwrap();
    let client = Client::builder().no_proxies().connect_timeout(ms(200)).build().unwrap();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let address = peer.address();
    let asked = tokio::spawn(client.get(peer.url("/")).send());
    tokio::time::sleep(ms(20)).await;
    // No more connections are taken from now on; the one that is there plays on.
    tokio::task::spawn_blocking(move || drop(peer.finish())).await.unwrap();
    let error = in_time(asked).await.unwrap().unwrap_err();
    assert_eq!((error.fate(), error.replays()), (Fate::Unknown, 1), "{address}: {error}");
}

/// A server that forgets forty requests at once gets a fifth of them again, and ten at least; the others fail and say why.
#[tokio::test]
async fn no_more_is_sent_again_than_the_traffic_allows() {
    const MANY: usize = 40;
    let script = Script::new().read_request().send(ok()).read_request().close().repeat();
    let peer = Peer::builder().max_connections(1_000).script(script).tcp().unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    assert_eq!(client.prewarm(peer.url("/"), MANY).await.unwrap(), MANY);
    let wave = || (0..MANY).map(|_| tokio::spawn(text(client.get(peer.url("/"))))).collect::<Vec<_>>();
    for ask in wave() {
        in_time(ask).await.unwrap().unwrap();
    }
    let (mut again, mut refused) = (0, 0);
    for ask in wave() {
        match in_time(ask).await.unwrap() {
            Ok(_) => again += 1,
            Err(error) => {
                assert_eq!(
                    (error.fate(), error.refusal()),
                    (Fate::Unknown, Some(Refusal::Budget)),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    // What is sent again is traffic too.
    assert!((10..=20).contains(&again) && again + refused == MANY, "{again} sent again, {refused} refused");
    assert_eq!(client.stats().total.replayed, again as u64);
}

//! Hard cases 4, 5, 45 and 48.

use adieu::{Client, ErrorKind, Fate, Proof, Refusal, Replay, ResponseExt};
use adieu_testkit::peer::{Peer, Script, response};

use super::{Ending, in_time, ms, ok, once, replays, text};

const REFUSED: Fate = Fate::NotProcessed(Proof::ClosedBeforeReceipt);

/// 4: the kernel takes a write after the peer's FIN, and the RST comes later. What it took is not what was received: the fate
/// is unknown unless it is proven, and a FIN that is seen before means that nothing is written.
#[tokio::test]
async fn write_after_peer_fin() {
    // Proven: the peer's kernel refused it.
    let ending = Ending::closes_idle();
    let client = ending.client(|builder| builder.replay(Replay::Never)).await;
    ending.end();
    let error = in_time(client.post(ending.url()).body("b").send()).await.unwrap_err();
    assert_eq!((error.fate(), error.kind()), (REFUSED, ErrorKind::NoResponse), "{error}");
    let facts = error.facts().unwrap();
    assert!(facts.handed >= facts.head, "the kernel took all of it: {facts:?}");

    // Not proven: the peer had ended one side only, and received it.
    let ending = Ending::half_closes();
    let client = ending.client(|builder| builder.replay(Replay::Never)).await;
    ending.end();
    let error = in_time(client.post(ending.url()).body("b").send()).await.unwrap_err();
    assert_eq!((error.fate(), error.kind()), (Fate::Unknown, ErrorKind::NoResponse), "{error}");

    // Seen before: nothing is written on that connection, and nothing is sent again.
    let ending = Ending::closes_idle();
    let client = ending.client(|builder| builder.replay(Replay::Never)).await;
    ending.end();
    tokio::time::sleep(ms(20)).await;
    assert_eq!(replays(client.post(ending.url()).body("b")).await, 0);
    assert_eq!(client.stats().total.failed, 0);
}

/// 5: a connection that the peer closes as it is used again. What was not written, or not received, is sent again whatever
/// its method; what may have been, only where twice does no harm; on a fresh connection nothing of the kind.
#[tokio::test]
async fn stale_reuse_race() {
    let ending = Ending::closes_idle();
    let client = ending.client(|builder| builder).await;
    ending.end();
    assert_eq!(replays(client.post(ending.url()).body("b")).await, 1);
    assert_eq!((ending.asked(), ending.peer.connections()), (1, 2));

    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    ending.end();
    assert_eq!(replays(client.get(ending.url())).await, 1);
    assert_eq!((ending.asked(), ending.peer.connections()), (2, 2));

    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    ending.end();
    let error = in_time(client.post(ending.url()).body("b").send()).await.unwrap_err();
    assert_eq!((error.fate(), error.refusal()), (Fate::Unknown, Some(Refusal::MayBeProcessed)));
    assert_eq!((ending.asked(), ending.peer.connections()), (1, 1));

    // A peer that ends fresh connections is not in a race.
    let peer = Peer::tcp(Script::new().read_request().close().repeat()).unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let error = in_time(client.get(peer.url("/")).send()).await.unwrap_err();
    assert_eq!((error.fate(), error.refusal()), (Fate::Unknown, Some(Refusal::FreshConnection)));
    assert_eq!(peer.connections(), 1);
}

/// 45: a 421 (Misdirected Request) is asked once more, on a connection of its own; a second one is the answer.
#[tokio::test]
async fn misdirected_request() {
    let misdirected = response(421, "not here");
    let first =
        Script::new().read_request().send(ok()).read_request().send(misdirected.clone()).answer_all(ok());
    let peer = Peer::builder().script(first.or_end()).script(Script::new().answer_all(ok()).or_end());
    let peer = peer.tcp().unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    assert_eq!(replays(client.post(peer.url("/")).body("b")).await, 1);
    assert_eq!(peer.connections(), 2);

    let peer = Peer::tcp(Script::new().answer_all(misdirected).or_end().repeat()).unwrap();
    let response = in_time(client.post(peer.url("/")).body("b").send()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.info().unwrap().replays), (421, 1));
    assert_eq!(response.text().await.unwrap(), "not here");
    assert_eq!(peer.connections(), 2);
}

/// 48: a request that could be sent again but for its body fails, and says what became of it; it is not sent with half a
/// body, and no response is made up.
#[tokio::test]
async fn retry_and_a_body_that_cannot_be_replayed() {
    let ending = Ending::closes_idle();
    let client = ending.client(|builder| builder).await;
    ending.end();
    let error = in_time(client.post(ending.url()).body(once("only once")).send()).await.unwrap_err();
    assert_eq!((error.fate(), error.refusal()), (REFUSED, Some(Refusal::BodyGone)), "{error}");
    assert_eq!((error.replays(), ending.peer.connections()), (0, 1));
    // The same of a method that would bear it twice.
    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    ending.end();
    let request = client.get(ending.url()).body(once("only once"));
    let error = in_time(request.send()).await.unwrap_err();
    assert_eq!((error.fate(), error.refusal()), (Fate::Unknown, Some(Refusal::BodyGone)), "{error}");
}

//! What is never sent again, however safe: what this side ended, what broke the protocol, and what was answered in part.

use adieu::{Client, CloseMode, Error, ErrorKind, Fate, Refusal, Replay};
use adieu_testkit::peer::{Peer, Script, Until};

use super::{in_time, ms, ok, text};

/// A peer that answers one request and does this after the next.
fn then(end: impl FnOnce(Script) -> Script) -> Peer {
    let first = end(Script::new().read_request().send(ok()).read_request());
    let others = Script::new().answer_all(ok()).or_end().repeat();
    Peer::builder().script(first).script(others).tcp().unwrap()
}

/// The error of a GET on the connection that was used before, and how many connections there were.
async fn fails(peer: &Peer, client: &Client) -> Error {
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let error = in_time(client.get(peer.url("/")).send()).await.unwrap_err();
    assert_eq!((peer.connections(), error.replays()), (1, 0), "{error}");
    error
}

fn client() -> Client {
    Client::builder().no_proxies().replay(Replay::Idempotent).build().unwrap()
}

#[tokio::test]
async fn a_timeout_of_the_response_head() {
    let peer = then(Script::stall);
    let timeouts = adieu::Timeouts::new().response_head(ms(50));
    let client = Client::builder().no_proxies().timeouts(timeouts).build().unwrap();
    let error = fails(&peer, &client).await;
    assert!(error.is_timeout(), "{error}");
    assert_eq!((error.fate(), error.refusal()), (Fate::Unknown, Some(Refusal::EndedByUs)));
}

#[tokio::test]
async fn a_timeout_of_the_whole() {
    let peer = then(Script::stall);
    let client = client();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let error = in_time(client.get(peer.url("/")).timeout(ms(50)).send()).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!((error.refusal(), peer.connections()), (Some(Refusal::EndedByUs), 1));
}

#[tokio::test]
async fn a_close_now() {
    let peer = then(Script::stall);
    let client = client();
    let closer = client.clone();
    let closing = async {
        peer.wait_async(0, Until::Requests(2)).await.unwrap();
        closer.close_origin(peer.url("/"), CloseMode::now()).unwrap().await
    };
    let (error, _) = tokio::join!(fails(&peer, &client), closing);
    assert_eq!((error.kind(), error.refusal()), (ErrorKind::Closed, Some(Refusal::EndedByUs)), "{error}");
}

#[tokio::test]
async fn a_cancellation() {
    let peer = then(Script::stall);
    let client = client();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let asked = tokio::time::timeout(ms(50), client.get(peer.url("/")).send()).await;
    assert!(asked.is_err());
    tokio::time::sleep(ms(50)).await;
    assert_eq!((peer.connections(), client.stats().total.replayed), (1, 0));
}

#[tokio::test]
async fn a_violation_of_the_protocol() {
    let peer = then(|script| script.send("HTTP/9.9 what\r\n\r\n").read_to_end().or_end());
    let error = fails(&peer, &client()).await;
    assert_eq!((error.kind(), error.refusal()), (ErrorKind::BadResponse, Some(Refusal::Answered)), "{error}");
}

#[tokio::test]
async fn what_was_answered_in_part() {
    for part in ["H", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let peer = then(|script| script.send(part).close());
        let error = fails(&peer, &client()).await;
        assert_eq!((error.fate(), error.refusal()), (Fate::Unknown, Some(Refusal::Answered)), "{error}");
    }
}

#[tokio::test]
async fn what_was_answered_and_cut_short() {
    let peer = then(|script| script.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close());
    let client = client();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let error = text(client.get(peer.url("/"))).await.unwrap_err();
    assert_eq!((error.fate(), peer.connections()), (Fate::Answered, 1), "{error}");
}

#[tokio::test]
async fn a_body_of_the_callers_that_fails() {
    let peer = then(|script| script.read_to_end().or_end());
    let client = client();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    // It could be made anew, and would fail again.
    let failing = adieu::Body::factory(|| {
        http_body_util::StreamBody::new(futures_util::stream::iter([
            Ok(http_body::Frame::data(adieu::Bytes::from("part"))),
            Err(std::io::Error::other("no more")),
        ]))
    });
    let request = client.post(peer.url("/")).body(failing).repeatable();
    let error = in_time(request.send()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.refusal()),
        (ErrorKind::RequestBody, Some(Refusal::EndedByUs)),
        "{error}"
    );
    assert_eq!(peer.connections(), 1);
}

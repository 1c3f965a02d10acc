//! Responses that ask for another try: 425, and a 408 by which a peer ends an idle connection.

use adieu::{Client, Replay, ResponseExt};
use adieu_testkit::peer::{Peer, Script, response};
use http::Method;

use super::{in_time, ok, once, text};

const TIMED_OUT: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// One answer, then this one to the next request; all other connections answer everything.
fn then(answer: impl Into<Vec<u8>>) -> Peer {
    let first = Script::new().read_request().send(ok()).read_request().send(answer).answer_all(ok());
    let others = Script::new().answer_all(ok()).or_end().repeat();
    Peer::builder().script(first.or_end()).script(others).tcp().unwrap()
}

async fn ask(peer: &Peer, method: Method, rule: Replay) -> (u16, u32) {
    let client = Client::builder().no_proxies().replay(rule).build().unwrap();
    assert_eq!(text(client.get(peer.url("/first"))).await.unwrap(), "ok");
    let response = in_time(client.build_request(method, peer.url("/")).send()).await.unwrap();
    (response.status().as_u16(), response.info().unwrap().replays)
}

#[tokio::test]
async fn too_early_is_asked_once_more_whatever_the_method() {
    assert_eq!(ask(&then(response(425, "")), Method::POST, Replay::Safe).await, (200, 1));
    assert_eq!(ask(&then(response(425, "")), Method::POST, Replay::Never).await, (425, 0));
    let always = Peer::tcp(Script::new().answer_all(response(425, "")).or_end().repeat()).unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let response = in_time(client.post(always.url("/")).body("b").send()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.info().unwrap().replays), (425, 1));
    let response = in_time(client.post(always.url("/")).body(once("b")).send()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.info().unwrap().replays), (425, 0));
}

/// It may have been processed: only what does no harm is asked again; else the 408 is the answer.
#[tokio::test]
async fn a_408_that_ends_a_used_connection_is_taken_for_no_answer() {
    assert_eq!(ask(&then(TIMED_OUT), Method::GET, Replay::Safe).await, (200, 1));
    assert_eq!(ask(&then(TIMED_OUT), Method::POST, Replay::Safe).await, (408, 0));
    assert_eq!(ask(&then(TIMED_OUT), Method::GET, Replay::Proven).await, (408, 0));
    // One that goes on, or comes on a fresh connection, is an answer.
    assert_eq!(ask(&then(response(408, "")), Method::GET, Replay::Safe).await, (408, 0));
    let fresh = Peer::tcp(Script::new().read_request().send(TIMED_OUT).read_to_end().repeat()).unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let response = in_time(client.get(fresh.url("/")).send()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.info().unwrap().replays), (408, 0));
}

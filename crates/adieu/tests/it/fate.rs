//! What an error says of what became of its request.

use adieu::conn::http1::Builder;
use adieu::{Body, Client, CloseMode, ErrorKind, Fate, Proof, ResponseExt};
use adieu_testkit::memory::PairBuilder;
use adieu_testkit::peer::{Peer, Script};
use tokio::io::AsyncWriteExt;

use crate::support::{beside, get, in_memory, in_memory_over, in_time, post, read};

#[tokio::test]
async fn of_a_request_that_found_no_connection_nothing_was_sent() {
    let client = Client::builder().no_proxies().build().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client.get(format!("http://{nobody}/")).send().await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Connect, Fate::NotSent));
    let _ = client.close(CloseMode::graceful()).await;
    let error = client.get(format!("http://{nobody}/")).send().await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::ClientClosed, Fate::NotSent));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_head_was_not_taken_whole_was_not_processed() {
    let (mut sender, connection, _theirs) =
        in_memory_over(PairBuilder::new().buffer(20), &Builder::new()).await;
    let asked = beside(sender.send_request(get("/a/path/that/is/longer/than/the/buffer")));
    crate::support::settle().await;
    assert_eq!(connection.snapshot().bytes_sent, 20);
    in_time(connection.close(CloseMode::now())).await;
    let error = in_time(asked).await.unwrap().unwrap_err();
    assert_eq!(error.fate(), Fate::NotProcessed(Proof::HeadIncomplete), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_answered_may_have_been_processed() {
    for part in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 2"] {
        let (mut sender, _connection, mut theirs) = in_memory().await;
        let asked = beside(sender.send_request(post("/", "body")));
        in_time(theirs.read_head()).await.unwrap();
        theirs.write_all(part.as_bytes()).await.unwrap();
        drop(theirs);
        let error = in_time(asked).await.unwrap().unwrap_err();
        assert_eq!(error.fate(), Fate::Unknown, "{part:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_response_was_cut_short_was_answered() {
    let (mut sender, _connection, mut theirs) = in_memory().await;
    let asked = beside(sender.send_request(get("/")));
    in_time(theirs.read_head()).await.unwrap();
    theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
    drop(theirs);
    let response = in_time(asked).await.unwrap().unwrap();
    let error = in_time(read(response)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::IncompleteBody, Fate::Answered));
}

#[tokio::test]
async fn a_body_that_fails_leaves_open_what_became_of_its_request() {
    let peer = Peer::tcp(Script::new().read_head().or_end().read_to_end().or_end()).unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let failing = http_body_util::StreamBody::new(futures_util::stream::iter([
        Ok(http_body::Frame::data(adieu::Bytes::from("part"))),
        Err(std::io::Error::other("no more")),
    ]));
    let error = client.post(peer.url("/")).body(Body::wrap(failing)).send().await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::RequestBody, Fate::Unknown), "{error}");
    drop(peer);
}

#[tokio::test]
async fn a_status_is_an_answer() {
    let peer = Peer::tcp(Script::new().read_head().send(adieu_testkit::peer::response(503, ""))).unwrap();
    let client = Client::builder().no_proxies().build().unwrap();
    let response = client.get(peer.url("/")).send().await.unwrap();
    assert_eq!(response.error_for_status().unwrap_err().fate(), Fate::Answered);
}

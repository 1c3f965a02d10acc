//! The peer beside async clients, on one thread, and under a paused clock.

use std::time::Duration;

use adieu_testkit::peer::{Peer, Script, Until, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::GET;

async fn get(peer: &Peer) -> std::io::Result<Vec<u8>> {
    let mut client = TcpStream::connect(peer.address()).await?;
    client.write_all(GET).await?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn waiting_leaves_the_thread_to_the_client() {
    let peer =
        Peer::tcp(Script::new().read_request().mark("asked").send_pieces(response(200, "ok"), 5).fin());
    let peer = peer.unwrap();
    let asked = peer.wait_async(0, Until::Mark("asked"));
    let (answer, asked) = tokio::join!(get(&peer), asked);
    assert_eq!(answer.unwrap(), response(200, "ok"));
    assert_eq!(asked.unwrap().requests_len(), 1);
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn finishing_waits_for_a_client_that_runs_on_the_same_thread() {
    let peer = Peer::tcp(Script::new().read_request().send(response(200, "ok")).fin()).unwrap();
    let mut client = TcpStream::connect(peer.address()).await.unwrap();
    let client = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        client.write_all(GET).await?;
        client.read_to_end(&mut Vec::new()).await
    });
    peer.finish_async().await.unwrap()[0].assert_fin();
    client.await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_come_through() {
    let peer = Peer::tcp(Script::new().read_head()).unwrap();
    drop(TcpStream::connect(peer.address()).await.unwrap());
    assert!(peer.wait_async(0, Until::Mark("never")).await.is_err());
    assert!(peer.finish_async().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_blocking_wait_holds_a_paused_clock() {
    let peer =
        Peer::tcp(Script::new().read_head().pause(Duration::from_millis(20)).send("late").fin()).unwrap();
    let start = tokio::time::Instant::now();
    let client = tokio::spawn({
        let address = peer.address();
        async move {
            let mut client = TcpStream::connect(address).await?;
            client.write_all(GET).await?;
            let mut answer = Vec::new();
            let read = client.read_to_end(&mut answer);
            tokio::time::timeout(Duration::from_secs(3600), read).await??;
            std::io::Result::Ok(answer)
        }
    });
    let seen = tokio::task::spawn_blocking(move || peer.finish()).await.unwrap().unwrap();
    assert_eq!(client.await.unwrap().unwrap(), b"late");
    assert_eq!(start.elapsed(), Duration::ZERO);
    seen[0].assert_fin();
}

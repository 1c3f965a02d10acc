//! nginx reads its configuration again: what is in flight ends in order, what is idle is closed.

use adieu::CloseMode;
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};

use super::{HELLO, SLOWLY, nginx};
use crate::door::{Door, all_ways, each_way};
use crate::support::{ask, beside, bytes, get, read, story};

each_way!(an_answer_after_it_announces_the_close);

all_ways!(a_download_in_flight_ends_by_itself);

async fn an_answer_after_it_announces_the_close(door: Door) {
    let gate = Gate::new();
    let behind = Peer::tcp(Script::new().read_request().gate(&gate).send(response(200, "late"))).unwrap();
    let nginx =
        nginx!(door.nginx().server(&format!("location / {{ proxy_pass http://{}; }}", behind.address())));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    nginx.reload().await;
    gate.open();
    let response = exchange.await.unwrap().unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(read(response).await.unwrap(), "late");
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

async fn a_download_in_flight_ends_by_itself(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    assert_eq!(response.headers()["connection"], "keep-alive");
    nginx.reload().await;
    assert_eq!(read(response).await.unwrap(), bytes(200_000));
    // It had promised to keep the connection, and closes it all the same.
    nginx.retired().await;
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_closed_idle by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
    // Whoever connects now meets the new workers.
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
    let report = connection.close(CloseMode::graceful()).await;
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
    );
}

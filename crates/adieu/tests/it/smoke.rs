//! The shortest way through: a request, its answer, goodbye.

use adieu::{CloseMode, Ended, Signal, State};
use adieu_testkit::peer::{Peer, Script, response};

use crate::support::{connect, get, read};

#[tokio::test]
async fn two_exchanges_and_a_goodbye() {
    let script =
        Script::new().read_request().send(response(200, "one")).read_request().send(response(200, "two"));
    let peer = Peer::tcp(script.read_to_end().fin()).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    for expected in ["one", "two"] {
        let response = sender.send_request(get("/")).await.unwrap();
        assert_eq!(read(response).await.unwrap(), expected);
    }
    assert_eq!(connection.state(), State::Idle);
    let report = connection.close(CloseMode::graceful()).await;
    assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 2, 0), "{report}");
    assert!(report.sent.contains(Signal::Fin) && report.received.contains(Signal::Fin), "{report}");
    assert_eq!(connection.state(), State::Closed);
    for seen in peer.finish_async().await.unwrap() {
        seen.assert_fin();
    }
}

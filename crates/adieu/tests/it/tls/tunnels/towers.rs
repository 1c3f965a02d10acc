//! A tunnel inside of a tunnel.

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::{CloseMode, CloseReason, Ended, Layer, Signal};
use adieu_testkit::peer::{Peer, Script, TlsVersion, response};

use super::super::support::{CONNECTOR, SOON, exchange, peer, server, signals};
use super::{Over, Way, assert_cut, switch, through};
use crate::props::{play, seen};

/// Both proxies and the origin speak TLS.
struct Tower {
    first: Connection,
    second: Connection,
    sender: SendRequest,
    third: Connection,
    peer: Peer,
}

async fn tower(rest: impl FnOnce(Script) -> Script) -> Tower {
    let open =
        |script: Script, next| script.read_head().send(switch(Way::Connect).1).start_tls(&server(next));
    let script = open(open(Script::new(), TlsVersion::Tls12), TlsVersion::Tls13);
    let peer = peer(TlsVersion::Tls13, rest(script.read_request().send(response(200, "ok"))));
    let (tunnel, first) = through(Over::Tls(TlsVersion::Tls13), Way::Connect, &peer).await;
    let stream = CONNECTOR.connect_on("localhost", tunnel).await.unwrap();
    let (mut sender, second) = http1::handshake_on(stream).await.unwrap();
    let response = sender.send_request(switch(Way::Connect).0).await.unwrap();
    let tunnel = response.into_body().into_upgraded().unwrap();
    let stream = CONNECTOR.connect_on("localhost", tunnel).await.unwrap();
    let (sender, third) = http1::handshake_on(stream).await.unwrap();
    Tower { first, second, sender, third, peer }
}

#[test]
fn a_tower_of_two_tunnels_ends_from_the_top_down() {
    play(async || {
        let mut tower = tower(|script| script.expect_close_notify(SOON).goodbye()).await;
        exchange(&mut tower.sender).await;
        let report = tower.third.close(CloseMode::graceful()).await;
        assert_eq!(report.ended, Ended::Clean, "{report}");
        let layers: Vec<_> = report.layers.iter().map(|layer| (layer.layer, layer.connection)).collect();
        let expected = [
            (Layer::Tls, None),
            (Layer::Tunnel, Some(tower.second.id())),
            (Layer::Tls, None),
            (Layer::Tunnel, Some(tower.first.id())),
            (Layer::Tls, None),
            (Layer::Tcp, None),
        ];
        assert_eq!(layers, expected, "{report}");
        for layer in &report.layers {
            let said = if layer.layer == Layer::Tls { Signal::CloseNotify } else { Signal::Fin };
            assert_eq!(layer.sent, signals([said]), "{report}");
        }
        let second = tower.second.closed().await;
        assert_eq!((&second.reason, second.ended), (&CloseReason::Upgraded, Ended::Clean), "{second}");
        assert_eq!(second.layers.len(), 4, "{second}");
        let first = tower.first.closed().await;
        super::assert_clean(Over::Tls(TlsVersion::Tls13), &first);
        let seen = seen(tower.peer).await;
        assert_eq!(seen.handshakes().count(), 3);
        seen.assert_close_notify_then_fin();
    });
}

#[test]
fn an_abort_on_the_top_of_a_tower_resets_all_of_it() {
    play(async || {
        let mut tower = tower(|script| script.expect_reset(SOON)).await;
        exchange(&mut tower.sender).await;
        let report = tower.third.close(CloseMode::abort()).await;
        let tunnels_and_tcp = report.layers.iter().filter(|layer| layer.layer != Layer::Tls);
        assert!(tunnels_and_tcp.clone().all(|layer| layer.sent == signals([Signal::Rst])), "{report}");
        assert_eq!(tunnels_and_tcp.count(), 3);
        for report in [tower.third.closed().await, tower.second.closed().await, tower.first.closed().await] {
            assert_eq!((report.ended, report.sent), (Ended::Aborted, signals([Signal::Rst])), "{report}");
        }
        assert_cut(&seen(tower.peer).await);
    });
}

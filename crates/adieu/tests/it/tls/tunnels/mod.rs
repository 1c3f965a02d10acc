//! Upgrades and CONNECT over TLS and without, and TLS inside of them.

mod closing;
mod ends;
mod limits;
mod nested;
mod towers;

use adieu::conn::Upgraded;
use adieu::conn::http1::Connection;
use adieu::{Body, CloseReport, Ended, Layer, Signal, Signals};
use adieu_testkit::peer::{Peer, Script, Seen, TlsVersion};
use http::Request;

use super::support::{peer, signals};

/// What carries an upgraded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Plain,
    Tls(TlsVersion),
}

/// How it comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Upgrade,
    Connect,
}

const EVERY: [Over; 3] = [Over::Plain, Over::Tls(TlsVersion::Tls12), Over::Tls(TlsVersion::Tls13)];
const WAYS: [Way; 2] = [Way::Upgrade, Way::Connect];
/// More than any buffer on the way holds.
const MUCH: usize = 1 << 20;

impl Over {
    fn is_tls(self) -> bool {
        self != Self::Plain
    }

    /// A peer of that kind.
    fn peer(self, script: Script) -> Peer {
        match self {
            Self::Plain => Peer::tcp(script).unwrap(),
            Self::Tls(version) => peer(version, script),
        }
    }

    /// The layers of a connection over it.
    fn layers(self) -> Vec<Layer> {
        if self.is_tls() { vec![Layer::Tls, Layer::Tcp] } else { vec![Layer::Tcp] }
    }

    /// All that a side says at its end.
    fn goodbye(self) -> Signals {
        let close_notify = self.is_tls().then_some(Signal::CloseNotify);
        close_notify.into_iter().chain([Signal::Fin]).collect()
    }

    /// The peer saw all of our goodbye, and nothing else.
    #[track_caller]
    fn assert_goodbye(self, seen: &Seen) {
        match self {
            Self::Plain => seen.assert_fin(),
            Self::Tls(_) => seen.assert_close_notify_then_fin(),
        }
    }
}

/// The peer saw a reset, and nothing that could pass for an end.
#[track_caller]
fn assert_cut(seen: &Seen) {
    seen.assert_reset();
    assert!(!seen.saw_close_notify() && !seen.saw_fin(), "{seen}");
}

/// The request that leads there, and the answer to it.
fn switch(way: Way) -> (Request<Body>, &'static str) {
    match way {
        Way::Upgrade => {
            let request =
                Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "echo");
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            (request.body(Body::empty()).unwrap(), answer)
        }
        Way::Connect => {
            let request = Request::connect("inner.example:443").body(Body::empty()).unwrap();
            (request, "HTTP/1.1 200 OK\r\n\r\n")
        }
    }
}

/// An upgraded connection to a peer that sends the switch with `leftover` behind it, and then does the rest.
async fn opened(
    over: Over,
    way: Way,
    leftover: &str,
    rest: impl FnOnce(Script) -> Script,
) -> (Upgraded, Connection, Peer) {
    let (_, answer) = switch(way);
    let peer = over.peer(rest(Script::new().read_head().send(format!("{answer}{leftover}"))));
    let (upgraded, connection) = through(over, way, &peer).await;
    (upgraded, connection, peer)
}

/// The way to there.
async fn through(over: Over, way: Way, peer: &Peer) -> (Upgraded, Connection) {
    let (mut sender, connection) = match over {
        Over::Plain => crate::support::connect(peer).await,
        Over::Tls(_) => super::support::connect(peer).await,
    };
    let response = sender.send_request(switch(way).0).await.unwrap();
    (response.into_body().into_upgraded().unwrap(), connection)
}

/// What every report of such a connection must agree with.
#[track_caller]
fn check(over: Over, report: &CloseReport) {
    if over.is_tls() {
        super::support::check(report);
    } else {
        assert!(report.tls.is_none(), "{report}");
        let [tcp] = &report.layers[..] else { panic!("{report:?}") };
        assert_eq!(
            (tcp.layer, tcp.sent, tcp.received),
            (Layer::Tcp, report.sent, report.received),
            "{report:?}"
        );
    }
    assert_eq!(report.exchanges, 1, "{report}");
}

/// Both sides said all of their goodbyes.
#[track_caller]
fn assert_clean(over: Over, report: &CloseReport) {
    check(over, report);
    assert_eq!(report.ended, Ended::Clean, "{report}");
    assert_eq!((report.sent, report.received), (over.goodbye(), over.goodbye()), "{report}");
}

/// The same, but for a FIN of the peer behind its close_notify: we do not wait for it once we are done.
#[track_caller]
fn assert_clean_but_for_the_fin(over: Over, report: &CloseReport) {
    check(over, report);
    let without_fin = |mut signals: Signals| {
        if over.is_tls() {
            signals.remove(Signal::Fin);
        }
        signals
    };
    assert_eq!(report.ended, Ended::Clean, "{report}");
    assert_eq!(report.sent, over.goodbye(), "{report}");
    assert_eq!(without_fin(report.received), without_fin(over.goodbye()), "{report}");
}

/// It was reset by us, and nothing else was said.
#[track_caller]
fn assert_aborted(over: Over, report: &CloseReport) {
    check(over, report);
    assert_eq!((report.ended, report.sent), (Ended::Aborted, signals([Signal::Rst])), "{report}");
}

//! TLS inside of a tunnel, through a plain proxy and through one that speaks TLS: a whole goodbye on every layer, or a
//! reset and none.

use std::time::Duration;

use adieu::conn::http1::{Connection, SendRequest};
use adieu::transport::tls::TlsConnector;
use adieu::{
    CloseKind, CloseMode, CloseReason, CloseReport, Ended, ErrorKind, Layer, Phase, Signal, Signals,
};
use adieu_testkit::peer::{Alert, Event, Gate, Peer, Script, Seen, TlsVersion, Until, response};
use adieu_testkit::tls::TlsServer;

use super::super::support::{AUTHORITY, BOTH, CONNECTOR, SOON, exchange, fetch_what_comes, server, signals};
use super::{EVERY, Over, Way, assert_cut, switch, through};
use crate::props::{beside, ms, play, seen, upload};
use crate::support::get;

/// A connection to an origin, through a tunnel.
struct Nested {
    over: Over,
    sender: SendRequest,
    inner: Connection,
    outer: Connection,
    peer: Peer,
}

/// A proxy that opens the tunnel, behind which the origin speaks that version of TLS.
fn proxy(over: Over, origin: &TlsServer, rest: impl FnOnce(Script) -> Script) -> Peer {
    let script = Script::new().read_head().send(switch(Way::Connect).1).start_tls(origin);
    over.peer(rest(script))
}

async fn nested(over: Over, origin: TlsVersion, rest: impl FnOnce(Script) -> Script) -> Nested {
    let peer = proxy(over, &server(origin), rest);
    let (tunnel, outer) = through(over, Way::Connect, &peer).await;
    let stream = CONNECTOR.connect_on("localhost", tunnel).await.unwrap();
    let (sender, inner) = adieu::conn::http1::handshake_on(stream).await.unwrap();
    Nested { over, sender, inner, outer, peer }
}

/// Each kind of proxy, each version behind it.
fn every() -> impl Iterator<Item = (Over, TlsVersion)> {
    EVERY.into_iter().flat_map(|over| BOTH.map(|origin| (over, origin)))
}

fn answers(script: Script) -> Script {
    script.read_request().send(response(200, "ok"))
}

impl Nested {
    /// What was said on each layer: in TLS inside of the tunnel, in the tunnel, and below it. Of the peer's FIN below TLS
    /// we may know by then or not.
    #[track_caller]
    fn assert_layers(
        &self,
        report: &CloseReport,
        tls: [Signals; 2],
        tunnel: [Signals; 2],
        below: [Signals; 2],
    ) {
        let kinds: Vec<_> = report.layers.iter().map(|layer| layer.layer).collect();
        assert_eq!(kinds, [vec![Layer::Tls, Layer::Tunnel], self.over.layers()].concat(), "{report}");
        let ids: Vec<_> = report.layers.iter().filter_map(|layer| layer.connection).collect();
        assert_eq!(ids, [self.outer.id()], "{report}");
        assert_eq!(report.layers[1].connection, Some(self.outer.id()));
        let said = |layer: usize| [report.layers[layer].sent, report.layers[layer].received];
        assert_eq!((said(0), said(1)), (tls, tunnel), "{report}");
        let lower = report.layers[2..].iter();
        let sent: Signals = lower.clone().flat_map(|layer| all_of(layer.sent)).collect();
        let received: Signals = lower.flat_map(|layer| all_of(layer.received)).collect();
        assert_eq!(sent, below[0], "{report}");
        let without = |mut signals: Signals| {
            if self.over.is_tls() {
                signals.remove(Signal::Fin);
            }
            signals
        };
        assert_eq!(without(received), without(below[1]), "{report}");
        let line = report.to_string();
        assert!(line.contains(&format!("tunnel {}: ", self.outer.id())) && !line.contains('\n'), "{line}");
    }

    /// Both sides said all of their goodbyes on all layers.
    async fn assert_clean(self, report: CloseReport) -> Seen {
        assert_eq!(report.ended, Ended::Clean, "{report}");
        let (tls, tunnel) = (signals([Signal::CloseNotify]), signals([Signal::Fin]));
        self.assert_layers(&report, [tls, tls], [tunnel, tunnel], [self.over.goodbye(), self.over.goodbye()]);
        let outer = self.outer.closed().await;
        super::assert_clean_but_for_the_fin(self.over, &outer);
        assert_eq!(outer.reason, CloseReason::Upgraded, "{outer}");
        let seen = seen(self.peer).await;
        seen.assert_close_notify_then_fin();
        seen
    }

    /// We reset, and said no goodbye on any layer.
    async fn assert_reset(self, report: CloseReport) {
        assert_eq!((report.ended, report.sent), (Ended::Aborted, signals([Signal::Rst])), "{report}");
        let (none, reset) = (Signals::default(), signals([Signal::Rst]));
        self.assert_layers(&report, [none, none], [reset, none], [reset, none]);
        let outer = self.outer.closed().await;
        super::assert_aborted(self.over, &outer);
        assert_eq!(outer.reason, CloseReason::RequestCancelled, "{outer}");
        assert_cut(&seen(self.peer).await);
    }
}

fn all_of(signals: Signals) -> impl Iterator<Item = Signal> {
    use Signal::{CloseNotify, Fin, GoAway, Rst};
    [CloseNotify, Fin, GoAway, Rst].into_iter().filter(move |signal| signals.contains(*signal))
}

#[test]
fn a_graceful_close_ends_every_layer_innermost_first() {
    play(async || {
        for (over, origin) in every() {
            let mut nested =
                nested(over, origin, |script| answers(answers(script)).expect_close_notify(SOON).goodbye())
                    .await;
            for _ in 0..2 {
                exchange(&mut nested.sender).await;
            }
            let report = nested.inner.close(CloseMode::graceful()).await;
            assert_eq!(
                (&report.reason, report.exchanges),
                (&CloseReason::User(CloseKind::Graceful), 2),
                "{report}"
            );
            assert_eq!(report.tls.as_ref().unwrap().version, origin.to_string(), "{report}");
            assert_eq!(report.peer, nested.outer.snapshot().peer);
            let seen = nested.assert_clean(report).await;
            let depth = if over.is_tls() { 2 } else { 1 };
            assert_eq!(seen.handshakes().count(), depth, "{seen}");
            assert!(seen.handshakes().all(|handshake| handshake.server_name.as_deref() == Some("localhost")));
        }
    });
}

#[test]
fn dropped_handles_end_every_layer_too() {
    play(async || {
        for (over, origin) in every() {
            let mut nested =
                nested(over, origin, |script| answers(script).expect_close_notify(SOON).goodbye()).await;
            exchange(&mut nested.sender).await;
            let Nested { sender, inner, outer, peer, .. } = nested;
            let closed = inner.closed();
            drop((sender, inner));
            let report = closed.await;
            assert_eq!(
                (&report.reason, report.ended),
                (&CloseReason::HandlesDropped, Ended::Clean),
                "{report}"
            );
            super::assert_clean(over, &outer.closed().await);
            seen(peer).await.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn an_origin_that_ends_first_is_answered_on_every_layer() {
    play(async || {
        for (over, origin) in every() {
            let mut nested = nested(over, origin, |script| {
                let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                script.read_request().send(last).goodbye()
            })
            .await;
            exchange(&mut nested.sender).await;
            let report = nested.inner.closed().await;
            assert_eq!(report.reason, CloseReason::PeerAskedClose, "{report}");
            nested.assert_clean(report).await;
        }
    });
}

#[test]
fn a_body_until_the_end_needs_the_innermost_close_notify() {
    play(async || {
        for (over, origin) in every() {
            let head = "HTTP/1.1 200 OK\r\n\r\nall of it";
            let mut whole = nested(over, origin, |script| script.read_request().send(head).goodbye()).await;
            let (body, outcome) = fetch_what_comes(&mut whole.sender).await;
            assert_eq!(body, "all of it");
            outcome.unwrap();
            let report = whole.inner.closed().await;
            whole.assert_clean(report).await;
            // Without any, it is cut short, whatever the proxy says.
            let mut cut = nested(over, origin, |script| script.read_request().send(head).fin()).await;
            let (body, outcome) = fetch_what_comes(&mut cut.sender).await;
            assert_eq!(body, "all of it");
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IncompleteBody, "{error:?}");
            let report = cut.inner.closed().await;
            assert_eq!(
                (&report.reason, report.ended),
                (&CloseReason::TlsTruncated, Ended::Truncated),
                "{report}"
            );
            cut.outer.closed().await;
            seen(cut.peer).await.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn an_abort_resets_the_tunnel_and_says_nothing() {
    play(async || {
        for (over, origin) in every() {
            let mut nested = nested(over, origin, |script| answers(script).expect_reset(SOON)).await;
            exchange(&mut nested.sender).await;
            let report = nested.inner.close(CloseMode::abort()).await;
            assert_eq!(report.reason, CloseReason::User(CloseKind::Abort), "{report}");
            nested.assert_reset(report).await;
        }
    });
}

#[test]
fn an_upload_that_is_cut_short_resets_the_tunnel_and_says_nothing() {
    play(async || {
        for (over, origin) in every() {
            for close in [None, Some(CloseMode::now()), Some(CloseMode::graceful().drain(ms(20)))] {
                let mut nested = nested(over, origin, |script| {
                    script.read_head().read_exactly(10).mark("ten").expect_reset(SOON)
                })
                .await;
                let (request, hand) = upload("POST", Some(1000));
                hand.give("0123456789");
                let exchange = beside(nested.sender.send_request(request));
                nested.peer.wait_async(0, Until::Mark("ten")).await.unwrap();
                let report = match close {
                    None => {
                        exchange.abort();
                        nested.inner.closed().await
                    }
                    Some(mode) => {
                        let report = nested.inner.close(mode).await;
                        exchange.await.unwrap().unwrap_err();
                        report
                    }
                };
                hand.assert_dropped().await;
                assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
                nested.assert_reset(report).await;
            }
        }
    });
}

#[test]
fn a_proxy_that_dies_is_told_as_it_died() {
    play(async || {
        for (over, origin) in every() {
            let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
            let gate = Gate::new();
            let mut reset =
                nested(over, origin, |script| script.read_request().send(half).gate(&gate).reset()).await;
            let fetching = beside(async move {
                let (body, outcome) = fetch_what_comes(&mut reset.sender).await;
                (reset, body, outcome)
            });
            pause_until_sent().await;
            gate.open();
            let (reset, _, outcome) = fetching.await.unwrap();
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
            let report = reset.inner.closed().await;
            assert_eq!((&report.reason, report.ended), (&CloseReason::Reset, Ended::Reset), "{report}");
            let outer = reset.outer.closed().await;
            super::check(over, &outer);
            assert_eq!((&outer.reason, outer.ended), (&CloseReason::Reset, Ended::Reset), "{outer}");
            seen(reset.peer).await;

            let mut fin = nested(over, origin, |script| script.read_request().send(half).fin()).await;
            let (body, outcome) = fetch_what_comes(&mut fin.sender).await;
            assert_eq!(body, "hello");
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IncompleteBody, "{error:?}");
            let report = fin.inner.closed().await;
            assert_eq!(
                (&report.reason, report.ended),
                (&CloseReason::PeerEndedEarly, Ended::Truncated),
                "{report}"
            );
            let outer = fin.outer.closed().await;
            let reason = if over.is_tls() { CloseReason::TlsTruncated } else { CloseReason::Upgraded };
            assert_eq!(outer.reason, reason, "{outer}");
            seen(fin.peer).await.assert_close_notify_then_fin();
        }
    });
}

async fn pause_until_sent() {
    crate::props::pause(20).await;
}

#[test]
fn a_close_of_the_outer_connection_takes_the_inner_with_it() {
    play(async || {
        for (over, origin) in every() {
            for mode in [CloseMode::now(), CloseMode::abort(), CloseMode::graceful().drain(ms(20))] {
                let nested =
                    nested(over, origin, |script| script.read_head().mark("asked").expect_reset(SOON)).await;
                let Nested { mut sender, inner, outer, peer, .. } = nested;
                let asking = beside(async move { sender.send_request(get("/")).await });
                peer.wait_async(0, Until::Mark("asked")).await.unwrap();
                let report = outer.close(mode).await;
                super::assert_aborted(over, &report);
                assert_eq!(report.reason, CloseReason::User(mode.kind()), "{report}");
                let error = asking.await.unwrap().unwrap_err();
                let report = inner.closed().await;
                assert!(
                    !report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::CloseNotify),
                    "{report}"
                );
                assert_ne!(report.ended, Ended::Clean, "{report}");
                assert_eq!(error.close_reason(), Some(&report.reason), "{error:?}");
                assert_cut(&seen(peer).await);
            }
        }
    });
}

#[test]
fn a_certificate_that_is_refused_inside_ends_the_tunnel_in_order() {
    play(async || {
        for over in EVERY {
            let expired = TlsServer::new(AUTHORITY.issue_expired(["localhost"]).unwrap());
            let peer = proxy(over, &expired, |script| script);
            let (tunnel, outer) = through(over, Way::Connect, &peer).await;
            let error = CONNECTOR.connect_on("localhost", tunnel).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Certificate, "{error:?}");
            let report = outer.closed().await;
            assert_eq!(report.sent, over.goodbye(), "{report}");
            assert_ne!(report.ended, Ended::Aborted, "{report}");
            let seen = seen(peer).await;
            seen.assert_alert(Alert::CERTIFICATE_EXPIRED);
            seen.assert_fin();
            assert_eq!(seen.saw_close_notify(), over.is_tls(), "{seen}");
        }
    });
}

#[test]
fn a_handshake_inside_that_is_dropped_or_too_slow_resets_the_tunnel() {
    play(async || {
        for over in EVERY {
            for limit in [None, Some(Duration::from_millis(30))] {
                let script =
                    Script::new().read_head().send(switch(Way::Connect).1).mark("open").expect_reset(SOON);
                let peer = over.peer(script);
                let (tunnel, outer) = through(over, Way::Connect, &peer).await;
                let connector =
                    TlsConnector::builder().platform_roots(false).handshake_timeout(limit).build().unwrap();
                let shaking = beside(async move { connector.connect_on("localhost", tunnel).await });
                match limit {
                    None => {
                        peer.wait_async(0, Until::Received(100)).await.unwrap();
                        shaking.abort();
                    }
                    Some(_) => {
                        let error = shaking.await.unwrap().unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::TlsHandshake));
                    }
                }
                super::assert_aborted(over, &outer.closed().await);
                assert_cut(&seen(peer).await);
            }
        }
    });
}

#[test]
fn the_last_bytes_of_the_tunnels_head_and_the_first_of_the_origin_may_come_together() {
    play(async || {
        // A leftover is read first by whoever speaks inside: here, an alert in the clear.
        for over in EVERY {
            let answer = [switch(Way::Connect).1.as_bytes(), &[21, 3, 3, 0, 2, 2, 40]].concat();
            let peer = over.peer(Script::new().read_head().send(answer));
            let (tunnel, _outer) = through(over, Way::Connect, &peer).await;
            let error = CONNECTOR.connect_on("localhost", tunnel).await.unwrap_err();
            assert!(error.to_string().ends_with("the alert handshake_failure"), "{error}");
            let seen = seen(peer).await;
            assert_eq!(seen.entries().iter().filter(|entry| entry.event == Event::Fin).count(), 1, "{seen}");
        }
    });
}

//! What TLS has taken and the wire has not: it is driven, it is never called said, and what is cut there is reset.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use adieu::conn::Upgraded;
use adieu::conn::http1::{self, Builder, Connection};
use adieu::{Body, CloseMode, CloseReason, Ended, ErrorKind, Layer, Signal, TlsAlert};
use adieu_testkit::peer::{Alert, Gate, Peer, Script, TlsVersion, Until, response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::support::*;
use crate::props::{ms, pause, play, seen, upload};
use crate::support::get;

const SWITCH: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A CONNECT tunnel over TLS whose peer reads nothing, and which took all that it takes; how much that was.
async fn stuffed(version: TlsVersion, script: Script, builder: Builder) -> (Peer, Upgraded, Connection, u64) {
    let (peer, stream) = narrow(version, script).await;
    let (mut sender, connection) = builder.handshake_on(stream).await.unwrap();
    let request = http::Request::connect("inner.example:443").body(Body::empty()).unwrap();
    let mut io = sender.send_request(request).await.unwrap().into_body().into_upgraded().unwrap();
    let (much, mut sent) = (vec![b'x'; 1 << 20], 0);
    while let Poll::Ready(written) =
        poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, &much[sent as usize..]))).await
    {
        sent += written.unwrap() as u64;
    }
    (peer, io, connection, sent)
}

async fn poll_shutdown(io: &mut Upgraded) -> Poll<std::io::Result<()>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *io).poll_shutdown(cx))).await
}

/// A task that never gives way would hang this test, and the runtime of a user.
#[test]
fn an_attendant_that_waits_for_the_wire_does_not_spin_once_the_connection_is_idle() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_head().send(response(200, "ok")).gate(&gate).read_to_end();
        let (peer, stream) = narrow(TlsVersion::Tls13, script).await;
        let builder = Builder::new().write_stall_timeout(Some(ms(300)));
        let (mut sender, connection) = builder.handshake_on(stream).await.unwrap();
        let request = http::Request::post("http://h/").body(Body::from(vec![b'x'; 60_000])).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        // An idle connection is watched from a second on.
        pause(1300).await;
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        let report = connection.close(CloseMode::now().linger(ms(100))).await;
        assert!(!report.sent.contains(Signal::Fin) && report.sent.contains(Signal::Rst), "{report}");
        gate.open();
        seen(peer).await.assert_reset();
    });
}

/// The peer ends its side in order while our end waits for the wire: all of ours still goes out.
#[test]
fn a_shutdown_that_waits_is_carried_out_though_the_peer_ends_meanwhile() {
    play(async || {
        for version in BOTH {
            let gate = Gate::new();
            let script = Script::new().read_head().send(SWITCH).goodbye().gate(&gate).read_to_end();
            let (peer, io, connection, sent) = stuffed(version, script, Builder::new()).await;
            let (mut reader, mut writer) = tokio::io::split(io);
            let shut = crate::props::beside(async move { writer.shutdown().await });
            pause(20).await;
            assert_eq!(reader.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            pause(20).await;
            gate.open();
            shut.await.unwrap().unwrap();
            drop(reader);
            let report = connection.closed().await;
            assert_eq!((report.ended, report.sent), (Ended::Clean, goodbye()), "{report}");
            let seen = seen(peer).await;
            let head = seen.requests()[0].head().len() as u64;
            assert_eq!(seen.received_len() as u64, head + sent, "{seen}");
            seen.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn a_shutdown_that_waits_and_is_dropped_is_reset_when_it_cannot_be_said() {
    play(async || {
        for version in BOTH {
            let gate = Gate::new();
            let script = Script::new().read_head().send(SWITCH).gate(&gate).read_to_end();
            let builder = Builder::new().linger(ms(100));
            let (peer, mut io, connection, _) = stuffed(version, script, builder).await;
            assert!(poll_shutdown(&mut io).await.is_pending());
            drop(io);
            let report = connection.closed().await;
            assert_eq!(report.sent, signals([Signal::Rst]), "{report}");
            gate.open();
            saw_no_end(peer).await;
        }
    });
}

#[test]
fn a_shutdown_that_waits_and_is_cut_by_an_abort_is_an_error() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_head().send(SWITCH).gate(&gate).read_to_end();
        let (peer, mut io, connection, _) = stuffed(TlsVersion::Tls13, script, Builder::new()).await;
        assert!(poll_shutdown(&mut io).await.is_pending());
        let report = connection.close(CloseMode::abort()).await;
        assert_eq!(report.sent, signals([Signal::Rst]), "{report}");
        assert!(io.shutdown().await.is_err());
        gate.open();
        saw_no_end(peer).await;
    });
}

#[test]
fn a_half_close_whose_request_waits_is_reset_past_its_drain() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_head().gate(&gate).read_to_end();
        let (peer, stream) = narrow(TlsVersion::Tls13, script).await;
        let builder = Builder::new().linger(ms(100));
        let (mut sender, connection) = builder.handshake_on(stream).await.unwrap();
        let request = http::Request::post("http://h/").body(Body::from(vec![b'x'; 60_000])).unwrap();
        let mut exchange = Box::pin(sender.send_request(request));
        let polled = poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        let closing = connection.close(CloseMode::half().drain(ms(100)).linger(ms(100)));
        assert!(exchange.await.is_err());
        let report = closing.await;
        assert_eq!(report.sent, signals([Signal::Rst]), "{report}");
        gate.open();
        saw_no_end(peer).await;
    });
}

/// Whoever wraps the stream sees no more than `AsyncRead`, and is told of the truncation all the same.
#[test]
fn a_wrapped_stream_tells_of_truncation() {
    play(async || {
        for version in BOTH {
            let script = Script::new().read_request().send("HTTP/1.1 200 OK\r\n\r\nabc").fin();
            let peer = peer(version, script);
            let (reader, writer) = tokio::io::split(stream(&peer).await);
            let (mut sender, connection) = http1::handshake(tokio::io::join(reader, writer)).await.unwrap();
            let response = sender.send_request(get("/")).await.unwrap();
            let error = response.into_body().collect().await.unwrap_err();
            assert_eq!(error.close_reason(), Some(&CloseReason::TlsTruncated), "{error:?}");
            assert_eq!(connection.closed().await.ended, Ended::Truncated);
            seen(peer).await;
        }
    });
}

/// The head and the peer's end of TLS come in one read, and the next write must not call it a reset.
#[test]
fn an_alert_behind_a_head_is_told_as_an_alert_by_error_and_report() {
    play(async || {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let script = Script::new().read_head().send(head).alert(Alert::from(80)).mark("sent").read_to_end();
        let peer = peer(TlsVersion::Tls13, script);
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", Some(1000));
        hand.give("0123456789");
        let mut exchange = Box::pin(sender.send_request(request));
        let polled = poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        peer.wait_async(0, Until::Mark("sent")).await.unwrap();
        pause(20).await;
        hand.give("0123456789");
        let error = match exchange.await {
            Ok(response) => response.into_body().collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        let report = connection.closed().await;
        assert_eq!(report.reason, CloseReason::TlsAlert(TlsAlert(80)), "{report}");
        assert_ne!(report.ended, Ended::Reset, "{report}");
        seen(peer).await;
    });
}

/// In TLS over TLS the lower close_notify is no FIN.
#[test]
fn a_fin_is_claimed_of_no_layer_that_said_none() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().start_tls(&server(TlsVersion::Tls13)).read_request();
        let script = script.send(response(200, "ok")).gate(&gate).close_notify().close_notify().stall();
        let peer = peer(TlsVersion::Tls13, script);
        let inner = CONNECTOR.connect("localhost", stream(&peer).await).await.unwrap();
        let (mut sender, connection) = http1::handshake_on(inner).await.unwrap();
        exchange(&mut sender).await;
        gate.open();
        pause(20).await;
        let report = connection.close(CloseMode::graceful().linger(ms(150))).await;
        assert_eq!(report.received, signals([Signal::CloseNotify]), "{report}");
        let kinds: Vec<_> = report.layers.iter().map(|layer| (layer.layer, layer.received)).collect();
        let notified = signals([Signal::CloseNotify]);
        assert_eq!(kinds, [(Layer::Tls, notified), (Layer::Tls, notified), (Layer::Tcp, signals([]))]);
        peer.release();
        seen(peer).await;
    });
}

#[test]
fn a_report_after_the_runtime_is_gone_has_its_layers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let script = Script::new().read_request().send(response(200, "ok")).read_to_end();
    let peer = peer(TlsVersion::Tls13, script);
    let (sender, connection) = runtime.block_on(async { idle(&peer).await });
    drop(runtime);
    drop(connection.close(CloseMode::graceful()));
    let report = connection.report().unwrap();
    let kinds: Vec<_> = report.layers.iter().map(|layer| layer.layer).collect();
    assert_eq!(kinds, [Layer::Tls, Layer::Tcp], "{report}");
    drop(sender);
    peer.finish().unwrap();
}

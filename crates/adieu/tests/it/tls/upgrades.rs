//! Connections that are upgraded under TLS: hard case 41.

use adieu::conn::http1::SendRequest;
use adieu::{CloseReason, Ended, Signal};
use adieu_testkit::peer::{Script, TlsVersion, Until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{BOTH, SOON, check, connect, cut_anywhere, goodbye, peer, saw_no_end, signals};
use crate::props::{at_each_cut, play, seen};
use crate::support::get;

// 41. Leftover bytes after an upgrade.

const SWITCH: &str = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nleftover";

async fn upgrade(sender: &mut SendRequest) -> adieu::conn::Upgraded {
    let mut request = get("/");
    for (name, value) in [("connection", "upgrade"), ("upgrade", "x")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    let response = sender.send_request(request).await.unwrap();
    response.into_body().into_upgraded().unwrap()
}

#[test]
fn upgrade_leftover_bytes_under_tls() {
    play(async || {
        at_each_cut(SWITCH, async |cut| {
            // TLS 1.3: its end leaves our side open.
            let script = cut.after(Script::new().read_head()).close_notify().read_exactly(4);
            let peer = peer(TlsVersion::Tls13, script.expect_close_notify(SOON).expect_fin(SOON).fin());
            let (mut sender, connection) = connect(&peer).await;
            let mut io = upgrade(&mut sender).await;
            let mut all = String::new();
            io.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "leftover");
            io.write_all(b"mine").await.unwrap();
            io.shutdown().await.unwrap();
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent),
                (CloseReason::Upgraded, Ended::Clean, goodbye()),
                "{report}"
            );
            assert!(report.received.contains(Signal::CloseNotify), "{report}");
            let seen = seen(peer).await;
            seen.assert_close_notify_then_fin();
            assert!(seen.received().ends_with(b"\r\n\r\nmine"), "{seen}");
        })
        .await;
    });
}

#[test]
fn upgrade_leftover_bytes_under_tls_when_our_side_ends_first() {
    play(async || {
        cut_anywhere(SWITCH, async |version, after| {
            let script = after(Script::new().read_head()).read_exactly(4);
            let script = script.expect_close_notify(SOON).expect_fin(SOON);
            // In TLS 1.2 a peer may say nothing any more, in TLS 1.3 it may go on.
            let script = if version == TlsVersion::Tls13 { script.send(" and more") } else { script };
            let peer = peer(version, script.goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let mut io = upgrade(&mut sender).await;
            io.write_all(b"mine").await.unwrap();
            io.shutdown().await.unwrap();
            let mut all = String::new();
            io.read_to_string(&mut all).await.unwrap();
            let expected = if version == TlsVersion::Tls13 { "leftover and more" } else { "leftover" };
            assert_eq!(all, expected);
            drop(io);
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (CloseReason::Upgraded, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        })
        .await;
    });
}

#[test]
fn upgrade_leftover_bytes_under_tls_before_a_bare_fin_are_truncated() {
    play(async || {
        cut_anywhere(SWITCH, async |version, after| {
            let peer = peer(version, after(Script::new().read_head()).fin());
            let (mut sender, connection) = connect(&peer).await;
            let mut io = upgrade(&mut sender).await;
            let mut all = Vec::new();
            let error = io.read_to_end(&mut all).await.unwrap_err();
            assert_eq!((error.kind(), &all[..]), (std::io::ErrorKind::UnexpectedEof, &b"leftover"[..]));
            io.shutdown().await.unwrap();
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.received),
                (CloseReason::TlsTruncated, Ended::Truncated, signals([Signal::Fin])),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        })
        .await;
    });
}

#[test]
fn an_upgrade_under_tls_that_is_cut_short_sends_no_close_notify() {
    play(async || {
        for version in BOTH {
            let peer = peer(version, Script::new().read_head().send(SWITCH));
            let (mut sender, connection) = connect(&peer).await;
            let mut io = upgrade(&mut sender).await;
            io.write_all(b"mine").await.unwrap();
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            drop(io);
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.ended, report.sent), (Ended::Aborted, signals([Signal::Rst])), "{report}");
            saw_no_end(peer).await;
        }
    });
}

//! The steps of TLS.

use std::sync::Arc;
use std::time::Duration;

use super::super::alert::Alert;
use super::super::line::TlsMessage;
use super::{Script, Step, TlsStep};
use crate::tls::TlsServer;

/// TLS. Needs the feature `tls`.
impl Script {
    /// Starts TLS from here on: handshakes, and lets the steps that follow read and send inside. May stand in the middle
    /// of a script, and inside of TLS once more.
    ///
    /// A handshake that does not succeed ends the client's side, or breaks the session, but fails no script by itself: it
    /// is in the log as [`Event::HandshakeFailed`](crate::peer::Event::HandshakeFailed), and the next step that needs the
    /// session meets the end. So a script without further steps suits a client that is to refuse the certificate.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, response};
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let authority = Authority::new()?;
    /// let proxy = TlsServer::new(authority.issue(["127.0.0.1"])?);
    /// let origin = TlsServer::new(authority.issue(["example.org"])?);
    ///
    /// // An HTTPS proxy, and the origin behind it.
    /// let script = Script::new()
    ///     .start_tls(&proxy)
    ///     .read_head() // CONNECT example.org:443
    ///     .send("HTTP/1.1 200 OK\r\n\r\n")
    ///     .start_tls(&origin)
    ///     .answer_all(response(200, "hello"))
    ///     .goodbye();
    /// # drop(script);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start_tls(self, server: &TlsServer) -> Self {
        self.tls(TlsStep::Start(Arc::new(server.clone())))
    }

    /// Sends close_notify, and nothing else: the socket stays open, and reading goes on. Within nested TLS it is that of
    /// the innermost session that has not sent its own yet.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let polite = Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\nall of it").close_notify().fin();
    /// # drop(polite);
    /// ```
    pub fn close_notify(self) -> Self {
        self.tls(TlsStep::CloseNotify)
    }

    /// Sends a fatal alert: encrypted where there is TLS, in the clear where there is none, as a server does that refuses
    /// the handshake. Goes on reading.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Alert, Script};
    /// let half = "HTTP/1.1 200 OK\r\n\r\nhalf";
    /// let breaks_down = Script::new().read_head().send(half).alert(Alert::INTERNAL_ERROR).fin();
    /// let refuses = Script::new().read_record().alert(Alert::HANDSHAKE_FAILURE).fin(); // without PeerBuilder::tls
    /// # drop((breaks_down, refuses));
    /// ```
    pub fn alert(self, alert: impl Into<Alert>) -> Self {
        self.tls(TlsStep::Send(TlsMessage::Alert(alert.into())))
    }

    /// Sends `bytes` below TLS, as they are: a record of garbage, half a record, plain text in the middle of a session.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // Nobody has the key to this record.
    /// let broken = Script::new().read_head().send_raw([b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat());
    /// # drop(broken);
    /// ```
    pub fn send_raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.tls(TlsStep::SendRaw(bytes.into().into()))
    }

    /// Changes the peer's keys and asks the client to change its own (TLS 1.3). The client's answer is in the log as
    /// [`Event::KeyUpdate`](crate::peer::Event::KeyUpdate) once it was read.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let script = Script::new().read_request().send(response(200, "")).key_update();
    /// # drop(script);
    /// ```
    pub fn key_update(self) -> Self {
        self.tls(TlsStep::Send(TlsMessage::KeyUpdate))
    }

    /// Sends one more session ticket (TLS 1.3), at any time; it leads to no session. To a client these are no bytes at
    /// all.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Gate, Script, response};
    /// let idle = Gate::new();
    /// let script = Script::new().read_request().send(response(200, "")).gate(&idle).ticket().read_request();
    /// # drop(script);
    /// ```
    pub fn ticket(self) -> Self {
        self.tls(TlsStep::Send(TlsMessage::Ticket))
    }

    /// Reads one record of TLS without understanding it: for a peer that takes a ClientHello and answers in its own way.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let plain_text_on_a_tls_port = Script::new().read_record().send("HTTP/1.1 400 Bad Request\r\n\r\n").fin();
    /// let silent = Script::new().read_record().stall();
    /// # drop((plain_text_on_a_tls_port, silent));
    /// ```
    pub fn read_record(self) -> Self {
        self.tls(TlsStep::ReadRecord)
    }

    /// Reads until the client's close_notify, and fails unless that comes `within` that time: also if the client ends in
    /// another way before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Script, response};
    /// let soon = Duration::from_secs(1);
    /// let script = Script::new().read_request().send(response(200, "")).expect_close_notify(soon).goodbye();
    /// # drop(script);
    /// ```
    pub fn expect_close_notify(self, within: Duration) -> Self {
        self.tls(TlsStep::ExpectCloseNotify(within))
    }

    /// Reads until a fatal alert of the client, in the handshake or later, and fails unless that comes `within` that
    /// time; [`Seen::alert`](crate::peer::Seen::alert) tells which it was.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Peer, Script};
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let expired = TlsServer::new(Authority::new()?.issue_expired(["localhost"])?);
    /// let script = Script::new().start_tls(&expired).expect_alert(Duration::from_secs(1));
    /// # drop(script);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn expect_alert(self, within: Duration) -> Self {
        self.tls(TlsStep::ExpectAlert(within))
    }

    fn tls(self, step: TlsStep) -> Self {
        self.then(Step::Tls(step))
    }
}

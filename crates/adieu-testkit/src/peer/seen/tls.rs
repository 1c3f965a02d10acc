//! What was seen of TLS.

use super::super::alert::Alert;
use super::super::handshake::Handshake;
use super::{Event, Seen};
use crate::ended::Ended;

/// TLS. Needs the feature `tls`; [its module](crate::tls) has an example with a client.
impl Seen {
    /// The first TLS handshake that was done.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Seen, TlsVersion};
    /// fn was_resumed(seen: &Seen) -> bool {
    ///     seen.handshake().is_some_and(|handshake| handshake.resumed && handshake.version == TlsVersion::Tls13)
    /// }
    /// ```
    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshakes().next()
    }

    /// All TLS handshakes that were done, in order: with nested TLS there are several.
    ///
    /// ```
    /// # use adieu_testkit::peer::Seen;
    /// fn names(seen: &Seen) -> Vec<&str> {
    ///     seen.handshakes().filter_map(|handshake| handshake.server_name.as_deref()).collect()
    /// }
    /// ```
    pub fn handshakes(&self) -> impl Iterator<Item = &Handshake> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Handshake(handshake) => Some(handshake),
            _ => None,
        })
    }

    /// Whether a TLS handshake did not succeed; why.
    ///
    /// ```
    /// # use adieu_testkit::peer::Seen;
    /// fn client_left(seen: &Seen) -> bool {
    ///     seen.handshake_failure() == Some("the client ended with FIN")
    /// }
    /// ```
    pub fn handshake_failure(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| match &entry.event {
            Event::HandshakeFailed(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// Whether the client sent close_notify, of any TLS session.
    ///
    /// ```
    /// # use adieu_testkit::peer::Seen;
    /// fn assert_cut_short(seen: &Seen) {
    ///     seen.assert_reset();
    ///     assert!(!seen.saw_close_notify(), "{seen}");
    /// }
    /// ```
    pub fn saw_close_notify(&self) -> bool {
        self.position(|event| *event == Event::CloseNotify).is_some()
    }

    /// Whether the client's first close_notify stands before the first mark of that name; false if there is no such mark.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, Seen};
    /// # use std::time::Duration;
    /// let script = Script::new().read_head().quiet(Duration::from_millis(5)).mark("our goodbye").goodbye();
    /// fn peer_first(seen: &Seen) -> bool {
    ///     !seen.saw_close_notify_before("our goodbye")
    /// }
    /// # drop(script);
    /// ```
    pub fn saw_close_notify_before(&self, mark: &str) -> bool {
        self.saw_before(mark, |event| *event == Event::CloseNotify)
    }

    /// The first fatal alert that the client sent, in a handshake or later.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Alert, Seen};
    /// fn refused_the_certificate(seen: &Seen) -> bool {
    ///     seen.alert() == Some(Alert::UNKNOWN_CA)
    /// }
    /// ```
    pub fn alert(&self) -> Option<Alert> {
        self.entries.iter().find_map(|entry| match entry.event {
            Event::Alert(alert) => Some(alert),
            _ => None,
        })
    }
}

/// Assertions about TLS that print the timeline when they fail.
impl Seen {
    /// Panics unless the client said goodbye completely: close_notify of each TLS session that was established, the
    /// innermost first, then FIN; no alert, no byte after a close_notify, no reset.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, PeerError};
    /// fn assert_polite(peer: Peer) -> Result<(), PeerError> {
    ///     for seen in peer.finish()? {
    ///         seen.assert_close_notify_then_fin();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn assert_close_notify_then_fin(&self) {
        let depth = self.handshakes().count();
        assert!(depth > 0, "expected close_notify, but there was no TLS\n{self}");
        let said: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| {
                matches!(entry.event, Event::CloseNotify | Event::Fin | Event::Stray { .. } | Event::Alert(_))
            })
            .map(|entry| (entry.depth, entry.event.clone()))
            .collect();
        let mut goodbye: Vec<_> = (1..=depth).rev().map(|depth| (depth, Event::CloseNotify)).collect();
        goodbye.push((0, Event::Fin));
        assert!(
            said == goodbye && self.ended() == Ended::Fin,
            "expected the client's close_notify and then its FIN\n{self}"
        );
    }

    /// Panics unless the first fatal alert of the client was this one.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Alert, Seen};
    /// fn assert_refused(seen: &Seen) {
    ///     seen.assert_alert(Alert::CERTIFICATE_EXPIRED);
    /// }
    /// ```
    #[track_caller]
    pub fn assert_alert(&self, expected: Alert) {
        match self.alert() {
            Some(alert) => {
                assert!(alert == expected, "expected alert {expected} of the client, saw {alert}\n{self}")
            }
            None => panic!("expected alert {expected} of the client, saw none\n{self}"),
        }
    }
}

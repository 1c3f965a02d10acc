//! The peer's end in the middle of a response: what was framed tells its end by itself, anything else needs close_notify.

use adieu::{CloseReason, Ended, ErrorKind, ReadEnd, Signal, Signals};
use adieu_testkit::peer::{Gate, Script, TlsVersion};

use super::support::{BOTH, check, connect, fetch_what_comes, goodbye, peer, signals};
use crate::props::{play, refuses, seen, side_by_side};

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcdefgh";
const CHUNKED: &str = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n0\r\nX: y\r\n\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nabcdefgh";

/// How a peer ends in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Goodbye,
    /// Its FIN comes after ours only.
    CloseNotify,
}

impl End {
    fn after(self, script: Script) -> Script {
        match self {
            Self::Fin => script.fin(),
            Self::Goodbye => script.goodbye(),
            Self::CloseNotify => script.close_notify().read_to_end().fin(),
        }
    }

    fn received(self) -> Signals {
        match self {
            Self::Fin => signals([Signal::Fin]),
            _ => goodbye(),
        }
    }

    fn read_end(self) -> ReadEnd {
        match self {
            Self::Fin => ReadEnd::BareFin,
            _ => ReadEnd::CloseNotify,
        }
    }
}

const ENDS: [End; 3] = [End::Fin, End::Goodbye, End::CloseNotify];

/// The letters of a body in what came of a response.
fn letters(came: &str) -> String {
    let body = came.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // Neither the framing nor the trailers have these.
    body.chars().filter(|letter| ('a'..='h').contains(letter)).collect()
}

/// Every place in a response, and every end there.
fn everywhere(answer: &'static str) -> impl Iterator<Item = (TlsVersion, End, usize)> {
    let versions = BOTH.into_iter();
    // The versions differ in their bare FIN only.
    let ends = versions.flat_map(|version| ENDS.map(|end| (version, end)));
    let ends = ends.filter(|(version, end)| *version == TlsVersion::Tls13 || *end == End::Fin);
    ends.flat_map(move |(version, end)| (0..answer.len()).map(move |cut| (version, end, cut)))
}

/// One response cut at one place; whether a body that ends with the connection makes the end its end.
async fn cut_at(answer: &'static str, version: TlsVersion, end: End, cut: usize) {
    let head = answer.find("\r\n\r\n").unwrap() + 4;
    let until_close = answer == UNTIL_CLOSE && cut >= head;
    let part = &answer[..cut];
    let peer = peer(version, end.after(Script::new().read_request().send(part)));
    let (mut sender, connection) = connect(&peer).await;
    let (came, outcome) = fetch_what_comes(&mut sender).await;
    assert_eq!(came, letters(part), "{part:?}");
    let report = connection.closed().await;
    check(&report);
    assert_eq!((report.sent, report.received), (goodbye(), end.received()), "{part:?}: {report}");
    if until_close && end != End::Fin {
        outcome.unwrap();
        assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::BodyUntilClose, Ended::Clean),
            "{report}"
        );
    } else {
        let error = outcome.unwrap_err();
        let kind = match cut {
            0 => ErrorKind::NoResponse,
            cut if cut < head => ErrorKind::IncompleteHead,
            _ => ErrorKind::IncompleteBody,
        };
        let reason = if until_close { CloseReason::TlsTruncated } else { CloseReason::PeerEndedEarly };
        assert_eq!(
            (error.kind(), error.close_reason()),
            (kind, Some(&reason)),
            "{part:?}, {end:?}: {error:?}"
        );
        assert_eq!(error.facts().unwrap().read_end, end.read_end(), "{part:?}, {end:?}: {error:?}");
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        assert_eq!(
            (report.reason.clone(), report.ended),
            (reason.clone(), Ended::Truncated),
            "{part:?}, {end:?}: {report}"
        );
        assert_eq!(refuses(&mut sender).await, reason);
    }
    // The request was whole, so that our goodbye is.
    seen(peer).await.assert_close_notify_then_fin();
}

#[test]
fn a_body_with_a_length_that_is_cut_anywhere_is_incomplete_however_tls_ended() {
    play(async || {
        side_by_side(everywhere(LENGTH).map(|(version, end, cut)| cut_at(LENGTH, version, end, cut))).await;
    });
}

#[test]
fn a_chunked_body_that_is_cut_anywhere_is_incomplete_however_tls_ended() {
    play(async || {
        side_by_side(everywhere(CHUNKED).map(|(version, end, cut)| cut_at(CHUNKED, version, end, cut))).await;
    });
}

#[test]
fn a_body_until_close_that_is_cut_anywhere_is_what_came_only_if_close_notify_says_so() {
    play(async || {
        let scenes = everywhere(UNTIL_CLOSE);
        side_by_side(scenes.map(|(version, end, cut)| cut_at(UNTIL_CLOSE, version, end, cut))).await;
    });
}

/// A record that is cut can be decrypted by nobody: what was in it never came.
#[test]
fn a_response_whose_last_record_is_cut_is_incomplete() {
    play(async || {
        let record = [b"\x17\x03\x03\x00\x20", &[0; 32][..]].concat();
        let mut scenes = Vec::new();
        for version in BOTH {
            for answer in [LENGTH, CHUNKED, UNTIL_CLOSE] {
                for part in [1, 4, 5, 6, 36] {
                    scenes.push((version, answer, part));
                }
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, answer, part)| {
            let start = &answer[..answer.find("abcd").unwrap() + 4];
            let script = Script::new().read_request().send(start).send_raw(&record[..part]).fin();
            let peer = peer(version, script);
            let (mut sender, connection) = connect(&peer).await;
            let (came, outcome) = fetch_what_comes(&mut sender).await;
            assert_eq!(came, "abcd");
            let error = outcome.unwrap_err();
            let until_close = answer == UNTIL_CLOSE;
            let reason = if until_close { CloseReason::TlsTruncated } else { CloseReason::PeerEndedEarly };
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (ErrorKind::IncompleteBody, Some(&reason), ReadEnd::BareFin),
                "{error:?}"
            );
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (reason, Ended::Truncated, goodbye(), signals([Signal::Fin])),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        }))
        .await;
    });
}

/// What came before a reset is delivered, and the reset is an end of nothing.
#[test]
fn a_reset_in_the_middle_of_a_response_is_never_its_end() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for answer in [LENGTH, CHUNKED, UNTIL_CLOSE] {
                for part in [0, 12, answer.find("abcd").unwrap(), answer.find("efgh").unwrap()] {
                    scenes.push((version, answer, part));
                }
            }
            scenes.push((version, UNTIL_CLOSE, UNTIL_CLOSE.len()));
        }
        side_by_side(scenes.into_iter().map(async |(version, answer, part)| {
            let gate = Gate::new();
            let script = Script::new().read_request().send(&answer[..part]).gate(&gate).reset();
            let peer = peer(version, script);
            let (mut sender, connection) = connect(&peer).await;
            let opener = async {
                // Only once all that came before was taken: a reset may destroy the rest.
                super::support::shows(&connection, |now| now.bytes_received >= part as u64).await;
                gate.open();
            };
            let ((came, outcome), ()) = tokio::join!(fetch_what_comes(&mut sender), opener);
            assert_eq!(came, letters(&answer[..part]));
            let error = outcome.unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason(), error.facts().unwrap().read_end),
                (ErrorKind::Reset, Some(&CloseReason::Reset), ReadEnd::Reset),
                "{error:?}"
            );
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (CloseReason::Reset, Ended::Reset, signals([]), signals([Signal::Rst])),
                "{report}"
            );
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            seen(peer).await;
        }))
        .await;
    });
}

//! Whether the connection may be used again: one table (RFC 9112 sections 6.1, 6.3, 9.3 and 9.6).

use http::Version;

use crate::codec::framing::{Doubt, Framing, Persistence};
use crate::codec::request::Wish;
use crate::lifecycle::{CloseReason, First};

/// All that the verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds {
    pub(super) request_version: Version,
    pub(super) request_close: Wish,
    pub(super) upload: Upload,
    pub(super) response_version: Version,
    pub(super) persistence: Persistence,
    pub(super) framing: Framing,
    pub(super) doubt: Doubt,
}

/// What became of the request's body by the time the response head was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// It is whole, or goes on.
    Kept,
    /// It was given up: what follows on this connection would be read as its rest.
    Stopped,
}

/// The verdict: `None` keeps the connection, a reason retires it.
pub(super) fn forbids_reuse(on: &Grounds) -> Option<CloseReason> {
    use Persistence::{Close, KeepAlive};
    match on {
        Grounds { request_close: Wish::Yes, .. } => Some(CloseReason::RequestAskedClose),
        Grounds { doubt: Doubt::BothLengths, .. } => {
            Some(CloseReason::ProtocolError("Transfer-Encoding and Content-Length in one response"))
        }
        Grounds { doubt: Doubt::CodingInOldVersion, .. } => {
            Some(CloseReason::ProtocolError("Transfer-Encoding in an HTTP/1.0 response"))
        }
        Grounds { upload: Upload::Stopped, .. } => Some(CloseReason::UploadStopped),
        Grounds { persistence: Close, .. } => Some(CloseReason::PeerAskedClose),
        Grounds { persistence, .. } if on.is_old() && *persistence != KeepAlive => {
            Some(CloseReason::PeerAskedClose)
        }
        Grounds { framing: Framing::UntilClose, .. } => Some(CloseReason::BodyUntilClose),
        _ => None,
    }
}

/// Who ends its side first once the exchange is over: the peer, where its response announced that it will.
pub(super) fn ends_first(on: &Grounds) -> First {
    match on.persistence {
        Persistence::Close => First::Peer,
        Persistence::Silent if on.is_old() => First::Peer,
        _ => First::Us,
    }
}

impl Grounds {
    /// HTTP/1.0 closes unless both sides say `keep-alive`.
    fn is_old(&self) -> bool {
        self.request_version < Version::HTTP_11 || self.response_version < Version::HTTP_11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination: kept only if nothing whatsoever speaks against it.
    #[test]
    fn the_whole_table() {
        let versions = [Version::HTTP_10, Version::HTTP_11];
        let framings =
            [Framing::None, Framing::Length(0), Framing::Length(9), Framing::Chunked, Framing::UntilClose];
        let (mut kept, mut all) = (0, 0);
        for request_version in versions {
            for response_version in versions {
                for request_close in [Wish::Yes, Wish::No] {
                    for upload in [Upload::Kept, Upload::Stopped] {
                        for persistence in [Persistence::Close, Persistence::KeepAlive, Persistence::Silent] {
                            for framing in framings {
                                for doubt in [Doubt::None, Doubt::BothLengths, Doubt::CodingInOldVersion] {
                                    let on = Grounds {
                                        request_version,
                                        request_close,
                                        upload,
                                        response_version,
                                        persistence,
                                        framing,
                                        doubt,
                                    };
                                    let new = request_version == Version::HTTP_11
                                        && response_version == Version::HTTP_11;
                                    let may = request_close == Wish::No
                                        && upload == Upload::Kept
                                        && doubt == Doubt::None
                                        && framing != Framing::UntilClose
                                        && (persistence == Persistence::KeepAlive
                                            || new && persistence == Persistence::Silent);
                                    assert_eq!(forbids_reuse(&on).is_none(), may, "{on:?}");
                                    all += 1;
                                    kept += usize::from(may);
                                }
                            }
                        }
                    }
                }
            }
        }
        assert_eq!((kept, all), (20, 720));
    }
}

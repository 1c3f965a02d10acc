//! Where a response sends us next, and what may come along.

use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};

use super::failure::Failure;
use super::target::Target;

/// One request on the way to the last response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) payload: Payload,
    pub(super) trust: Trust,
}

/// Whether the body comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Kept,
    Dropped,
}

/// Whether this origin may see what was meant for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Only the first origin was seen so far.
    First,
    /// Another one had a say, and what was dropped for it stays dropped.
    Stranger,
}

/// `-L` and `--max-redirs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Never,
    UpTo(u64),
    Always,
}

impl Leg {
    /// The next leg, if the response is a redirect that says where.
    pub(super) fn next(&self, status: StatusCode, headers: &HeaderMap) -> Option<Result<Self, Failure>> {
        // RFC 9110 section 15.4: from POST to GET on 301 and 302 as everybody does; on 303 from all but HEAD.
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::HEAD,
            307 | 308 => false,
            _ => return None,
        };
        let location = headers.get(LOCATION)?;
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        Some(self.target.join(&location).map(|target| {
            let stays = self.trust == Trust::First && target.origin() == self.target.origin();
            Self {
                method: if becomes_get { Method::GET } else { self.method.clone() },
                payload: if becomes_get { Payload::Dropped } else { self.payload },
                trust: if stays { Trust::First } else { Trust::Stranger },
                target,
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(method: Method, status: u16, location: &str) -> Leg {
        let target = Target::parse("http://h/a/b").unwrap();
        let leg = Leg { target, method, payload: Payload::Kept, trust: Trust::First };
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        leg.next(StatusCode::from_u16(status).unwrap(), &headers).unwrap().unwrap()
    }

    #[test]
    fn post_becomes_get_where_everybody_does_it() {
        for (method, status, then, payload) in [
            (Method::POST, 301, Method::GET, Payload::Dropped),
            (Method::POST, 302, Method::GET, Payload::Dropped),
            (Method::POST, 307, Method::POST, Payload::Kept),
            (Method::POST, 308, Method::POST, Payload::Kept),
            (Method::PUT, 302, Method::PUT, Payload::Kept),
            (Method::PUT, 303, Method::GET, Payload::Dropped),
            (Method::HEAD, 303, Method::HEAD, Payload::Kept),
        ] {
            let leg = next(method, status, "c");
            assert_eq!((leg.method, leg.payload), (then, payload), "{status}");
            assert_eq!(leg.target.to_string(), "http://h/a/c");
        }
    }

    #[test]
    fn trust_once_lost_stays_lost() {
        assert_eq!(next(Method::GET, 302, "/c").trust, Trust::First);
        let away = next(Method::GET, 302, "http://h:81/");
        assert_eq!(away.trust, Trust::Stranger);
        let headers = HeaderMap::from_iter([(LOCATION, "http://h/".parse().unwrap())]);
        assert_eq!(away.next(StatusCode::FOUND, &headers).unwrap().unwrap().trust, Trust::Stranger);
    }

    #[test]
    fn without_a_location_it_is_the_last_response() {
        let target = Target::parse("h").unwrap();
        let leg = Leg { target, method: Method::GET, payload: Payload::Kept, trust: Trust::First };
        assert!(leg.next(StatusCode::FOUND, &HeaderMap::new()).is_none());
        assert!(leg.next(StatusCode::NOT_MODIFIED, &HeaderMap::new()).is_none());
    }
}

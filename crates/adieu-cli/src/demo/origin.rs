//! What the peer does in each scene.

use std::time::Duration;

use adieu::CloseKind;
use adieu_testkit::peer::{Script, response};

use super::scene::Act;

/// What the peer does.
pub(super) fn script(act: Act) -> Script {
    let slowly = Script::new().read_head().send(FIRST_PART);
    match act {
        Act::Idle(CloseKind::Abort) | Act::Dropped => polite(),
        Act::Idle(_) => polite().read_to_end().goodbye(),
        Act::Busy(CloseKind::Graceful) => slowly.pause(PAUSE).send(SECOND_PART).pause(PAUSE).send(LAST_PART),
        Act::Busy(CloseKind::Half) => {
            slowly.expect_fin(LONG).pause(PAUSE).send(SECOND_PART).pause(PAUSE).send(LAST_PART)
        }
        Act::Busy(_) | Act::Overdue | Act::Escalated => slowly.read_to_end(),
        Act::Silent => polite().stall(),
        Act::PeerResets => slowly.pause(PAUSE).reset(),
        Act::PeerEndsIdle => polite().pause(PAUSE).fin(),
        Act::PeerAsksClose => Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\ngoodbye\n")
            .pause(PAUSE)
            .fin(),
        Act::UntilClose => Script::new()
            .read_head()
            .send("HTTP/1.0 200 OK\r\n\r\nthe first line\n")
            .pause(PAUSE)
            .send("the last line\n")
            .fin(),
        Act::CutUpload => Script::new().count_only().read_head().read_to_end(),
        Act::BareFin => polite().expect_fin(LONG).fin(),
        Act::CutOff => {
            Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\nthe first line\n").pause(PAUSE).fin()
        }
        Act::EndsInside => slowly.pause(PAUSE).goodbye(),
        Act::HalfRefused => Script::new().read_head().read_to_end().close(),
    }
}

fn polite() -> Script {
    Script::new().read_request().send(response(200, "hello, and goodbye\n"))
}

const FIRST_PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\nslowly...";
const SECOND_PART: &str = "slowly...";
const LAST_PART: &str = "and done.";
const PAUSE: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(2);

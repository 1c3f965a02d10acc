//! The virtual-time world: the same seed is the same run, and whatever the seed, every connection ends.

use std::time::Duration;

use adieu_proto::lifecycle::{CloseMode, CloseReason, Ended, Signal, State};
use adieu_testkit::world::{Chance, Step, World};
use http::Request;

fn get() -> Request<()> {
    Request::get("http://example.com/").body(()).unwrap()
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let run = |seed| {
        let mut world =
            World::new(seed, [Step::AwaitHead, Step::Send(answer("hello")), Step::AwaitEnd, Step::Fin]);
        world.request(get(), "");
        world.run();
        world.close(CloseMode::graceful());
        world.run();
        world.to_string()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).lines().count() * 1000 + run(7).len(), run(8).lines().count() * 1000 + run(8).len());
}

#[test]
fn a_graceful_close_is_clean_whatever_the_cuts_and_delays() {
    for seed in 0..500 {
        let script = [
            Step::AwaitHead,
            Step::Send(answer("one")),
            Step::AwaitHead,
            Step::Send(answer("two")),
            Step::AwaitEnd,
            Step::Fin,
        ];
        let mut world = World::new(seed, script);
        for _ in 0..2 {
            world.request(get(), "");
            world.run_for(Duration::from_secs(1));
            assert_eq!(world.state(), State::Idle, "{world}");
        }
        world.close(CloseMode::graceful());
        world.run();
        let report = world.report().unwrap();
        assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 2, 0), "{world}");
        assert_eq!(world.body(), b"onetwo");
    }
}

#[test]
fn a_silent_peer_is_left_after_linger() {
    for seed in 0..100 {
        let mut world = World::new(seed, [Step::Silence]);
        world.close(CloseMode::graceful().linger(Duration::from_millis(500)));
        world.run();
        let report = world.report().unwrap();
        assert_eq!(
            (report.ended, report.lingering),
            (Ended::PeerSilent, Duration::from_millis(500)),
            "{world}"
        );
    }
}

#[test]
fn a_cut_upload_is_a_reset_and_never_a_fin() {
    for seed in 0..300 {
        let mut world = World::new(seed, [Step::AwaitHead, Step::Silence]);
        // The head promised a body, and nobody ever asks for it.
        world.request(
            Request::post("http://example.com/").header("expect", "100-continue").body(()).unwrap(),
            "x".repeat(100),
        );
        world.run_for(Duration::from_millis(500));
        world.close(CloseMode::now());
        world.run();
        let report = world.report().unwrap();
        assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{world}");
        assert_eq!(
            (report.reason.clone(), report.failed),
            (CloseReason::User(CloseMode::now().kind()), 1),
            "{world}"
        );
    }
}

/// Random scripts against random callers: always an end, never a livelock, and the books agree.
#[test]
fn every_world_ends() {
    for seed in 0..2_000 {
        let mut chance = Chance::new(seed ^ 0xADE0);
        let mut script = Vec::new();
        for _ in 0..chance.within(1..5) {
            script.push(Step::AwaitHead);
            script.push(match chance.within(0..9) {
                0 => Step::Reset,
                1 => Step::Fin,
                2 => Step::Send(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbye".to_vec(),
                ),
                3 => Step::Send(b"HTTP/1.0 200 OK\r\n\r\nuntil close".to_vec()),
                4 => Step::Send(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
                ),
                5 => Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec()),
                6 => Step::Send(b"garbage\r\n\r\n".to_vec()),
                _ => Step::Send(answer("fine")),
            });
            if chance.once_in(3) {
                script.push(Step::Wait(chance.up_to(Duration::from_secs(3))));
            }
        }
        script.push(if chance.once_in(2) { Step::Fin } else { Step::Silence });
        let mut world = World::new(seed, script);
        let mut begun = 0;
        for _ in 0..chance.within(1..6) {
            let body =
                if chance.once_in(3) { "x".repeat(chance.within(0..5000) as usize) } else { String::new() };
            begun += u64::from(world.try_request(get(), body).is_ok());
            if chance.once_in(5) {
                world.abandon();
            }
            world.run_for(chance.up_to(Duration::from_secs(2)));
        }
        let modes = [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()];
        world.close(modes[chance.within(0..4) as usize]);
        world.run();
        assert_eq!(world.state(), State::Closed, "{world}");
        let report = world.report().unwrap();
        assert_eq!(report.exchanges + report.failed, begun, "{world}");
        let said_rst = report.sent.contains(Signal::Rst) || report.received.contains(Signal::Rst);
        assert!(report.ended != Ended::Clean || !said_rst, "{world}");
    }
}

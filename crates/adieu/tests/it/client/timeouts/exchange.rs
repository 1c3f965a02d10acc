//! The waits of an exchange under way.

use adieu::observe::{Event, Happening, Told};
use adieu::{Blame, CloseMode, CloseReason, Phase, ResponseExt, Timeouts};

use super::{assert_after, assert_timed_out, client, ms, secs, unlimited};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, clock, in_time, pass, settle, watch_for_hangs};

const URL: &str = "http://example.com/";

#[tokio::test(start_paused = true)]
async fn write_stall() {
    for (timeouts, limit) in [(Timeouts::new(), 60), (unlimited().write_stall(secs(3)), 3)] {
        watch_for_hangs();
        let (net, mut arrivals) = Net::new();
        let client = net.buffer(1_000).client(|builder| builder.timeouts(timeouts));
        let began = clock();
        let sending = beside(client.post(URL).body(vec![b'x'; 100_000]).send());
        let _peer = arrivals.next().await;
        let error = in_time(sending).await.unwrap().unwrap_err();
        assert_after(began, secs(limit));
        assert_timed_out(&error, Phase::WriteStall);
        assert_eq!(error.blame(), Blame::Network);
    }
}

#[tokio::test(start_paused = true)]
async fn continue_wait() {
    for (timeouts, limit) in [(Timeouts::new(), 1), (unlimited().continue_wait(secs(7)), 7)] {
        let (client, mut arrivals) = client(timeouts);
        let request = client.post(URL).header("expect", "100-continue").body("held back");
        let began = clock();
        let sending = beside(request.send());
        let mut peer = arrivals.next().await;
        peer.read_head().await.unwrap();
        assert_eq!(in_time(peer.read_exactly(9)).await.unwrap(), b"held back");
        assert_after(began, secs(limit));
        peer.send(SMALL).await.unwrap();
        in_time(sending).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn response_head_is_begun_anew_by_each_interim_response() {
    for (timeouts, limit) in [(Timeouts::new(), 300), (unlimited().response_head(secs(5)), 5)] {
        let (client, mut arrivals) = client(timeouts);
        let sending = beside(client.get(URL).send());
        let mut peer = arrivals.next().await;
        peer.read_head().await.unwrap();
        for _ in 0..3 {
            pass(secs(limit) - ms(100)).await;
            peer.send("HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
        }
        settle().await;
        let began = clock();
        let error = in_time(sending).await.unwrap().unwrap_err();
        assert_after(began, secs(limit));
        assert_timed_out(&error, Phase::ResponseHead);
        assert_eq!(error.blame(), Blame::Peer);
    }
}

#[tokio::test(start_paused = true)]
async fn body_gap() {
    for (timeouts, limit) in [(Timeouts::new(), 300), (unlimited().body_gap(secs(5)), 5)] {
        let (client, mut arrivals) = client(timeouts);
        let sending = beside(client.get(URL).send());
        let mut peer = arrivals.next().await;
        peer.read_head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await.unwrap();
        let response = in_time(sending).await.unwrap().unwrap();
        // Nobody waits: nothing runs.
        pass(secs(10_000)).await;
        let began = clock();
        let error = in_time(response.bytes()).await.unwrap_err();
        assert_after(began, secs(limit));
        assert_timed_out(&error, Phase::BodyGap);
    }
}

#[tokio::test(start_paused = true)]
async fn body_gap_does_not_count_for_event_streams() {
    let (client, mut arrivals) = client(Timeouts::new());
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 8\r\n\r\n";
    peer.send(head).await.unwrap();
    let reading = beside(in_time(sending).await.unwrap().unwrap().text());
    pass(secs(50_000)).await;
    peer.send("data: x\n").await.unwrap();
    assert_eq!(in_time(reading).await.unwrap().unwrap(), "data: x\n");
}

#[tokio::test(start_paused = true)]
async fn upgraded_connections_have_limits_of_their_own() {
    for (timeouts, phase) in [
        (unlimited().upgrade_idle(secs(5)), Phase::UpgradeIdle),
        (unlimited().upgrade_half_closed(secs(5)), Phase::UpgradeHalfClosed),
    ] {
        let (client, mut arrivals) = client(timeouts);
        let mut events = client.events();
        let sending = beside(client.get(URL).header("connection", "upgrade").header("upgrade", "x").send());
        let mut peer = arrivals.next().await;
        peer.read_head().await.unwrap();
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        peer.send(head).await.unwrap();
        let response = in_time(sending).await.unwrap().unwrap();
        let mut upgraded = response.into_body().into_upgraded().unwrap();
        assert_eq!(client.stats().total.draining, 1);
        if phase == Phase::UpgradeHalfClosed {
            pass(secs(50_000)).await;
            tokio::io::AsyncWriteExt::shutdown(&mut upgraded).await.unwrap();
        }
        let began = clock();
        in_time(tokio::io::AsyncReadExt::read_to_end(&mut upgraded, &mut Vec::new())).await.unwrap_err();
        assert_after(began, secs(5));
        drop(peer);
        settle().await;
        let mut closed = 0;
        while let Some(told) = events.try_next() {
            if let Told::Event(Event { what: Happening::Closed { report }, .. }) = told {
                assert_eq!(report.reason, CloseReason::TimedOut(phase));
                closed += 1;
            }
        }
        assert_eq!(closed, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn none_never_passes() {
    let (client, mut arrivals) = client(unlimited());
    let sending = beside(client.post(URL).header("expect", "100-continue").body("body").send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    pass(secs(80_000)).await;
    peer.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    peer.read_exactly(4).await.unwrap();
    pass(secs(80_000)).await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    let reading = beside(in_time(sending).await.unwrap().unwrap().text());
    pass(secs(80_000)).await;
    peer.send("ok").await.unwrap();
    assert_eq!(in_time(reading).await.unwrap().unwrap(), "ok");
    pass(secs(80_000)).await;
    assert_eq!(client.stats().total.idle, 1, "no limit on idle connections either");
}

#[tokio::test(start_paused = true)]
async fn drain_is_what_a_close_gives_the_exchange_in_flight() {
    let (client, mut arrivals) = client(unlimited());
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let began = clock();
    let closing = beside(client.close(CloseMode::graceful().drain(secs(8)).linger(secs(1))));
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(8));
    assert_timed_out(&error, Phase::Drain);
    let report = in_time(closing).await.unwrap();
    assert_after(began, secs(9));
    assert_eq!((report.connections.len(), report.failed()), (1, 1), "{report}");
}

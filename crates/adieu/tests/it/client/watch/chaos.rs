//! Peers that do everything wrong, in turn: whatever ends a connection, its events are in order and add up.

use std::collections::BTreeSet;
use std::time::Duration;

use adieu::{Client, CloseMode, ResponseExt, Timeouts};
use adieu_testkit::memory::MemoryEnd;

use super::order::{Dice, quiet};
use super::{Log, Replay, URL};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, pass, watch_for_hangs};

/// What a peer may do with a request; the last ones end the connection.
const DEEDS: [&str; 14] = [
    SMALL,
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: max=2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nanother protocol",
    "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nnot all of it",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "SSH-2.0-what\r\n\r\n",
    "HTTP/1.1 200",
    "",
];

/// Plays one deed a request, and then goes on, ends, or resets.
async fn play(mut peer: MemoryEnd, seed: u64) {
    let mut dice = Dice(seed);
    while peer.read_head().await.is_ok() {
        let deed = dice.roll(DEEDS.len() as u64) as usize;
        pass(Duration::from_micros(dice.roll(400))).await;
        if peer.send(DEEDS[deed]).await.is_err() {
            return;
        }
        match dice.roll(6) {
            0 => return peer.reset(),
            1 => return drop(peer),
            2 => drop(peer.fin().await),
            _ if deed >= 8 => pass(Duration::from_millis(dice.roll(5))).await,
            _ => {}
        }
    }
}

/// One request of some kind, and what is done with its response.
async fn request(client: &Client, dice: &mut Dice) -> Result<(), adieu::Error> {
    let request = match dice.roll(9) {
        0 => client.post(URL).body(vec![b'x'; 200_000]),
        1 => client.post(URL).body("small").header("expect", "100-continue"),
        2..5 => client.get(URL).header("upgrade", "x").header("connection", "upgrade"),
        5 => client.get(URL).timeout(Duration::from_millis(1 + dice.roll(3))),
        _ => client.get(URL),
    };
    let response = request.send().await?;
    match dice.roll(4) {
        0 => drop(response),
        1 => match response.into_body().into_upgraded() {
            Ok(upgraded) => drop(upgraded),
            Err(body) => drop(body),
        },
        _ => drop(response.bytes().await?),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_ends_a_connection_its_events_add_up() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    let seeds = std::sync::atomic::AtomicU64::new(1);
    arrivals.each(move |peer| play(peer, seeds.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let log = Log::default();
    let ms = Duration::from_millis;
    let timeouts =
        Timeouts::new().response_head(ms(8)).body_gap(ms(8)).write_stall(ms(8)).idle(ms(20)).linger(ms(5));
    let client = net.client(|builder| {
        let builder = builder.max_connections_per_origin(20).max_exchanges(3);
        log.watch(builder.timeouts(timeouts))
    });
    let tasks = (0..24).map(|seed| {
        let client = client.clone();
        beside(async move {
            let mut dice = Dice(seed);
            for _ in 0..70 {
                let patience =
                    Duration::from_micros(if dice.roll(5) == 0 { dice.roll(1_500) } else { 10_000_000 });
                let _ = tokio::time::timeout(patience, request(&client, &mut dice)).await;
                match dice.roll(300) {
                    0 => drop(client.close_idle()),
                    1 => drop(client.close_origin(URL, CloseMode::half())),
                    2 => {
                        for connection in client.connections() {
                            drop(client.close_connection(connection.id, CloseMode::now()));
                        }
                    }
                    _ => {}
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    quiet(&client, &log).await;
    let total = client.close(CloseMode::graceful()).await.total;
    let replay = Replay::of(&log.events());
    assert_eq!((replay.alive().count(), total.alive()), (0, 0), "{total}");
    assert_eq!(total.closed, replay.closed());
    let sum = |of: fn(&super::Life) -> u64| replay.0.values().map(of).sum::<u64>();
    assert_eq!((total.exchanges, total.failed), (sum(|life| life.done), sum(|life| life.failed)), "{total}");
    let opened = replay.0.values().filter(|life| life.state.is_some()).count() as u64;
    assert_eq!((total.opened, total.not_opened), (opened, replay.0.len() as u64 - opened), "{total}");
    let reasons: BTreeSet<_> = total.closed.keys().copied().collect();
    for code in [
        "body_until_close",
        "peer_asked_close",
        "peer_ended_early",
        "protocol_error",
        "request_cancelled",
        "reset",
        "timeout_response_head",
    ] {
        assert!(reasons.contains(code), "chaos without {code}: {total}");
    }
}

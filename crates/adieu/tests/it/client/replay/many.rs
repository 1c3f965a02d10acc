//! A reload that kills a hundred idle connections at once, under a hundred requests that wait.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use adieu::{Client, ResponseExt};

use super::in_time;

/// Counts what it processes, by path, and can close all of its connections at once.
#[derive(Clone, Default)]
struct Reloaded(Arc<Inside>);

#[derive(Default)]
struct Inside {
    connections: Mutex<Vec<Arc<TcpStream>>>,
    opened: Mutex<usize>,
    processed: Mutex<BTreeMap<String, usize>>,
}

impl Reloaded {
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self::default();
        let accepting = server.clone();
        thread::spawn(move || {
            for io in listener.incoming() {
                let (io, server) = (Arc::new(io.unwrap()), accepting.clone());
                *server.0.opened.lock().unwrap() += 1;
                server.0.connections.lock().unwrap().push(io.clone());
                thread::spawn(move || drop(server.serve(&io)));
            }
        });
        (server, url)
    }

    fn serve(&self, mut io: &TcpStream) -> std::io::Result<()> {
        let mut bytes = [0; 1024];
        loop {
            let read = io.read(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let Some(path) = text.split(' ').nth(1) else { return Ok(()) };
            *self.0.processed.lock().unwrap().entry(path.to_owned()).or_default() += 1;
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }

    /// Closes them all: both sides, so that what comes later is refused.
    fn reload(&self) {
        for io in self.0.connections.lock().unwrap().drain(..) {
            // Its thread is in a read, and lets go of it.
            io.shutdown(std::net::Shutdown::Both).unwrap();
        }
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_reload_under_a_hundred_posts_loses_none() {
    const MANY: usize = 100;
    let (server, url) = Reloaded::start();
    let client = Client::builder().no_proxies().build().unwrap();
    let all = |what: &'static str| {
        let asks = (0..MANY).map(|number| {
            let request = client.post(format!("{url}/{what}/{number}")).body("b").send();
            tokio::spawn(async move {
                let response = in_time(request).await.unwrap();
                let replays = response.info().unwrap().replays;
                assert_eq!(response.text().await.unwrap(), "ok");
                replays
            })
        });
        asks.collect::<Vec<_>>()
    };
    for ask in all("before") {
        ask.await.unwrap();
    }
    assert_eq!(client.stats().total.idle, MANY as u64);
    // Behind the back of the runtime: the requests are written before it has heard of any end.
    server.reload();
    let mut replays = Vec::new();
    for ask in all("after") {
        replays.push(ask.await.unwrap());
    }
    let processed = server.0.processed.lock().unwrap();
    assert_eq!(processed.len(), 2 * MANY);
    assert!(processed.values().all(|times| *times == 1), "{processed:?}");
    // The rules: two pooled connections may be used up, then a fresh one is taken.
    assert!(replays.iter().all(|replays| *replays <= 2), "{replays:?}");
    assert!(replays.iter().sum::<u32>() > 0, "there was no race");
    let opened = *server.0.opened.lock().unwrap();
    assert!(opened <= 2 * MANY, "{opened} connections");
    assert_eq!(client.stats().total.replayed, u64::from(replays.iter().sum::<u32>()));
}

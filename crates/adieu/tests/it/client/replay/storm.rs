//! A server that ends connections in every way there is, and counts what it processes: nothing that may have been processed
//! is sent again unless twice does no harm, and no fate is wrong.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adieu::{Client, Fate, ResponseExt};
use http::Method;

use super::{in_time, ms};

/// How often each path was processed.
type Processed = Arc<Mutex<BTreeMap<String, usize>>>;

/// The same numbers each time.
struct Chance(u64);

impl Chance {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn serve(mut io: TcpStream, processed: &Processed, mut chance: Chance) -> io::Result<()> {
    loop {
        // Now and then it ends an idle connection, shorter or longer after the answer.
        let patience = if chance.up_to(4) == 0 { 1 + chance.up_to(12) } else { 1_000 };
        io.set_read_timeout(Some(ms(patience)))?;
        let mut bytes = [0; 4096];
        let read = match io.read(&mut bytes) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                match chance.up_to(3) {
                    // It ends its side and reads on: what comes is processed, and never answered.
                    0 => {
                        io.shutdown(Shutdown::Write)?;
                        io.set_read_timeout(Some(ms(100)))?;
                        let read = io.read(&mut bytes)?;
                        note(&bytes[..read], processed);
                        return Ok(());
                    }
                    _ => return Ok(()),
                }
            }
            read => read?,
        };
        if read == 0 {
            return Ok(());
        }
        match chance.up_to(24) {
            // It forgets what it read.
            0 => return Ok(()),
            1 => {
                note(&bytes[..read], processed);
                return Ok(());
            }
            2 => {
                note(&bytes[..read], processed);
                socket2::SockRef::from(&io).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            3 => {
                note(&bytes[..read], processed);
                return io.write_all(&OK[..10]);
            }
            4 => {
                note(&bytes[..read], processed);
                return io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            _ => {
                note(&bytes[..read], processed);
                io.write_all(OK)?;
            }
        }
    }
}

/// A request comes in one piece.
fn note(bytes: &[u8], processed: &Processed) {
    if let Some(path) = String::from_utf8_lossy(bytes).split(' ').nth(1) {
        *processed.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    }
}

fn start() -> (String, Processed) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let processed = Processed::default();
    let counting = processed.clone();
    thread::spawn(move || {
        for (number, io) in listener.incoming().enumerate() {
            let (io, processed) = (io.unwrap(), counting.clone());
            io.set_nodelay(true).unwrap();
            thread::spawn(move || drop(serve(io, &processed, Chance(number as u64))));
        }
    });
    (url, processed)
}

const TASKS: u64 = 24;
const EACH: u64 = 120;

#[tokio::test]
async fn whatever_a_server_does_nothing_harmful_is_processed_twice_and_no_fate_is_wrong() {
    let (url, processed) = start();
    let client = Client::builder().no_proxies().build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let (mut chance, mut fates) = (Chance(task + 1_000), Vec::new());
                for number in 0..EACH {
                    let kinds = [
                        (Method::GET, false),
                        (Method::POST, false),
                        (Method::POST, true),
                        (Method::PUT, false),
                    ];
                    let (method, keyed) = kinds[chance.up_to(4) as usize].clone();
                    let harmless = method == Method::GET || keyed;
                    let path = format!("/{method}/{harmless}/{task}/{number}");
                    let mut request = client.build_request(method, format!("{url}{path}"));
                    if keyed {
                        request = request.header("idempotency-key", path.as_str());
                    }
                    let fate = match in_time(request.send()).await {
                        Ok(response) => response.bytes().await.err().map(|error| error.fate()),
                        Err(error) => Some(error.fate()),
                    };
                    fates.push((path, harmless, fate));
                    tokio::time::sleep(ms(chance.up_to(10))).await;
                }
                fates
            })
        })
        .collect();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut told = Vec::new();
    for task in tasks {
        told.extend(in_time(task).await.unwrap());
    }
    // What is still being read may still be processed.
    tokio::time::sleep(ms(200)).await;
    let processed = processed.lock().unwrap();
    for (path, harmless, fate) in told {
        let times = processed.get(&path).copied().unwrap_or_default();
        *counts.entry(fate.map_or("ok", Fate::code).to_owned()).or_default() += 1;
        match fate {
            None | Some(Fate::Answered) => assert!(times >= 1, "{path} was answered, and not processed"),
            Some(Fate::NotSent | Fate::NotProcessed(_)) => assert_eq!(times, 0, "{path}: {fate:?}"),
            Some(_) => {}
        }
        assert!(harmless || times <= 1, "{path} was processed {times} times");
        assert!(times <= 3, "{path} was processed {times} times");
    }
    let total = client.stats().total;
    assert!(total.replayed > 20, "there was hardly a race: {total}");
    assert!(counts["ok"] > 2_000 && counts["unknown"] > 50, "{counts:?}");
}

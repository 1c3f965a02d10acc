//! Happy Eyeballs on a virtual clock, over a dialer that does what the test says; and a loser that had connected.

use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use adieu_proto::lifecycle::ConnectionId;
use tokio::net::TcpStream;

use super::*;
use crate::observe::{Event, Observer, Observers};

/// What an address does.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answer(u64),
    Refuse(u64),
    Nothing,
}

/// What happened, and how many milliseconds after the start.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<(u128, String)>>>, Instant);

impl Log {
    fn new() -> Self {
        Self(Arc::default(), rt::now())
    }

    fn note(&self, what: String) {
        self.0.lock().unwrap().push((self.1.elapsed_virtually(), what));
    }

    fn taken(&self) -> Vec<(u128, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn teller(&self) -> Teller {
        let log = self.clone();
        let hook: Arc<dyn Observer> = Arc::new(move |event: &Event| log.note(event.what.to_string()));
        Teller::new(Observers::new(vec![hook]), ConnectionId::new(1), "http://example.com".into())
    }
}

trait Virtually {
    fn elapsed_virtually(self) -> u128;
}

impl Virtually for Instant {
    fn elapsed_virtually(self) -> u128 {
        rt::now().saturating_duration_since(self).as_millis()
    }
}

struct Fake {
    does: HashMap<SocketAddr, Does>,
    log: Log,
}

/// An attempt; notes when it is let go of.
struct Attempted<'f>(&'f Log, SocketAddr);

impl Drop for Attempted<'_> {
    fn drop(&mut self) {
        self.0.note(format!("let go of {}", self.1));
    }
}

impl Dial for Fake {
    type Socket = SocketAddr;

    async fn dial(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let _attempted = Attempted(&self.log, address);
        match self.does[&address] {
            Does::Answer(after) => {
                rt::sleep(Duration::from_millis(after)).await;
                Ok(address)
            }
            Does::Refuse(after) => {
                rt::sleep(Duration::from_millis(after)).await;
                Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))
            }
            Does::Nothing => std::future::pending().await,
        }
    }
}

/// Addresses 1.1.1.1:1, 1.1.1.2:1 and so on, each doing this.
async fn raced(does: &[Does], pace: Pace) -> (Result<SocketAddr, Error>, Vec<(u128, String)>) {
    let addresses: Vec<_> = (1..=does.len()).map(|n| address(u8::try_from(n).unwrap())).collect();
    let log = Log::new();
    let fake = Fake { does: addresses.iter().copied().zip(does.iter().copied()).collect(), log: log.clone() };
    let result = race(&fake, &addresses, pace, &log.teller()).await;
    (result, log.taken())
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([1, 1, 1, last], 1))
}

fn log(expected: &[(u128, &str)]) -> Vec<(u128, String)> {
    expected.iter().map(|(at, what)| (*at, (*what).to_owned())).collect()
}

const PACE: Pace = Pace { head_start: Duration::from_millis(250), limit: Some(Duration::from_secs(10)) };

#[tokio::test(start_paused = true)]
async fn each_address_has_its_head_start_and_losers_are_let_go_of_at_once() {
    let (won, happened) = raced(&[Does::Nothing, Does::Nothing, Does::Answer(10)], PACE).await;
    assert_eq!(won.unwrap(), address(3));
    let expected = [
        (0, "connecting to 1.1.1.1:1"),
        (250, "connecting to 1.1.1.2:1"),
        (500, "connecting to 1.1.1.3:1"),
        (510, "let go of 1.1.1.3:1"),
        (510, "connected to 1.1.1.3:1 in 510.0ms"),
        (510, "let go of 1.1.1.1:1"),
        (510, "let go of 1.1.1.2:1"),
    ];
    assert_eq!(happened, log(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_failure_hands_over_to_the_next_address_at_once() {
    let does = [Does::Refuse(0), Does::Nothing, Does::Refuse(0), Does::Answer(0)];
    let (won, happened) = raced(&does, PACE).await;
    assert_eq!(won.unwrap(), address(4));
    let started: Vec<_> = happened
        .into_iter()
        .filter(|(_, what)| what.starts_with("connecting"))
        .map(|(at, _)| at / 50)
        .collect();
    assert_eq!(started, [0, 0, 5, 5]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_address_may_still_win() {
    let (won, happened) = raced(&[Does::Answer(400), Does::Nothing, Does::Nothing], PACE).await;
    assert_eq!(won.unwrap(), address(1));
    assert!(!happened.iter().any(|(_, what)| what.contains("1.1.1.3")), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_last_start_waits_for_the_rest() {
    let (won, _) = raced(&[Does::Answer(1000), Does::Refuse(0), Does::Refuse(100)], PACE).await;
    assert_eq!(won.unwrap(), address(1));
}

#[tokio::test(start_paused = true)]
async fn ten_dead_addresses_end_with_the_limit_in_one_error() {
    let began = rt::now();
    let (result, _) = raced(&[Does::Nothing; 10], PACE).await;
    assert_eq!(began.elapsed_virtually() / 100, 100);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect));
    let each: Vec<_> = (1..=10).map(|n| format!("1.1.1.{n}:1: no answer")).collect();
    assert_eq!(error.to_string(), format!("timed out: connecting: {}", each.join("; ")));
}

#[tokio::test(start_paused = true)]
async fn all_that_refuse_end_in_one_error() {
    let (result, _) = raced(&[Does::Refuse(300), Does::Refuse(5)], PACE).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let expected = "could not connect: 1.1.1.1:1: connection refused; 1.1.1.2:1: connection refused";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn no_head_start_is_shorter_than_10_ms() {
    let pace = Pace { head_start: Duration::ZERO, limit: None };
    let (_, happened) = raced(&[Does::Nothing, Does::Nothing, Does::Answer(0)], pace).await;
    let third = happened.iter().find(|(_, what)| what == "connecting to 1.1.1.3:1").unwrap().0;
    assert!((20..25).contains(&third), "{happened:?}");
}

#[tokio::test]
async fn no_address_at_all_is_no_hang() {
    let (result, _) = raced(&[], PACE).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Connect);
}

/// Connects for real; the first address keeps that to itself.
struct KeepsQuiet(SocketAddr);

impl Dial for KeepsQuiet {
    type Socket = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpOptions::new().connect(address).await?;
        if address == self.0 {
            std::future::pending::<()>().await;
        }
        Ok(socket)
    }
}

#[tokio::test]
async fn a_loser_that_had_connected_is_closed_at_once() {
    let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let pace = Pace { head_start: Duration::from_millis(20), limit: None };
    let teller = Log::new().teller();
    let socket = race(&KeepsQuiet(addresses[0]), &addresses, pace, &teller).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), addresses[1]);
    let (mut loser, _) = listeners[0].accept().unwrap();
    loser.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(loser.read(&mut [0]).unwrap(), 0);
    listeners[2].set_nonblocking(true).unwrap();
    assert_eq!(listeners[2].accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

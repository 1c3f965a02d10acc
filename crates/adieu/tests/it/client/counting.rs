//! A server that counts: connections, those that are open at the same moment, requests. It runs in a thread of its own.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How long an answer takes.
    pub(crate) pause: Duration,
    /// Of so many exchanges one ends the connection: by `Connection: close`, by FIN right behind the answer, or by a reset of
    /// the idle connection a little later. 0: none does.
    pub(crate) ends_one_in: u64,
    /// Of so many answers one takes longer than anybody waits. 0: none does.
    pub(crate) slow_one_in: u64,
}

impl Manners {
    /// Answers everything at once, and ends nothing.
    pub(crate) const POLITE: Self = Self { pause: Duration::ZERO, ends_one_in: 0, slow_one_in: 0 };
}

/// A server that counts.
pub(crate) struct Counting {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
}

struct Counts {
    port: u16,
    accepted: AtomicUsize,
    requests: AtomicUsize,
    most: AtomicUsize,
    /// The ports of the clients that were accepted.
    clients: Mutex<BTreeSet<u16>>,
}

impl Counting {
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Counts {
            port: address.port(),
            accepted: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            clients: Mutex::default(),
        };
        let (counts, over) = (Arc::new(counts), Arc::<AtomicBool>::default());
        let (shared, ended) = (counts.clone(), over.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
                    let Ok(Ok((stream, client))) = accepted else { continue };
                    stream.set_nodelay(true).unwrap();
                    shared.arrived(client.port());
                    tokio::spawn(serve(shared.clone(), stream, manners));
                }
            });
        });
        Self { address, counts, over }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Requests that were read whole.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// The most connections that were open at the same moment: those that neither side had ended.
    pub(crate) fn most(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }

    /// Soon every connection has ended: what the client said last is on its way.
    pub(crate) async fn assert_over(&self) {
        for _ in 0..200 {
            if self.open() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections are left", self.open());
    }

    /// Connections that neither side has ended.
    pub(crate) fn open(&self) -> usize {
        self.counts.open_now()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Counts {
    fn arrived(&self, client: u16) {
        self.clients.lock().unwrap().insert(client);
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.open_now(), Ordering::SeqCst);
    }

    /// Asks the kernel, for an end that has come and was not read yet counts. It lists one after the other, and some twice,
    /// so those that came since are left out: what is counted was open when it began.
    fn open_now(&self) -> usize {
        let clients = self.clients.lock().unwrap();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let open = table.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
            (port(local) == Some(self.port) && state == ESTABLISHED).then(|| port(remote))?
        });
        open.filter(|client| clients.contains(client)).collect::<BTreeSet<_>>().len()
    }
}

fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.split_once(':')?.1, 16).ok()
}

const ESTABLISHED: &str = "01";

async fn serve(counts: Arc<Counts>, stream: TcpStream, manners: Manners) {
    let mut buffer = Vec::<u8>::new();
    loop {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            stream.readable().await.unwrap();
            let mut piece = [0; 4096];
            match stream.try_read(&mut piece) {
                Ok(0) => break,
                Ok(bytes) => buffer.extend(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            continue;
        };
        buffer.drain(..end + 4);
        let number = counts.requests.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        if !manners.pause.is_zero() {
            tokio::time::sleep(manners.pause).await;
        }
        if manners.slow_one_in > 0 && number.is_multiple_of(manners.slow_one_in) {
            // Only its end is awaited.
            let _ = stream.readable().await;
            break;
        }
        let ends = manners.ends_one_in > 0 && number.is_multiple_of(manners.ends_one_in);
        let how = (number / manners.ends_one_in.max(1)) % 3;
        let close = if ends && how == 0 { "Connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\nok");
        if write(&stream, answer.as_bytes()).await.is_err() {
            break;
        }
        if ends {
            if how == 2 {
                tokio::time::sleep(Duration::from_millis(3)).await;
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            break;
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

//! A server that counts: connections, those that are open at the same moment, requests. It runs in a thread of its own.

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
}

/// A server that counts.
pub(crate) struct Counting {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    requests: AtomicUsize,
    most: AtomicUsize,
    open: Mutex<Vec<Arc<TcpStream>>>,
}

impl Counting {
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, over) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let (shared, ended) = (counts.clone(), over.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
                    let Ok(Ok((stream, _))) = accepted else { continue };
                    stream.set_nodelay(true).unwrap();
                    let stream = Arc::new(stream);
                    shared.arrived(&stream);
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
    fn arrived(&self, stream: &Arc<TcpStream>) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.lock().unwrap().push(stream.clone());
        self.most.fetch_max(self.open_now(), Ordering::SeqCst);
    }

    /// Looks at every socket, so that an end which has come and was not read yet counts.
    fn open_now(&self) -> usize {
        let mut open = self.open.lock().unwrap();
        open.retain(|stream| !has_ended(stream));
        open.len()
    }

    fn left(&self, stream: &Arc<TcpStream>) {
        self.open.lock().unwrap().retain(|open| !Arc::ptr_eq(open, stream));
    }
}

fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match socket2::SockRef::from(stream).recv_with_flags(&mut byte, flags) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

async fn serve(counts: Arc<Counts>, stream: Arc<TcpStream>, manners: Manners) {
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
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
            break;
        }
    }
    counts.left(&stream);
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

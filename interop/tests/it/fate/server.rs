//! A server that ends its first connection in one way of many, counts what it processes, and is polite on all others.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

/// How the first connection ends, once its first request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It closes the idle connection: under TLS with close_notify.
    CloseIdle,
    /// The same without close_notify.
    CloseIdleBarely,
    /// It ends its side, reads on, processes the next request and is silent: Node's `socket.end()`, a lingering close.
    HalfCloseAndProcess,
    /// The same, and at last it closes.
    HalfCloseProcessAndClose,
    /// The same, and it resets: within its delayed acknowledgement that would look like a refusal.
    HalfCloseProcessAndReset,
    /// It processes the next request and closes without an answer.
    ProcessAndClose,
    /// It closes without having read the next request.
    CloseUnread,
    /// It processes the next request and resets.
    ProcessAndReset,
}

/// Whether the server's kernel takes its time to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledges {
    AtOnce,
    Late,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    orders: Sender<()>,
    obeyed: Mutex<Receiver<()>>,
    ending: Ending,
}

impl Server {
    pub(super) fn start(
        host: Ipv4Addr,
        ending: Ending,
        acknowledges: Acknowledges,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let ((orders, ordered), (obey, obeyed)) = (channel(), channel());
        let counted = seen.clone();
        thread::spawn(move || {
            let mut first = Some((ordered, obey));
            for io in listener.incoming() {
                let Ok(io) = io else { return };
                let (counted, tls, first) = (counted.clone(), tls.clone(), first.take());
                thread::spawn(move || {
                    let mut line = Line::new(io, tls, acknowledges);
                    match first {
                        // What goes wrong here, the client's error tells.
                        Some(first) => drop(line.end(ending, &first, &counted)),
                        None => while line.answer(&counted).is_ok() {},
                    }
                });
            }
        });
        Self { address, seen, orders, obeyed: Mutex::new(obeyed), ending }
    }

    /// Has it end the first connection now. Returns once it has, where it does so without being asked anything more.
    pub(super) fn end_first(&self) {
        self.orders.send(()).unwrap();
        let at_once = matches!(
            self.ending,
            Ending::CloseIdle
                | Ending::CloseIdleBarely
                | Ending::HalfCloseAndProcess
                | Ending::HalfCloseProcessAndClose
                | Ending::HalfCloseProcessAndReset
        );
        if at_once {
            self.obeyed.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }

    /// How often it processed a request for this path.
    pub(super) fn processed(&self, path: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == path).count()
    }
}

/// One connection.
struct Line {
    io: TcpStream,
    tls: Option<ServerConnection>,
    acknowledges: Acknowledges,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Line {
    fn new(io: TcpStream, tls: Option<Arc<ServerConfig>>, acknowledges: Acknowledges) -> Self {
        io.set_nodelay(true).unwrap();
        Self { io, tls: tls.map(|config| ServerConnection::new(config).unwrap()), acknowledges }
    }

    fn read_some(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.set_acknowledgements();
        let read = match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.io).read(bytes),
            None => self.io.read(bytes),
        };
        // What was read and not acknowledged yet is now, if that is wanted.
        self.set_acknowledgements();
        read
    }

    /// The kernel forgets it with every acknowledgement, and has a mind of its own.
    fn set_acknowledgements(&self) {
        SockRef::from(&self.io).set_tcp_quickack(self.acknowledges == Acknowledges::AtOnce).unwrap();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.io).write_all(bytes),
            None => self.io.write_all(bytes),
        }
    }

    /// Reads a request and counts it.
    fn process(&mut self, seen: &Mutex<Vec<String>>) -> io::Result<()> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.read_some(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                let path = head.split(' ').nth(1).unwrap_or_default();
                seen.lock().unwrap().push(path.to_owned());
                return Ok(());
            }
        }
    }

    fn answer(&mut self, seen: &Mutex<Vec<String>>) -> io::Result<()> {
        self.process(seen)?;
        self.write(OK)
    }

    fn say_close_notify(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            tls.complete_io(&mut self.io)?;
        }
        Ok(())
    }

    fn end(
        mut self,
        ending: Ending,
        (ordered, obey): &(Receiver<()>, Sender<()>),
        seen: &Mutex<Vec<String>>,
    ) -> io::Result<()> {
        self.answer(seen)?;
        self.set_acknowledgements();
        ordered.recv().map_err(io::Error::other)?;
        match ending {
            Ending::CloseIdle => self.say_close_notify()?,
            Ending::CloseIdleBarely => {}
            Ending::HalfCloseAndProcess
            | Ending::HalfCloseProcessAndClose
            | Ending::HalfCloseProcessAndReset => {
                self.say_close_notify()?;
                self.io.shutdown(Shutdown::Write)?;
                obey.send(()).map_err(io::Error::other)?;
                self.process(seen)?;
                let silent = if ending == Ending::HalfCloseAndProcess { 1_000 } else { 30 };
                thread::sleep(Duration::from_millis(silent));
                if ending == Ending::HalfCloseProcessAndReset {
                    SockRef::from(&self.io).set_linger(Some(Duration::ZERO))?;
                }
                return Ok(());
            }
            Ending::ProcessAndClose => {
                self.process(seen)?;
                self.say_close_notify()?;
            }
            Ending::CloseUnread => while self.io.peek(&mut [0])? == 0 {},
            Ending::ProcessAndReset => {
                self.process(seen)?;
                SockRef::from(&self.io).set_linger(Some(Duration::ZERO))?;
            }
        }
        // Not `shutdown`, which ends one side.
        drop(self);
        let _ = obey.send(());
        Ok(())
    }
}

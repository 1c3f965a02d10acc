//! A TLS server on any I/O, for the paused clock and for looking at every byte: it notes where each record of the
//! client ends, and can hand on its own bytes as slowly as the test likes.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use adieu_testkit::peer::TlsVersion;
use adieu_testkit::tls::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::support::AUTHORITY;
use crate::support::in_time;

/// Who the server is.
pub(crate) static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| AUTHORITY.issue(["localhost", "127.0.0.1"]).unwrap());

/// The server's side of one connection. It reads and writes at the same time, whatever it waits for.
pub(crate) struct Served<T> {
    pub(crate) io: T,
    pub(crate) tls: ServerConnection,
    /// Records that wait to be written.
    outgoing: Vec<u8>,
    /// Raw bytes that are not a whole record yet.
    incoming: Vec<u8>,
    /// What the client said and nobody took yet.
    pub(crate) plain: Vec<u8>,
    /// After each record: its type, how much had come on the wire, and how much plaintext by then.
    pub(crate) records: Vec<(u8, u64, u64)>,
    pub(crate) close_notify: bool,
    pub(crate) fault: Option<rustls::Error>,
    pub(crate) fin: bool,
    reading: Reading,
}

/// Whether a server reads what its client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    Off,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Served<T> {
    /// Before the handshake.
    pub(crate) fn new(io: T, version: TlsVersion) -> Self {
        let mut tls = ServerConnection::new(config(version)).unwrap();
        tls.set_buffer_limit(None);
        Self {
            io,
            tls,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            plain: Vec::new(),
            records: Vec::new(),
            close_notify: false,
            fault: None,
            fin: false,
            reading: Reading::On,
        }
    }

    /// After the handshake. What is left of its own bytes goes out with whatever it does next.
    pub(crate) async fn shaken(io: T, version: TlsVersion) -> Self {
        let mut served = Self::new(io, version);
        served.until(|served| !served.tls.is_handshaking()).await;
        served
    }

    /// Goes on reading and writing while the client does this.
    pub(crate) async fn during<F: Future>(&mut self, client: F) -> F::Output {
        let mut client = std::pin::pin!(client);
        in_time(poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = client.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
                if !self.turn(cx) {
                    return Poll::Pending;
                }
            }
        }))
        .await
    }

    /// Goes on reading and writing until this is so.
    #[track_caller]
    pub(crate) fn until(&mut self, so: impl Fn(&mut Self) -> bool) -> impl Future<Output = ()> {
        in_time(poll_fn(move |cx| {
            while self.turn(cx) {}
            if so(self) {
                return Poll::Ready(());
            }
            assert!(!self.fin || !self.outgoing.is_empty(), "the client ended; {:?}", self.fault);
            Poll::Pending
        }))
    }

    /// So much of what the client says.
    pub(crate) async fn hear(&mut self, bytes: usize) -> Vec<u8> {
        self.until(|served| served.plain.len() >= bytes).await;
        self.plain.drain(..bytes).collect()
    }

    /// A request head.
    pub(crate) async fn head(&mut self) -> String {
        let end = |plain: &[u8]| plain.windows(4).position(|four| four == b"\r\n\r\n");
        self.until(|served| end(&served.plain).is_some()).await;
        let end = end(&self.plain).unwrap() + 4;
        String::from_utf8(self.plain.drain(..end).collect()).unwrap()
    }

    /// Says this, and waits until it is on its way.
    pub(crate) async fn say(&mut self, plain: impl AsRef<[u8]>) {
        self.put(plain);
        self.flush().await;
    }

    /// Says this as soon as the server goes on.
    pub(crate) fn put(&mut self, plain: impl AsRef<[u8]>) {
        use std::io::Write;
        self.tls.writer().write_all(plain.as_ref()).unwrap();
        self.collect();
    }

    /// Sends bytes that are no TLS of this session.
    pub(crate) fn put_raw(&mut self, raw: &[u8]) {
        self.collect();
        self.outgoing.extend(raw);
    }

    pub(crate) async fn flush(&mut self) {
        self.until(|served| served.outgoing.is_empty()).await;
    }

    /// Ends its side: close_notify, and no FIN.
    pub(crate) async fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.collect();
        self.flush().await;
    }

    /// FIN, and nothing before it.
    pub(crate) async fn send_fin(&mut self) {
        self.flush().await;
        poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await.unwrap();
    }

    pub(crate) async fn goodbye(&mut self) {
        self.close_notify().await;
        self.send_fin().await;
    }

    /// From the next record on it writes with other keys, and asks the client for the same.
    pub(crate) fn update_keys(&mut self) {
        self.tls.refresh_traffic_keys().unwrap();
        self.collect();
    }

    pub(crate) fn reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// The handshake of a server whose bytes the test deals out itself: what it says to what the client said.
    pub(crate) fn answer(&mut self, raw: &[u8]) -> Vec<u8> {
        self.incoming.extend(raw);
        while self.digest() {}
        self.collect();
        std::mem::take(&mut self.outgoing)
    }

    fn collect(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outgoing).unwrap();
        }
    }

    /// Whether anything went on.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        self.collect();
        let mut went_on = false;
        if !self.outgoing.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, &self.outgoing)
        {
            self.outgoing.drain(..written.unwrap());
            went_on = true;
        }
        if self.reading == Reading::On && !self.fin {
            let mut raw = [0; 4096];
            let mut buffer = ReadBuf::new(&mut raw);
            if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                read.unwrap();
                self.fin = buffer.filled().is_empty();
                self.incoming.extend(buffer.filled());
                while self.digest() {}
                went_on = true;
            }
        }
        went_on
    }

    /// Takes one record.
    fn digest(&mut self) -> bool {
        let Some(&[kind, _, _, high, low]) = self.incoming.first_chunk() else { return false };
        let length = 5 + usize::from(u16::from_be_bytes([high, low]));
        if self.incoming.len() < length {
            return false;
        }
        let record: Vec<u8> = self.incoming.drain(..length).collect();
        if self.fault.is_none() && !self.close_notify {
            let mut left = &record[..];
            while !left.is_empty() {
                self.tls.read_tls(&mut left).unwrap();
            }
            match self.tls.process_new_packets() {
                Ok(state) => self.close_notify = state.peer_has_closed(),
                Err(error) => self.fault = Some(error),
            }
        }
        let mut plain = Vec::new();
        let _none_yet = self.tls.reader().read_to_end(&mut plain);
        let (_, wire, before) = self.records.last().copied().unwrap_or_default();
        self.records.push((kind, wire + length as u64, before + plain.len() as u64));
        self.plain.append(&mut plain);
        true
    }
}

/// What is inside, for another server inside of it.
impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Served<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.turn(cx) {}
        if self.plain.is_empty() && !self.close_notify && !self.fin {
            return Poll::Pending;
        }
        let bytes = self.plain.len().min(into.remaining());
        into.put_slice(&self.plain[..bytes]);
        self.plain.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Served<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(bytes);
        while self.turn(cx) {}
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.turn(cx) {}
        if self.outgoing.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        std::task::ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn config(version: TlsVersion) -> Arc<ServerConfig> {
    static CONFIGS: LazyLock<[Arc<ServerConfig>; 2]> = LazyLock::new(|| [&TLS12, &TLS13].map(make));
    CONFIGS[usize::from(version == TlsVersion::Tls13)].clone()
}

fn make(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from(IDENTITY.cert_der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(IDENTITY.key_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

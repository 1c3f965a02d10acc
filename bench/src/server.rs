//! The server: raw TCP, one thread, answers made beforehand, so that the clients are what is measured.
//!
//! It reads a head, drops the body that the head announces, and writes the answer of the row that the path names;
//! or, where the path says how many requests are to come together, a small one once they are there.
//! It prints where it listens, plain and with TLS, and ends when its standard input does: whoever started it and however that
//! one ended, it does not stay behind.
//!
//! Segments that are written one after the other may be there together when a client comes to read. Where requests
//! are timed, this happens as it does in life; where they are counted, pauses keep segments apart, or every count
//! would be another.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Barrier;

use crate::Error;
use crate::process;
use crate::row::{GATHER, Row, Sends};
use crate::tls::Identity;

/// How segments follow each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Pace {
    /// As fast as they can be written.
    Fast,
    /// With pauses that even a client under valgrind reads in, and long bodies in 64 KiB segments.
    Apart,
}

impl Pace {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Apart => "apart",
        }
    }
}

/// Where a server listens and whom to trust: what it prints, as one line of JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Listening {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// PEM.
    pub(crate) root: String,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Listening {
    type Err = serde_json::Error;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(line)
    }
}

/// Listens, says where, and answers until standard input ends.
pub(crate) fn serve(pace: Pace) -> Result<(), Error> {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    process::raise_descriptors()?;
    crate::drive::runtime()?.block_on(async {
        let (plain, tls) = (listen()?, listen()?);
        let identity = Identity::generate()?;
        let listening =
            Listening { plain: plain.local_addr()?, tls: tls.local_addr()?, root: identity.root.clone() };
        println!("{listening}");
        io::stdout().flush()?;
        let answers = Arc::new(Answers::new(pace));
        // A client that goes away, or that talks nonsense, ends its own connection only.
        loop {
            let answers = Arc::clone(&answers);
            tokio::select! {
                stream = accept(&plain) => {
                    let stream = stream?;
                    tokio::spawn(async move { answer(stream, &answers).await });
                }
                stream = accept(&tls) => {
                    let shaken = identity.acceptor.accept(stream?);
                    tokio::spawn(async move { answer(shaken.await?, &answers).await });
                }
            }
        }
    })
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Answers {
    pace: Pace,
    /// Requests that wait for others, by how many there are to be.
    gatherings: Mutex<HashMap<usize, Arc<Barrier>>>,
    small: Vec<u8>,
    segment: (Vec<u8>, Vec<u8>),
    down: Vec<u8>,
    up: Vec<u8>,
}

impl Answers {
    fn new(pace: Pace) -> Self {
        let head = |row: Row| row.answer_head().into_bytes();
        let body = |row: Row| vec![b'd'; row.answer_len()];
        let whole = |row: Row| [head(row), body(row)].concat();
        Self {
            pace,
            gatherings: Mutex::default(),
            small: whole(Row::Small),
            segment: (head(Row::Segment), body(Row::Segment)),
            down: whole(Row::Down),
            up: whole(Row::Up),
        }
    }

    async fn gather(&self, requests: usize) {
        let barrier = {
            let mut gatherings = self.gatherings.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gatherings.entry(requests).or_insert_with(|| Arc::new(Barrier::new(requests))))
        };
        barrier.wait().await;
    }

    async fn write<S: AsyncWrite + Unpin>(&self, row: Row, stream: &mut S) -> io::Result<()> {
        match row {
            Row::Small | Row::TlsSmall => stream.write_all(&self.small).await,
            Row::Segment => {
                stream.write_all(&self.segment.0).await?;
                match self.pace {
                    // All other connections that can have theirs get their heads before this one gets its body.
                    Pace::Fast => tokio::task::yield_now().await,
                    Pace::Apart => tokio::time::sleep(HEAD_PAUSE).await,
                }
                stream.write_all(&self.segment.1).await
            }
            Row::Down | Row::TlsDown if self.pace == Pace::Apart => {
                for segment in self.down.chunks(SEGMENT_LEN) {
                    stream.write_all(segment).await?;
                    tokio::time::sleep(SEGMENT_PAUSE).await;
                }
                Ok(())
            }
            Row::Down | Row::TlsDown => stream.write_all(&self.down).await,
            Row::Up => stream.write_all(&self.up).await,
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answers: &Answers) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut filled = 0;
    loop {
        let head_len = loop {
            if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
        };
        let head = &buffer[..head_len];
        let Asked { row, together } = named(head).ok_or(io::ErrorKind::InvalidData)?;
        let body_len = match row.sends() {
            Sends::Nothing => 0,
            Sends::Upload => content_length(head).ok_or(io::ErrorKind::InvalidData)?,
        };

        let here = body_len.min(filled - head_len);
        buffer.copy_within(head_len + here..filled, 0);
        filled -= head_len + here;
        let mut missing = body_len - here;
        while missing > 0 {
            let room = missing.min(buffer.len());
            match stream.read(&mut buffer[..room]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        if let Some(requests) = together {
            answers.gather(requests).await;
        }
        answers.write(row, &mut stream).await?;
        // TLS may have taken what the socket has not.
        stream.flush().await?;
    }
}

/// What a head asks for.
#[derive(Debug, Eq, PartialEq)]
struct Asked {
    row: Row,
    /// How many requests are answered together.
    together: Option<usize>,
}

fn named(head: &[u8]) -> Option<Asked> {
    let path = str::from_utf8(head.split(|byte| *byte == b' ').nth(1)?).ok()?;
    if let Some(requests) = path.strip_prefix(GATHER) {
        return Some(Asked { row: Row::Small, together: Some(requests.parse().ok()?) });
    }
    let mut rows = [Row::Small, Row::Segment, Row::Down, Row::Up].into_iter();
    Some(Asked { row: rows.find(|row| row.path() == path)?, together: None })
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// Thousands of connections come at once to be idle.
const BACKLOG: u32 = 4096;
const BUFFER_LEN: usize = 64 << 10;
const SEGMENT_LEN: usize = 64 << 10;
const HEAD_PAUSE: Duration = Duration::from_millis(30);
const SEGMENT_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_its_row_and_its_body() {
        let head = b"POST /up HTTP/1.1\r\nhost: a\r\nContent-Length: 17\r\n\r\n";
        assert_eq!(named(head), Some(Asked { row: Row::Up, together: None }));
        let head = b"GET /gather/50 HTTP/1.1\r\n\r\n";
        assert_eq!(named(head), Some(Asked { row: Row::Small, together: Some(50) }));
        let head = b"POST /up HTTP/1.1\r\nhost: a\r\nContent-Length: 17\r\n\r\n";
        assert_eq!(content_length(head), Some(17));
        assert_eq!(named(b"GET /nothing HTTP/1.1\r\n\r\n"), None);
        assert_eq!(content_length(b"GET /small HTTP/1.1\r\n\r\n"), None);
    }
}

//! The clients that are compared, each behind the same three verbs: open, exchange, close.
//!
//! - `adieu`: `adieu::conn::http1`;
//! - `hyper`: `hyper::client::conn::http1`, its connection spawned on the same thread;
//! - `reqwest`: `reqwest::Client`, one for each connection;
//! - `bare`: a stream that writes the same bytes and counts what comes back.
//!
//! They connect with the same options, build their requests in the same way, and check the same things.

pub(crate) mod adieu;
pub(crate) mod bare;
pub(crate) mod hyper;
pub(crate) mod reqwest;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::Error;
use crate::row::{Plan, Row, Security};
use crate::tls::Trust;

/// Whose work is measured. The order is that of the tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Client {
    Adieu,
    Hyper,
    Reqwest,
    Bare,
}

impl Client {
    /// Who takes part in a row: whoever was named, else all, but reqwest with its pool over TLS only.
    pub(crate) fn chosen(named: &[Self], row: Row) -> Vec<Self> {
        if !named.is_empty() {
            return named.to_vec();
        }
        match row.security() {
            Security::Plain => vec![Self::Adieu, Self::Hyper, Self::Bare],
            Security::Tls => vec![Self::Adieu, Self::Hyper, Self::Reqwest, Self::Bare],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adieu => "adieu",
            Self::Hyper => "hyper",
            Self::Reqwest => "reqwest",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One connection of one client.
pub(crate) trait Connection: Sized + Send + 'static {
    fn open(plan: &Plan) -> impl Future<Output = Result<Self, Error>> + Send;

    /// One request, and its response read to the end and checked.
    fn exchange(&mut self, plan: &Plan) -> impl Future<Output = Result<(), Error>> + Send;

    fn close(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The type of a request's body: a user knows it when compiling, and so do the clients here.
pub(crate) trait Payload: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static {
    fn of(plan: &Plan) -> Self;
}

impl Payload for Empty<Bytes> {
    fn of(_: &Plan) -> Self {
        Self::new()
    }
}

impl Payload for Full<Bytes> {
    fn of(plan: &Plan) -> Self {
        Self::new(plan.upload.clone())
    }
}

async fn connect(plan: &Plan) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(plan.server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// With tokio-rustls.
async fn connect_rustls(plan: &Plan, trust: &Trust) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(plan.host_name())?;
    Ok(trust.rustls.connect(name, connect(plan).await?).await?)
}

fn request<P: Payload>(plan: &Plan) -> http::Result<Request<P>> {
    Request::builder()
        .method(plan.method())
        .uri(plan.uri.clone())
        .header(HOST, plan.host.clone())
        .header(USER_AGENT, plan.user_agent.clone())
        .header(ACCEPT, plan.accept.clone())
        .body(P::of(plan))
}

/// Reads a body to its end, keeping nothing, and checks what bare TCP checks too.
async fn consume<B>(status: StatusCode, body: B, plan: &Plan) -> Result<(), Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Error>,
{
    let mut body = pin!(body);
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame.map_err(Into::into)?.data_ref() {
            len += bytes.len();
        }
    }
    check(status, len, plan)
}

fn check(status: StatusCode, len: usize, plan: &Plan) -> Result<(), Error> {
    if status != StatusCode::OK || len != plan.row.answer_len() {
        return Err(format!("a response of status {status} with {len} bytes").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::Listening;
    use crate::tls::Identity;

    /// Two exchanges of each row: the requests are those of the plan, on one connection and no other.
    async fn sends_the_plan<C: Connection>(rows: &[Row]) {
        for &row in rows {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let identity = Identity::generate().unwrap();
            let listening = Listening { plain: address, tls: address, root: identity.root };
            let plan = Plan::new(row, &listening).unwrap();
            let peer = async {
                let (stream, _) = listener.accept().await.unwrap();
                match row.security() {
                    Security::Plain => answer(stream, &plan).await,
                    Security::Tls => answer(identity.acceptor.accept(stream).await.unwrap(), &plan).await,
                }
            };
            let client = async {
                let mut connection = C::open(&plan).await.unwrap();
                connection.exchange(&plan).await.unwrap();
                connection.exchange(&plan).await.unwrap();
                connection.close().await.unwrap();
            };
            tokio::join!(peer, client);
            let another = listener.into_std().unwrap().accept();
            assert_eq!(another.unwrap_err().kind(), io::ErrorKind::WouldBlock, "{row}");
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, plan: &Plan) {
        let answer = [plan.row.answer_head().into_bytes(), vec![0; plan.row.answer_len()]].concat();
        for _ in 0..2 {
            let mut received = vec![0; plan.wire.len()];
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(received, plan.wire, "{}", plan.row);
            stream.write_all(&answer).await.unwrap();
            stream.flush().await.unwrap();
        }
        stream.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn bare_sends_the_plan() {
        sends_the_plan::<bare::Bare<TcpStream>>(&[Row::Up]).await;
        sends_the_plan::<bare::Bare<TlsStream<TcpStream>>>(&[Row::TlsSmall]).await;
    }

    #[tokio::test]
    async fn hyper_sends_the_same_bytes_as_bare() {
        sends_the_plan::<hyper::Hyper<Empty<Bytes>>>(&[Row::Small, Row::TlsSmall]).await;
        sends_the_plan::<hyper::Hyper<Full<Bytes>>>(&[Row::Up]).await;
    }

    #[tokio::test]
    async fn reqwest_sends_the_same_bytes_as_bare() {
        let rows = [Row::Small, Row::Segment, Row::Up, Row::TlsSmall, Row::TlsDown];
        sends_the_plan::<reqwest::Reqwest>(&rows).await;
    }

    #[tokio::test]
    async fn adieu_sends_the_same_bytes_as_bare() {
        sends_the_plan::<adieu::Adieu<Empty<Bytes>>>(&[Row::Small, Row::TlsSmall]).await;
        sends_the_plan::<adieu::Adieu<Full<Bytes>>>(&[Row::Up]).await;
    }

    #[tokio::test]
    async fn a_short_body_is_an_error() {
        let nowhere = ([127, 0, 0, 1], 1).into();
        let listening = Listening { plain: nowhere, tls: nowhere, root: String::new() };
        let plan = Plan::new(Row::Small, &listening).unwrap();
        let body = |len| Full::new(Bytes::from(vec![0; len]));
        assert!(consume(StatusCode::OK, body(128), &plan).await.is_ok());
        assert!(consume(StatusCode::OK, body(127), &plan).await.is_err());
        assert!(consume(StatusCode::NOT_FOUND, body(128), &plan).await.is_err());
    }
}

//! The clients that are compared, each behind the same three verbs: open, exchange, close.
//!
//! - `adieu`: `adieu::conn::http1`;
//! - `hyper`: `hyper::client::conn::http1`, its connection spawned on the same thread;
//! - `bare`: a TCP stream that writes the same bytes and counts what comes back.
//!
//! They connect with the same options, build their requests in the same way, and check the same things.

pub(crate) mod adieu;
pub(crate) mod bare;
pub(crate) mod hyper;

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
use serde::Serialize;
use tokio::net::TcpStream;

use crate::Error;
use crate::row::Plan;

/// Whose work is measured. The order is that of the tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Client {
    Adieu,
    Hyper,
    Bare,
}

impl Client {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adieu => "adieu",
            Self::Hyper => "hyper",
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
    if status != StatusCode::OK || len != plan.row.answer_len() {
        return Err(format!("a response of status {status} with {len} bytes").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::row::Row;

    /// What `C` puts on the wire for `row`, and what the plan says that it should.
    async fn sent<C: Connection>(row: Row) -> (Vec<u8>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = Plan::new(row, listener.local_addr().unwrap()).unwrap();
        let expected = plan.wire.clone();
        let mut received = vec![0; expected.len()];
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut received).await.unwrap();
            stream.write_all(row.answer_head().as_bytes()).await.unwrap();
            stream.write_all(&vec![0; row.answer_len()]).await.unwrap();
        };
        let client = async {
            let mut connection = C::open(&plan).await.unwrap();
            connection.exchange(&plan).await.unwrap();
            connection.close().await.unwrap();
        };
        tokio::join!(peer, client);
        (received, expected)
    }

    #[tokio::test]
    async fn bare_sends_the_plan() {
        let (received, expected) = sent::<bare::Bare>(Row::Up).await;
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn hyper_sends_the_same_bytes_as_bare() {
        let (received, expected) = sent::<hyper::Hyper<Empty<Bytes>>>(Row::Small).await;
        assert_eq!(received, expected);
        let (received, expected) = sent::<hyper::Hyper<Full<Bytes>>>(Row::Up).await;
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn adieu_sends_the_same_bytes_as_bare() {
        let (received, expected) = sent::<adieu::Adieu<Empty<Bytes>>>(Row::Small).await;
        assert_eq!(received, expected);
        let (received, expected) = sent::<adieu::Adieu<Full<Bytes>>>(Row::Up).await;
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_short_body_is_an_error() {
        let plan = Plan::new(Row::Small, ([127, 0, 0, 1], 1).into()).unwrap();
        let body = |len| Full::new(Bytes::from(vec![0; len]));
        assert!(consume(StatusCode::OK, body(128), &plan).await.is_ok());
        assert!(consume(StatusCode::OK, body(127), &plan).await.is_err());
        assert!(consume(StatusCode::NOT_FOUND, body(128), &plan).await.is_err());
    }
}

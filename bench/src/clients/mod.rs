//! The clients that are compared, each behind the same three verbs: open, exchange, close.
//!
//! One connection for each task ([`Connection`]):
//!
//! - `adieu`: `adieu::conn::http1`;
//! - `hyper`: `hyper::client::conn::http1`, its connection spawned on the same thread;
//! - `reqwest`: `reqwest::Client`, one for each connection;
//! - `bare`: a stream that writes the same bytes and counts what comes back.
//!
//! One client with a pool for all tasks ([`Pooled`]):
//!
//! - `adieu`, `adieu-observed`: `adieu::Client`, unwatched, or with an observer that does nothing;
//! - `hyper-util`: `hyper_util::client::legacy::Client`;
//! - `reqwest`: `reqwest::Client`;
//! - `ureq`: `ureq::Agent`, which blocks: a thread for each connection;
//! - `bare`: as above, for there is nothing to share.
//!
//! They connect with the same options, build their requests in the same way, and check the same things.

pub(crate) mod adieu;
pub(crate) mod adieu_client;
pub(crate) mod bare;
pub(crate) mod hyper;
pub(crate) mod hyper_util;
pub(crate) mod reqwest;
pub(crate) mod ureq;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use self::adieu_client::{AdieuClient, Bystander, Nobody};
use crate::Error;
use crate::row::{Plan, Sends};
use crate::tls::Trust;

/// Whose work is measured. The order is that of the tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Client {
    Adieu,
    /// With an observer and a listener to its events, none of which does anything.
    AdieuObserved,
    Hyper,
    HyperUtil,
    Reqwest,
    Ureq,
    Bare,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adieu => "adieu",
            Self::AdieuObserved => "adieu-observed",
            Self::Hyper => "hyper",
            Self::HyperUtil => "hyper-util",
            Self::Reqwest => "reqwest",
            Self::Ureq => "ureq",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub(crate) trait Exchange: Sized + Send + 'static {
    /// One request, and its response read to the end and checked.
    fn exchange(&mut self, plan: &Plan) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One connection of one client.
pub(crate) trait Connection: Exchange {
    fn open(plan: &Plan) -> impl Future<Output = Result<Self, Error>> + Send;

    fn close(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A client that connects when it must; its clones share one pool.
pub(crate) trait Pooled: Exchange + Clone {
    /// With room for as many idle connections.
    fn new(plan: &Plan, connections: u32) -> Result<Self, Error>;

    fn close(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What is done with a pooled client, whichever it is.
pub(crate) trait Job {
    type Done;

    async fn with<C: Pooled>(self) -> Result<Self::Done, Error>;
}

/// Does `job` with the client that is named.
pub(crate) async fn pooled<J: Job>(client: Client, sends: Sends, job: J) -> Result<J::Done, Error> {
    match (client, sends) {
        (Client::Adieu, Sends::Nothing) => job.with::<AdieuClient<Empty<Bytes>, Nobody>>().await,
        (Client::Adieu, Sends::Upload) => job.with::<AdieuClient<Full<Bytes>, Nobody>>().await,
        (Client::AdieuObserved, Sends::Nothing) => job.with::<AdieuClient<Empty<Bytes>, Bystander>>().await,
        (Client::AdieuObserved, Sends::Upload) => job.with::<AdieuClient<Full<Bytes>, Bystander>>().await,
        (Client::HyperUtil, Sends::Nothing) => job.with::<hyper_util::HyperUtil<Empty<Bytes>>>().await,
        (Client::HyperUtil, Sends::Upload) => job.with::<hyper_util::HyperUtil<Full<Bytes>>>().await,
        (Client::Reqwest, _) => job.with::<reqwest::Reqwest>().await,
        _ => Err(format!("{client} has no pool").into()),
    }
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

fn request<B>(plan: &Plan, uri: &Uri, body: B) -> http::Result<Request<B>> {
    Request::builder()
        .method(plan.method())
        .uri(uri.clone())
        .header(HOST, plan.host.clone())
        .header(USER_AGENT, plan.user_agent.clone())
        .header(ACCEPT, plan.accept.clone())
        .body(body)
}

/// What a pool needs whose connections are given back by tasks of their own: asked before they have run, it would open
/// another one.
async fn rest_after(body_len: usize) {
    if body_len > WITH_ITS_HEAD {
        tokio::task::yield_now().await;
    }
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

/// A body up to this comes together with its head.
const WITH_ITS_HEAD: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::row::{Row, Security};
    use crate::server::Listening;
    use crate::tls::Identity;

    /// Two exchanges of each row: the requests are those of the plan, on one connection and no other.
    async fn sends_the_plan<C: Connection>(rows: &[Row]) {
        on_one_connection(rows, async |plan| {
            let mut connection = C::open(&plan).await.unwrap();
            connection.exchange(&plan).await.unwrap();
            connection.exchange(&plan).await.unwrap();
            connection.close().await.unwrap();
        })
        .await;
    }

    async fn shares_the_plan<C: Pooled>(rows: &[Row]) {
        on_one_connection(rows, async |plan| {
            let mut client = C::new(&plan, 1).unwrap();
            client.exchange(&plan).await.unwrap();
            client.clone().exchange(&plan).await.unwrap();
            client.close().await.unwrap();
        })
        .await;
    }

    async fn on_one_connection(rows: &[Row], client: impl AsyncFn(Arc<Plan>)) {
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
            tokio::join!(peer, client(Arc::clone(&plan)));
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
    async fn pooled_clients_send_the_same_bytes_as_bare() {
        let rows = [Row::Small, Row::Segment, Row::TlsSmall, Row::TlsDown];
        shares_the_plan::<AdieuClient<Empty<Bytes>, Nobody>>(&rows).await;
        shares_the_plan::<AdieuClient<Full<Bytes>, Bystander>>(&[Row::Up]).await;
        shares_the_plan::<hyper_util::HyperUtil<Empty<Bytes>>>(&rows).await;
        shares_the_plan::<hyper_util::HyperUtil<Full<Bytes>>>(&[Row::Up]).await;
        shares_the_plan::<reqwest::Reqwest>(&rows).await;
        shares_the_plan::<reqwest::Reqwest>(&[Row::Up]).await;
    }

    #[tokio::test]
    async fn ureq_sends_the_same_bytes_as_bare() {
        on_one_connection(&[Row::Small, Row::Segment, Row::Up, Row::TlsSmall], async |plan| {
            let asked = tokio::task::spawn_blocking(move || {
                let (client, mut buffer) = (ureq::Ureq::new(&plan, 1), vec![0; ureq::BUFFER_LEN]);
                client.exchange(&plan, &mut buffer).unwrap();
                client.clone().exchange(&plan, &mut buffer).unwrap();
            });
            asked.await.unwrap();
        })
        .await;
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

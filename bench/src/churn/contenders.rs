//! The clients of `churn`: each with its own pool as it comes, and room for as many idle connections as there are tasks.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use ::adieu::{ClientBuilder, Fate, Replay, ResponseExt};
use bytes::Bytes;
use clap::ValueEnum;
use http::{Method as HttpMethod, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Serialize, Serializer};

use super::openings::{Counted, Openings};
use super::row::word;
use super::servers::ANSWER;
use super::traffic::{Method, Number};
use crate::Error;
use crate::tls::Trust;

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Contender {
    Adieu,
    /// It does not learn at which idle age the server ends connections.
    AdieuNoLearning,
    /// It sends nothing again, so that its proofs help nobody.
    AdieuNoReplay,
    AdieuNeither,
    Reqwest,
    HyperUtil,
}

impl Contender {
    /// Whether it tells fates and replays.
    pub(crate) fn is_adieu(self) -> bool {
        match self {
            Self::Adieu | Self::AdieuNoLearning | Self::AdieuNoReplay | Self::AdieuNeither => true,
            Self::Reqwest | Self::HyperUtil => false,
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&word(self))
    }
}

impl Serialize for Contender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One client, shared by all tasks.
pub(crate) struct Pool {
    client: Client,
    target: Uri,
}

enum Client {
    Adieu(::adieu::Client),
    Reqwest(::reqwest::Client, Openings),
    HyperUtil(HyperUtil, Openings),
}

type HyperUtil = hyper_util::client::legacy::Client<Counted<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// The answer came, whole.
pub(crate) struct Answered {
    /// How often the request was sent again.
    pub(crate) replays: u32,
}

/// The answer did not come as it should.
#[derive(Debug)]
pub(crate) enum Refused {
    /// adieu tells what became of the request.
    Adieu(::adieu::Error),
    /// Others tell what they saw, in their words.
    Other(String),
    /// It was another answer.
    Status(StatusCode),
    Body(String),
    Late(Duration),
}

impl Refused {
    /// How often the request was sent again nonetheless.
    pub(crate) fn replays(&self) -> u32 {
        match self {
            Self::Adieu(error) => error.replays(),
            _ => 0,
        }
    }

    /// What is known of the request's fate.
    pub(crate) fn fate(&self) -> Option<Fate> {
        match self {
            Self::Adieu(error) => Some(error.fate()),
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adieu(error) => write!(f, "{} {:?}", error.fate().code(), error.kind()),
            Self::Other(said) => f.write_str(said),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Body(said) => write!(f, "another body: {said:?}"),
            Self::Late(limit) => write!(f, "no answer for {} s", limit.as_secs()),
        }
    }
}

impl Pool {
    /// For requests to one place.
    pub(crate) fn new(contender: Contender, target: Uri, trust: &Trust, tasks: u32) -> Result<Self, Error> {
        let openings = Openings::default();
        let client = match contender {
            Contender::Adieu => Client::Adieu(adieu(trust, tasks).build()?),
            Contender::AdieuNoLearning => Client::Adieu(adieu(trust, tasks).learn_idle(false).build()?),
            Contender::AdieuNoReplay => Client::Adieu(adieu(trust, tasks).replay(Replay::Never).build()?),
            Contender::AdieuNeither => {
                Client::Adieu(adieu(trust, tasks).learn_idle(false).replay(Replay::Never).build()?)
            }
            Contender::Reqwest => {
                let client = ::reqwest::Client::builder()
                    .no_proxy()
                    .tls_certs_only([trust.reqwest.clone()])
                    .connector_layer(openings.clone())
                    .build()?;
                Client::Reqwest(client, openings)
            }
            Contender::HyperUtil => {
                let mut tcp = HttpConnector::new();
                tcp.set_nodelay(true);
                tcp.enforce_http(false);
                let tls = HttpsConnectorBuilder::new()
                    .with_tls_config(trust.rustls.config().as_ref().clone())
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(tcp);
                let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .build(openings.counting(tls));
                Client::HyperUtil(client, openings)
            }
        };
        Ok(Self { client, target })
    }

    /// One request, and its answer read whole.
    pub(crate) async fn ask(&self, number: Number) -> Result<Answered, Refused> {
        match &self.client {
            Client::Adieu(client) => {
                let response = client.request(self.request(number, ::adieu::Body::from)).await;
                let response = response.map_err(Refused::Adieu)?;
                let replays = response.info().map_or(0, |info| info.replays);
                read(response, Refused::Adieu).await?;
                Ok(Answered { replays })
            }
            Client::Reqwest(client, _) => {
                let request = self.request(number, ::reqwest::Body::from).try_into();
                let response = match request {
                    Ok(request) => client.execute(request).await,
                    Err(error) => Err(error),
                };
                // Its own words are the same whatever happened.
                let said = |error: ::reqwest::Error| {
                    Refused::Other(match error.source() {
                        Some(cause) => chain(cause),
                        None => error.without_url().to_string(),
                    })
                };
                read(response.map_err(said)?.into(), said).await?;
                Ok(Answered { replays: 0 })
            }
            Client::HyperUtil(client, _) => {
                let response = client.request(self.request(number, Full::new)).await;
                let response = response.map_err(|error| Refused::Other(chain(&error)))?;
                read(response, |error| Refused::Other(chain(&error))).await?;
                Ok(Answered { replays: 0 })
            }
        }
    }

    /// How many connections it has opened.
    pub(crate) fn opened(&self) -> u64 {
        match &self.client {
            Client::Adieu(client) => client.stats().total.opened,
            Client::Reqwest(_, openings) | Client::HyperUtil(_, openings) => openings.count(),
        }
    }

    fn request<B>(&self, number: Number, body: impl FnOnce(Bytes) -> B) -> Request<B> {
        let (method, sent) = match number.method() {
            Method::Get => (HttpMethod::GET, Bytes::new()),
            Method::Post => (HttpMethod::POST, Bytes::from_static(&[b'x'; UPLOAD_LEN])),
        };
        let mut request = Request::new(body(sent));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.clone();
        request.headers_mut().insert(REQUEST, number.0.into());
        request
    }
}

/// adieu as it comes.
fn adieu(trust: &Trust, tasks: u32) -> ClientBuilder {
    ::adieu::Client::builder()
        .no_proxies()
        .max_idle_per_origin(tasks as usize)
        .tls_connector(trust.adieu.clone())
}

async fn read<B: Body>(response: Response<B>, failed: impl Fn(B::Error) -> Refused) -> Result<(), Refused> {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map_err(failed)?.to_bytes();
    if head.status != StatusCode::OK {
        return Err(Refused::Status(head.status));
    }
    if bytes != ANSWER {
        return Err(Refused::Body(String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(())
}

/// What an error says, and what caused it, and so on.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The length of what is sent with a POST.
const UPLOAD_LEN: usize = 64;
/// Which header has the number of a request, for the log of the server.
const REQUEST: &str = "x-request";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::tls::Identity;

    /// A client, and the place to which it sends everything.
    async fn client(contender: Contender) -> (Pool, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}/hello", listener.local_addr().unwrap()).parse().unwrap();
        let trust = Trust::in_root(&Identity::generate().unwrap().root).unwrap();
        (Pool::new(contender, target, &trust, 1).unwrap(), listener)
    }

    /// Reads a request and the body that it should have.
    async fn request(stream: &mut TcpStream, body_len: usize) -> String {
        let mut received = Vec::new();
        loop {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            let head = received.windows(4).position(|end| end == b"\r\n\r\n");
            if head.is_some_and(|head| received.len() == head + 4 + body_len) {
                return String::from_utf8(received).unwrap().to_ascii_lowercase();
            }
        }
    }

    #[tokio::test]
    async fn each_sends_numbered_requests_and_reads_the_answers() {
        for &contender in Contender::value_variants() {
            let (pool, listener) = client(contender).await;
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
                let get = request(&mut stream, 0).await;
                assert!(get.starts_with("get /hello ") && get.contains("\r\nx-request: 4\r\n"), "{get}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let post = request(&mut stream, UPLOAD_LEN).await;
                assert!(post.starts_with("post /hello ") && post.contains("\r\nx-request: 5\r\n"), "{post}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let asking = async {
                for number in [4, 5] {
                    pool.ask(Number(number)).await.unwrap();
                    // Its connection goes back to the pool by a task.
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(server, asking);
            assert_eq!(pool.opened(), 1, "{contender}");
        }
    }

    #[tokio::test]
    async fn each_tells_in_short_what_went_wrong() {
        for &contender in Contender::value_variants() {
            let (pool, listener) = client(contender).await;
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                request(&mut stream, UPLOAD_LEN).await;
                let refusal = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal).await.unwrap();
                request(&mut stream, UPLOAD_LEN).await;
            };
            let asking = async {
                let told = pool.ask(Number(1)).await.err().unwrap().to_string();
                tokio::task::yield_now().await;
                (told, pool.ask(Number(3)).await.err().unwrap())
            };
            let ((), (refused, ended)) = tokio::join!(server, asking);
            assert_eq!(refused, "status 502");
            // It was a POST: nobody sends it again.
            let (said, fate) = match contender.is_adieu() {
                true => ("unknown NoResponse", Some(Fate::Unknown)),
                false => ("client error (SendRequest): connection closed before message completed", None),
            };
            assert_eq!((ended.to_string().as_str(), ended.fate()), (said, fate));
        }
    }
}

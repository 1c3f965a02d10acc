//! What our side does in each scene.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::Connection;
use adieu::conn::http1::{SendRequest, handshake, handshake_on};
use adieu::{Body, Bytes, CloseKind, CloseMode, CloseReport, Error, State};
use adieu_testkit::peer::Peer;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Trouble;
use super::scene::Act;
use super::timeline::Diary;
use super::tls::Tls;

/// Our end of the connection.
pub(super) struct Us {
    sender: SendRequest,
    connection: Connection,
    diary: Diary,
    url: String,
}

impl Us {
    /// Over TLS, if there is any.
    pub(super) async fn connect(peer: &Peer, tls: Option<&Tls>, diary: Diary) -> Result<Self, Trouble> {
        let socket = TcpStream::connect(peer.address()).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = match tls {
            None => {
                diary.ours("connected");
                handshake(socket).await?
            }
            Some(tls) => {
                diary.ours("connected; TLS handshake");
                let stream = tls.connect(socket).await?;
                diary.ours(stream.session());
                handshake_on(stream).await?
            }
        };
        Ok(Self { sender, connection, diary, url: peer.url("/") })
    }

    /// Writes each state into the diary, until the last.
    pub(super) fn watch(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut watch, diary) = (self.connection.watch(), self.diary.clone());
        async move {
            loop {
                let state = watch.changed().await;
                diary.state(state);
                if state == State::Closed {
                    return;
                }
            }
        }
    }

    pub(super) async fn play(mut self, act: Act) -> Result<CloseReport, Trouble> {
        match act {
            Act::Idle(kind) => {
                self.exchange().await?;
                sleep(MOMENT).await;
                Ok(self.close(mode(kind)).await)
            }
            Act::Silent => {
                self.exchange().await?;
                sleep(MOMENT).await;
                Ok(self.close(CloseMode::graceful().linger(SILENCE)).await)
            }
            Act::Busy(kind) => self.close_while_busy(mode(kind)).await,
            Act::Overdue => {
                self.close_while_busy(CloseMode::graceful().drain(Duration::from_millis(150))).await
            }
            Act::BareFin => {
                self.exchange().await?;
                sleep(MOMENT).await;
                Ok(self.close(CloseMode::graceful()).await)
            }
            Act::PeerResets
            | Act::PeerEndsIdle
            | Act::PeerAsksClose
            | Act::UntilClose
            | Act::CutOff
            | Act::EndsInside => {
                self.exchange().await?;
                Ok(self.connection.closed().await)
            }
            Act::CutUpload => self.give_up_an_upload().await,
            Act::HalfRefused => self.half_close_while_waiting().await,
            Act::Dropped => {
                self.exchange().await?;
                sleep(MOMENT).await;
                let closed = self.connection.closed();
                self.diary.ours("drops the sender and the handle");
                drop((self.sender, self.connection));
                Ok(closed.await)
            }
            Act::Escalated => {
                let body = self.begin().await?;
                sleep(MOMENT).await;
                self.diary.ours("close(graceful)");
                let graceful = self.connection.close(CloseMode::graceful());
                sleep(MOMENT).await;
                self.diary.ours("close(abort)");
                let report = self.connection.close(CloseMode::abort()).await;
                self.read(body).await;
                // Whoever closed first gets the same report.
                debug_assert_eq!(graceful.await, report);
                Ok(report)
            }
        }
    }

    /// A whole exchange, or what became of it.
    async fn exchange(&mut self) -> Result<(), Trouble> {
        let body = self.begin().await?;
        self.read(body).await;
        Ok(())
    }

    /// Sends a request and waits for the head of the response.
    async fn begin(&mut self) -> Result<Body, Trouble> {
        self.diary.ours("GET /");
        let request = Request::get(&self.url).body(Body::empty());
        let response = self.sender.send_request(request.map_err(|_| Trouble::Lost("no request"))?).await?;
        Ok(self.answered(response))
    }

    fn answered(&self, response: Response<Body>) -> Body {
        self.diary.ours(format_args!("response: {}", response.status()));
        response.into_body()
    }

    async fn read(&self, body: Body) {
        match body.collect().await {
            Ok(body) => self.diary.ours(format_args!("body complete, {} bytes", body.to_bytes().len())),
            Err(error) => self.failed(&error),
        }
    }

    /// There is only one connection, and its number is in the report.
    fn failed(&self, error: &Error) {
        let error = error.to_string();
        let what = error.rsplit_once(" (connection ").map_or(&*error, |(what, _)| what);
        self.diary.ours(format_args!("failed: {what}"));
    }

    async fn close(&self, mode: CloseMode) -> CloseReport {
        self.diary.ours(format_args!("close({})", mode.kind()));
        self.connection.close(mode).await
    }

    async fn close_while_busy(&mut self, mode: CloseMode) -> Result<CloseReport, Trouble> {
        let body = self.begin().await?;
        sleep(MOMENT).await;
        let (report, ()) = tokio::join!(self.close(mode), self.read(body));
        Ok(report)
    }

    async fn half_close_while_waiting(&mut self) -> Result<CloseReport, Trouble> {
        self.diary.ours("GET /");
        self.close_before_the_answer(Request::get(&self.url).body(Body::empty()), CloseMode::half()).await
    }

    async fn give_up_an_upload(&mut self) -> Result<CloseReport, Trouble> {
        self.diary.ours("POST /, an upload without an end");
        let request = Request::post(&self.url).body(Body::wrap(Endless::default()));
        self.close_before_the_answer(request, CloseMode::now()).await
    }

    async fn close_before_the_answer(
        &mut self,
        request: http::Result<Request<Body>>,
        mode: CloseMode,
    ) -> Result<CloseReport, Trouble> {
        let response = self.sender.send_request(request.map_err(|_| Trouble::Lost("no request"))?);
        let close = async {
            sleep(MOMENT * 3).await;
            self.close(mode).await
        };
        let answer = async {
            match response.await {
                Ok(response) => drop(self.answered(response)),
                Err(error) => self.failed(&error),
            }
        };
        let (report, ()) = tokio::join!(close, answer);
        Ok(report)
    }
}

fn mode(kind: CloseKind) -> CloseMode {
    match kind {
        CloseKind::Half => CloseMode::half(),
        CloseKind::Now => CloseMode::now(),
        CloseKind::Abort => CloseMode::abort(),
        _ => CloseMode::graceful(),
    }
}

/// An upload that never ends: a piece now and then.
#[derive(Default)]
struct Endless {
    pause: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PIECE_PAUSE)));
        std::task::ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))))
    }
}

/// Long enough to tell two steps apart.
const MOMENT: Duration = Duration::from_millis(20);
/// How long we wait for a peer that never ends.
const SILENCE: Duration = Duration::from_millis(150);
const PIECE_PAUSE: Duration = Duration::from_millis(10);

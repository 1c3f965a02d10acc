//! Connecting in a way of one's own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::conn::http1;
use adieu::connect::{Connect, Connecting, Connector, ServiceConnector, Target};
use adieu::{ErrorKind, Layer};
use adieu_testkit::peer::{Peer, Script, response};
use http::Uri;
use tokio::net::TcpStream;

use super::{Boxed, kind_and_text, open, refused};
use crate::support::{get, read};

/// Fails like this.
struct Fails(fn() -> adieu::BoxError);

impl Connect for Fails {
    fn connect(&self, _: &Target) -> Connecting {
        let error = (self.0)();
        Box::pin(async { Err(error) })
    }
}

/// A service that leads every URI to one peer, and is ready at its second poll.
#[derive(Clone)]
struct To(std::net::SocketAddr, Readiness);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    NotYet,
    Ready,
}

impl tower_service::Service<Uri> for To {
    type Response = TcpStream;
    type Error = io::Error;
    type Future = Boxed<io::Result<TcpStream>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.1 == Readiness::Ready {
            return Poll::Ready(Ok(()));
        }
        self.1 = Readiness::Ready;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        assert!(self.1 == Readiness::Ready, "called before it was ready");
        assert_eq!(uri, "http://example.com:8080/");
        Box::pin(TcpStream::connect(self.0))
    }
}

#[tokio::test]
async fn a_tower_service_connects() {
    let peer = Peer::tcp(Script::new().answer_all(response(200, "ok"))).unwrap();
    let service = ServiceConnector::new(To(peer.address(), Readiness::NotYet));
    let connector = Connector::builder().connect(service).build();
    let transport = open(&connector, "http://example.com:8080/").await.unwrap();
    // The socket is recognised behind its box, and the box behind the transport.
    assert_eq!(transport.layers()[0].layer, Layer::Tcp);
    let (mut sender, connection) = http1::handshake(transport).await.unwrap();
    let response = sender.send_request(get("/")).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "ok");
    assert!(connection.snapshot().peer.is_some());
    let report = connection.close(adieu::CloseMode::graceful()).await;
    assert_eq!(report.layers[0].layer, Layer::Tcp);
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn an_error_of_ones_own_is_the_source_of_a_connect_error() {
    let connector = Connector::builder().connect(Fails(|| "the door is shut".into())).build();
    let error = refused(&connector, "https://example.com/").await;
    let expected = "could not connect: the door is shut".to_owned();
    assert_eq!(kind_and_text(&error), (ErrorKind::Connect, expected));
}

#[tokio::test]
async fn an_error_of_adieu_is_passed_on() {
    let connector = Connector::builder()
        .connect(Fails(|| Target::of(&Uri::from_static("ftp://example.com/")).unwrap_err().into()));
    let error = refused(&connector.build(), "https://example.com/").await;
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn from_io_knows_what_it_is_given() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let socket = TcpStream::connect(peer.address()).await.unwrap();
    let transport = adieu::transport::from_io(adieu::transport::from_io(socket));
    assert_eq!(transport.layers()[0].layer, Layer::Tcp);
    let other = adieu::transport::from_io(Pin::new(Box::new(tokio::io::empty())));
    assert_eq!(other.layers()[0].layer, Layer::Other);
    drop(transport);
    peer.finish_async().await.unwrap();
}

//! `hyper::client::conn::http1`, its connection spawned on the same thread; its TLS is tokio-rustls'.

use ::hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::{Connection, Exchange, Payload, connect, connect_rustls, consume, request};
use crate::Error;
use crate::row::Plan;

pub(crate) struct Hyper<P> {
    sender: http1::SendRequest<P>,
    connection: JoinHandle<::hyper::Result<()>>,
}

impl<P: Payload> Hyper<P> {
    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Self, Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: tokio::spawn(connection) })
    }
}

impl<P: Payload> Connection for Hyper<P> {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        match &plan.trust {
            None => Self::over(connect(plan).await?).await,
            Some(trust) => Self::over(connect_rustls(plan, trust).await?).await,
        }
    }

    async fn close(self) -> Result<(), Error> {
        drop(self.sender);
        Ok(self.connection.await??)
    }
}

impl<P: Payload> Exchange for Hyper<P> {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request(plan, &plan.uri, P::of(plan))?).await?;
        consume(response.status(), response.into_body(), plan).await
    }
}

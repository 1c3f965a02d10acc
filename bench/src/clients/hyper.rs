//! `hyper::client::conn::http1`, its connection spawned on the same thread.

use ::hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::{Connection, Payload, connect, consume, request};
use crate::Error;
use crate::row::Plan;

pub(crate) struct Hyper<P> {
    sender: http1::SendRequest<P>,
    connection: JoinHandle<::hyper::Result<()>>,
}

impl<P: Payload> Connection for Hyper<P> {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(connect(plan).await?)).await?;
        Ok(Self { sender, connection: tokio::spawn(connection) })
    }

    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request::<P>(plan)?).await?;
        consume(response.status(), response.into_body(), plan).await
    }

    async fn close(self) -> Result<(), Error> {
        drop(self.sender);
        Ok(self.connection.await??)
    }
}

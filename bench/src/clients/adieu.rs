//! `adieu::conn::http1`, over TCP or its own TLS: nothing to spawn.

use std::marker::PhantomData;

use ::adieu::CloseMode;
use ::adieu::conn::http1;

use super::{Connection, Exchange, Payload, connect, consume, request};
use crate::Error;
use crate::row::Plan;

pub(crate) struct Adieu<P> {
    sender: http1::SendRequest,
    connection: http1::Connection,
    payload: PhantomData<fn() -> P>,
}

impl<P: Payload> Connection for Adieu<P> {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        let tcp = connect(plan).await?;
        let (sender, connection) = match &plan.trust {
            None => http1::handshake(tcp).await?,
            Some(trust) => http1::handshake_on(trust.adieu.connect(&plan.host_name(), tcp).await?).await?,
        };
        Ok(Self { sender, connection, payload: PhantomData })
    }

    async fn close(self) -> Result<(), Error> {
        self.connection.close(CloseMode::graceful()).await;
        Ok(())
    }
}

impl<P: Payload> Exchange for Adieu<P> {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        let response = self.sender.send_request(request(plan, &plan.uri, P::of(plan))?).await?;
        consume(response.status(), response.into_body(), plan).await
    }
}

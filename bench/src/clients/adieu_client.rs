//! `adieu::Client`, its pool shared by all; with nobody who watches, or with one who is told everything and ignores it.

use std::marker::PhantomData;

use ::adieu::observe::Event;
use ::adieu::{Client, ClientBuilder, CloseMode};

use super::{Exchange, Payload, Pooled, consume, request};
use crate::Error;
use crate::row::Plan;

pub(crate) struct AdieuClient<P, W> {
    client: Client,
    parameters: PhantomData<fn() -> (P, W)>,
}

/// Who watches.
pub(crate) trait Watch: 'static {
    fn attach(builder: ClientBuilder) -> ClientBuilder;
}

pub(crate) struct Nobody;

/// An observer that does nothing.
pub(crate) struct Bystander;

impl Watch for Nobody {
    fn attach(builder: ClientBuilder) -> ClientBuilder {
        builder
    }
}

impl Watch for Bystander {
    fn attach(builder: ClientBuilder) -> ClientBuilder {
        builder.observer(|_: &Event| {})
    }
}

impl<P, W> Clone for AdieuClient<P, W> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), parameters: PhantomData }
    }
}

impl<P: Payload, W: Watch> Pooled for AdieuClient<P, W> {
    fn new(plan: &Plan, connections: u32) -> Result<Self, Error> {
        let mut builder = W::attach(Client::builder().no_proxies()).max_idle_per_origin(connections as usize);
        if let Some(trust) = &plan.trust {
            builder = builder.tls_connector(trust.adieu.clone());
        }
        Ok(Self { client: builder.build()?, parameters: PhantomData })
    }

    async fn close(self) -> Result<(), Error> {
        self.client.close(CloseMode::graceful()).await;
        Ok(())
    }
}

impl<P: Payload, W: Watch> Exchange for AdieuClient<P, W> {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        let response = self.client.request(request(plan, &plan.absolute, P::of(plan))?).await?;
        consume(response.status(), response.into_body(), plan).await
    }
}

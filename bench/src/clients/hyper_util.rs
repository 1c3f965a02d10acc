//! `hyper_util::client::legacy::Client`, its pool shared by all; its TLS is hyper-rustls'.

use ::hyper_util::client::legacy::Client;
use ::hyper_util::client::legacy::connect::HttpConnector;
use ::hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};

use super::{Exchange, Payload, Pooled, consume, request, rest_after};
use crate::Error;
use crate::row::Plan;

pub(crate) struct HyperUtil<P> {
    client: HttpClient<P>,
}

/// Without TLS it has no wrapper for it either.
enum HttpClient<P> {
    Plain(Client<HttpConnector, P>),
    Tls(Client<HttpsConnector<HttpConnector>, P>),
}

impl<P> Clone for HyperUtil<P> {
    fn clone(&self) -> Self {
        let client = match &self.client {
            HttpClient::Plain(client) => HttpClient::Plain(client.clone()),
            HttpClient::Tls(client) => HttpClient::Tls(client.clone()),
        };
        Self { client }
    }
}

impl<P: Payload> Pooled for HyperUtil<P> {
    fn new(plan: &Plan, connections: u32) -> Result<Self, Error> {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(connections as usize).pool_timer(TokioTimer::new());
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = match &plan.trust {
            None => HttpClient::Plain(builder.build(tcp)),
            Some(trust) => {
                tcp.enforce_http(false);
                let tls = HttpsConnectorBuilder::new()
                    .with_tls_config(trust.rustls.config().as_ref().clone())
                    .https_only()
                    .enable_http1()
                    .wrap_connector(tcp);
                HttpClient::Tls(builder.build(tls))
            }
        };
        Ok(Self { client })
    }

    async fn close(self) -> Result<(), Error> {
        drop(self.client);
        // Its connections are tasks, which end when they are next polled; nothing tells when they have.
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl<P: Payload> Exchange for HyperUtil<P> {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        let request = request(plan, &plan.absolute, P::of(plan))?;
        let response = match &self.client {
            HttpClient::Plain(client) => client.request(request).await?,
            HttpClient::Tls(client) => client.request(request).await?,
        };
        consume(response.status(), response.into_body(), plan).await?;
        rest_after(plan.row.answer_len()).await;
        Ok(())
    }
}

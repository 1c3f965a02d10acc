//! `reqwest::Client` with its pool: one for each connection, or one for all.

use ::reqwest::Client;
use http::header::{ACCEPT, HOST, USER_AGENT};

use super::{Connection, Exchange, Pooled, check, rest_after};
use crate::Error;
use crate::row::{Plan, Sends};

#[derive(Clone)]
pub(crate) struct Reqwest {
    client: Client,
}

impl Connection for Reqwest {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        Self::new(plan, 1)
    }

    async fn close(self) -> Result<(), Error> {
        Pooled::close(self).await
    }
}

impl Pooled for Reqwest {
    fn new(plan: &Plan, connections: u32) -> Result<Self, Error> {
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(connections as usize);
        let builder = match &plan.trust {
            None => builder,
            Some(trust) => builder.tls_certs_only([trust.reqwest.clone()]),
        };
        Ok(Self { client: builder.build()? })
    }

    async fn close(self) -> Result<(), Error> {
        drop(self.client);
        // Its connections are tasks, which end when they are next polled; nothing tells when they have.
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Exchange for Reqwest {
    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut request = (self.client.request(plan.method(), plan.url.clone()))
            .header(HOST, plan.host.clone())
            .header(USER_AGENT, plan.user_agent.clone())
            .header(ACCEPT, plan.accept.clone());
        if plan.row.sends() == Sends::Upload {
            request = request.body(plan.upload.clone());
        }
        let mut response = request.send().await?;
        let mut len = 0;
        while let Some(bytes) = response.chunk().await? {
            len += bytes.len();
        }
        check(response.status(), len, plan)?;
        rest_after(len).await;
        Ok(())
    }
}

//! `reqwest::Client` with its pool, one for each connection.

use ::reqwest::{Client, Url};
use http::header::{ACCEPT, HOST, USER_AGENT};

use super::{Connection, check};
use crate::Error;
use crate::row::{Plan, Sends};

pub(crate) struct Reqwest {
    client: Client,
    url: Url,
}

impl Connection for Reqwest {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(1);
        let (scheme, builder) = match &plan.trust {
            None => ("http", builder),
            Some(trust) => ("https", builder.tls_certs_only([trust.reqwest.clone()])),
        };
        let url = Url::parse(&format!("{scheme}://{}{}", plan.server, plan.row.path()))?;
        Ok(Self { client: builder.build()?, url })
    }

    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut request = (self.client.request(plan.method(), self.url.clone()))
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
        if len > WITH_ITS_HEAD {
            // The connection's own task gives it back to the pool; asked before that, the pool would open another.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Error> {
        drop(self.client);
        // Its connection is a task, which ends when it is next polled; nothing tells when it has.
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// A body up to this comes together with its head.
const WITH_ITS_HEAD: usize = 4 << 10;

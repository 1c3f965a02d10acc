//! `ureq::Agent`, one for all; it blocks, so each connection has a thread.

use std::io::Read;

use ::ureq::Agent;
use http::header::CONTENT_LENGTH;

use super::{check, request};
use crate::Error;
use crate::row::{Plan, Sends};

#[derive(Clone)]
pub(crate) struct Ureq {
    agent: Agent,
}

impl Ureq {
    pub(crate) fn new(plan: &Plan, connections: u32) -> Self {
        let connections = connections as usize;
        let mut config = Agent::config_builder()
            .proxy(None)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .accept_encoding("")
            .http_status_as_error(false);
        if let Some(trust) = &plan.trust {
            config = config.tls_config(trust.ureq.clone());
        }
        Self { agent: config.build().new_agent() }
    }

    /// One request, and its response read to the end into `buffer` and checked.
    pub(crate) fn exchange(&self, plan: &Plan, buffer: &mut [u8]) -> Result<(), Error> {
        let response = match plan.row.sends() {
            Sends::Nothing => self.agent.run(request(plan, &plan.absolute, ())?)?,
            Sends::Upload => {
                let mut request = request(plan, &plan.absolute, &plan.upload[..])?;
                // Of itself it would tell the length before everything else.
                request.headers_mut().insert(CONTENT_LENGTH, plan.upload.len().into());
                self.agent.run(request)?
            }
        };
        let status = response.status();
        let mut body = response.into_body().into_reader();
        let mut len = 0;
        loop {
            match body.read(buffer)? {
                0 => break,
                read => len += read,
            }
        }
        check(status, len, plan)
    }
}

/// Where an exchange reads into.
pub(crate) const BUFFER_LEN: usize = 64 << 10;

//! Bare TCP ping-pong: the bound that no client can pass.
//!
//! It writes the request's bytes as they are and reads as many bytes as the response has. Of these it looks at the
//! status only.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Connection, connect};
use crate::Error;
use crate::row::Plan;

pub(crate) struct Bare {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection for Bare {
    async fn open(plan: &Plan) -> Result<Self, Error> {
        // Longer than what comes at once: a read that fills its buffer costs a second one that finds nothing.
        let buffer_len = if plan.response_len < SMALL_BUFFER_LEN { SMALL_BUFFER_LEN } else { BUFFER_LEN };
        Ok(Self { stream: connect(plan).await?, buffer: vec![0; buffer_len] })
    }

    async fn exchange(&mut self, plan: &Plan) -> Result<(), Error> {
        self.stream.write_all(&plan.wire).await?;
        let mut len = self.stream.read(&mut self.buffer).await?;
        let status_is_ok = self.buffer[..len].starts_with(b"HTTP/1.1 200 ");
        while len < plan.response_len {
            match self.stream.read(&mut self.buffer).await? {
                0 => break,
                read => len += read,
            }
        }
        if !status_is_ok || len != plan.response_len {
            return Err(format!("a response of {len} bytes, status 200: {status_is_ok}").into());
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Error> {
        Ok(())
    }
}

const SMALL_BUFFER_LEN: usize = 8 << 10;
const BUFFER_LEN: usize = 128 << 10;

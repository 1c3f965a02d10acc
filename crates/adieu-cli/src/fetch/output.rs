//! Where a response goes: standard output or a file, no faster than it takes it.

use std::io;
use std::pin::Pin;

use adieu::Bytes;
use http::Response;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use super::failure::Failure;
use super::plan::Whereto;
use super::voice::status_line;

/// The output of one URL, opened when the first response comes.
pub(super) struct Sink<'p> {
    whereto: &'p Whereto,
    out: Option<BufWriter<Pin<Box<dyn AsyncWrite>>>>,
}

impl<'p> Sink<'p> {
    pub(super) fn new(whereto: &'p Whereto) -> Self {
        Self { whereto, out: None }
    }

    /// Whether people read along.
    pub(super) fn is_terminal(&self) -> bool {
        *self.whereto == Whereto::Stdout && Whereto::is_terminal()
    }

    /// Whether something waits to be flushed.
    pub(super) fn holds_back(&self) -> bool {
        self.out.as_ref().is_some_and(|out| !out.buffer().is_empty())
    }

    /// Opens it, and creates the file even for an empty body.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        if self.out.is_some() {
            return Ok(());
        }
        let out: Pin<Box<dyn AsyncWrite>> = match self.whereto {
            Whereto::Stdout => Box::pin(tokio::io::stdout()),
            Whereto::File(path) => {
                let created = tokio::fs::File::create(path).await;
                Box::pin(created.map_err(|error| self.failed(&error))?)
            }
        };
        self.out = Some(BufWriter::with_capacity(BUFFER, out));
        Ok(())
    }

    pub(super) async fn head<B>(&mut self, response: &Response<B>) -> Result<(), Failure> {
        let mut head = status_line(response).into_bytes();
        for (name, value) in response.headers() {
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
        }
        head.extend_from_slice(b"\r\n\r\n");
        self.write(&head.into()).await
    }

    pub(super) async fn write(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let written = out.write_all(bytes).await;
        written.map_err(|error| self.failed(&error))
    }

    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let flushed = out.flush().await;
        flushed.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        match self.whereto {
            Whereto::Stdout => Failure::write(error, "standard output"),
            Whereto::File(path) => Failure::write(error, &path.display().to_string()),
        }
    }
}

const BUFFER: usize = 128 * 1024;

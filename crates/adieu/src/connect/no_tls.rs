//! In the place of `tls` where adieu was built without it.

use std::convert::Infallible;

use crate::error::{Error, ErrorKind};
use crate::transport::Transport;

/// Nothing makes TLS of a transport.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls(());

impl Tls {
    pub(super) fn or_default(self) -> Self {
        self
    }

    pub(super) fn or_as_for_origins(self, _: &Self) -> Self {
        self
    }

    pub(super) fn ready(&self) -> Result<Infallible, Error> {
        Err(Error::new(ErrorKind::TlsSetup).with("adieu was built without TLS: enable its feature `tls`"))
    }

    #[expect(clippy::unused_async, reason = "as the other")]
    pub(super) async fn over(&self, _: &str, _: Box<dyn Transport>) -> Result<Box<dyn Transport>, Error> {
        match self.ready()? {}
    }
}

//! What one request may want otherwise than its client.

use std::time::Duration;

use adieu_proto::fate::Replay;

use crate::client::timeouts::Timeouts;
use crate::conn::Mark;
use crate::pool::Partition;

/// What one request wants otherwise than its client. Given by [`RequestBuilder`](crate::client::RequestBuilder), or as an
/// extension of an `http::Request`:
///
/// ```no_run
/// # async fn example(client: adieu::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use adieu::{Body, RequestOptions};
/// use std::time::Duration;
///
/// let request = http::Request::get("https://example.com/")
///     .extension(RequestOptions::new().timeout(Duration::from_secs(5)).partition("tenant 7"))
///     .body(Body::empty())?;
/// let response = client.request(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) partition: Option<Partition>,
    pub(crate) fresh: Fresh,
    pub(crate) afterwards: Afterwards,
    pub(crate) replay: Option<Replay>,
    pub(crate) mark: Mark,
}

/// Whether a used connection will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fresh {
    #[default]
    Any,
    Only,
}

/// What becomes of the connection after the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Afterwards {
    #[default]
    Keep,
    Close,
}

impl RequestOptions {
    /// Nothing otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The whole exchange, from the first poll to the end of the response body; `None`: as long as it takes. Default: as
    /// the client says.
    #[must_use]
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = Some(limit.into());
        self
    }

    /// How long each phase of the exchange may take, in place of what the client says. The limits of connecting, of the
    /// pool and of idle connections are the client's alone.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Shares connections only with requests of the same partition: a tenant, an account. Default: none.
    #[must_use]
    pub fn partition(mut self, partition: impl Into<std::sync::Arc<str>>) -> Self {
        self.partition = Some(partition.into());
        self
    }

    /// Sends it on a connection that carried no exchange yet. Default: any will do.
    #[must_use]
    pub fn fresh_connection(mut self) -> Self {
        self.fresh = Fresh::Only;
        self
    }

    /// Whether it is sent again should it fail, in place of what the client says.
    #[must_use]
    pub fn replay(mut self, rule: Replay) -> Self {
        self.replay = Some(rule);
        self
    }

    /// Twice does no harm: it may be sent again, once, even if it may have been processed. Safe methods and requests with
    /// an `Idempotency-Key` need no such word. Nothing is sent again for it where [`Replay`] says never or proven.
    ///
    /// ```no_run
    /// # async fn example(client: adieu::Client) -> Result<(), adieu::Error> {
    /// // A POST that only asks.
    /// let response = client.post("https://example.com/search").body("what").repeatable().send().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.mark = Mark::Repeatable;
        self
    }

    /// Closes the connection after the exchange, and tells the peer so by `Connection: close` (RFC 9112 section 9.6).
    /// Default: it is kept.
    #[must_use]
    pub fn close_afterwards(mut self) -> Self {
        self.afterwards = Afterwards::Close;
        self
    }
}

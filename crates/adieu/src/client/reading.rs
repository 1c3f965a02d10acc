//! Taking a response: all of its bytes, text, JSON; and how it came.

use std::future::Future;
use std::pin::Pin;

use adieu_proto::lifecycle::ConnectionId;
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;

use crate::conn::body::Body;
use crate::conn::info::ResponseInfo;
use crate::error::{Error, ErrorKind};

/// What is being read of a response: a boxed future, `Send`.
pub type Reading<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What a response can give.
pub trait ResponseExt: Sized {
    /// How it came; `None`: not by a [`Client`](crate::Client). A middleware that wraps the body hides it.
    fn info(&self) -> Option<&ResponseInfo>;

    /// Over which connection it came.
    fn connection(&self) -> Option<ConnectionId> {
        self.info().map(|info| info.connection)
    }

    /// The whole body. Trailers are left out.
    fn bytes(self) -> Reading<Bytes>;

    /// The whole body as text: UTF-8, what is none replaced by U+FFFD.
    fn text(self) -> Reading<String>;

    /// The whole body as JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadBody`]: it is no JSON, or not of this type; the source tells where.
    #[cfg(feature = "json")]
    fn json<T: serde::de::DeserializeOwned>(self) -> Reading<T>;

    /// Itself, unless its status is 400 or more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`], with the status.
    fn error_for_status(self) -> Result<Self, Error>;
}

impl ResponseExt for Response<Body> {
    fn info(&self) -> Option<&ResponseInfo> {
        self.body().info()
    }

    fn bytes(self) -> Reading<Bytes> {
        Box::pin(async move { Ok(self.into_body().collect().await?.to_bytes()) })
    }

    fn text(self) -> Reading<String> {
        Box::pin(async move {
            let bytes = self.bytes().await?;
            Ok(match String::from_utf8(bytes.into()) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            })
        })
    }

    #[cfg(feature = "json")]
    fn json<T: serde::de::DeserializeOwned>(self) -> Reading<T> {
        Box::pin(async move {
            let bytes = self.bytes().await?;
            serde_json::from_slice(&bytes).map_err(|error| Error::new(ErrorKind::BadBody).with(error))
        })
    }

    fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(Error::new(ErrorKind::Status(status)));
        }
        Ok(self)
    }
}

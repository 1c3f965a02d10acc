//! adieu: an HTTP client in which the end of a connection is designed as carefully as its start.
//!
//! A connection closes on purpose ([`CloseMode`]: graceful, half, now, abort), each close is awaited and ends
//! in a [`CloseReport`]; every end has a [`CloseReason`]; a connection can be asked at any time
//! ([`conn::Connection::snapshot`]) and watched.
//!
//! Today there is one HTTP/1.1 connection at a time, over TCP, Unix sockets, TLS ([`transport::tls`]), tunnels or any
//! `AsyncRead + AsyncWrite`: see [`conn::http1`].
//!
//! ```no_run
//! use adieu::{Body, CloseMode};
//! use http_body_util::BodyExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let io = tokio::net::TcpStream::connect("127.0.0.1:8080").await?;
//! let (mut sender, connection) = adieu::conn::http1::handshake(io).await?;
//!
//! let request = http::Request::get("http://127.0.0.1:8080/").body(Body::empty())?;
//! let response = sender.send_request(request).await?;
//! let bytes = response.into_body().collect().await?.to_bytes();
//! println!("{} bytes over {}", bytes.len(), connection.snapshot());
//!
//! let report = connection.close(CloseMode::graceful()).await;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! The runtime is tokio's, with time and I/O enabled; the connection belongs to the runtime on which its
//! handshake was made.

pub mod client;
pub mod conn;
pub mod connect;
mod drive;
mod error;
pub mod observe;
mod pool;
mod rt;
pub mod transport;

pub use adieu_proto::fate::{Facts, ReadEnd, Use};
pub use adieu_proto::h1::EarlyResponse;
pub use adieu_proto::lifecycle::{
    Address, Blame, CloseKind, CloseMode, CloseReason, CloseReport, ConnectionId, Ended, ExchangePhase,
    GoAway, Layer, LayerReport, Party, Phase, Protocol, Side, Signal, Signals, Snapshot, State, TlsAlert,
    TlsSession,
};
pub use adieu_proto::shelf::Order;
pub use bytes::Bytes;
pub use client::{
    Client, ClientBuilder, RequestBuilder, RequestOptions, ResponseExt, ResponseFuture, Timeouts,
};
pub use conn::body::Body;
pub use conn::info::ResponseInfo;
pub use error::{BoxError, Error, ErrorKind};
pub use http;
pub use pool::{ClientReport, OriginStats, Stats, Tally, WaitingRequest};

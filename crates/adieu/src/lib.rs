//! adieu: an HTTP client in which the end of a connection is designed as carefully as its start.
//!
//! A [`Client`] keeps connections, bounds them, tells what happens to them and closes them on purpose ([`CloseMode`]:
//! graceful, half, now, abort). Each close is awaited and ends in a report; every end has a [`CloseReason`]; a connection can
//! be asked at any time.
//!
//! ```no_run
//! use adieu::{CloseMode, ResponseExt};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = adieu::Client::new()?;
//! let text = client.get("https://example.com/").send().await?.text().await?;
//!
//! for connection in client.connections() {
//!     println!("{connection}");
//! }
//! let report = client.close(CloseMode::graceful()).await;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | [`client`] | requests to any origin over a pool of connections |
//! | [`observe`] | what happens, as typed events: hooks, streams, `tracing` |
//! | [`connect`] | names, addresses, proxies, sockets; a way of your own to connect |
//! | [`conn`] | one connection at a time, with the names that hyper's users know |
//! | [`transport`] | what carries the bytes: TCP, Unix sockets, TLS, any I/O |
//!
//! The runtime is tokio's, with time and I/O enabled; a connection belongs to the runtime on which it was opened.

pub mod client;
pub mod conn;
pub mod connect;
mod drive;
mod error;
pub mod observe;
mod pool;
mod rt;
pub mod transport;

pub use adieu_proto::fate::{Facts, Fate, OnWire, Ours, Proof, ReadEnd, Refusal, Replay, Sight, Use};
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

//! From a target to the bytes of a connection: names, addresses, proxies, TLS.
//!
//! A [`Connector`] does all of it, by settings; a [`Connect`] of your own takes its place, or a part of it:
//!
//! ```no_run
//! use adieu::connect::{Connect, Connector, Proxies, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let connector = Connector::builder().proxies(Proxies::from_env()?).build();
//! let target = Target::of(&http::Uri::from_static("https://example.com/"))?;
//! let transport = connector.connect(&target).await?;
//! let (mut sender, connection) = adieu::conn::http1::handshake(transport).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `target` | where a connection shall lead |
//! | `connector`, `builder` | the connector and its settings |
//! | `opening` | the steps of opening one connection |
//! | `resolve`, `hickory` | from names to addresses |
//! | `interleave` | in which order addresses are tried |
//! | `options` | what is set on a socket |
//! | `dial` | to the first address that takes the connection |
//! | `proxies`, `no_proxy` | which proxy for which target |
//! | `proxy` | one proxy: what it speaks, where it is, who we are to it |
//! | `socks`, `exact` | SOCKS5 |
//! | `tunnel` | CONNECT |
//! | `tls`, `no_tls` | TLS on top, or why there is none |
//! | `user` | connecting in a way of your own |

mod builder;
mod connector;
mod dial;
mod exact;
#[cfg(feature = "hickory")]
mod hickory;
mod interleave;
mod no_proxy;
mod opening;
mod options;
mod proxies;
mod proxy;
mod resolve;
mod socks;
mod target;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tunnel;
mod user;

pub use builder::ConnectorBuilder;
pub use connector::Connector;
pub(crate) use connector::Opened;
#[cfg(feature = "hickory")]
pub use hickory::HickoryResolver;
pub use options::TcpOptions;
pub use proxies::Proxies;
pub use proxy::Proxy;
pub use resolve::{Family, Overrides, Place, Resolve, Resolving, SystemResolver};
pub use target::{Scheme, Target};
#[cfg(feature = "tls")]
pub use tls::OverTls;
pub use user::{Connect, Connecting, ServiceConnector};

#[cfg(test)]
mod tests;

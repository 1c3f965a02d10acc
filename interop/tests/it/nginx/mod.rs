//! nginx, plain and over TLS.

mod asked;
mod closing;
mod messages;
mod proxy;
mod reload;
mod tls;
mod uploads;

/// Starts an nginx, or leaves the test where there is none.
macro_rules! nginx {
    ($config:expr) => {
        match interop::Nginx::start($config).await {
            Some(nginx) => nginx,
            None => return,
        }
    };
}
pub(crate) use nginx;

/// What `/hello` is.
const HELLO: &str = "hello, world\n";

/// Directives of a download that begins with 100,000 bytes and then takes its time.
const SLOWLY: &str = "limit_rate_after 100k; limit_rate 500k;";

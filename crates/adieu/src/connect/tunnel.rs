//! A tunnel through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6).

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};

use super::target::Target;
use crate::conn::body::Body;
use crate::conn::http1::Builder;
use crate::error::{Error, ErrorKind};
use crate::transport::Transport;

/// Has the proxy make a tunnel to `target`; what is read and written from then on is the origin's. There is no time limit
/// in here.
///
/// # Errors
///
/// What the proxy did, to follow its name.
pub(super) async fn ask(
    io: Box<dyn Transport>,
    target: &Target,
    authorization: Option<HeaderValue>,
) -> Result<Box<dyn Transport>, String> {
    let login = if authorization.is_some() { Login::Shown } else { Login::None };
    let mut request = Request::connect(target.authority());
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Body::empty()).map_err(|error| format!("cannot be asked: {error}"))?;
    let builder = Builder::new().origin(target.to_string()).response_head_timeout(None);
    let (mut sender, connection) = builder.handshake(io).await.map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    drop(connection);
    // RFC 9110 section 9.3.6: "Any 2xx (Successful) response indicates that the sender (and all inbound proxies) will
    // switch to tunnel mode immediately after the response header section"; "Any response other than a successful response
    // indicates that the tunnel has not yet been formed."
    let status = response.status();
    if !status.is_success() {
        return Err(refused(status, login));
    }
    match response.into_body().into_upgraded() {
        Ok(tunnel) => Ok(Box::new(tunnel)),
        Err(_) => Err("made no tunnel".to_owned()),
    }
}

/// Whether the proxy was told who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    Shown,
    None,
}

fn refused(status: StatusCode, login: Login) -> String {
    let why = match (status, login) {
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Login::Shown) => ": it refused the credentials",
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Login::None) => ": it wants credentials",
        _ => "",
    };
    // Prints as `502 Bad Gateway`.
    format!("answered CONNECT with {status}{why}")
}

fn failed(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NoResponse => "ended the connection without an answer".to_owned(),
        ErrorKind::IncompleteHead => "ended the connection inside its answer".to_owned(),
        ErrorKind::Reset => "reset the connection".to_owned(),
        ErrorKind::BadResponse | ErrorKind::TooLarge => {
            format!("gave an answer that is no HTTP/1.1: {error}")
        }
        _ => format!("failed: {error}"),
    }
}

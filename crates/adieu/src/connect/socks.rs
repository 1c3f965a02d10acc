//! SOCKS version 5 (RFC 1928), with user name and password (RFC 1929) or without.
//!
//! Replies are read byte for byte to their end and no further: what follows is the origin's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::exact;
use super::proxy::Credentials;
use crate::transport::Transport;

/// Where the proxy shall connect to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'d> {
    Address(SocketAddr),
    Name(&'d str, u16),
}

/// Has the proxy connect to `destination`; from then on the bytes are the origin's.
///
/// # Errors
///
/// What the proxy did, to follow its name.
pub(super) async fn ask(
    io: &mut dyn Transport,
    destination: Destination<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), String> {
    let request = request(destination)?;
    log_in(io, credentials).await?;
    exact::write(io, &request).await.map_err(ended)?;
    reply(io).await
}

/// RFC 1928 section 3.
async fn log_in(io: &mut dyn Transport, credentials: Option<&Credentials>) -> Result<(), String> {
    let offer: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    exact::write(io, offer).await.map_err(ended)?;
    let [version, method] = take(io).await?;
    of_version(version)?;
    match (method, credentials) {
        (NO_LOGIN, _) => Ok(()),
        (PASSWORD, Some(credentials)) => show(io, credentials).await,
        (NONE_ACCEPTABLE, Some(_)) => Err("takes neither a password nor going without".to_owned()),
        (NONE_ACCEPTABLE, None) => Err("wants credentials".to_owned()),
        _ => Err(format!("chose the login method {method}, which was not offered")),
    }
}

/// RFC 1929 section 2.
async fn show(io: &mut dyn Transport, credentials: &Credentials) -> Result<(), String> {
    let mut login = vec![LOGIN_VERSION];
    for (part, what) in [(&credentials.user, "user name"), (&credentials.password, "password")] {
        let length = u8::try_from(part.len());
        login.push(length.map_err(|_| format!("cannot be shown a {what} of more than 255 bytes"))?);
        login.extend_from_slice(part);
    }
    exact::write(io, &login).await.map_err(ended)?;
    // "A STATUS field of X'00' indicates success"; the version has been seen to be anything.
    match take(io).await? {
        [_, 0] => Ok(()),
        [..] => Err("refused the credentials".to_owned()),
    }
}

/// RFC 1928 section 4.
fn request(destination: Destination<'_>) -> Result<Vec<u8>, String> {
    let mut request = vec![VERSION, CONNECT, RESERVED];
    let port = match destination {
        Destination::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    request.push(IPV4);
                    request.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    request.push(IPV6);
                    request.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Destination::Name(name, port) => {
            let length = u8::try_from(name.len());
            let length = length.map_err(|_| "cannot be given a name of more than 255 bytes")?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(name.as_bytes());
            port
        }
    };
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// RFC 1928 section 6.
async fn reply(io: &mut dyn Transport) -> Result<(), String> {
    let [version, code, _, kind] = take(io).await?;
    of_version(version)?;
    if code != 0 {
        // No need to wait for the rest.
        return Err(match refusal(code) {
            Some(why) => format!("could not connect: {why}"),
            None => format!("could not connect, with the unknown code {code}"),
        });
    }
    // The address that the proxy connects from, and two bytes of port: of no use here.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => take::<1>(io).await?.map(usize::from)[0],
        _ => return Err(format!("answered with the unknown address type {kind}")),
    };
    let mut rest = [0; 255 + 2];
    let rest = rest.get_mut(..length + 2).unwrap_or_default();
    exact::read(io, rest).await.map_err(ended)
}

async fn take<const N: usize>(io: &mut dyn Transport) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    exact::read(io, &mut bytes).await.map_err(ended)?;
    Ok(bytes)
}

fn of_version(version: u8) -> Result<(), String> {
    match version {
        VERSION => Ok(()),
        b'H' => Err("does not speak SOCKS5: it may be an HTTP proxy".to_owned()),
        0 | 4 => Err("does not speak SOCKS5: it may speak SOCKS4".to_owned()),
        other => Err(format!("does not speak SOCKS5: its answer begins with the byte {other:#04x}")),
    }
}

fn refusal(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => return None,
    })
}

fn ended(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => {
            "ended the connection before it had answered".to_owned()
        }
        io::ErrorKind::ConnectionReset => "reset the connection".to_owned(),
        _ => format!("failed: {error}"),
    }
}

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const RESERVED: u8 = 0;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const LOGIN_VERSION: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::transport::recognise;

    /// Numbers that look random and are the same each time (xorshift).
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Whatever a proxy answers, and wherever it ends: an answer or an error, no panic and no hang.
    #[tokio::test]
    async fn any_answer_is_taken_or_told() {
        let credentials = Credentials { user: b"user".to_vec(), password: b"secret".to_vec() };
        let mut state = 0x5ca1_ab1e;
        let mut taken = 0;
        for _ in 0..5_000 {
            let length = usize::try_from(next(&mut state) % 40).unwrap();
            // Small numbers are what most fields hold.
            let byte = |state: &mut u64| u8::try_from(next(state) % 7).unwrap();
            let mut answer: Vec<u8> = (0..length).map(|_| byte(&mut state)).collect();
            // Well begun, most of them, so that they come far.
            let begin = [5, 2, 1, 0, 5, 0, 0];
            let far = usize::try_from(next(&mut state) % 8).unwrap().min(answer.len());
            answer[..far].copy_from_slice(&begin[..far]);
            let (ours, mut theirs) = duplex(4096);
            theirs.write_all(&answer).await.unwrap();
            theirs.shutdown().await.unwrap();
            let destination = Destination::Name("example.com", 80);
            let result = ask(&mut *recognise(ours), destination, Some(&credentials)).await;
            assert!(!result.as_ref().is_err_and(|told| told.contains("secret")), "{result:?}");
            taken += usize::from(result.is_ok());
        }
        assert!(taken > 0, "none came through");
    }
}

//! `-x`, `--noproxy`, and what the environment says of proxies.

use std::net::TcpListener;

use adieu_testkit::peer::{Peer, Script, response};
use adieu_testkit::tls::{Authority, TlsServer};

use crate::program::{Ran, command, fetch, fetch_with_report, of_type, peer, seen, server, temporary};

const MADE: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// `scheme://login127.0.0.1:port` of this peer.
fn at(peer: &Peer, scheme: &str, login: &str) -> String {
    format!("{scheme}://{login}{}", peer.address())
}

/// A plain request through an HTTP proxy that plays this.
fn forwarded(script: Script, login: &str) -> (Ran, Peer) {
    let proxy = peer(script);
    (fetch(&["-x", &at(&proxy, "http", login), "http://nobody.invalid/a"]), proxy)
}

#[test]
fn an_http_proxy_forwards_plain_requests() {
    let (ran, proxy) = forwarded(Script::new().read_request().send(response(200, "hello")), "me:s%20t@");
    assert_eq!(ran.ok().out, "hello");
    let request = &seen(proxy).requests()[0].clone();
    assert_eq!(
        (request.target(), request.header("host")),
        ("http://nobody.invalid/a", Some("nobody.invalid"))
    );
    assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6cyB0"));
}

#[test]
fn credentials_that_a_forwarding_proxy_refuses_are_a_status() {
    let script = || Script::new().read_request().send(response(407, ""));
    let (ran, proxy) = forwarded(script(), "me:wrong@");
    ran.ok();
    seen(proxy);
    let proxy = peer(script());
    let ran = fetch(&["-f", "-x", &at(&proxy, "http", "me:wrong@"), "http://h/"]);
    let line = "adieu: (22) the server answered 407 Proxy Authentication Required\n";
    assert_eq!((ran.code, ran.err.as_str()), (22, line));
}

#[test]
fn garbage_of_a_forwarding_proxy_is_8() {
    let (ran, proxy) = forwarded(Script::new().read_request().send("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "");
    assert_eq!((ran.code, ran.err.lines().count()), (8, 1));
    assert!(ran.err.starts_with("adieu: (8) bad response head: "), "{}", ran.err);
    proxy.finish().unwrap();
}

#[test]
fn https_goes_through_a_tunnel() {
    let authority = Authority::new().unwrap();
    let cacert = temporary("ca.pem", authority.pem().as_bytes());
    let tls = TlsServer::new(authority.issue(["nobody.invalid"]).unwrap());
    let inside = Script::new().start_tls(&tls).read_request().send(response(200, "hello")).goodbye();
    let proxy = Peer::tcp(append(Script::new().read_head().send(MADE), inside)).unwrap();
    let args = ["-v", "-x", &at(&proxy, "http", "me:pw@"), "--cacert", cacert.to_str().unwrap()];
    let (ran, lines) = fetch_with_report(&[&args[..], &["https://nobody.invalid/a"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, "hello"), "{}", ran.err);
    assert!(ran.err.contains(&format!("#1 through {} in ", at(&proxy, "http", ""))), "{}", ran.err);
    assert!(!ran.err.contains("pw"), "{}", ran.err);
    let seen = seen(proxy);
    let (connect, request) = (&seen.requests()[0], &seen.requests()[1]);
    assert_eq!((connect.method(), connect.target()), ("CONNECT", "nobody.invalid:443"));
    assert_eq!(connect.header("proxy-authorization"), Some("Basic bWU6cHc="));
    assert_eq!((request.target(), request.header("proxy-authorization")), ("/a", None));
    let connections = of_type(&lines, "connection");
    assert_eq!((connections.len(), &connections[0]["ended"]), (1, &"clean".into()));
}

/// One script after the other.
fn append(first: Script, second: Script) -> Script {
    first.times(1, second)
}

#[test]
fn over_tls_to_the_proxy_itself() {
    let authority = Authority::new().unwrap();
    let cacert = temporary("ca.pem", authority.pem().as_bytes());
    let tls = TlsServer::new(authority.issue(["127.0.0.1"]).unwrap());
    let script = Script::new().read_request().send(response(200, "hello")).goodbye();
    let proxy = Peer::builder().tls(&tls).script(script).tcp().unwrap();
    let args = ["-x", &at(&proxy, "https", ""), "--cacert", cacert.to_str().unwrap(), "http://h/a"];
    assert_eq!(fetch(&args).ok().out, "hello");
    assert_eq!(seen(proxy).requests()[0].target(), "http://h/a");
    let expired = TlsServer::new(authority.issue_expired(["127.0.0.1"]).unwrap());
    let proxy = Peer::builder().tls(&expired).script(Script::new()).tcp().unwrap();
    let ran = fetch(&["-x", &at(&proxy, "https", ""), "--cacert", cacert.to_str().unwrap(), "http://h/"]);
    assert_eq!((ran.code, ran.err.lines().count()), (60, 1));
    assert!(
        ran.err.contains(&format!("with the proxy {}: it has expired", at(&proxy, "https", ""))),
        "{}",
        ran.err
    );
}

/// A run through this proxy with this URL: ends with this code and line.
#[track_caller]
fn fails(scheme: &str, login: &str, script: Script, url: &str, code: i32, did: &str) {
    let proxy = peer(script);
    let (ran, lines) = fetch_with_report(&["-x", &at(&proxy, scheme, login), url]);
    let (whom, origin) = (at(&proxy, scheme, ""), url.trim_end_matches('/'));
    let line = format!("adieu: ({code}) {origin}: the proxy refused: {whom} {did}\n");
    assert_eq!((ran.code, ran.err), (code, line));
    assert_eq!((lines.len(), &lines[0]["fate"]), (1, &"not_sent".into()));
    proxy.finish().unwrap();
}

#[test]
fn a_proxy_that_makes_no_tunnel_is_56() {
    let answer = |status| Script::new().read_head().send(response(status, ""));
    for (login, script, did) in [
        ("", answer(403), "answered CONNECT with 403 Forbidden"),
        (
            "me:wrong@",
            answer(407),
            "answered CONNECT with 407 Proxy Authentication Required: it refused the credentials",
        ),
        ("", answer(407), "answered CONNECT with 407 Proxy Authentication Required: it wants credentials"),
        ("", Script::new().read_head().fin(), "ended the connection without an answer"),
    ] {
        fails("http", login, script, "https://h/", 56, did);
    }
    let proxy = peer(Script::new().read_head().send("SSH-2.0-OpenSSH_9.9\r\n\r\n"));
    let ran = fetch(&["-x", &at(&proxy, "http", ""), "https://h/"]);
    assert_eq!((ran.code, ran.err.lines().count()), (56, 1));
    assert!(ran.err.contains("gave an answer that is no HTTP/1.1: "), "{}", ran.err);
}

#[test]
fn socks_with_names_that_the_proxy_resolves() {
    let script = Script::new()
        .read_exactly(4)
        .send([5, 2])
        .read_exactly(7)
        .send([1, 0])
        .read_exactly(7 + 14)
        .send([5, 0, 0, 1, 127, 0, 0, 1, 0, 80])
        .read_request()
        .send(response(200, "hello"));
    let proxy = peer(script);
    assert_eq!(fetch(&["-x", &at(&proxy, "socks5h", "me:pw@"), "http://nobody.invalid/a"]).ok().out, "hello");
    let seen = seen(proxy);
    assert_eq!(seen.requests()[0].target(), "/a");
    seen.assert_fin();
}

#[test]
fn socks_with_addresses_that_are_found_here() {
    let script = Script::new()
        .read_exactly(3)
        .send([5, 0])
        .read_exactly(10)
        .send([5, 0, 0, 1, 127, 0, 0, 1, 0, 80])
        .read_request()
        .send(response(200, "hello"));
    let proxy = peer(script);
    let args = ["-x", &at(&proxy, "socks5", ""), "--resolve", "nobody.invalid:80:192.0.2.1"];
    assert_eq!(fetch(&[&args[..], &["http://nobody.invalid/a"]].concat()).ok().out, "hello");
    seen(proxy);
}

#[test]
fn socks_that_fails_is_97() {
    let hello = |method: u8| Script::new().read_exactly(3).send([5, method]);
    let url = "http://h.invalid/";
    fails("socks5h", "", hello(0xff), url, 97, "wants credentials");
    let refused = hello(0).read_exactly(4 + 1 + 9 + 2).send([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    fails("socks5h", "", refused, url, 97, "could not connect: connection refused");
    let wrong = Script::new().read_exactly(4).send([5, 2]).read_exactly(10).send([1, 1]);
    fails("socks5h", "me:wrong@", wrong, url, 97, "refused the credentials");
    let http = Script::new().read_exactly(3).send("HTTP/1.1 400 Bad Request\r\n\r\n");
    fails("socks5h", "", http, url, 97, "does not speak SOCKS5: it may be an HTTP proxy");
    fails(
        "socks5h",
        "",
        Script::new().read_exactly(3).fin(),
        url,
        97,
        "ended the connection before it had answered",
    );
}

#[test]
fn a_proxy_that_is_not_there() {
    let ran = fetch(&["-x", "nobody.invalid", "http://h/"]);
    assert_eq!((ran.code, ran.err.lines().count()), (5, 1));
    assert!(
        ran.err.starts_with("adieu: (5) http://h: the proxy was not found: nobody.invalid: "),
        "{}",
        ran.err
    );
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = fetch(&["-x", &nobody.to_string(), "http://h/"]);
    let line = format!(
        "adieu: (7) http://h through the proxy http://{nobody}: could not connect: {nobody}: connection refused\n"
    );
    assert_eq!((ran.code, ran.err), (7, line));
}

#[test]
fn a_proxy_that_cannot_be_read_is_5() {
    let ran = fetch(&["-x", "ftp://h", "http://h/"]);
    let line = "adieu: (5) -x: the proxy's scheme ftp is not known: http, https, socks5 and socks5h are\n";
    assert_eq!((ran.code, ran.err.as_str()), (5, line));
    let ran = Ran::of(command(&["fetch", "http://h/"]).env("http_proxy", "http://").output().unwrap());
    let line = "adieu: (5) the variable http_proxy: the proxy cannot be read: there is no host\n";
    assert_eq!((ran.code, ran.err.as_str()), (5, line));
}

#[test]
fn a_silent_proxy_is_28() {
    let proxy = peer(Script::new().read_to_end());
    let whom = at(&proxy, "http", "");
    let ran = fetch(&["-x", &whom, "--connect-timeout", "0.2", "https://h/"]);
    let line = format!(
        "adieu: (28) timed out after 200ms (--connect-timeout): waiting for the proxy {whom} for https://h\n"
    );
    assert_eq!((ran.code, ran.err), (28, line));
}

/// Runs with the proxy in the environment; which of the two answered.
#[track_caller]
fn answered(args: &[&str], variables: &[(&str, &str)]) -> String {
    let proxy = server("proxy");
    let origin = server("origin");
    let (whom, url) = (at(&proxy, "http", ""), origin.url("/"));
    let args = [&["fetch"], args, &[&*url]].concat().into_iter().map(|arg| arg.replace("PROXY", &whom));
    let args: Vec<_> = args.collect();
    let mut command = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    command.envs(variables.iter().map(|(name, value)| (name, value.replace("PROXY", &whom))));
    Ran::of(command.output().unwrap()).ok().out
}

#[test]
fn the_environment_counts_unless_flags_say_otherwise() {
    let environment = [("http_proxy", "PROXY")];
    let except = [("http_proxy", "PROXY"), ("no_proxy", "127.0.0.0/8")];
    assert_eq!(answered(&[], &[]), "origin");
    assert_eq!(answered(&[], &environment), "proxy");
    assert_eq!(answered(&[], &[("ALL_PROXY", "PROXY")]), "proxy");
    assert_eq!(answered(&[], &except), "origin");
    assert_eq!(answered(&["--noproxy", "*"], &environment), "origin");
    assert_eq!(answered(&["--noproxy", "elsewhere"], &except), "proxy");
    assert_eq!(answered(&["-x", ""], &environment), "origin");
    assert_eq!(answered(&["-x", "PROXY"], &[("http_proxy", "http://127.0.0.1:1")]), "proxy");
    assert_eq!(answered(&["-x", "PROXY"], &[("NO_PROXY", "127.0.0.1")]), "origin");
    assert_eq!(answered(&["-x", "PROXY", "--noproxy", "127.0.0.1"], &[]), "origin");
}

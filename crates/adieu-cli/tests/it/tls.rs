//! `https`.

use std::path::PathBuf;
use std::time::Duration;

use adieu_testkit::peer::{Alert, Peer, Script, Seen, TlsVersion, Until, response};
use adieu_testkit::tls::{Authority, Identity, TlsServer};
use serde_json::{Value, json};

use crate::program::{Ran, command, fetch, fetch_with_report, of_type, peer, seen, temporary};
use crate::report::{CONNECTION_KEYS, fin, keys};

const SOON: Duration = Duration::from_secs(2);

/// An authority, and its certificate where `--cacert` finds it.
struct World {
    authority: Authority,
    cacert: PathBuf,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let cacert = temporary("ca.pem", authority.pem().as_bytes());
        Self { authority, cacert }
    }

    /// A server that this authority vouches for.
    fn server(&self) -> TlsServer {
        TlsServer::new(self.authority.issue(["localhost", "127.0.0.1"]).unwrap()).alpn(["http/1.1"])
    }

    /// A peer that plays this, once, over TLS.
    fn peer(&self, script: Script) -> Peer {
        https(&self.server(), script)
    }

    /// Runs `adieu fetch --cacert` with these arguments, with a report.
    fn fetch(&self, args: &[&str]) -> (Ran, Vec<Value>) {
        fetch_with_report(&[&["--cacert", self.cacert.to_str().unwrap()], args].concat())
    }
}

fn https(server: &TlsServer, script: Script) -> Peer {
    Peer::builder().tls(server).script(script).tcp().unwrap()
}

/// One exchange.
fn exchange() -> Script {
    Script::new().read_request().send(response(200, "hello"))
}

/// The only connection of a report.
#[track_caller]
fn connection(lines: &[Value]) -> &Value {
    let connections = of_type(lines, "connection");
    assert_eq!(connections.len(), 1, "{lines:?}");
    connections[0]
}

fn both() -> Value {
    json!({ "goaway": false, "close_notify": true, "fin": true, "rst": false })
}

#[test]
fn an_authority_of_ones_own_is_trusted() {
    let world = World::new();
    let peer = world.peer(exchange().goodbye());
    let (ran, lines) = world.fetch(&[&peer.url("/a")]);
    assert_eq!(ran.ok().out, "hello");
    let host = peer.address().to_string();
    let seen = seen(peer);
    assert_eq!(seen.requests()[0].header("host"), Some(&*host));
    assert_eq!(seen.handshake().unwrap().alpn.as_deref(), Some("http/1.1"));
    let line = connection(&lines);
    assert_eq!((&line["reason"], &line["ended"]), (&"user_graceful".into(), &"clean".into()));
}

#[test]
fn the_goodbye_is_close_notify_then_fin() {
    for mode in ["graceful", "now"] {
        let world = World::new();
        let peer = world.peer(exchange().expect_close_notify(SOON).goodbye());
        world.fetch(&["--close", mode, &peer.url("/")]).0.ok();
        seen(peer).assert_close_notify_then_fin();
    }
}

#[test]
fn the_server_is_called_by_its_name() {
    let world = World::new();
    let peer = world.peer(exchange().goodbye());
    let url = format!("https://localhost:{}/", peer.address().port());
    assert_eq!(world.fetch(&[&url]).0.ok().out, "hello");
    assert_eq!(seen(peer).handshake().unwrap().server_name.as_deref(), Some("localhost"));
}

#[cfg(unix)]
#[test]
fn it_goes_over_a_unix_socket_and_the_host_field_names_no_default_port() {
    let world = World::new();
    let path = temporary("socket", b"");
    std::fs::remove_file(&path).unwrap();
    let peer = Peer::builder().tls(&world.server()).script(exchange().goodbye()).unix(&path).unwrap();
    let (ran, _) = world.fetch(&["--unix-socket", path.to_str().unwrap(), "https://localhost:443/"]);
    assert_eq!(ran.ok().out, "hello");
    assert_eq!(seen(peer).requests()[0].header("host"), Some("localhost"));
}

#[test]
fn insecure_accepts_anyone() {
    let server = TlsServer::new(Identity::self_signed(["elsewhere.example"]).unwrap());
    let peer = https(&server, exchange().goodbye());
    assert_eq!(fetch(&["-k", &peer.url("/")]).ok().out, "hello");
    seen(peer).assert_close_notify_then_fin();
}

/// The run ends with code 60 and this line, and the peer saw an alert.
#[track_caller]
fn refused(world: &World, identity: Identity, why: &str) -> Seen {
    let peer = https(&TlsServer::new(identity), Script::new().expect_alert(SOON));
    let (ran, lines) = world.fetch(&[&peer.url("/")]);
    let line = format!(
        "adieu: (60) {}: the TLS handshake failed: the peer's certificate is not accepted: {why}\n",
        peer.url("")
    );
    assert_eq!((ran.code, ran.err), (60, line));
    assert_eq!((lines.len(), &lines[0]["fate"]), (1, &"not_sent".into()));
    seen(peer)
}

#[test]
fn an_expired_certificate_is_60() {
    let world = World::new();
    let seen = refused(&world, world.authority.issue_expired(["127.0.0.1"]).unwrap(), "it has expired");
    seen.assert_alert(Alert::CERTIFICATE_EXPIRED);
}

#[test]
fn a_certificate_for_another_host_is_60() {
    let world = World::new();
    let identity = world.authority.issue(["elsewhere.example"]).unwrap();
    let seen = refused(&world, identity, "it is not for 127.0.0.1 but for elsewhere.example");
    seen.assert_alert(Alert::BAD_CERTIFICATE);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_60() {
    let nobody = "no authority that is trusted here has signed it (self-signed, or a private authority)";
    let world = World::new();
    let other = Authority::new().unwrap().issue(["127.0.0.1"]).unwrap();
    // Both authorities bear the same name, so that the signature is looked at.
    refused(&world, other, nobody);
    let seen = refused(&world, Identity::self_signed(["127.0.0.1"]).unwrap(), nobody);
    seen.assert_alert(Alert::UNKNOWN_CA);
}

/// A peer that does not speak TLS; the run ends with this code and, of the origin, this line.
#[track_caller]
fn fails(script: Script, args: &[&str], code: i32, line: impl Fn(&str) -> String) {
    let peer = peer(script);
    let origin = format!("https://{}", peer.address());
    let (ran, lines) = fetch_with_report(&[args, &[&*origin]].concat());
    assert_eq!((ran.code, ran.err), (code, format!("adieu: ({code}) {}\n", line(&origin))));
    assert_eq!((lines.len(), &lines[0]["connection"]), (1, &Value::Null));
    peer.finish().unwrap();
}

#[test]
fn a_handshake_that_fails_is_35() {
    let plain = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let hello = || Script::new().read_record();
    for (script, why) in [
        (hello().send(plain).fin(), "the peer answered in plain HTTP: this port does not speak TLS"),
        (hello().send("SSH-2.0-OpenSSH_9.9\r\n").fin(), "the peer answered with something that is not TLS"),
        (
            hello().alert(Alert::HANDSHAKE_FAILURE).fin(),
            "the peer refused it with the alert handshake_failure",
        ),
        (hello().reset(), "the peer reset the connection"),
        (hello().fin(), "the peer ended the connection"),
    ] {
        fails(script, &["-k"], 35, |origin| format!("{origin}: the TLS handshake failed: {why}"));
    }
}

#[test]
fn a_silent_handshake_is_28_by_either_limit() {
    let silent = || Script::new().read_to_end();
    for (args, limit) in
        [(["-k", "--connect-timeout", "0.2"], "--connect-timeout"), (["-k", "-m", "0.2"], "-m")]
    {
        fails(silent(), &args, 28, |origin| {
            format!("timed out after 200ms ({limit}): TLS handshake for {origin}")
        });
    }
}

#[test]
fn versions_that_do_not_meet_are_35() {
    let world = World::new();
    let peer = https(&world.server().only_tls12(), Script::new());
    let (ran, _) = world.fetch(&["--tlsv1.3", &peer.url("/")]);
    let line = "the peer refused it with the alert protocol_version\n";
    assert_eq!((ran.code, ran.err.ends_with(line)), (35, true), "{}", ran.err);
    let peer = https(&world.server().only_tls13(), Script::new());
    assert_eq!(world.fetch(&["--tls-max", "1.2", &peer.url("/")]).0.code, 35);
    let ran = fetch(&["--tlsv1.3", "--tls-max", "1.2", "https://h/"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (2, "adieu: (2) --tlsv1.3 and --tls-max 1.2 leave no version\n")
    );
}

#[test]
fn the_version_can_be_chosen() {
    let world = World::new();
    for (args, version) in [
        (&[][..], TlsVersion::Tls13),
        (&["--tlsv1.2"], TlsVersion::Tls13),
        (&["--tlsv1.3"], TlsVersion::Tls13),
        (&["--tls-max", "1.2"], TlsVersion::Tls12),
        (&["--tlsv1.2", "--tls-max", "1.3"], TlsVersion::Tls13),
    ] {
        let peer = world.peer(exchange().goodbye());
        world.fetch(&[args, &[&peer.url("/")]].concat()).0.ok();
        assert_eq!(seen(peer).handshake().unwrap().version, version, "{args:?}");
    }
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let world = World::new();
    let identity = world.authority.issue(["user"]).unwrap();
    let cert = temporary("cert.pem", identity.cert_pem().as_bytes());
    let key = temporary("key.pem", identity.key_pem().as_bytes());
    let one = temporary("one.pem", format!("{}{}", identity.key_pem(), identity.cert_pem()).as_bytes());
    let [cert, key, one] = [&cert, &key, &one].map(|path| path.to_str().unwrap());
    for args in [&["--cert", cert, "--key", key][..], &["-E", one], &["--cert", one, "--key", key]] {
        let server = world.server().require_client_certificate(&world.authority);
        let peer = https(&server, exchange().goodbye());
        assert_eq!(world.fetch(&[args, &[&peer.url("/")]].concat()).0.ok().out, "hello");
        let shown = seen(peer).handshake().unwrap().client_certificate.clone();
        assert_eq!(shown.as_deref(), Some(identity.cert_der()));
    }
    let peer = world.peer(exchange().goodbye());
    world.fetch(&["-E", one, &peer.url("/")]).0.ok();
    assert_eq!(seen(peer).handshake().unwrap().client_certificate, None);
}

#[test]
fn without_a_client_certificate_the_server_decides() {
    let world = World::new();
    let server = world.server().request_client_certificate(&world.authority);
    let peer = https(&server, exchange().goodbye());
    assert_eq!(world.fetch(&[&peer.url("/")]).0.ok().out, "hello");
    let server = world.server().require_client_certificate(&world.authority);
    // On TLS 1.2 the handshake fails. On 1.3 ours is over before the server looks.
    let peer = https(&server.clone().only_tls12(), Script::new());
    let (ran, _) = world.fetch(&[&peer.url("/")]);
    let line = "the peer refused it with the alert certificate_required\n";
    assert_eq!((ran.code, ran.err.ends_with(line)), (35, true), "{}", ran.err);
    // A connection that is gone before anything was written on it is replaced, but not for ever.
    let peer = https(&server, Script::new().repeat());
    let (ran, lines) = world.fetch(&[&peer.url("/")]);
    assert_eq!(ran.code, 56, "{}", ran.err);
    assert!(
        ran.err.contains("the peer sent the TLS alert certificate_required (connection #"),
        "{}",
        ran.err
    );
    assert!(of_type(&lines, "connection").iter().all(|line| line["reason"] == "tls_alert"), "{lines:?}");
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_58() {
    let world = World::new();
    let (identity, other) =
        (world.authority.issue(["user"]).unwrap(), world.authority.issue(["other"]).unwrap());
    let cert = temporary("cert.pem", identity.cert_pem().as_bytes());
    let other = temporary("other.pem", other.key_pem().as_bytes());
    let locked = temporary("locked.pem", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    let [cert, other, locked] = [&cert, &other, &locked].map(|path| path.to_str().unwrap());
    let with_password = format!("{cert}:secret");
    let locked_line = "a key with a password is not supported: decrypt it first\n";
    for (args, line) in [
        (&["--cert", "/nowhere/at/all"][..], "--cert /nowhere/at/all: No such file or directory"),
        (&["--cert", cert, "--key", "/nowhere/at/all"], "No such file or directory"),
        (&["--cert", cert], ": no private key is in there (PEM); --key names its file\n"),
        (&["--cert", cert, "--key", cert], ": no private key is in there (PEM)\n"),
        (&["--cert", other, "--key", other], "no certificate is in there (PEM)\n"),
        (&["--cert", cert, "--key", locked], locked_line),
        (&["--cert", &with_password], locked_line),
        (&["--cert", cert, "--key", other], "KeyMismatch\n"),
    ] {
        let ran = fetch(&[args, &["https://h/"]].concat());
        assert_eq!(ran.code, 58, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("adieu: (58) --cert "), "{}", ran.err);
        assert!(ran.err.contains(line) && ran.err.lines().count() == 1, "{}", ran.err);
    }
    assert_eq!(fetch(&["--key", cert, "https://h/"]).code, 2);
}

#[test]
fn authorities_that_cannot_be_used_are_77() {
    let empty = temporary("empty.pem", b"no certificate\n");
    for (path, why) in
        [("/nowhere/at/all", "No such file or directory"), (empty.to_str().unwrap(), "no certificate is in")]
    {
        let ran = fetch(&["--cacert", path, "https://h/"]);
        assert_eq!(ran.code, 77, "{}", ran.err);
        assert!(ran.err.starts_with(&format!("adieu: (77) --cacert {path}: ")), "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
    }
}

#[test]
fn a_session_is_resumed_on_the_next_connection() {
    let world = World::new();
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let script = Script::new().read_request().send(last).goodbye();
    let peer = Peer::builder().tls(&world.server()).script(script.clone()).script(script).tcp().unwrap();
    let (ran, lines) = world.fetch(&["-v", "--repeat", "2", &peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "xx"), "{}", ran.err);
    let agreed: Vec<_> =
        ran.err.lines().filter(|line| line.contains("TLS13") && line.contains(" in ")).collect();
    assert!(agreed[0].contains("#1 TLSv1.3 TLS13_AES_256_GCM_SHA384 http/1.1 in "), "{}", ran.err);
    assert!(agreed[1].contains("#2 TLSv1.3 TLS13_AES_256_GCM_SHA384 http/1.1 resumed in "), "{}", ran.err);
    let told: Vec<_> =
        of_type(&lines, "connection").iter().map(|line| line["tls"]["resumed"].clone()).collect();
    assert_eq!(told, [false, true]);
    let seen = peer.finish().unwrap();
    assert!(seen[1].handshake().unwrap().resumed);
}

#[test]
fn a_connection_is_kept_over_urls() {
    let world = World::new();
    let peer = world.peer(Script::new().answer_all(response(200, "x")));
    let (ran, lines) = world.fetch(&["--repeat", "3", &peer.url("/a"), &peer.url("/b")]);
    assert_eq!(ran.ok().out, "xxxxxx");
    assert_eq!(connection(&lines)["exchanges"], 6);
}

#[test]
fn a_connection_line_has_tls_and_layers() {
    let world = World::new();
    let peer = world.peer(exchange().expect_close_notify(SOON).goodbye());
    let (_, lines) = world.fetch(&[&peer.url("/")]);
    let line = connection(&lines);
    assert_eq!(keys(line), CONNECTION_KEYS);
    assert_eq!((&line["origin"], &line["protocol"]), (&peer.url("").into(), &"http/1.1".into()));
    let session = json!({
        "version": "TLSv1.3", "cipher_suite": "TLS13_AES_256_GCM_SHA384", "alpn": "http/1.1", "resumed": false,
    });
    assert_eq!(line["tls"], session);
    assert_eq!((&line["sent"], &line["received"]), (&both(), &both()));
    let notify = json!({ "goaway": false, "close_notify": true, "fin": false, "rst": false });
    let layers = json!([
        { "layer": "tls", "connection": null, "sent": notify, "received": notify },
        { "layer": "tcp", "connection": null, "sent": fin(), "received": fin() },
    ]);
    assert_eq!(line["layers"], layers);
}

#[test]
fn each_step_is_told_in_order() {
    let world = World::new();
    let peer = world.peer(exchange().expect_close_notify(SOON).goodbye());
    let (ran, _) = world.fetch(&["-v", &peer.url("/")]);
    let (address, url) = (peer.address(), peer.url(""));
    let mut rest = ran.err.as_str();
    for step in [
        format!(" ms  #1 opening a connection to {url}\n"),
        format!(" ms  #1 connecting to {address}\n"),
        format!(" ms  #1 connected to {address} in "),
        " ms  #1 TLSv1.3 TLS13_AES_256_GCM_SHA384 http/1.1 in ".to_owned(),
        " ms  #1 open\n".to_owned(),
        " ms  #1 exchange 1 began\n> GET / HTTP/1.1\n".to_owned(),
        "< HTTP/1.1 200 OK\n".to_owned(),
        " ms  #1 retired: closed by the user (graceful)\n".to_owned(),
        " ms  #1 lingering\n".to_owned(),
        format!(" ms  #1 http/1.1 {url} ({address}): closed by the user (graceful); ended clean; "),
    ] {
        let found = rest.split_once(&step);
        rest = found.unwrap_or_else(|| panic!("{step:?} is missing or out of order in\n{}", ran.err)).1;
    }
    assert!(!ran.err.contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn redirects_lead_over_to_https_and_back() {
    let world = World::new();
    let plain = crate::program::server("here");
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let secure = world.peer(Script::new().read_request().send(moved(&plain.url("/c"))).goodbye());
    let first = peer(Script::new().read_request().send(moved(&secure.url("/b"))));
    let (ran, lines) = world.fetch(&["-L", "-u", "me:secret", &first.url("/a")]);
    assert_eq!(ran.ok().out, "here");
    assert!(seen(first).requests()[0].header("authorization").is_some());
    let request = &seen(secure).requests()[0].clone();
    assert_eq!((request.target(), request.header("authorization")), ("/b", None));
    let statuses: Vec<_> = of_type(&lines, "request").iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [302, 302, 200]);
}

#[test]
fn a_body_without_a_length_needs_close_notify() {
    let world = World::new();
    let head = "HTTP/1.1 200 OK\r\n\r\nto the end";
    let whole = world.peer(Script::new().read_request().send(head).goodbye());
    assert_eq!(world.fetch(&[&whole.url("/")]).0.ok().out, "to the end");
    let cut = world.peer(Script::new().read_request().send(head).fin());
    let (ran, lines) = world.fetch(&[&cut.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (18, "to the end"));
    assert_eq!(
        ran.err,
        "adieu: (18) the peer ended without close_notify: the response body may be cut short (connection #1)\n"
    );
    let line = connection(&lines);
    assert_eq!((&line["reason"], &line["ended"]), (&"tls_truncated".into(), &"truncated".into()));
}

#[test]
fn a_body_with_a_length_does_not() {
    let world = World::new();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nwhole";
    let peer = world.peer(Script::new().read_request().send(head).fin());
    let (ran, lines) = world.fetch(&[&peer.url("/")]);
    assert_eq!(ran.ok().out, "whole");
    let line = connection(&lines);
    assert_eq!((&line["reason"], &line["received"]), (&"peer_asked_close".into(), &fin()));
}

#[test]
fn close_notify_inside_of_a_body_is_18() {
    let world = World::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let peer = world.peer(Script::new().read_request().send(head).goodbye());
    let (ran, lines) = world.fetch(&[&peer.url("/")]);
    assert_eq!((ran.code, ran.out.as_str()), (18, "half"));
    assert_eq!(ran.err, "adieu: (18) the peer ended inside the response body (connection #1)\n");
    assert_eq!(connection(&lines)["reason"], "peer_ended_early");
}

#[test]
fn half_ends_our_side_of_tls_while_the_response_is_awaited() {
    let world = World::new();
    let script = Script::new().read_request().expect_close_notify(SOON).expect_fin(SOON);
    let peer = world.peer(script.send(response(200, "x")).goodbye());
    let (ran, lines) = world.fetch(&["--close", "half", &peer.url("/")]);
    assert_eq!(ran.ok().out, "x");
    seen(peer).assert_close_notify_then_fin();
    assert_eq!((&connection(&lines)["sent"], &connection(&lines)["received"]), (&both(), &both()));
}

#[cfg(unix)]
#[test]
fn an_upload_cut_short_is_reset_without_close_notify() {
    let file = temporary("endless", b"");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
    let peer = World::new().peer(Script::new().count_only().read_head().read_to_end());
    let child = command(&["fetch", "-k", "-T", file.to_str().unwrap(), &peer.url("/")]).spawn().unwrap();
    peer.wait(0, Until::Received(10_000)).unwrap();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).code, 130);
    assert_reset_alone(&seen(peer));
}

#[test]
fn an_abort_says_no_close_notify() {
    let world = World::new();
    let peer = world.peer(exchange().expect_reset(SOON));
    let (ran, lines) = world.fetch(&["--close", "abort", &peer.url("/")]);
    ran.ok();
    assert_reset_alone(&seen(peer));
    let rst = json!({ "goaway": false, "close_notify": false, "fin": false, "rst": true });
    assert_eq!(connection(&lines)["sent"], rst);
}

/// No end in order, of neither layer.
#[track_caller]
fn assert_reset_alone(seen: &Seen) {
    seen.assert_reset();
    assert!(!seen.saw_close_notify() && !seen.saw_fin(), "{seen}");
}

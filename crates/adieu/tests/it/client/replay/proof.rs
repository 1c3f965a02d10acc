//! Where proofs are not to be had, and one that TLS must not hide.

use adieu::connect::{Proxies, Proxy};
use adieu::{Client, Fate, Replay};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Ending, in_time, text};

/// A proxy acknowledges for itself: in the open, what it refused may be a request that it had passed on.
#[tokio::test]
async fn nothing_is_claimed_in_the_open_through_a_proxy() {
    let ending = Ending::closes_idle();
    let proxy = Proxy::parse(&ending.peer.url("")).unwrap();
    let proxies = Proxies::new().http(proxy);
    let client = Client::builder().proxies(proxies).replay(Replay::Never).build().unwrap();
    assert_eq!(text(client.get("http://origin.example/first")).await.unwrap(), "ok");
    ending.end();
    let error = in_time(client.post("http://origin.example/").body("b").send()).await.unwrap_err();
    assert_eq!(error.fate(), Fate::Unknown, "{error}");
}

/// What became of a POST on a connection over this, which the peer had ended while it was idle.
async fn fate_over(ending: &Ending, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Fate {
    let (mut sender, _connection) = adieu::conn::http1::handshake(io).await.unwrap();
    let request = |path| http::Request::post(ending.peer.url(path)).body(adieu::Body::from("b")).unwrap();
    let response = in_time(sender.send_request(request("/first"))).await.unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    ending.end();
    in_time(sender.send_request(request("/"))).await.unwrap_err().fate()
}

/// Nor of a socket that somebody else opened: who knows what else was sent on it.
#[tokio::test]
async fn nothing_is_claimed_of_a_socket_that_was_given() {
    let ending = Ending::closes_idle();
    let io = tokio::net::TcpStream::connect(ending.peer.address()).await.unwrap();
    assert_eq!(fate_over(&ending, io).await, Fate::Unknown);
}

/// At the low level too: a connection over a transport of adieu's own connector has its proof.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_alone_has_its_proof_too() {
    use adieu::connect::{Connect, Connector, Target};

    let ending = Ending::closes_idle();
    let target = Target::of(&ending.peer.url("/").parse().unwrap()).unwrap();
    let connector = Connector::builder().proxies(Proxies::new()).build();
    let io = connector.connect(&target).await.unwrap();
    let refused = Fate::NotProcessed(adieu::Proof::ClosedBeforeReceipt);
    assert_eq!(fate_over(&ending, io).await, refused);
}

/// TLS takes more than the wire does: a head whose last record is not out was not read by anybody.
#[cfg(feature = "tls")]
#[tokio::test]
async fn a_head_that_tls_held_back_was_not_processed() {
    use adieu::Proof;
    use adieu::connect::TcpOptions;
    use adieu_testkit::peer::{Gate, Peer, Script, Until};
    use adieu_testkit::tls::{Authority, TlsServer};

    let authority = Authority::new().unwrap();
    let server = TlsServer::new(authority.issue(["127.0.0.1"]).unwrap());
    let gate = Gate::new();
    let script = Script::new().start_tls(&server).mark("shaken").gate(&gate).reset();
    let peer = Peer::builder().receive_buffer(2_048).script(script).tcp().unwrap();
    let client = Client::builder()
        .no_proxies()
        .replay(Replay::Never)
        .tcp(TcpOptions::new().send_buffer(2_048))
        .tls(|tls| tls.platform_roots(false).add_root_certificates(authority.pem()))
        .build()
        .unwrap();
    let url = format!("https://{}/", peer.address());
    let asked = tokio::spawn(client.get(url).header("x-long", "x".repeat(40_000)).send());
    peer.wait_async(0, Until::Mark("shaken")).await.unwrap();
    tokio::time::sleep(super::ms(100)).await;
    gate.open();
    let error = in_time(asked).await.unwrap().unwrap_err();
    let facts = error.facts().unwrap();
    assert!(facts.handed >= facts.head, "TLS took all of it: {facts:?}");
    assert_eq!(error.fate(), Fate::NotProcessed(Proof::HeadIncomplete), "{error}");
}

//! Through proxies that others wrote: Apache and tinyproxy (HTTP), microsocks (SOCKS5).

use adieu::connect::{Proxies, Proxy};
use adieu::{Client, CloseMode, CloseReport, ErrorKind, Layer, ResponseExt};
use interop::{Apache, Microsocks, Nginx, NginxConfig, Tinyproxy};

use super::{HELLO, ask, hello, up_to, visits};
use crate::door::{Door, Way, each_way};
use crate::support::{play, story};

each_way!(through_apache, through_apache_who_wants_credentials);

/// A plain nginx, and one with TLS.
async fn origins(door: &Door) -> Option<(Nginx, Nginx)> {
    let tls = NginxConfig::new().tls(door.trusted()).http("ssl_protocols TLSv1.2 TLSv1.3;");
    Some((Nginx::start(NginxConfig::new()).await?, Nginx::start(tls).await?))
}

/// An Apache that forwards and makes tunnels to this origin, with more lines on who may use it.
async fn forwarding(door: &Door, origin: &Nginx, access: &str) -> Option<Apache> {
    let port = origin.address().port();
    let proxy = format!("ProxyRequests On\nAllowCONNECT {port}\n<Proxy *>\n{access}\n</Proxy>");
    Apache::start(door.apache().directives(&proxy).file("users", USERS)).await
}

/// The password of `someone` is `secret`, by its SHA-1.
const USERS: &str = "someone:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const KNOWN_ONLY: &str = "AuthType Basic\nAuthName interop\nAuthUserFile {dir}/users\nRequire valid-user";

/// A client that goes through this proxy.
fn through(door: &Door, proxy: &str) -> Client {
    door.client().proxies(Proxies::new().all(Proxy::parse(proxy).unwrap())).build().unwrap()
}

/// The layers of a connection, from the top down.
fn layers(report: &CloseReport) -> Vec<Layer> {
    report.layers.iter().map(|layer| layer.layer).collect()
}

/// What a tunnel to an `https` origin is made of.
fn tunnelled(way: Way) -> Vec<Layer> {
    match way {
        Way::Plain => vec![Layer::Tls, Layer::Tunnel, Layer::Tcp],
        _ => vec![Layer::Tls, Layer::Tunnel, Layer::Tls, Layer::Tcp],
    }
}

async fn through_apache(door: Door) {
    let Some((plain, tls)) = origins(&door).await else { return };
    let Some(apache) = forwarding(&door, &tls, "Require all granted").await else { return };
    let client = through(&door, &door.url(apache.address(), ""));
    let (http, https) =
        (format!("http://{}/hello", plain.address()), format!("https://{}/hello", tls.address()));
    for _ in 0..3 {
        hello(&client, &http).await;
        hello(&client, &https).await;
    }
    // Forwarded, and through a tunnel: one connection each.
    apache.log().until(&format!("access: GET {http} 200, request 2, +")).await;
    tls.log().until_times("access: GET /hello 200, done: OK", 3).await;
    assert_eq!(visits(tls.log()).into_values().collect::<Vec<_>>(), [up_to(3)]);
    for snapshot in client.connections() {
        let inside = snapshot.origin.as_deref() == Some(&*format!("https://{}", tls.address()));
        assert_eq!(snapshot.tls.is_some(), inside || door.way() != Way::Plain, "{snapshot}");
        assert_eq!(snapshot.peer, Some(adieu::Address::Ip(apache.address())), "{snapshot}");
    }
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.total.opened, report.total.failed), (2, 0));
    let [forwarded, tunnel] = &report.connections[..] else { panic!("{report}") };
    let goodbye = door.goodbye();
    assert_eq!(
        story(forwarded),
        format!("user_graceful by us: clean; sent {goodbye}, received {goodbye}; 3 done, 0 failed")
    );
    // nginx answers no close_notify, and neither does Apache around a tunnel.
    assert_eq!(
        story(tunnel),
        "user_graceful by us: clean; sent close_notify+FIN, received FIN; 3 done, 0 failed"
    );
    assert_eq!(layers(tunnel), tunnelled(door.way()), "{tunnel}");
    for layer in &tunnel.layers {
        let said = layer.sent.to_string();
        match layer.layer {
            Layer::Tls => assert_eq!(said, "close_notify", "{tunnel}"),
            _ => assert_eq!(
                (said, layer.received.to_string()),
                ("FIN".to_owned(), "FIN".to_owned()),
                "{tunnel}"
            ),
        }
    }
}

async fn through_apache_who_wants_credentials(door: Door) {
    let Some((plain, tls)) = origins(&door).await else { return };
    let Some(apache) = forwarding(&door, &tls, KNOWN_ONLY).await else { return };
    let (http, https) =
        (format!("http://{}/hello", plain.address()), format!("https://{}/hello", tls.address()));
    let scheme = if door.way() == Way::Plain { "http" } else { "https" };

    let known = through(&door, &format!("{scheme}://someone:secret@{}", apache.address()));
    for _ in 0..2 {
        hello(&known, &http).await;
        hello(&known, &https).await;
    }
    let report = known.close(CloseMode::graceful()).await;
    assert_eq!((report.total.opened, report.total.exchanges, report.total.failed), (2, 4, 0));

    for (login, why) in [("", "it wants credentials"), ("someone:guess@", "it refused the credentials")] {
        let unknown = through(&door, &format!("{scheme}://{login}{}", apache.address()));
        assert_eq!(ask(&unknown, &http).await.0, 407);
        let error = unknown.get(&https).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy);
        assert!(error.to_string().contains(why) && !error.to_string().contains("guess"), "{error}");
        let _ = unknown.close(CloseMode::graceful()).await;
    }
    assert_eq!(tls.log().count("access: GET /hello 200"), 2);
}

/// It ends each connection after one request, tunnels excepted, and does not say so: the request does.
#[test]
fn through_tinyproxy_with_and_without_credentials() {
    play(async || {
        let door = Door::new(Way::Plain);
        let Some((plain, tls)) = origins(&door).await else { return };
        let (http, https) =
            (format!("http://{}/hello", plain.address()), format!("https://{}/hello", tls.address()));
        let may = format!("ConnectPort {}", tls.address().port());
        for (lines, login) in
            [(may.clone(), ""), (format!("{may}\nBasicAuth someone secret"), "someone:secret@")]
        {
            let Some(proxy) = Tinyproxy::start(&lines).await else { return };
            let client = through(&door, &format!("http://{login}{}", proxy.address()));
            for _ in 0..3 {
                let response = client.get(&http).close_afterwards().send().await.unwrap();
                assert_eq!(response.text().await.unwrap(), HELLO);
                hello(&client, &https).await;
            }
            proxy.log().until_times(&format!("GET {http} HTTP/1.1"), 3).await;
            proxy.log().until(&format!("CONNECT {} HTTP/1.1", tls.address())).await;
            let report = client.close(CloseMode::graceful()).await;
            assert_eq!((report.total.opened, report.total.exchanges, report.total.failed), (4, 6, 0));
            assert_eq!(report.total.closed["request_asked_close"], 3);
            let tunnels = report.connections.iter().filter(|report| report.tls.is_some());
            let [tunnel] = &tunnels.collect::<Vec<_>>()[..] else { panic!("{report}") };
            assert_eq!(layers(tunnel), tunnelled(Way::Plain), "{tunnel}");
            assert_eq!(
                story(tunnel),
                "user_graceful by us: clean; sent close_notify+FIN, received FIN; 3 done, 0 failed"
            );
            if login.is_empty() {
                continue;
            }
            let unknown = through(&door, &format!("http://{}", proxy.address()));
            assert_eq!(ask(&unknown, &http).await.0, 407);
            let error = unknown.get(&https).send().await.unwrap_err();
            assert!(
                error.kind() == ErrorKind::Proxy && error.to_string().contains("it wants credentials"),
                "{error}"
            );
        }
    });
}

#[test]
fn through_microsocks_with_and_without_credentials() {
    play(async || {
        let door = Door::new(Way::Plain);
        let Some((plain, tls)) = origins(&door).await else { return };
        let (http, https) =
            (format!("http://{}/hello", plain.address()), format!("https://{}/hello", tls.address()));
        for (flags, login) in [(&[][..], ""), (&["-u", "someone", "-P", "secret"], "someone:secret@")] {
            let Some(proxy) = Microsocks::start(flags).await else { return };
            for scheme in ["socks5", "socks5h"] {
                let client = through(&door, &format!("{scheme}://{login}{}", proxy.address()));
                for _ in 0..3 {
                    hello(&client, &http).await;
                    hello(&client, &https).await;
                }
                let report = client.close(CloseMode::graceful()).await;
                assert_eq!((report.total.opened, report.total.exchanges, report.total.failed), (2, 6, 0));
                let all: Vec<_> = report.connections.iter().map(layers).collect();
                // After its handshake a SOCKS proxy is nothing but a wire.
                assert_eq!(all, [vec![Layer::Tcp], vec![Layer::Tls, Layer::Tcp]]);
                assert_eq!(
                    story(&report.connections[0]),
                    "user_graceful by us: clean; sent FIN, received FIN; 3 done, 0 failed"
                );
                assert_eq!(
                    story(&report.connections[1]),
                    "user_graceful by us: clean; sent close_notify+FIN, received FIN; 3 done, 0 failed"
                );
            }
            proxy.log().until("connected to 127.0.0.1").await;
            if login.is_empty() {
                continue;
            }
            for login in ["", "someone:guess@"] {
                let unknown = through(&door, &format!("socks5://{login}{}", proxy.address()));
                let error = unknown.get(&https).send().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Proxy, "{error}");
                assert!(!error.to_string().contains("guess"), "{error}");
            }
        }
    });
}

//! HAProxy in front of nginx: both keep connections, each for its own time.

use std::time::Duration;

use adieu::CloseMode;
use interop::{Haproxy, HaproxyConfig, NginxConfig, Pki};

use super::{hello, next_gone, up_to, visits};
use crate::door::trusting;
use crate::nginx::nginx;
use crate::support::{beside, play, story};

#[test]
fn over_tls_many_requests_share_connections_on_both_sides() {
    play(async || {
        let (nginx, pki) = (nginx!(NginxConfig::new()), Pki::new());
        let config = HaproxyConfig::to(nginx.address()).back("http-reuse always").tls(pki.server(), "");
        let Some(haproxy) = Haproxy::start(config).await else { return };
        let client = adieu::Client::builder()
            .no_proxies()
            .tls_connector(trusting(&pki).build().unwrap())
            .max_connections_per_origin(4)
            .build()
            .unwrap();
        let url = format!("https://{}/hello", haproxy.address());
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (client, url) = (client.clone(), url.clone());
                beside(async move {
                    for _ in 0..10 {
                        hello(&client, &url).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        nginx.log().until_times("access: GET /hello 200, done: OK", 200).await;
        let visits = visits(nginx.log());
        assert!(visits.len() <= 20, "{visits:?}");
        assert!(visits.values().all(|requests| *requests == up_to(requests.len())), "{visits:?}");
        let report = client.close(CloseMode::graceful()).await;
        assert!(report.connections.len() <= 4 && report.total.failed == 0, "{report}");
        for one in &report.connections {
            let how = "user_graceful by us: clean; sent close_notify+FIN, received close_notify+FIN";
            assert_eq!(story(one), format!("{how}; {} done, 0 failed", one.exchanges));
        }
    });
}

#[test]
fn its_keep_alive_limit_is_noticed_while_nothing_is_asked() {
    play(async || {
        let nginx = nginx!(NginxConfig::new());
        let config = HaproxyConfig::to(nginx.address()).front("timeout http-keep-alive 1s");
        let Some(haproxy) = Haproxy::start(config).await else { return };
        let client = adieu::Client::builder().no_proxies().build().unwrap();
        let mut events = client.events();
        let url = format!("http://{}/hello", haproxy.address());
        for _ in 0..2 {
            hello(&client, &url).await;
        }
        let report = tokio::time::timeout(Duration::from_millis(2_200), next_gone(&mut events)).await;
        assert_eq!(
            story(&report.unwrap()),
            "peer_closed_idle by the peer: clean; sent FIN, received FIN; 2 done, 0 failed"
        );
        assert!(client.connections().is_empty());
        hello(&client, &url).await;
        // Unused for so long, and told by HAProxy as an end of ours or of its own: never as an error.
        assert_eq!(client.stats().total.failed, 0);
    });
}

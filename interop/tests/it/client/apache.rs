//! Apache, which bounds the requests of a connection and tells so.

use adieu::{CloseMode, ResponseExt};
use http::HeaderMap;
use http::header::{CONNECTION, HeaderValue};
use interop::Apache;

use super::{HELLO, all_gone, hello};
use crate::door::{Door, each_way};
use crate::support::story;

each_way!(a_bound_that_apache_tells_is_kept, a_bound_that_it_does_not_tell_is_borne);

/// It tells `max=` only whoever asks for keep-alive; the bound is on the requests after the first.
async fn a_bound_that_apache_tells_is_kept(door: Door) {
    let Some(apache) = Apache::start(door.apache().directives("MaxKeepAliveRequests 5")).await else {
        return;
    };
    let asking = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("keep-alive"))]);
    let client = door.client().default_headers(asking).max_connections_per_origin(1).build().unwrap();
    let mut events = client.events_up_to(10_000);
    let url = door.url(apache.address(), "/hello");
    for request in 0..24_usize {
        let response = client.get(&url).send().await.unwrap();
        let told = response.headers().get("keep-alive").map(|value| value.to_str().unwrap().to_owned());
        let left = 5 - request % 6;
        assert_eq!(told, (left > 0).then(|| format!("timeout=5, max={left}")), "request {request}");
        assert_eq!(response.text().await.unwrap(), HELLO);
    }
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.total.opened, report.total.exchanges, report.total.failed), (4, 24, 0));
    let goodbye = door.goodbye();
    for report in all_gone(&mut events) {
        assert_eq!(
            story(&report),
            format!(
                "peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 6 done, 0 failed"
            )
        );
    }
    apache.log().until_times("access: GET /hello 200, request 5, -", 4).await;
}

async fn a_bound_that_it_does_not_tell_is_borne(door: Door) {
    let Some(apache) = Apache::start(door.apache().directives("MaxKeepAliveRequests 5")).await else {
        return;
    };
    let client = door.client().max_connections_per_origin(4).build().unwrap();
    let url = door.url(apache.address(), "/hello");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            crate::support::beside(async move {
                for _ in 0..12 {
                    hello(&client, &url).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let total = client.close(CloseMode::graceful()).await.total;
    assert_eq!((total.exchanges, total.failed), (96, 0));
    assert!((16..=20).contains(&total.opened), "{total:?}");
}

//! TLS sessions of the pool.

use adieu::CloseMode;

use super::ask;
use crate::door::{Door, Way};
use crate::nginx::nginx;
use crate::support::play;

#[test]
fn the_second_connection_resumes_the_session_of_the_first() {
    play(async || {
        for (way, version) in [(Way::Tls12, "TLSv1.2"), (Way::Tls13, "TLSv1.3")] {
            let door = Door::new(way);
            let session = "location /session { return 200 '$ssl_protocol, reused $ssl_session_reused'; }";
            let nginx = nginx!(door.nginx().server(session));
            let client = door.client().build().unwrap();
            let url = door.url(nginx.address(), "/session");
            for (resumed, judged) in [(false, "."), (true, "r"), (true, "r")] {
                // The same connection says the same.
                for _ in 0..2 {
                    assert_eq!(ask(&client, &url).await.1, format!("{version}, reused {judged}"));
                }
                let [snapshot] = &client.connections()[..] else { panic!("{client:?}") };
                let session = snapshot.tls.as_ref().unwrap();
                assert_eq!((session.version, session.resumed), (version, resumed));
                let report = client.close_idle().await;
                assert_eq!(report.connections[0].tls.as_ref(), Some(session));
            }
            let total = client.close(CloseMode::graceful()).await.total;
            assert_eq!((total.opened, total.exchanges, total.failed), (3, 6, 0));
        }
    });
}

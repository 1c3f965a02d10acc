//! Messages: where each body ends, and what keeps a connection.

use adieu::{CloseMode, CloseReason, ErrorKind};
use http::Version;

use super::{HELLO, SLOWLY, nginx};
use crate::door::{Door, Way, each_way};
use crate::support::{ask, bytes, get, read, request, story, with};

/// Included on its way, so that its length is not known beforehand.
const INCLUDING: &str = "before <!--# include virtual=\"/hello\" --> after";
const INCLUDED: &str = "before hello, world\n after";

each_way!(
    bodies_of_all_kinds_on_one_connection,
    http_1_0_is_closed_unless_kept,
    a_request_that_asks_for_close_gets_it,
    a_body_that_ends_with_the_connection,
    a_body_that_ends_with_the_connection_cut_short,
    a_framed_body_cut_short,
    a_large_download_is_whole
);

async fn bodies_of_all_kinds_on_one_connection(door: Door) {
    let config = door
        .nginx()
        .server(
            "location /none { return 204; } location /broken { return 500; } location /busy { return 503; }",
        )
        .server("location /page { ssi on; ssi_types *; }")
        .server("location /zipped { alias {dir}/www/hello; gzip on; gzip_types *; gzip_min_length 1; }")
        .document("page", INCLUDING);
    let nginx = nginx!(config);
    let (mut sender, connection) = door.connect(nginx.address()).await;

    let head = sender.send_request(request("HEAD", "/hello", ())).await.unwrap();
    assert_eq!(head.headers()["content-length"], "13");
    let tag = head.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(read(head).await.unwrap(), "");
    assert_eq!(ask(&mut sender, get("/none")).await, (204, "".into()));
    assert_eq!(ask(&mut sender, with(get("/hello"), "if-none-match", &tag)).await, (304, "".into()));
    assert_eq!(ask(&mut sender, with(get("/hello"), "range", "bytes=7-11")).await, (206, "world".into()));

    let chunked = sender.send_request(get("/page")).await.unwrap();
    assert_eq!(chunked.headers()["transfer-encoding"], "chunked");
    assert_eq!(read(chunked).await.unwrap(), INCLUDED);
    let zipped = sender.send_request(with(get("/zipped"), "accept-encoding", "gzip")).await.unwrap();
    assert_eq!(
        (&zipped.headers()["transfer-encoding"], &zipped.headers()["content-encoding"]),
        (&"chunked".parse().unwrap(), &"gzip".parse().unwrap())
    );
    assert_eq!(read(zipped).await.unwrap()[..2], [0x1f, 0x8b]);

    // Of its own errors nginx keeps the connection for all but a few.
    for (path, status) in [("/absent", 404), ("/busy", 503), ("/hello", 200), ("/broken", 500)] {
        let (answer, body) = ask(&mut sender, get(path)).await;
        assert!(answer == status && !body.is_empty(), "{path}: {answer}, {body:?}");
    }
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 10 done, 0 failed")
    );
}

async fn http_1_0_is_closed_unless_kept(door: Door) {
    let nginx = nginx!(door.nginx());
    let old = || {
        let mut request = get("/hello");
        *request.version_mut() = Version::HTTP_10;
        request
    };
    let (mut sender, connection) = door.connect(nginx.address()).await;
    for _ in 0..2 {
        assert_eq!(ask(&mut sender, with(old(), "connection", "keep-alive")).await, (200, HELLO.into()));
    }
    assert_eq!(ask(&mut sender, old()).await, (200, HELLO.into()));
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 3 done, 0 failed")
    );
}

async fn a_request_that_asks_for_close_gets_it(door: Door) {
    let nginx = nginx!(door.nginx());
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, with(get("/hello"), "connection", "close")).await, (200, HELLO.into()));
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("request_asked_close by us: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

async fn a_body_that_ends_with_the_connection(door: Door) {
    let config = door
        .nginx()
        .server("ssi on; ssi_types *; chunked_transfer_encoding off;")
        .document("page", INCLUDING);
    let nginx = nginx!(config);
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/page")).await.unwrap();
    assert!(
        !response.headers().contains_key("content-length")
            && !response.headers().contains_key("transfer-encoding")
    );
    assert_eq!(read(response).await.unwrap(), INCLUDED);
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

async fn a_body_that_ends_with_the_connection_cut_short(door: Door) {
    let page = bytes(300_000);
    let config = door.nginx().server("ssi on; ssi_types *; chunked_transfer_encoding off;").server(SLOWLY);
    let nginx = nginx!(config.document("page", page.clone()));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/page")).await.unwrap();
    nginx.stop();
    let body = read(response).await;
    let story = story(&connection.closed().await);
    match door.way() {
        // Nobody can tell that from an end: that is why such bodies are not to be trusted.
        Way::Plain => {
            let body = body.unwrap();
            assert!(body.len() < page.len() && page.starts_with(&body), "{} bytes", body.len());
            assert_eq!(
                story,
                "peer_asked_close by the peer: clean; sent FIN, received FIN; 1 done, 0 failed"
            );
        }
        _ => {
            let error = body.unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason()),
                (ErrorKind::IncompleteBody, Some(&CloseReason::TlsTruncated))
            );
            assert_eq!(
                story,
                "tls_truncated by the peer: truncated; sent close_notify+FIN, received FIN; 0 done, 1 failed"
            );
        }
    }
}

async fn a_framed_body_cut_short(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(300_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    nginx.stop();
    assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::IncompleteBody);
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_ended_early by the peer: truncated; sent {goodbye}, received FIN; 0 done, 1 failed")
    );
}

async fn a_large_download_is_whole(door: Door) {
    let large = bytes(8 << 20);
    let nginx = nginx!(door.nginx().document("large", large.clone()));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    for _ in 0..2 {
        let (status, body) = ask(&mut sender, get("/large")).await;
        assert!(status == 200 && body == large, "{status}, {} bytes", body.len());
    }
    let (report, goodbye) = (connection.close(CloseMode::graceful()).await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 2 done, 0 failed")
    );
    assert!(report.bytes_received > 16 << 20, "{report}");
}

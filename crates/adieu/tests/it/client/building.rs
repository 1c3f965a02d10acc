//! `RequestBuilder` and `ResponseExt`: what is sent, and what can be taken of a response.

use adieu::{Body, Client, ErrorKind, ResponseExt};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;

use super::net::{Arrivals, Net, SMALL};
use crate::support::{beside, in_time, watch_for_hangs};

const URL: &str = "http://example.com/";

fn client() -> (Client, Arrivals) {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    (net.client(|builder| builder), arrivals)
}

/// What a request looks like on the wire: its head.
async fn sent(client: &Client, arrivals: &mut Arrivals, request: adieu::RequestBuilder) -> String {
    let sending = beside(request.close_afterwards().send());
    let mut peer = arrivals.next().await;
    let head = in_time(peer.read_head()).await.unwrap();
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body = in_time(peer.read_exactly(length.unwrap_or(0))).await.unwrap();
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    drop(client.close_idle());
    head + &String::from_utf8(body).unwrap()
}

/// Whether a head has this field.
#[track_caller]
fn assert_has(sent: &str, field: &str) {
    assert!(sent.lines().any(|line| line.eq_ignore_ascii_case(field)), "no {field} in:\n{sent}");
}

#[tokio::test(start_paused = true)]
async fn fields_queries_and_bodies_as_they_are_sent() {
    let (client, mut arrivals) = client();
    let mut headers = HeaderMap::new();
    headers.insert("x-b", HeaderValue::from_static("replaced"));
    headers.append("x-b", HeaderValue::from_static("twice"));
    let request = client.get(URL).header("x-a", "1").header("x-a", "2").header("x-b", "0").headers(headers);
    let text = sent(&client, &mut arrivals, request).await;
    for field in ["host: example.com", "x-a: 1", "x-a: 2", "x-b: replaced", "x-b: twice", "connection: close"]
    {
        assert_has(&text, field);
    }
    assert!(text.starts_with("GET / HTTP/1.1\r\n") && !text.contains("x-b: 0"), "{text}");
    assert!(!text.to_ascii_lowercase().contains("content-length"), "a GET without a body: {text}");

    let text = sent(&client, &mut arrivals, client.post(URL).body("plain")).await;
    assert_has(&text, "content-length: 5");
    assert!(text.ends_with("\r\n\r\nplain"), "{text}");
    let text = sent(&client, &mut arrivals, client.post(URL)).await;
    assert_has(&text, "content-length: 0");
}

#[cfg(feature = "form")]
#[tokio::test(start_paused = true)]
async fn queries_and_forms() {
    let (client, mut arrivals) = client();
    for (url, target) in [
        ("http://example.com", "/?a=1+2&b=%26"),
        ("http://example.com/", "/?a=1+2&b=%26"),
        ("http://example.com/x?", "/x?a=1+2&b=%26"),
        ("http://example.com/x?y", "/x?y&a=1+2&b=%26"),
        ("http://example.com/x?y=0&", "/x?y=0&a=1+2&b=%26"),
    ] {
        let request =
            client.get(url).query(&[("a", "1 2")]).query(&[("b", "&")]).query::<[(&str, &str); 0]>(&[]);
        let text = sent(&client, &mut arrivals, request).await;
        assert!(text.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{url}: {text}");
    }
    let text = sent(&client, &mut arrivals, client.post(URL).form(&[("a", "1 2"), ("ä", "=")])).await;
    assert_has(&text, "content-type: application/x-www-form-urlencoded");
    assert!(text.ends_with("\r\n\r\na=1+2&%C3%A4=%3D"), "{text}");
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn json_out_and_in() {
    let (client, mut arrivals) = client();
    let text = sent(&client, &mut arrivals, client.post(URL).json(&[1, 2])).await;
    assert_has(&text, "content-type: application/json");
    assert!(text.ends_with("\r\n\r\n[1,2]"), "{text}");
    let own = client.post(URL).header("content-type", "application/ld+json").json(&"x");
    let text = sent(&client, &mut arrivals, own).await;
    assert_has(&text, "content-type: application/ld+json");
    assert_eq!(text.to_ascii_lowercase().matches("content-type").count(), 1, "{text}");

    arrivals.serve("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[3, 4] ");
    let response = in_time(client.get(URL).send()).await.unwrap();
    assert_eq!(in_time(response.json::<Vec<u32>>()).await.unwrap(), [3, 4]);
    let response = in_time(client.get(URL).send()).await.unwrap();
    let error = in_time(response.json::<String>()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadBody);
    assert!(error.to_string().starts_with("bad response body: invalid type: sequence"), "{error}");
}

fn secret(value: &'static str) -> HeaderValue {
    let mut value = HeaderValue::from_static(value);
    value.set_sensitive(true);
    value
}

#[tokio::test(start_paused = true)]
async fn credentials() {
    let (client, mut arrivals) = client();
    for (request, value) in [
        (client.get(URL).basic_auth("user", Some("pass word")), "Basic dXNlcjpwYXNzIHdvcmQ="),
        (client.get(URL).basic_auth("user", None::<&str>), "Basic dXNlcjo="),
        (client.get(URL).bearer_auth("token"), "Bearer token"),
        (client.get("http://us%40er:p%3Ass@example.com/"), "Basic dXNAZXI6cDpzcw=="),
        (client.get("http://user@example.com/"), "Basic dXNlcjo="),
        // What is said outright goes before what the URI says.
        (client.get("http://user@example.com/").bearer_auth("token"), "Bearer token"),
        (
            client.get("http://user@example.com/").header("authorization", secret("Bearer token")),
            "Bearer token",
        ),
        (
            client
                .get("http://a:b@example.com")
                .headers([(AUTHORIZATION, secret("Bearer x"))].into_iter().collect()),
            "Bearer x",
        ),
    ] {
        let debug = format!("{request:?}");
        assert!(debug.contains("Sensitive"), "{debug}");
        assert!(!debug.contains('@'), "the URI still says who we are: {debug}");
        let text = sent(&client, &mut arrivals, request).await;
        assert_has(&text, &format!("authorization: {value}"));
        assert_has(&text, "host: example.com");
        assert!(
            text.starts_with("GET / ") && text.to_ascii_lowercase().matches("authorization").count() == 1,
            "{text}"
        );
    }
    assert_eq!(client.stats().origins.len(), 1, "credentials make no origin: {}", client.stats());
}

#[tokio::test(start_paused = true)]
async fn defaults_give_way_to_what_a_request_says() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let mut headers = HeaderMap::new();
    headers.append("accept", HeaderValue::from_static("text/html"));
    headers.append("accept", HeaderValue::from_static("*/*"));
    let client = net.client(|builder| builder.default_headers(headers).user_agent("tester/1"));
    let text = sent(&client, &mut arrivals, client.get(URL)).await;
    for field in ["accept: text/html", "accept: */*", "user-agent: tester/1"] {
        assert_has(&text, field);
    }
    let own = client.get(URL).header("accept", "image/png").header("user-agent", "other");
    let text = sent(&client, &mut arrivals, own).await;
    assert_has(&text, "accept: image/png");
    assert_has(&text, "user-agent: other");
    assert!(!text.contains("text/html") && !text.contains("tester"), "{text}");
    let error = Client::builder().user_agent("line\nfeed").build().unwrap_err();
    assert_eq!(error.to_string(), "invalid request: failed to parse header value");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_by_send_and_by_build() {
    let (client, _arrivals) = client();
    let name: Result<HeaderName, _> = "not a name".parse();
    for (request, why) in [
        (client.get(URL).header("not a name", "x"), name.unwrap_err().to_string()),
        (
            client.get(URL).header("x", "line\nfeed").header("y", "fine"),
            "failed to parse header value".to_owned(),
        ),
        (client.get("http://[/").header("x", "y"), "invalid".to_owned()),
        (client.get(URL).bearer_auth("\n"), "failed to parse header value".to_owned()),
    ] {
        let error = in_time(request.send()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let text = error.to_string();
        assert!(text.starts_with("invalid request: ") && text.contains(&why), "{text}");
    }
    assert_eq!(
        client.get(URL).header("not a name", "x").build().unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
    let request = client.put(URL).header("x", "y").body("z").build().unwrap();
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("PUT", URL));
    assert_eq!(request.headers()["x"], "y");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_taken_of_a_response() {
    let (client, arrivals) = client();
    arrivals.serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nab\xffd".as_slice());
    let get = async || in_time(client.get(URL).send()).await.unwrap();
    assert_eq!(&in_time(get().await.bytes()).await.unwrap()[..], b"ab\xffd");
    assert_eq!(in_time(get().await.text()).await.unwrap(), "ab\u{fffd}d");
    let error = get().await.error_for_status().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(http::StatusCode::NOT_FOUND));
    assert_eq!(error.to_string(), "the response has the status 404 Not Found");
    assert_eq!(error.blame(), adieu::Blame::Peer);
    let response = get().await;
    assert_eq!(response.connection(), response.info().map(|info| info.connection));
    assert!(http::Response::new(Body::empty()).info().is_none());
    assert_eq!(in_time(response.into_body().collect()).await.unwrap().to_bytes().len(), 4);
    assert_eq!(client.stats().total.exchanges, 4);
}

//! By which rules a request is sent again: methods, marks, bodies, events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adieu::observe::{Happening, ReplayCause, Told};
use adieu::{Body, Bytes, Fate, Proof, Refusal, Replay, ResponseExt};
use http::{Method, Request};
use http_body_util::Full;

use super::{Ending, in_time, replays};

/// What a rule makes of a request that may have been processed.
async fn unknown(method: Method, rule: Replay, key: Option<&str>) -> Result<u32, Refusal> {
    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder.replay(rule)).await;
    ending.end();
    let mut request = client.build_request(method, ending.url());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let outcome = in_time(request.send()).await;
    match outcome {
        Ok(response) => {
            assert_eq!(ending.asked(), 2);
            Ok(response.info().unwrap().replays)
        }
        Err(error) => {
            assert_eq!((error.fate(), ending.asked()), (Fate::Unknown, 1));
            Err(error.refusal().unwrap())
        }
    }
}

#[tokio::test]
async fn what_may_have_been_processed_goes_by_method_and_rule() {
    let harmful = Err(Refusal::MayBeProcessed);
    for (method, safe, idempotent) in [
        (Method::GET, Ok(1), Ok(1)),
        (Method::OPTIONS, Ok(1), Ok(1)),
        (Method::PUT, harmful, Ok(1)),
        (Method::DELETE, harmful, Ok(1)),
        (Method::POST, harmful, harmful),
        (Method::PATCH, harmful, harmful),
    ] {
        assert_eq!(unknown(method.clone(), Replay::Safe, None).await, safe, "{method}");
        assert_eq!(unknown(method.clone(), Replay::Idempotent, None).await, idempotent, "{method}");
        assert_eq!(unknown(method.clone(), Replay::Proven, None).await, Err(Refusal::Off), "{method}");
        assert_eq!(unknown(method.clone(), Replay::Never, None).await, Err(Refusal::Off), "{method}");
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_twice_harmless() {
    assert_eq!(unknown(Method::POST, Replay::Safe, Some("7")).await, Ok(1));
    assert_eq!(unknown(Method::POST, Replay::Proven, Some("7")).await, Err(Refusal::Off));
}

#[tokio::test]
async fn a_request_may_be_marked_or_have_a_rule_of_its_own() {
    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    ending.end();
    assert_eq!(replays(client.post(ending.url()).body("b").repeatable()).await, 1);

    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    ending.end();
    let error = in_time(client.get(ending.url()).replay(Replay::Never).send()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::Off));

    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder.replay(Replay::Never)).await;
    ending.end();
    assert_eq!(replays(client.get(ending.url()).replay(Replay::Safe)).await, 1);
}

/// What is in memory or made by a factory comes whole the second time, in whatever type it was given.
#[tokio::test]
async fn bodies_that_can_be_produced_again() {
    async fn again<B>(body: B) -> Vec<u8>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<adieu::BoxError>,
    {
        let ending = Ending::closes_idle();
        let client = ending.client(|builder| builder).await;
        ending.end();
        let request = Request::post(ending.url()).body(body).unwrap();
        let response = in_time(client.request(request)).await.unwrap();
        assert_eq!(response.info().unwrap().replays, 1);
        let seen = ending.peer.seen(1).unwrap();
        seen.requests()[0].body().to_vec()
    }
    assert_eq!(again(Body::from("text")).await, b"text");
    assert_eq!(again(Body::from(vec![7; 100_000])).await, vec![7; 100_000]);
    assert_eq!(again(Body::empty()).await, b"");
    assert_eq!(again(Full::new(Bytes::from("full"))).await, b"full");
    assert_eq!(again("a string".to_owned()).await, b"a string");
    assert_eq!(again(Full::new(Bytes::new())).await, b"");
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let factory = Body::factory(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Body::from("made anew")
    });
    assert_eq!(again(factory).await, b"made anew");
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn each_decision_is_an_event_and_is_counted() {
    let ending = Ending::closes_idle();
    let client = ending.client(|builder| builder).await;
    let mut events = client.events();
    ending.end();
    assert_eq!(replays(client.post(ending.url()).body("b")).await, 1);
    let mut again = Vec::new();
    while let Some(Told::Event(event)) = events.try_next() {
        if matches!(event.what, Happening::Replayed { .. } | Happening::NotReplayed { .. }) {
            again.push(event);
        }
    }
    let [event] = &again[..] else { panic!("{again:?}") };
    let Happening::Replayed { exchange, fate, cause, replays, .. } = &event.what else { panic!("{event}") };
    assert_eq!((*exchange, *replays), (2, 1));
    assert_eq!(*fate, Fate::NotProcessed(Proof::ClosedBeforeReceipt));
    assert_eq!(*cause, ReplayCause::Ended(adieu::CloseReason::PeerClosedIdle));
    assert!(event.to_string().contains("is sent again (1): not processed"), "{event}");
    let total = client.stats().total;
    assert_eq!((total.replayed, total.failed), (1, 1));

    let ending = Ending::reads_and_closes();
    let client = ending.client(|builder| builder).await;
    let mut events = client.events();
    ending.end();
    in_time(client.post(ending.url()).body("b").send()).await.unwrap_err();
    let mut refused = 0;
    while let Some(Told::Event(event)) = events.try_next() {
        if let Happening::NotReplayed { fate, refusal, .. } = event.what {
            assert_eq!((fate, refusal), (Fate::Unknown, Refusal::MayBeProcessed));
            refused += 1;
        }
    }
    assert_eq!((refused, client.stats().total.replayed), (1, 0));
}

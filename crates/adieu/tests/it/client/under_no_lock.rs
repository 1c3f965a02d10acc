//! What is the caller's is dropped under no lock of the pool: its wakers, and the errors of its connector.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use adieu::connect::{Connect, Connecting, Target};
use adieu::{Client, ErrorKind};

use super::wires::Net;
use crate::support::{in_time, pass, poll_once, settle, watch_for_hangs};

const URL: &str = "http://host/";

/// Asks the client when it is dropped.
struct Asks(Client);

impl Drop for Asks {
    fn drop(&mut self) {
        drop(self.0.stats());
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {}
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asks")
    }
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no way")
    }
}

impl Error for Asks {}

/// Fails after a second, with an error that asks the client.
#[derive(Clone, Default)]
struct Nowhere(Arc<Mutex<Option<Client>>>);

impl Connect for Nowhere {
    fn connect(&self, _: &Target) -> Connecting {
        let client = self.0.clone();
        Box::pin(async move {
            pass(Duration::from_secs(1)).await;
            let client = client.lock().unwrap().clone().unwrap();
            Err(Asks(client).into())
        })
    }
}

fn leading_nowhere() -> (Client, Nowhere) {
    watch_for_hangs();
    let nowhere = Nowhere::default();
    let client = Client::builder().connector(nowhere.clone()).build().unwrap();
    *nowhere.0.lock().unwrap() = Some(client.clone());
    (client, nowhere)
}

#[tokio::test(start_paused = true)]
async fn the_error_of_an_opening_that_nobody_waits_for() {
    let (client, nowhere) = leading_nowhere();
    let mut asked = client.get(URL).send();
    assert!(poll_once(&mut asked).await.is_pending());
    drop(asked);
    pass(Duration::from_secs(2)).await;
    assert_eq!(client.stats().total.not_opened, 1);
    *nowhere.0.lock().unwrap() = None;
}

#[tokio::test(start_paused = true)]
async fn the_error_that_a_request_was_given_and_did_not_take() {
    let (client, nowhere) = leading_nowhere();
    let mut asked = client.get(URL).send();
    assert!(poll_once(&mut asked).await.is_pending());
    pass(Duration::from_secs(2)).await;
    drop(asked);
    let error = in_time(client.get(URL).send()).await.unwrap_err();
    assert_eq!((error.kind(), client.stats().total.not_opened), (ErrorKind::Connect, 2));
    *nowhere.0.lock().unwrap() = None;
}

#[tokio::test(start_paused = true)]
async fn the_waker_of_the_task_that_a_request_has_left() {
    watch_for_hangs();
    let (net, _accepts) = Net::by_hand();
    let client = net.client().max_connections(1).pool_timeout(None).build().unwrap();
    let mut first = client.get(URL).send();
    assert!(poll_once(&mut first).await.is_pending());
    settle().await;
    let mut second = pin!(client.get(URL).send());
    // Another task from poll to poll: that of the one before lives by its waker alone.
    for _ in 0..3 {
        let waker = Waker::from(Arc::new(Asks(client.clone())));
        assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(client.waiting().len(), 1);
}

/// Begins a request when it is dropped: of that everybody is told.
struct Begins(Client);

impl Drop for Begins {
    fn drop(&mut self) {
        let mut asked = pin!(self.0.get(URL).send());
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}

impl Wake for Begins {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn the_waker_of_the_task_that_a_reader_of_events_has_left() {
    watch_for_hangs();
    let (net, _accepts) = Net::by_hand();
    let client = net.client().build().unwrap();
    let mut events = client.events();
    for _ in 0..2 {
        while events.try_next().is_some() {}
        let waker = Waker::from(Arc::new(Begins(client.clone())));
        drop(events.poll_next(&mut Context::from_waker(&waker)));
    }
    drop(events);
}

//! The waker of a task that a future has left is dropped under no lock of the connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use adieu::CloseMode;
use adieu::conn::http1::Connection;
use http_body::Body;

use super::{LONG, connect};
use crate::support::{get, in_time};

/// Asks and closes the connection when it is dropped.
struct Asks(Connection);

impl Drop for Asks {
    fn drop(&mut self) {
        drop(self.0.snapshot());
        drop(self.0.close(CloseMode::graceful()));
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {}
}

fn other_task(connection: &Connection) -> Waker {
    Waker::from(Arc::new(Asks(connection.clone())))
}

#[tokio::test(start_paused = true)]
async fn of_who_waits_for_a_response_and_of_who_reads_it() {
    let (mut sender, connection, mut peer) = connect().await;
    let mut asked = pin!(sender.send_request(get("/")));
    for _ in 0..3 {
        assert!(asked.as_mut().poll(&mut Context::from_waker(&other_task(&connection))).is_pending());
    }
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let mut body = pin!(in_time(asked).await.unwrap().into_body());
    for _ in 0..3 {
        assert!(body.as_mut().poll_frame(&mut Context::from_waker(&other_task(&connection))).is_pending());
    }
}

#[tokio::test(start_paused = true)]
async fn of_who_waits_for_the_report_and_of_who_does_no_more() {
    let (_sender, connection, _peer) = connect().await;
    let mut closed = Box::pin(connection.closed());
    for _ in 0..3 {
        assert!(closed.as_mut().poll(&mut Context::from_waker(&other_task(&connection))).is_pending());
    }
    drop(closed);
}

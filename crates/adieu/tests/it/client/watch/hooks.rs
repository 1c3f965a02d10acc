//! Hooks: called under no lock, told what is so by then, and no harm to anybody when they panic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use adieu::observe::{Event, Happening};
use adieu::{Client, CloseMode, State};

use super::{Log, Replay, URL, exchange, polite, polite_client, words};
use crate::client::net::Net;
use crate::support::{in_time, pass, settle, watch_for_hangs};

/// One exchange, and then it is idle.
const LIFE: [&str; 8] = [
    "queued behind 0",
    "opening",
    "open",
    "served",
    "idle to active",
    "exchange 1 began",
    "exchange 1 done",
    "active to idle",
];

/// What follows when it is closed.
const END: [&str; 5] = [
    "idle to closing",
    "retired: closed by the user (graceful)",
    "closing to lingering",
    "lingering to closed",
    "closed: closed by the user (graceful)",
];

#[tokio::test(start_paused = true)]
async fn a_life_from_its_first_step_to_its_last() {
    let (client, log) = polite_client(|builder| builder);
    exchange(&client).await;
    in_time(client.close(CloseMode::graceful())).await;
    assert_eq!(log.words(), [&LIFE[..], &END].concat());
    Replay::of(&log.events());
}

#[tokio::test(start_paused = true)]
async fn a_hook_finds_what_it_is_told() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let place = Arc::new(OnceLock::<Client>::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let (client, seen) = (place.clone(), told.clone());
    let hook = move |event: &Event| {
        let (Some(client), Some(id)) = (client.get(), event.connection) else { return };
        let (connection, stats) = (client.connection(id), client.stats().total);
        let state = connection.map(|connection| connection.state);
        match &event.what {
            Happening::Opening => assert_eq!((state, stats.opening), (Some(State::Opening), 1)),
            Happening::Opened => assert_eq!((state, stats.opened, stats.opening), (Some(State::Idle), 1, 0)),
            Happening::Retired { .. } => assert_eq!(stats.idle + stats.active, 0),
            Happening::Closed { .. } => {
                assert_eq!((state, stats.closed["idle_limit"], stats.alive()), (None, 1, 0))
            }
            _ => return,
        }
        // Not reached where an assertion panics.
        seen.lock().unwrap().push(words(&event.what));
    };
    let client = net.client(|builder| builder.observer(hook).idle_timeout(std::time::Duration::from_secs(3)));
    place.set(client.clone()).unwrap();
    exchange(&client).await;
    pass(std::time::Duration::from_secs(60)).await;
    let limit = "idle for longer than its limit";
    let all =
        ["opening".to_owned(), "open".to_owned(), format!("retired: {limit}"), format!("closed: {limit}")];
    assert_eq!(*told.lock().unwrap(), all);
}

/// At each event in turn the hook asks everything and closes the connection, without waiting for it.
#[tokio::test(start_paused = true)]
async fn a_hook_may_ask_and_close() {
    for (at, moment) in LIFE.iter().enumerate() {
        for mode in [CloseMode::graceful(), CloseMode::now(), CloseMode::abort()] {
            watch_for_hangs();
            let (net, arrivals) = Net::new();
            arrivals.each(polite);
            let (log, place, count) =
                (Log::default(), Arc::new(OnceLock::<Client>::new()), AtomicUsize::new(0));
            let closed = Arc::new(Mutex::new(Vec::new()));
            let (hooked, closes) = (place.clone(), closed.clone());
            let hook = move |event: &Event| {
                let Some(client) = hooked.get() else { return };
                if count.fetch_add(1, Ordering::SeqCst) != at {
                    return;
                }
                drop((client.stats(), client.connections(), client.waiting(), client.events()));
                for connection in client.connections() {
                    drop(client.close_connection(connection.id, mode));
                }
                if let Some(id) = event.connection {
                    drop(client.close_connection(id, mode));
                    closes.lock().unwrap().push(id);
                }
                drop(client.close_idle());
            };
            let client = net.client(|builder| log.watch(builder).observer(hook));
            place.set(client.clone()).unwrap();
            // It may fail, as what is closed does; but it ends.
            let _ = in_time(client.get(URL).send()).await;
            settle().await;
            let closed = closed.lock().unwrap().clone();
            assert_eq!(closed.len(), usize::from(at > 0), "the first is about a request");
            let replay = Replay::of(&log.events());
            let still = replay.alive().filter(|(id, _)| closed.contains(id)).count();
            assert_eq!(still, 0, "closed at {moment}, {mode:?}: {:?}", log.words());
            assert!(client.connections().iter().all(|connection| !closed.contains(&connection.id)));
            exchange(&client).await;
        }
    }
}

/// Who drops the last handle of a client in a hook retires its connections from within their own news.
#[tokio::test(start_paused = true)]
async fn a_hook_may_drop_the_last_handle() {
    for (at, moment) in LIFE.iter().enumerate() {
        watch_for_hangs();
        let (net, arrivals) = Net::new();
        arrivals.each(polite);
        let (log, count) = (Log::default(), AtomicUsize::new(0));
        let place = Arc::new(Mutex::new(None::<Client>));
        let hooked = place.clone();
        let hook = move |_: &Event| {
            if count.fetch_add(1, Ordering::SeqCst) == at {
                let client = hooked.lock().unwrap().take();
                drop(client);
            }
        };
        let client = net.client(|builder| log.watch(builder).observer(hook));
        let sending = client.get(URL).send();
        *place.lock().unwrap() = Some(client);
        let _ = in_time(sending).await;
        pass(std::time::Duration::from_secs(1)).await;
        let replay = Replay::of(&log.events());
        assert_eq!(replay.alive().count(), 0, "dropped at {moment}: {:?}", log.words());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_harms_nobody() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let log = Log::default();
    let client = net.client(|builder| {
        let builder = builder.observer(|event: &Event| panic!("on purpose, at {event}"));
        log.watch(builder).observer(|_: &Event| panic!("on purpose, after the other"))
    });
    let mut events = client.events();
    for _ in 0..2 {
        exchange(&client).await;
    }
    in_time(client.close(CloseMode::graceful())).await;
    let told = log.events();
    assert_eq!(Replay::of(&told).closed()["user_graceful"], 1);
    for event in told {
        let adieu::observe::Told::Event(same) = events.try_next().unwrap() else {
            panic!("nothing was missed")
        };
        assert_eq!(words(&same.what), words(&event.what));
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_fails_or_is_called_off_is_told_to_its_end() {
    use adieu::ErrorKind;
    watch_for_hangs();
    let (net, _arrivals) = Net::new();
    let log = Log::default();
    let client = net.delay(std::time::Duration::from_secs(50)).client(|builder| log.watch(builder));
    let sending = crate::support::beside(client.get(URL).send());
    settle().await;
    let [opening] = &client.connections()[..] else { panic!("one is being opened") };
    assert_eq!((opening.state, client.stats().total.opening), (State::Opening, 1));
    assert_eq!(opening.origin.as_deref(), Some("http://example.com"));
    let report = in_time(client.close_connection(opening.id, CloseMode::now()).unwrap()).await;
    assert_eq!(report.reason.code(), "user_now");
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.connection()), (ErrorKind::Closed, Some(opening.id)));
    assert_eq!(log.words(), ["queued behind 0", "opening", "closed: closed by the user (now)", "gave up"]);
    let total = client.stats().total;
    assert_eq!((total.not_opened, total.opened, total.alive(), total.closed.len()), (1, 0, 0, 0), "{total}");
}

/// A connector that closes what it opens at the moment at which it is open.
struct ClosesItself {
    net: Net,
    client: Arc<OnceLock<Client>>,
    times: AtomicUsize,
}

impl adieu::connect::Connect for ClosesItself {
    fn connect(&self, target: &adieu::connect::Target) -> adieu::connect::Connecting {
        let (client, connecting) = (self.client.clone(), self.net.connect(target));
        let closes = self.times.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            let transport = connecting.await?;
            if let Some(client) = client.get().filter(|_| closes) {
                for connection in client.connections() {
                    drop(client.close_connection(connection.id, CloseMode::now()));
                }
            }
            Ok(transport)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_in_the_moment_of_opening_is_not_lost() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(polite);
    let (log, place) = (Log::default(), Arc::new(OnceLock::new()));
    let connector = ClosesItself { net, client: place.clone(), times: AtomicUsize::new(0) };
    let client = log.watch(Client::builder().connector(connector)).build().unwrap();
    place.set(client.clone()).unwrap();
    exchange(&client).await;
    settle().await;
    let replay = Replay::of(&log.events());
    assert_eq!((replay.0.len(), replay.closed()["user_now"]), (2, 1), "{:?}", log.words());
    assert_eq!(client.stats().total.idle, 1, "the request took another");
}

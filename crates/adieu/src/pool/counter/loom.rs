//! Every order in which threads may come to the counter: no wake-up is lost, nobody is served twice, and what was granted
//! to one that left goes to the next. A wake-up that is lost is a deadlock, which loom tells.
//!
//! `RUSTFLAGS="--cfg adieu_loom" cargo test -p adieu --lib --target-dir target/loom loom`

use std::sync::Arc;
use std::task::{Wake, Waker};

use adieu_proto::lifecycle::CloseReason;
use adieu_proto::shelf::{Effects, Grant, Limits, Origin, Shelf, Slot, Waiter, Wanted};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Counter, Stand, Stock};

/// A shelf whose connections are numbers, and the number of the next that is opened.
struct Bare {
    shelf: Shelf<u32, Waker, &'static str>,
    next: u32,
}

impl Stock for Bare {
    type Connection = u32;
    type Failure = &'static str;

    fn shelf(&mut self) -> &mut Shelf<u32, Waker, &'static str> {
        &mut self.shelf
    }
}

/// What a thread sleeps on until its waker is called.
#[derive(Default)]
struct Bell {
    rung: Mutex<u32>,
    heard: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == 0 {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = 0;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.heard.notify_one();
    }
}

type Told = Grant<u32, &'static str>;

/// One origin with room for one connection, which is lent: the world, the origin and the connection.
fn one_lent() -> (Arc<Counter<Bare>>, Origin, Slot) {
    let mut shelf = Shelf::new({
        let mut limits = Limits::default();
        limits.per_origin = Some(1);
        limits
    });
    let origin = shelf.add_origin();
    let counter = Arc::new(Counter::new(Bare { shelf, next: 1 }));
    let (told, _) = ask(&counter, origin);
    let Grant::Connection(slot, 1) = told else { panic!("{told:?}") };
    (counter, origin, slot)
}

fn waiter(waker: &Waker) -> Waiter<Waker> {
    Waiter { since: crate::rt::now(), deadline: None, waker: waker.clone() }
}

/// Does what follows. What is to be opened opens at once.
fn carry_out(counter: &Counter<Bare>, mut todo: Effects<u32, Waker>) {
    todo.wake.drain(..).for_each(Waker::wake);
    for (opening, _) in std::mem::take(&mut todo.open) {
        let mut more = Effects::default();
        let mut stock = counter.lock();
        let number = stock.next;
        stock.next += 1;
        stock.shelf.opened(opening, number, &mut more);
        drop(stock);
        carry_out(counter, more);
    }
}

/// Waits in line until it is served.
fn ask(counter: &Counter<Bare>, origin: Origin) -> (Told, Stand) {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut stand = Stand::new(counter, origin, Wanted::Any, None);
    let mut todo = Effects::default();
    stand.queue(counter, waiter(&waker), &mut todo);
    carry_out(counter, todo);
    loop {
        if let Some(told) = stand.poll(counter, &waker) {
            return (told, stand);
        }
        bell.wait();
    }
}

fn put_back(counter: &Counter<Bare>, slot: Slot, number: u32) {
    let mut todo = Effects::default();
    counter.lock().shelf.put_back(slot, number, &mut todo);
    carry_out(counter, todo);
}

fn assert_books(counter: &Counter<Bare>, idle: usize, lent: usize) {
    let total = counter.lock().shelf.total();
    assert_eq!((total.opening, total.idle, total.lent, total.waiting), (0, idle, lent, 0));
}

#[test]
fn a_connection_that_comes_back_wakes_whoever_waits() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let other = counter.clone();
        let waits = thread::spawn(move || ask(&other, origin).0);
        put_back(&counter, slot, 1);
        assert_eq!(waits.join().unwrap(), Grant::Connection(slot, 1));
        assert_books(&counter, 0, 1);
    });
}

#[test]
fn each_of_two_is_served_once() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || match ask(&counter, origin).0 {
                    Grant::Connection(slot, number) => put_back(&counter, slot, number),
                    told => panic!("{told:?}"),
                })
            })
            .collect();
        put_back(&counter, slot, 1);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_books(&counter, 1, 0);
        assert_eq!(counter.lock().next, 2, "no other was opened");
    });
}

#[test]
fn what_was_granted_to_one_that_left_goes_to_the_next() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        // In line already, and first.
        let mut first = Stand::new(&counter, origin, Wanted::Any, None);
        let mut todo = Effects::default();
        first.queue(&counter, waiter(Waker::noop()), &mut todo);
        let other = counter.clone();
        let leaves = thread::spawn(move || {
            if let Some(todo) = first.leave(&other) {
                carry_out(&other, todo);
            }
        });
        let other = counter.clone();
        let waits = thread::spawn(move || ask(&other, origin).0);
        put_back(&counter, slot, 1);
        leaves.join().unwrap();
        assert_eq!(waits.join().unwrap(), Grant::Connection(slot, 1));
        assert_books(&counter, 0, 1);
    });
}

#[test]
fn a_task_that_moved_is_woken_where_it_is() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let mut stand = Stand::new(&counter, origin, Wanted::Any, None);
        stand.queue(&counter, waiter(Waker::noop()), &mut Effects::default());
        let other = counter.clone();
        let comes_back = thread::spawn(move || put_back(&other, slot, 1));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let told = loop {
            match stand.poll(&counter, &waker) {
                Some(told) => break told,
                None => bell.wait(),
            }
        };
        assert_eq!(told, Grant::Connection(slot, 1));
        comes_back.join().unwrap();
    });
}

#[test]
fn one_that_leaves_makes_room_and_another_is_opened() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let other = counter.clone();
        let waits = thread::spawn(move || ask(&other, origin).0);
        let mut todo = Effects::default();
        counter.lock().shelf.leave(slot, &mut todo);
        carry_out(&counter, todo);
        assert!(matches!(waits.join().unwrap(), Grant::Connection(_, 2)));
        assert_books(&counter, 0, 1);
    });
}

#[test]
fn one_that_comes_back_and_leaves_at_once_is_lent_to_nobody_for_long() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let other = counter.clone();
        let waits = thread::spawn(move || {
            loop {
                match ask(&other, origin).0 {
                    // As a request does that finds its connection gone.
                    Grant::Connection(slot, 1) => {
                        put_back(&other, slot, 1);
                        thread::yield_now();
                    }
                    told => return told,
                }
            }
        });
        let other = counter.clone();
        let leaves = thread::spawn(move || {
            let mut todo = Effects::default();
            other.lock().shelf.leave(slot, &mut todo);
            carry_out(&other, todo);
        });
        put_back(&counter, slot, 1);
        leaves.join().unwrap();
        assert!(matches!(waits.join().unwrap(), Grant::Connection(_, 2)));
        assert_books(&counter, 0, 1);
    });
}

#[test]
fn a_failure_is_told_to_one_and_the_other_gets_an_opening_of_its_own() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let mut first = Stand::new(&counter, origin, Wanted::Any, None);
        let mut todo = Effects::default();
        first.queue(&counter, waiter(Waker::noop()), &mut todo);
        counter.lock().shelf.leave(slot, &mut todo);
        let (opening, _) = todo.open.pop().unwrap();
        let other = counter.clone();
        let fails = thread::spawn(move || {
            let mut todo = Effects::default();
            assert_eq!(other.lock().shelf.open_failed(opening, "no", &mut todo), None);
            carry_out(&other, todo);
        });
        let other = counter.clone();
        let waits = thread::spawn(move || ask(&other, origin).0);
        fails.join().unwrap();
        assert!(matches!(waits.join().unwrap(), Grant::Connection(_, 2)));
        assert_eq!(first.poll(&counter, Waker::noop()), Some(Grant::Failed("no")));
    });
}

#[test]
fn nobody_waits_at_a_closed_counter() {
    loom::model(|| {
        let (counter, origin, slot) = one_lent();
        let other = counter.clone();
        let waits = thread::spawn(move || match ask(&other, origin).0 {
            Grant::Connection(slot, number) => put_back(&other, slot, number),
            told => assert_eq!(told, Grant::Closed),
        });
        let other = counter.clone();
        let comes_back = thread::spawn(move || put_back(&other, slot, 1));
        let mut todo = Effects::default();
        counter.lock().shelf.close(CloseReason::HandlesDropped, &mut todo);
        carry_out(&counter, todo);
        waits.join().unwrap();
        comes_back.join().unwrap();
        assert_books(&counter, 0, 0);
    });
}

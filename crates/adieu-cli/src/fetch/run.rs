//! A run: workers that take from the queue over one client, which is closed at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use adieu::{Client, CloseMode, Timeouts};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::failure::{Failure, Tell};
use super::interrupt::Interrupt;
use super::plan::{Plan, Whereto};
use super::progress::{Bars, Counter};
use super::queue::Queue;
use super::report::Report;
use super::voice::Voice;
use super::watch::Watch;
use crate::exit::Exit;

/// Everything that the requests of a run share.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) client: Client,
    pub(super) watch: Arc<Watch>,
    pub(super) voice: Arc<Voice>,
    pub(super) report: Arc<Report>,
    /// How many requests are over.
    pub(super) requests: Cell<u64>,
    queue: Arc<Queue>,
    counter: RefCell<Counter>,
    exit: Cell<Exit>,
}

impl Run {
    pub(super) fn new(plan: Arc<Plan>, voice: Arc<Voice>, report: Arc<Report>) -> Result<Self, Failure> {
        let queue = Arc::new(Queue::new(plan.clone()));
        let watch = Arc::new(Watch::new(plan.clone(), queue.clone(), voice.clone(), report.clone()));
        let client = client(&plan, &voice, &watch)?;
        watch.meet(client.clone());
        let on_terminal = plan.jobs.iter().any(|job| job.output == Whereto::Stdout) && Whereto::is_terminal();
        let bars = if queue.total() == 1 || on_terminal { &Bars::none() } else { voice.bars() };
        let counter = RefCell::new(bars.count(queue.total()));
        let (requests, exit) = (Cell::new(0), Cell::new(Exit::OK));
        Ok(Self { plan, client, watch, voice, report, requests, queue, counter, exit })
    }

    /// Fetches everything, then closes every connection. The last failure is the exit code.
    pub(super) async fn run(self) -> Exit {
        let (run, interrupt) = (Rc::new(self), Rc::new(Interrupt::listen()));
        let mut workers = JoinSet::new();
        let most = usize::try_from(run.queue.total()).unwrap_or(usize::MAX);
        for _ in 0..run.plan.parallel.min(most) {
            workers.spawn_local(work(run.clone(), interrupt.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            if ended.is_err() {
                run.exit.set(Exit::OTHERWISE);
            }
        }
        run.counter.borrow_mut().finish();
        run.close(&interrupt).await;
        if let Some(failure) = run.report.lost() {
            run.failed(failure);
        }
        run.exit.get()
    }

    /// As `--close` says; as now after Ctrl-C.
    async fn close(&self, interrupt: &Interrupt) {
        if !interrupt.has_come() {
            tokio::select! {
                biased;
                _ = self.client.close(self.plan.close) => return,
                () = interrupt.came() => {}
            }
        }
        self.client.close(CloseMode::now()).await;
        self.exit.set(Exit::INTERRUPTED);
    }

    fn failed(&self, failure: &Failure) {
        self.voice.failure(failure);
        self.exit.set(failure.exit);
        if failure.tell == Tell::No {
            self.queue.clear();
        }
    }
}

/// Takes from the queue until it is empty.
async fn work(run: Rc<Run>, interrupt: Rc<Interrupt>) {
    while let Some(job) = run.queue.take() {
        let outcome = run.fetch(job, &interrupt).await;
        run.counter.borrow_mut().add(&outcome);
        if let Err(failure) = outcome {
            run.failed(&failure);
        }
        if let (Some(pause), false) = (run.plan.pause, run.queue.is_empty()) {
            tokio::select! {
                () = sleep(pause.draw()) => {}
                () = interrupt.came() => run.queue.clear(),
            }
        }
    }
}

/// The one client.
fn client(plan: &Plan, voice: &Arc<Voice>, watch: &Arc<Watch>) -> Result<Client, Failure> {
    let mut timeouts = Timeouts::new().linger(plan.close.linger_limit());
    if let Some(limit) = plan.reach.limit {
        timeouts = timeouts.resolve(limit).connect(limit).proxy(limit).tls(limit);
    }
    let (interim, watch) = (voice.clone(), watch.clone());
    let client = Client::builder()
        .timeouts(timeouts)
        .replay(plan.replay)
        .tls(|_| plan.tls.clone())
        .on_interim(move |head| interim.response(head))
        .observer(move |event: &adieu::observe::Event| watch.observe(event));
    let built = plan.reach.set_up(client).build();
    built.map_err(|error| Failure::before(Exit::USAGE, error.to_string()))
}

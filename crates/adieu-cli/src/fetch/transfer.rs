//! The queue: each URL in its turn, each redirect on the way, one line of report for each request.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use adieu::conn::Connection;
use adieu::{Body, CloseMode, ErrorKind, ExchangePhase, Use};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, sleep_until};

use super::failure::{Failure, Fate, Tell};
use super::interrupt::Interrupt;
use super::origins::{Hold, Origins};
use super::output::Sink;
use super::plan::{Heads, Job, Plan, StatusErrors};
use super::progress::{Bars, Direction};
use super::redirect::{Follow, Leg, Payload, Trust};
use super::report::{Ended, Report};
use super::story::Story;
use super::voice::{Opening, Voice};
use crate::clock;
use crate::exit::Exit;

/// Everything that the requests of a run share.
pub(super) struct Run<'p> {
    plan: &'p Plan,
    origins: Origins<'p>,
    voice: Arc<Voice>,
    report: Arc<Report>,
    interrupt: Interrupt,
    requests: Cell<u64>,
}

/// Where the queue is.
#[derive(Clone, Copy)]
struct Place {
    round: u64,
    job: usize,
}

/// What is known of a request in flight, should it be cut short.
struct Notes {
    opening: Opening,
    connection: RefCell<Option<(Connection, Use)>>,
    status: Cell<Option<StatusCode>>,
}

/// Where a redirect leads, if this was one.
type Next = Option<Result<Leg, Failure>>;

impl Notes {
    fn new(voice: Arc<Voice>) -> Self {
        Self { opening: Opening::new(voice), connection: RefCell::default(), status: Cell::default() }
    }
}

impl<'p> Run<'p> {
    pub(super) fn new(plan: &'p Plan, voice: Arc<Voice>, report: Report, interrupt: Interrupt) -> Self {
        let report = Arc::new(report);
        let origins = Origins::new(plan, voice.clone(), report.clone());
        Self { plan, origins, voice, report, interrupt, requests: Cell::new(0) }
    }

    /// Fetches everything, then closes every connection. The last failure is the exit code.
    pub(super) async fn run(&self) -> Exit {
        let mut exit = self.queue().await;
        let mode = if exit == Exit::INTERRUPTED { CloseMode::now() } else { self.plan.close };
        let closed = self.origins.close_all(mode);
        tokio::select! {
            biased;
            () = closed => {}
            () = self.interrupt.came(), if exit != Exit::INTERRUPTED => {
                self.origins.close_all(CloseMode::now()).await;
                exit = Exit::INTERRUPTED;
            }
        }
        if let Err(failure) = self.origins.told().await {
            self.voice.failure(&failure);
            exit = failure.exit;
        }
        exit
    }

    async fn queue(&self) -> Exit {
        let mut exit = Exit::OK;
        for round in 0..self.plan.repeat {
            for (number, job) in self.plan.jobs.iter().enumerate() {
                let place = Place { round, job: number };
                if let Err(failure) = self.job(job, place).await {
                    self.voice.failure(&failure);
                    exit = failure.exit;
                    // Nobody wants the rest.
                    if failure.tell == Tell::No {
                        return exit;
                    }
                }
                let more = number + 1 < self.plan.jobs.len() || round + 1 < self.plan.repeat;
                if let (Some(pause), true) = (self.plan.pause, more) {
                    tokio::select! {
                        () = sleep(pause.draw()) => {}
                        () = self.interrupt.came() => return Exit::INTERRUPTED,
                    }
                }
            }
        }
        exit
    }

    /// One URL, from its first request to its last response.
    async fn job(&self, job: &Job, place: Place) -> Result<(), Failure> {
        let target = match &job.target {
            Ok(target) => target.clone(),
            Err(failure) => {
                self.tell(
                    self.plan.draft.method.as_str(),
                    &job.typed,
                    &Notes::new(self.voice.clone()),
                    clock::now(),
                    Some(failure),
                )?;
                return Err(failure.clone());
            }
        };
        let method = self.plan.draft.method.clone();
        let mut leg = Leg { target, method, payload: Payload::Kept, trust: Trust::First };
        let mut sink = Sink::new(&job.output);
        let deadline = self.plan.limit.map(|limit| Instant::from_std(clock::now() + limit));
        let mut redirects = 0;
        while let Some(next) = self.leg(&leg, &mut sink, deadline, place).await? {
            redirects += 1;
            if let Follow::UpTo(most) = self.plan.follow
                && redirects > most
            {
                return Err(Failure::after(Exit::REDIRECTS, format!("more than {most} redirects")));
            }
            leg = next?;
            self.voice.step(format_args!("following the redirect to {}", leg.target));
        }
        Ok(())
    }

    /// One request; cut short by its deadline or by Ctrl-C, and told in the report either way.
    async fn leg(
        &self,
        leg: &Leg,
        sink: &mut Sink<'_>,
        deadline: Option<Instant>,
        place: Place,
    ) -> Result<Next, Failure> {
        let (notes, began) = (Notes::new(self.voice.clone()), clock::now());
        let outcome = {
            let mut attempt = pin!(self.attempt(leg, sink, &notes, place));
            tokio::select! {
                biased;
                outcome = &mut attempt => outcome,
                () = passed(deadline) => Err(self.too_late(&notes)),
                () = self.interrupt.came() => Err(self.interrupted(&notes, attempt).await),
            }
        };
        self.tell(leg.method.as_str(), &leg.target.to_string(), &notes, began, outcome.as_ref().err())?;
        outcome
    }

    /// Sends the request and takes the response. A kept connection that turns out to be gone before anything was
    /// written is replaced.
    async fn attempt(
        &self,
        leg: &Leg,
        sink: &mut Sink<'_>,
        notes: &Notes,
        place: Place,
    ) -> Result<Next, Failure> {
        loop {
            let request = self.plan.draft.request(leg, self.plan.bars.start(Direction::Up)).await?;
            let mut hold = self.origins.check_out(&leg.target, &notes.opening).await?;
            notes.connection.replace(Some((hold.connection.clone(), hold.used)));
            self.voice.request(&request);
            hold.story.request_begins();
            let answered = {
                let mut response = pin!(hold.sender.send_request(request));
                // The first poll begins the exchange.
                let first = poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await;
                hold.story.request_goes_on();
                if !self.comes_again(&leg.target.origin(), place) {
                    self.origins.end_our_side(&hold.connection);
                }
                match first {
                    Poll::Ready(answered) => answered,
                    Poll::Pending => told(response, &hold.story).await,
                }
            };
            let Hold { used, .. } = hold;
            self.origins.check_in(&leg.target, hold);
            match answered {
                Ok(response) => {
                    notes.status.set(Some(response.status()));
                    return self.receive(leg, response, sink).await;
                }
                Err(error)
                    if error.kind() == ErrorKind::Closed
                        && error.facts().is_none()
                        && used == Use::Reused =>
                {
                    self.voice.step(&error);
                }
                Err(error) => return Err(Failure::of(&error)),
            }
        }
    }

    async fn receive(
        &self,
        leg: &Leg,
        response: Response<Body>,
        sink: &mut Sink<'_>,
    ) -> Result<Next, Failure> {
        self.voice.response(&response);
        let status = response.status();
        if self.plan.errors == StatusErrors::Fail && status.as_u16() >= 400 {
            return Err(Failure::after(Exit::STATUS, format!("the server answered {status}")));
        }
        let next = match self.plan.follow {
            Follow::Never => None,
            Follow::UpTo(_) | Follow::Always => leg.next(status, response.headers()),
        };
        sink.open().await?;
        if self.plan.heads == Heads::Shown {
            sink.head(&response).await?;
        }
        if next.is_none() {
            self.copy(response.into_body(), sink).await?;
        }
        sink.flush().await?;
        Ok(next)
    }

    /// The body, no faster than the output takes it; flushed whenever nothing more is here.
    async fn copy(&self, mut body: Body, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let bars = if sink.is_terminal() { Bars::None } else { self.plan.bars };
        let mut progress = bars.start(Direction::Down);
        progress.expect(body.size_hint().exact());
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = ready(()), if sink.holds_back() => {
                    sink.flush().await?;
                    continue;
                }
            };
            match frame {
                None => return Ok(()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        progress.add(data.len());
                        sink.write(&data).await?;
                    }
                    Err(frame) => {
                        frame.trailers_ref().into_iter().for_each(|fields| self.voice.trailers(fields))
                    }
                },
                Some(Err(error)) => {
                    // What came is kept.
                    sink.flush().await?;
                    return Err(Failure::of(&error));
                }
            }
        }
    }

    /// Whether a later URL of the queue is of this origin.
    fn comes_again(&self, origin: &str, place: Place) -> bool {
        let here = |job: &Job| job.target.as_ref().is_ok_and(|target| target.origin() == origin);
        let jobs = &self.plan.jobs;
        jobs.iter().skip(place.job + 1).any(here)
            || (place.round + 1 < self.plan.repeat && jobs.iter().any(here))
    }

    fn too_late(&self, notes: &Notes) -> Failure {
        let limit = self.plan.limit.unwrap_or_default();
        match &*notes.connection.borrow() {
            None => Failure::before(
                Exit::TIMEOUT,
                format!("timed out after {limit:?} (-m): {}", notes.opening.doing()),
            ),
            Some((connection, _)) => {
                let (id, phase) = (connection.id(), connection.snapshot().phase);
                let what = match phase {
                    ExchangePhase::None => "writing the response".to_owned(),
                    phase => phase.to_string(),
                };
                Failure::after(
                    Exit::TIMEOUT,
                    format!("timed out after {limit:?} (-m): {what} (connection {id})"),
                )
            }
        }
    }

    /// Closes everything as `now`; an exchange in flight still tells how it ended.
    async fn interrupted(
        &self,
        notes: &Notes,
        attempt: impl Future<Output = Result<Next, Failure>>,
    ) -> Failure {
        let closed = self.origins.close_all(CloseMode::now());
        let outcome = tokio::select! {
            biased;
            outcome = attempt => outcome.err(),
            () = closed => None,
        };
        let fate = match outcome {
            Some(failure) => failure.fate,
            None if notes.connection.borrow().is_none() => Fate::NotSent,
            None => Fate::Open,
        };
        Failure { exit: Exit::INTERRUPTED, what: "interrupted".to_owned(), fate, tell: Tell::No }
    }

    fn tell(
        &self,
        method: &str,
        url: &str,
        notes: &Notes,
        began: std::time::Instant,
        failure: Option<&Failure>,
    ) -> Result<(), Failure> {
        self.requests.set(self.requests.get() + 1);
        let connection = notes.connection.borrow();
        self.report.request(&Ended {
            n: self.requests.get(),
            method,
            url,
            status: notes.status.get().map(|status| status.as_u16()),
            failure,
            connection: connection.as_ref().map(|(connection, used)| (connection.id(), *used)),
            took: began.elapsed(),
        })
    }
}

/// The same answer; each step towards it is told.
async fn told<F: Future + Unpin>(mut response: F, story: &Story) -> F::Output {
    poll_fn(|cx| {
        let polled = Pin::new(&mut response).poll(cx);
        story.request_goes_on();
        polled
    })
    .await
}

/// Done when the deadline passes; without one, never.
async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

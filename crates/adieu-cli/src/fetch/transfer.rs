//! One URL: each redirect on the way, one line of report for each request.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use adieu::{
    Body, CloseMode, ConnectionId, Error, ErrorKind, Fate, Phase, RequestOptions, ResponseExt, ResponseInfo,
    Use,
};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until};

use super::failure::{Failure, Tell};
use super::interrupt::Interrupt;
use super::output::Sink;
use super::plan::{Heads, Job, StatusErrors};
use super::progress::{Bars, Direction};
use super::redirect::{Follow, Leg, Payload, Trust};
use super::report::Ended;
use super::run::Run;
use crate::clock;
use crate::exit::Exit;

/// What is known of a request, should it be cut short.
#[derive(Default)]
struct Notes {
    connection: Cell<Option<(ConnectionId, Use)>>,
    replays: Cell<u32>,
    status: Cell<Option<StatusCode>>,
}

/// Where a redirect leads, if this was one.
type Next = Option<Result<Leg, Failure>>;

impl Notes {
    fn answered(&self, status: StatusCode, info: Option<&ResponseInfo>) {
        self.status.set(Some(status));
        if let Some(info) = info {
            let used = if info.is_reused() { Use::Reused } else { Use::Fresh };
            self.connection.set(Some((info.connection, used)));
            self.replays.set(info.replays);
        }
    }

    fn failed(&self, error: &Error) {
        self.replays.set(error.replays().max(self.replays.get()));
        if let Some(id) = error.connection() {
            self.connection.set(Some((id, error.facts().map(|facts| facts.reused).unwrap_or_default())));
        }
    }
}

impl Run {
    /// One URL, from its first request to its last response.
    pub(super) async fn fetch(&self, job: &Job, interrupt: &Interrupt) -> Result<(), Failure> {
        let method = self.plan.draft.method.clone();
        let target = match &job.target {
            Ok(target) => target.clone(),
            Err(failure) => {
                self.tell(method.as_str(), &job.typed, &Notes::default(), Duration::ZERO, Some(failure));
                return Err(failure.clone());
            }
        };
        let mut leg = Leg { target, method, payload: Payload::Kept, trust: Trust::First };
        let mut sink = Sink::new(&job.output);
        let deadline = after(self.plan.limit);
        let mut redirects = 0;
        while let Some(next) = self.leg(&leg, &mut sink, deadline, interrupt).await? {
            redirects += 1;
            if let Follow::UpTo(most) = self.plan.follow
                && redirects > most
            {
                return Err(Failure::answered(Exit::REDIRECTS, format!("more than {most} redirects")));
            }
            leg = next?;
            self.voice.step(format_args!("following the redirect to {}", leg.target));
        }
        Ok(())
    }

    /// One request; cut short by Ctrl-C, and told in the report either way.
    async fn leg(
        &self,
        leg: &Leg,
        sink: &mut Sink<'_>,
        deadline: Option<Instant>,
        interrupt: &Interrupt,
    ) -> Result<Next, Failure> {
        let (notes, began) = (Notes::default(), clock::now());
        let outcome = {
            let mut attempt = pin!(self.attempt(leg, sink, &notes, deadline));
            tokio::select! {
                biased;
                () = interrupt.came() => self.interrupted(&notes, attempt).await,
                outcome = &mut attempt => outcome,
            }
        };
        let failure = outcome.as_ref().err();
        self.tell(leg.method.as_str(), &leg.target.to_string(), &notes, began.elapsed(), failure);
        outcome
    }

    /// Sends the request and takes the response.
    async fn attempt(
        &self,
        leg: &Leg,
        sink: &mut Sink<'_>,
        notes: &Notes,
        deadline: Option<Instant>,
    ) -> Result<Next, Failure> {
        let mut request = self.plan.draft.request(leg, self.voice.bars().start(Direction::Up)).await?;
        if let Some(deadline) = deadline {
            let left = deadline.into_std().saturating_duration_since(clock::now());
            request.extensions_mut().insert(RequestOptions::new().timeout(left));
        }
        let response = self.answer(request, leg, notes).await?;
        notes.answered(response.status(), response.info());
        self.voice.response(&response);
        let status = response.status();
        if self.plan.errors == StatusErrors::Fail && status.as_u16() >= 400 {
            return Err(Failure::answered(Exit::STATUS, format!("the server answered {status}")));
        }
        let next = match self.plan.follow {
            Follow::Never => None,
            Follow::UpTo(_) | Follow::Always => leg.next(status, response.headers()),
        };
        let copied = async {
            sink.open().await?;
            if self.plan.heads == Heads::Shown {
                sink.head(&response).await?;
            }
            if next.is_none() {
                self.copy(response.into_body(), leg, notes, sink).await?;
            }
            sink.flush().await
        };
        tokio::select! {
            biased;
            copied = copied => copied?,
            // The client knows the deadline too, but not that the output takes nothing.
            () = passed(deadline) => return Err(self.too_late(&"writing the response", notes)),
        }
        Ok(next)
    }

    /// The response, or why there is none. Opening a connection has a limit of its own.
    async fn answer(
        &self,
        request: Request<Body>,
        leg: &Leg,
        notes: &Notes,
    ) -> Result<Response<Body>, Failure> {
        let mut head = Some(self.voice.request(&request));
        let mut response = pin!(self.client.request(request));
        let mut late = pin!(passed(after(self.plan.reach.limit)));
        let answered = poll_fn(|cx| {
            match self.watch.turn(&mut head, || response.as_mut().poll(cx)) {
                // Its head is still here: it has no connection.
                Poll::Pending if head.is_some() => late.as_mut().poll(cx).map(|()| None),
                polled => polled.map(Some),
            }
        });
        match answered.await {
            Some(answered) => answered.map_err(|error| self.failure(&error, leg, notes)),
            None => {
                let (limit, doing) = (self.plan.reach.limit.unwrap_or_default(), self.doing(leg));
                let what = format!("timed out after {limit:?} (--connect-timeout): {doing}");
                Err(Failure::before(Exit::TIMEOUT, what))
            }
        }
    }

    /// The body, no faster than the output takes it; flushed whenever nothing more is here.
    async fn copy(
        &self,
        mut body: Body,
        leg: &Leg,
        notes: &Notes,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let bars = if sink.is_terminal() { &Bars::none() } else { self.voice.bars() };
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
                    return Err(self.failure(&error, leg, notes));
                }
            }
        }
    }

    fn failure(&self, error: &Error, leg: &Leg, notes: &Notes) -> Failure {
        notes.failed(error);
        match (error.kind(), error.connection()) {
            (ErrorKind::Timeout(Phase::Exchange), Some(_)) => {
                Failure { fate: error.fate(), ..self.too_late(&error.phase(), notes) }
            }
            (ErrorKind::Timeout(Phase::Exchange), None) => {
                Failure { fate: error.fate(), ..self.too_late(&self.doing(leg), notes) }
            }
            _ => {
                let origin = leg.target.origin();
                Failure::of(error, origin, self.plan.reach.proxies.proxy_for(origin))
            }
        }
    }

    /// `-m` is over.
    fn too_late(&self, doing: &dyn std::fmt::Display, notes: &Notes) -> Failure {
        let limit = self.plan.limit.unwrap_or_default();
        let mut what = format!("timed out after {limit:?} (-m): {doing}");
        if let Some((id, _)) = notes.connection.get() {
            what = format!("{what} (connection {id})");
        }
        Failure::after(Exit::TIMEOUT, what)
    }

    /// `connecting to 127.0.0.1:80 for http://example.com`
    fn doing(&self, leg: &Leg) -> String {
        let origin = leg.target.origin();
        format!("{} for {origin}", self.watch.doing(origin))
    }

    /// Closes everything as `now`; an exchange in flight still tells how it ended.
    async fn interrupted(
        &self,
        notes: &Notes,
        attempt: impl Future<Output = Result<Next, Failure>>,
    ) -> Result<Next, Failure> {
        let closed = self.client.close(CloseMode::now());
        let outcome = tokio::select! {
            biased;
            outcome = attempt => Some(outcome),
            _ = closed => None,
        };
        let fate = match outcome {
            Some(Ok(next)) => return Ok(next),
            Some(Err(failure)) => failure.fate,
            None if notes.connection.get().is_none() => Fate::NotSent,
            None => Fate::Unknown,
        };
        Err(Failure { exit: Exit::INTERRUPTED, what: "interrupted".to_owned(), fate, tell: Tell::No })
    }

    fn tell(&self, method: &str, url: &str, notes: &Notes, took: Duration, failure: Option<&Failure>) {
        self.requests.set(self.requests.get() + 1);
        self.report.request(&Ended {
            n: self.requests.get(),
            method,
            url,
            status: notes.status.get().map(|status| status.as_u16()),
            failure,
            connection: notes.connection.get(),
            replays: notes.replays.get(),
            took,
        });
    }
}

fn after(limit: Option<Duration>) -> Option<Instant> {
    Some(Instant::from_std(clock::now() + limit?))
}

/// Done when the deadline passes; without one, never.
async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

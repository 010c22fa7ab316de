//! From a request to its answer.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::fault::{ErrorBody, Fault, Mishap, Moment};
use super::limiter::Limiter;
use super::options::{Options, OutageManner};
use super::profile::profile;
use super::route::{Operation, Page, Route};
use super::rules::{Rules, Vocabulary};
use super::scenario::{Scenario, Turn};
use super::state::{State, User};
use super::tally::{Ending, Tally, Ticket};
use super::update::{IdKind, Update, parse};

/// All that the connections share.
#[derive(Debug)]
pub(super) struct Api {
    start: Instant,
    scenario: Scenario,
    rules: Rules,
    max_body: usize,
    desk: Mutex<Desk>,
    state: Mutex<State>,
    stop: CancellationToken,
}

/// What each arriving request passes by, in one step: so that times never decrease.
#[derive(Debug)]
struct Desk {
    tally: Tally,
    limiter: Option<Limiter>,
    admitted: u64,
}

/// Instead of an answer: the connection breaks.
#[derive(Debug)]
pub(super) struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the scenario has the connection broken")
    }
}

impl std::error::Error for HangUp {}

/// How a request ends.
enum Outcome {
    Answered(Answer),
    Faulted(Mishap),
}

impl Api {
    /// Requests that stall are let go when `stop` says so.
    pub(super) fn new(options: &Options, stop: CancellationToken) -> Self {
        let start = now();
        let window = options.rate.map_or(Duration::from_secs(1), |(_, window)| window);
        Self {
            start,
            scenario: Scenario::new(options),
            rules: Rules::new(options),
            max_body: options.max_body.unwrap_or(usize::MAX),
            desk: Mutex::new(Desk {
                tally: Tally::new(start, window, options.log),
                limiter: options.rate.map(|(most, window)| Limiter::new(most as usize, window)),
                admitted: 0,
            }),
            state: Mutex::default(),
            stop,
        }
    }

    /// Whether a connection that comes now is reset.
    pub(super) fn is_unreachable(&self) -> bool {
        self.scenario.outage(now() - self.start) == Some(OutageManner::Unreachable)
    }

    /// Looks at the state; nothing changes meanwhile.
    pub(super) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    /// Looks at the tally; nothing is counted meanwhile.
    pub(super) fn with_tally<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.desk().tally)
    }

    /// Answers a request, or breaks its connection.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
        let (head, body) = request.into_parts();
        match Route::of(head.uri.path()) {
            Some(Route::Page(page)) => Ok(self.page(&head.method, &page).into()),
            Some(Route::Operation(operation)) => self.serve(&head, Some(operation), body).await,
            None => self.serve(&head, None, body).await,
        }
    }

    fn page(&self, method: &Method, page: &Page) -> Answer {
        match page {
            _ if *method != *Page::METHOD => Answer::wrong_method(method, Page::METHOD),
            Page::State => Answer::csv(self.with_state(State::csv)),
            Page::Counters => Answer::json(&json!(self.with_tally(Tally::counters))),
        }
    }

    async fn serve(
        &self,
        head: &Parts,
        operation: Option<Operation<'_>>,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, HangUp> {
        let (ticket, admitted) = self.admit(head, operation);
        // The body is read even where nobody looks at it: an answer that overtakes it can be lost with the connection.
        let body = body.collect().await.map_err(|_broken_by_the_client| HangUp)?.to_bytes();
        let (ids, outcome) = match admitted {
            Err(outcome) => (0, outcome),
            Ok((operation, Turn { delay, fault })) => {
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                match operation {
                    Operation::Update(ids, vocabulary) => {
                        let update = parse(&body, ids);
                        let count = update.as_ref().map_or(0, |update| update.users.len());
                        let checked = check_body(&head.headers, body.len(), self.max_body);
                        let valid = checked.and(update.map_err(|faults| Answer::bad_request(&faults)));
                        (count, self.update(valid, vocabulary, fault))
                    }
                    Operation::Show(ids, id) => (0, self.show(ids, &id, fault)),
                }
            }
        };
        self.conclude(ticket, ids, outcome).await
    }

    /// Path, method, key, rate limit, in this order; then lots are drawn.
    fn admit<'a>(
        &self,
        head: &Parts,
        operation: Option<Operation<'a>>,
    ) -> (Ticket, Result<(Operation<'a>, Turn), Outcome>) {
        let mut desk = self.desk();
        let now = now();
        let ticket = desk.tally.arrive(now);
        let admitted = self.check(head, operation).and_then(|operation| {
            desk.limiter.as_mut().map_or(Ok(()), |limiter| limiter.admit(now)).map_err(Answer::throttled)?;
            Ok(operation)
        });
        let admitted = admitted.map_err(Outcome::Answered).and_then(|operation| {
            let number = desk.admitted;
            desk.admitted += 1;
            match self.scenario.outage(now - self.start) {
                Some(OutageManner::Unavailable) => Err(Outcome::Faulted(Mishap::Error(503, ErrorBody::Html))),
                Some(OutageManner::Unreachable) => Err(Outcome::Faulted(Mishap::Drop)),
                None => Ok((operation, self.scenario.turn(number))),
            }
        });
        (ticket, admitted)
    }

    fn check<'a>(&self, head: &Parts, operation: Option<Operation<'a>>) -> Result<Operation<'a>, Answer> {
        let operation = operation.ok_or_else(Answer::not_found)?;
        if head.method != *operation.method() {
            return Err(Answer::wrong_method(&head.method, operation.method()));
        }
        self.rules.authorize(text_of(&head.headers, &AUTHORIZATION))?;
        Ok(operation)
    }

    fn update(
        &self,
        update: Result<Update<'_>, Answer>,
        vocabulary: Vocabulary,
        fault: Option<Fault>,
    ) -> Outcome {
        if let Some(Fault { mishap, moment: Moment::BeforeApplying }) = fault {
            return Outcome::Faulted(mishap);
        }
        match update.and_then(|update| self.rules.examine(update, vocabulary)) {
            Err(refusal) => Outcome::Answered(refusal),
            Ok(update) => {
                self.state().set(update.users, &update.attribute, update.value);
                fault.map_or_else(|| Outcome::Answered(Answer::ok()), |fault| Outcome::Faulted(fault.mishap))
            }
        }
    }

    fn show(&self, ids: IdKind, id: &str, fault: Option<Fault>) -> Outcome {
        if let Some(fault) = fault {
            return Outcome::Faulted(fault.mishap);
        }
        let user = match ids {
            IdKind::Id => id.parse().ok().map(User::Id),
            IdKind::CustomId => Some(User::CustomId(id)),
        };
        let user = user.filter(|user| self.rules.knows(*user));
        let found = user.map(|user| Answer::json(&profile(&self.state(), user)));
        Outcome::Answered(found.unwrap_or_else(Answer::not_found))
    }

    /// Counts the outcome, then makes it happen: a client that waits in vain can go before its request is over.
    async fn conclude(
        &self,
        ticket: Ticket,
        ids: usize,
        outcome: Outcome,
    ) -> Result<Response<Full<Bytes>>, HangUp> {
        let (ending, answer) = match outcome {
            Outcome::Answered(answer) => (Ending::Answered(answer.status.as_u16()), Ok(answer)),
            Outcome::Faulted(Mishap::Error(status, body)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (Ending::Faulted(Some(status.as_u16())), Ok(Answer::error(status, body)))
            }
            Outcome::Faulted(mishap) => (Ending::Faulted(None), Err(mishap)),
        };
        tracing::debug!(ids, ?ending, "sandbox settled a request");
        self.desk().tally.settle(ticket, ids, ending);
        match answer {
            Ok(answer) => Ok(answer.into()),
            Err(mishap) => {
                if mishap == Mishap::Stall {
                    self.stop.cancelled().await;
                }
                Err(HangUp)
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nobody panics at the desk")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while changing the state")
    }
}

fn check_body(headers: &HeaderMap, length: usize, most: usize) -> Result<(), Answer> {
    if length > most {
        return Err(Answer::too_large());
    }
    let content_type = text_of(headers, &CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Answer::unsupported_media_type(content_type))
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox stands alone: it uses nothing of the crate, not even its clock"
)]
fn now() -> Instant {
    Instant::now()
}

//! Handles requests: checks each one, applies it and answers it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response as HttpResponse, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::fault::{ErrorBody, Fault, FaultKind, Moment};
use super::limiter::Limiter;
use super::listing::Listing;
use super::options::{Options, OutageKind};
use super::profile::profile;
use super::request_log::{RequestEnd, RequestId, RequestLog};
use super::route::{Operation, Page, Route};
use super::scenario::{Behavior, Scenario};
use super::state::{State, User};
use super::update::{IdKind, Update, parse};
use super::validation::{Validator, Vocabulary};

/// The header by which clients identify a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all connections share.
#[derive(Debug)]
pub(super) struct Api {
    start: Instant,
    scenario: Scenario,
    validator: Validator,
    max_body: usize,
    admission: Mutex<Admission>,
    state: Mutex<State>,
    listing: Mutex<Listing>,
    /// How many of the requests that pass the rate limit go on; the others wait. `None`: all.
    open: watch::Sender<Option<u64>>,
    stop: CancellationToken,
}

/// What each request goes through when it arrives, under one lock, so that the recorded times never decrease.
#[derive(Debug)]
struct Admission {
    requests: RequestLog,
    limiter: Option<Limiter>,
    admitted: u64,
}

/// No answer: the connection is closed instead.
#[derive(Debug)]
pub(super) struct ConnectionBroken;

impl fmt::Display for ConnectionBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the scenario closes this connection")
    }
}

impl std::error::Error for ConnectionBroken {}

/// A request that passed the rate limit.
struct Admitted<'a> {
    operation: Operation<'a>,
    /// How many did before it.
    number: u64,
    behavior: Behavior,
}

/// What a request gets.
enum Response {
    Answered(Answer),
    Faulted(FaultKind),
}

impl Api {
    /// Stalled requests end when `stop` is cancelled.
    pub(super) fn new(options: &Options, stop: CancellationToken) -> Self {
        let start = now();
        let window = options.rate.map_or(Duration::from_secs(1), |(_, window)| window);
        Self {
            start,
            scenario: Scenario::new(options),
            validator: Validator::new(options),
            max_body: options.max_body.unwrap_or(usize::MAX),
            admission: Mutex::new(Admission {
                requests: RequestLog::new(start, window, options.log),
                limiter: options.rate.map(|(most, window)| Limiter::new(most as usize, window)),
                admitted: 0,
            }),
            state: Mutex::default(),
            listing: Mutex::new(Listing::new(options)),
            open: watch::Sender::new(None),
            stop,
        }
    }

    /// Whether a connection that comes now is reset.
    pub(super) fn is_unreachable(&self) -> bool {
        self.scenario.outage(now() - self.start) == Some(OutageKind::Unreachable)
    }

    /// Lets the first requests that pass the rate limit go on, up to this number; `None`: all.
    pub(super) fn open_for(&self, requests: Option<u64>) {
        self.open.send_replace(requests);
    }

    /// Waits until the request with this number may go on. None waits for longer than the server runs.
    async fn opening_for(&self, number: u64) {
        let mut open = self.open.subscribe();
        tokio::select! {
            _ = open.wait_for(|requests| requests.is_none_or(|requests| number < requests)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Reads the state under its lock.
    pub(super) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state())
    }

    /// Reads the request log under its lock.
    pub(super) fn with_requests<T>(&self, look: impl FnOnce(&RequestLog) -> T) -> T {
        look(&self.admission().requests)
    }

    /// Answers a request, or closes its connection.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<HttpResponse<Full<Bytes>>, ConnectionBroken> {
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
            Page::Counters => Answer::json(&json!(self.with_requests(RequestLog::counters))),
        }
    }

    async fn serve(
        &self,
        head: &Parts,
        operation: Option<Operation<'_>>,
        body: Incoming,
    ) -> Result<HttpResponse<Full<Bytes>>, ConnectionBroken> {
        let (id, admitted) = self.admit(head, operation);
        // Read the body even if it is not needed: an answer that is sent before the whole body has arrived can be lost
        // when the connection closes.
        let body = body.collect().await.map_err(|_broken_by_the_client| ConnectionBroken)?.to_bytes();
        let (ids, outcome) = match admitted {
            Err(outcome) => (0, outcome),
            Ok(Admitted { operation, number, behavior: Behavior { delay, fault } }) => {
                self.opening_for(number).await;
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
                    Operation::List => (0, self.list(head, fault)),
                }
            }
        };
        self.conclude(id, ids, outcome).await
    }

    /// Checks path, method, key and rate limit, in this order, and then asks the scenario for a fault.
    fn admit<'a>(
        &self,
        head: &Parts,
        operation: Option<Operation<'a>>,
    ) -> (RequestId, Result<Admitted<'a>, Response>) {
        let mut admission = self.admission();
        let now = now();
        let id = admission.requests.arrive(now, text_of(&head.headers, &REQUEST_ID));
        let admitted = self.check(head, operation).and_then(|operation| {
            admission
                .limiter
                .as_mut()
                .map_or(Ok(()), |limiter| limiter.admit(now))
                .map_err(Answer::throttled)?;
            Ok(operation)
        });
        let admitted = admitted.map_err(Response::Answered).and_then(|operation| {
            let number = admission.admitted;
            admission.admitted += 1;
            match self.scenario.outage(now - self.start) {
                Some(OutageKind::Unavailable) => {
                    Err(Response::Faulted(FaultKind::Error(503, ErrorBody::Html)))
                }
                Some(OutageKind::Unreachable) => Err(Response::Faulted(FaultKind::Drop)),
                None => Ok(Admitted { operation, number, behavior: self.scenario.behavior(number) }),
            }
        });
        (id, admitted)
    }

    fn check<'a>(&self, head: &Parts, operation: Option<Operation<'a>>) -> Result<Operation<'a>, Answer> {
        let operation = operation.ok_or_else(Answer::not_found)?;
        if head.method != *operation.method() {
            return Err(Answer::wrong_method(&head.method, operation.method()));
        }
        self.validator.authorize(text_of(&head.headers, &AUTHORIZATION))?;
        Ok(operation)
    }

    fn update(
        &self,
        update: Result<Update<'_>, Answer>,
        vocabulary: Vocabulary,
        fault: Option<Fault>,
    ) -> Response {
        if let Some(Fault { kind, moment: Moment::BeforeApplying }) = fault {
            return Response::Faulted(kind);
        }
        match update.and_then(|update| self.validator.check_update(update, vocabulary)) {
            Err(refusal) => Response::Answered(refusal),
            Ok(update) => {
                self.state().set(update.users, &update.attribute, update.value);
                fault.map_or_else(|| Response::Answered(Answer::ok()), |fault| Response::Faulted(fault.kind))
            }
        }
    }

    fn show(&self, ids: IdKind, id: &str, fault: Option<Fault>) -> Response {
        if let Some(fault) = fault {
            return Response::Faulted(fault.kind);
        }
        let user = match ids {
            IdKind::Id => id.parse().ok().map(User::Id),
            IdKind::CustomId => Some(User::CustomId(id)),
        };
        let user = user.filter(|user| self.validator.knows(*user));
        let found = user.map(|user| Answer::json(&profile(&self.state(), user)));
        Response::Answered(found.unwrap_or_else(Answer::not_found))
    }

    fn list(&self, head: &Parts, fault: Option<Fault>) -> Response {
        if let Some(fault) = fault {
            return Response::Faulted(fault.kind);
        }
        let mut listing = self.listing.lock().expect("no thread panics while it holds the lock");
        Response::Answered(listing.page(head.uri.query(), &head.headers, &self.state(), now()))
    }

    /// Counts the result, then sends it. In this order because a client may leave while its request stalls.
    async fn conclude(
        &self,
        id: RequestId,
        ids: usize,
        outcome: Response,
    ) -> Result<HttpResponse<Full<Bytes>>, ConnectionBroken> {
        let (end, answer) = match outcome {
            Response::Answered(answer) => (RequestEnd::Answered(answer.status.as_u16()), Ok(answer)),
            Response::Faulted(FaultKind::Error(status, body)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (RequestEnd::Faulted(Some(status.as_u16())), Ok(Answer::error(status, body)))
            }
            Response::Faulted(kind) => (RequestEnd::Faulted(None), Err(kind)),
        };
        tracing::debug!(ids, ending = ?end, "sandbox settled a request");
        self.admission().requests.settle(id, ids, end);
        match answer {
            Ok(answer) => Ok(answer.into()),
            Err(kind) => {
                if kind == FaultKind::Stall {
                    self.stop.cancelled().await;
                }
                Err(ConnectionBroken)
            }
        }
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().expect("no thread panics while it holds the lock")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
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

//! A made-up server: what it does is decided by a function of the request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use attrsync::deliver::{Delivered, Reply, Request, RequestId, SendError, SendErrorCause, Transport};
use attrsync::input::Operation;
use tokio::time::Instant;

/// One request, as the server sees it.
pub(super) struct Asked {
    /// From 0, in the order of starts.
    pub(super) number: usize,
    /// Since the run began.
    pub(super) at: Duration,
    pub(super) ids: Vec<u64>,
    pub(super) attribute: String,
    pub(super) value: String,
    pub(super) in_flight: usize,
    pub(super) bytes: usize,
}

/// What the server does about it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) after: Duration,
    pub(super) applied: bool,
    /// How much later a user is shown with the value.
    pub(super) shown_after: Duration,
    pub(super) answer: Result<Reply, SendError>,
}

const OK: &str = r#"{"status": "ok"}"#;

pub(super) fn ok() -> Act {
    let body = OK.into();
    Act {
        after: LATENCY,
        applied: true,
        shown_after: Duration::ZERO,
        answer: Ok(Reply { status: 200, body, ..Reply::default() }),
    }
}

pub(super) fn status(status: u16, body: &str) -> Act {
    let body = body.to_owned().into();
    Act {
        after: LATENCY,
        applied: false,
        shown_after: Duration::ZERO,
        answer: Ok(Reply { status, body, ..Reply::default() }),
    }
}

pub(super) fn throttled(seconds: u64) -> Act {
    let retry_after = Some(Duration::from_secs(seconds));
    Act {
        after: LATENCY,
        applied: false,
        shown_after: Duration::ZERO,
        answer: Ok(Reply { status: 429, retry_after, ..Reply::default() }),
    }
}

pub(super) fn lost(delivered: Delivered) -> Act {
    Act {
        after: LATENCY,
        applied: false,
        shown_after: Duration::ZERO,
        answer: Err(SendError { delivered, cause: SendErrorCause::Other, error: "connection reset".into() }),
    }
}

pub(super) const LATENCY: Duration = Duration::from_millis(20);

pub(super) type Script = Box<dyn FnMut(&Asked) -> Act + Send>;

pub(super) struct Api {
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    script: Script,
    /// By attribute and user: when the value is shown that was applied last.
    shown_from: BTreeMap<(String, u64), Duration>,
    in_flight: usize,
    log: Log,
}

/// What the server remembers.
#[derive(Clone, Default)]
pub(super) struct Log {
    pub(super) starts: Vec<Duration>,
    pub(super) sizes: Vec<usize>,
    pub(super) most_in_flight: usize,
    /// What was applied, by attribute and user, and how often.
    pub(super) applied: BTreeMap<(String, u64), (String, u32)>,
    /// Who was in a request that was refused or lost at least once.
    pub(super) troubled: BTreeSet<(String, u64)>,
    /// Requests for one user that were refused.
    pub(super) refused_alone: BTreeSet<(String, u64)>,
}

impl Api {
    pub(super) fn new(script: Script, begun: Instant) -> Self {
        Self {
            begun,
            state: Mutex::new(State {
                script,
                shown_from: BTreeMap::new(),
                in_flight: 0,
                log: Log::default(),
            }),
        }
    }

    pub(super) fn log(&self) -> Log {
        self.state.lock().unwrap().log.clone()
    }
}

impl Transport for Api {
    async fn send(&self, _id: RequestId, request: Request) -> Result<Reply, SendError> {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let ids: Vec<u64> = body["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let attribute = body["attribute"].as_str().unwrap().to_owned();
        let value = body["value"].as_str().unwrap().to_owned();
        let act = {
            let state = &mut *self.state.lock().unwrap();
            let at = attrsync::clock::monotonic_now() - self.begun;
            state.in_flight += 1;
            let asked = Asked {
                number: state.log.starts.len(),
                at,
                ids,
                attribute,
                value,
                in_flight: state.in_flight,
                bytes: request.body.len(),
            };
            state.log.starts.push(at);
            state.log.sizes.push(asked.ids.len());
            state.log.most_in_flight = state.log.most_in_flight.max(state.in_flight);
            let act = (state.script)(&asked);
            let accepted = matches!(&act.answer, Ok(reply) if reply.status == 200 && reply.body == OK);
            for id in &asked.ids {
                let key = (asked.attribute.clone(), *id);
                if !accepted {
                    state.log.troubled.insert(key.clone());
                    if asked.ids.len() == 1 {
                        state.log.refused_alone.insert(key.clone());
                    }
                }
                if act.applied {
                    state.shown_from.insert(key.clone(), at + act.shown_after);
                    let held = state.log.applied.entry(key).or_default();
                    *held = (asked.value.clone(), held.1 + 1);
                }
            }
            act
        };
        tokio::time::sleep(act.after).await;
        self.state.lock().unwrap().in_flight -= 1;
        act.answer
    }

    async fn fetch(&self, _id: RequestId, user: &str) -> Result<Reply, SendError> {
        let state = self.state.lock().unwrap();
        let user: u64 = user.parse().unwrap();
        let at = attrsync::clock::monotonic_now() - self.begun;
        let held = state.log.applied.iter().filter(|((_, id), _)| *id == user);
        let shown = held.map(|(key, (value, _))| {
            (key.0.as_str(), if state.shown_from[key] <= at { value.as_str() } else { "before" })
        });
        let id = user.to_string();
        let held: BTreeMap<_, _> = shown.chain([("id", id.as_str())]).collect();
        Ok(Reply { status: 200, body: serde_json::to_vec(&held).unwrap().into(), ..Reply::default() })
    }

    async fn probe(&self, _id: RequestId, _operation: Operation) -> Result<Reply, SendError> {
        // A script that answers 404 for every user has no such address.
        let asked = Asked {
            number: usize::MAX,
            at: attrsync::clock::monotonic_now() - self.begun,
            ids: Vec::new(),
            attribute: String::new(),
            value: String::new(),
            in_flight: 1,
            bytes: 0,
        };
        match (self.state.lock().unwrap().script)(&asked).answer {
            Ok(reply) if reply.status == 404 => Ok(reply),
            _ => Ok(Reply { status: 405, ..Reply::default() }),
        }
    }

    async fn page(&self, _id: RequestId, _cursor: Option<&str>) -> Result<Reply, SendError> {
        Ok(Reply { status: 405, ..Reply::default() })
    }
}

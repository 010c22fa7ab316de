//! The promises of the program, each as a rule that every life has to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::account::{Account, Asked, Unknown, meaning};
use super::input::{BAD_VALUES, Expected, Ids, Key, NULL};
use super::life::{Hit, Life, Reported};
use super::server::Request;
use super::weather::{Fate, Weather};

/// How much closer requests may seem to follow each other than they were sent, because a thread of the server was late.
const LATE: Duration = Duration::from_millis(400);

/// The most memory of a life: the inputs are small.
const MOST_MEMORY: u64 = 160 << 20;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sync,
    /// A saved plan.
    Saved,
    Pull,
}

/// A command that is repeated until it is done.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) arguments: Vec<String>,
    pub(crate) expected: Expected,
    pub(crate) only_changed: bool,
    pub(crate) batch_size: usize,
}

/// The settings of a life.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rate: usize,
    pub(crate) concurrency: usize,
    pub(crate) max_attempts: usize,
    pub(crate) timeout: Duration,
    pub(crate) canary: bool,
    pub(crate) memory: Option<&'static str>,
}

/// All that is known of a life.
pub(crate) struct Evidence<'a> {
    pub(crate) job: &'a Job,
    pub(crate) settings: &'a Settings,
    pub(crate) weather: &'a Weather,
    pub(crate) life: &'a Life,
    pub(crate) log: &'a [Request],
    pub(crate) account: &'a Account,
    /// What others have changed in the account since it was sent or read.
    pub(crate) edited: &'a BTreeSet<Key>,
    /// The first process of its job, so that nothing can be resumed.
    pub(crate) is_first: bool,
    /// The ledger is in a database that was away for a while.
    pub(crate) ledger_was_away: bool,
    /// A process before it was asked for a long pause, with the same quota.
    pub(crate) quota_is_paused: bool,
}

/// What was broken, in words; empty if all is well.
pub(crate) struct Verdict(pub(crate) Vec<String>);

impl Verdict {
    fn check(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds {
            self.0.push(broken());
        }
    }
}

/// Whether it is answered with a pause that no run waits for.
pub(crate) fn asks_for_long_pause(request: &Request) -> bool {
    matches!(request.fate, Fate::Answered { retry_after: Some(text), .. } if text.len() > 19)
}

impl Evidence<'_> {
    /// Checks every rule.
    pub(crate) fn judge(&self) -> Verdict {
        let mut verdict = Verdict(Vec::new());
        self.judge_requests(&mut verdict);
        self.judge_ending(&mut verdict);
        if self.life.summary.is_some() && self.job.kind != Kind::Pull {
            self.judge_sums(&mut verdict);
            if self.knows_its_rows() {
                self.judge_rows(&mut verdict);
            }
        }
        verdict
    }

    /// What was sent: paced, the first alone, nothing but the plan, in batches, e-mail addresses last.
    fn judge_requests(&self, verdict: &mut Verdict) {
        let most = self.settings.rate;
        for window in self.log.windows(most + 1) {
            let span = window[most].at - window[0].at;
            verdict.check(span + LATE > Duration::from_secs(1), || {
                format!("{} requests within {span:?}, and the rate is {most} a second", most + 1)
            });
        }
        if let [first, second, ..] = self.log
            && let Some(answered) = first.answered
        {
            verdict.check(second.at >= answered, || "the first request did not go alone".to_owned());
        }
        let (mut addresses_begin, mut acknowledged) = (false, BTreeSet::new());
        for request in self.log {
            let Asked::Update { users, attribute, value } = &request.asked else { continue };
            verdict.check(self.job.kind != Kind::Pull, || "a pull changes something".to_owned());
            for user in users {
                let key = (user.clone(), attribute.clone());
                verdict.check(self.job.expected.planned.get(&key) == Some(value), || {
                    format!("{key:?} = {value} was sent and not planned")
                });
            }
            let ascending = match self.account.population.ids {
                Ids::Numbers => users.is_sorted_by_key(|user| user.parse::<u64>().unwrap()),
                Ids::Custom => users.is_sorted(),
            };
            let distinct = users.iter().collect::<BTreeSet<_>>().len() == users.len();
            verdict.check(ascending && distinct, || format!("ids that don't ascend: {users:?}"));
            verdict.check(!users.is_empty(), || format!("{attribute} = {value} was sent for nobody"));
            verdict.check(users.len() <= self.job.batch_size, || format!("{} ids in a request", users.len()));
            // A row that was acknowledged may be sent again, to see whether the API is up.
            let is_probe = matches!(&users[..], [user] if acknowledged.contains(&(user, attribute)));
            addresses_begin |= attribute == "email";
            verdict
                .check(!addresses_begin || attribute == "email" || self.settings.canary || is_probe, || {
                    format!("{attribute} was sent after an e-mail address")
                });
            if request.acknowledges() {
                acknowledged.extend(users.iter().map(|user| (user, attribute)));
            }
        }
    }

    /// How the process ended, and what it printed.
    fn judge_ending(&self, verdict: &mut Verdict) {
        let life = self.life;
        verdict.check(!life.stderr.contains("panicked"), || "it panicked".to_owned());
        let harmful = |character: char| character.is_control() && !"\n\t".contains(character);
        let printed = life.stderr.contains(harmful) || life.stdout.contains(harmful);
        verdict.check(!printed, || "control characters on the screen".to_owned());
        verdict.check(life.peak < MOST_MEMORY, || format!("{} bytes of memory", life.peak));
        let Some(code) = life.code() else {
            let early = self.log.is_empty() && life.summary.is_none();
            verdict.check(life.was_killed() && life.hit == Some(Hit::Kill) || early, || {
                format!("it ended by itself with {:?}", life.status)
            });
            return;
        };
        let signal = match life.hit {
            Some(Hit::Signal(signal) | Hit::Signals(signal, _)) => Some(128 + signal.as_raw()),
            _ => None,
        };
        verdict.check(matches!(code, 0..=4) || Some(code) == signal, || format!("exit code {code}"));
        if code == 2 {
            verdict.check(life.reason() == Some("ledger_held") && self.log.is_empty(), || {
                format!("exit code 2: {:?} after {} requests", life.reason(), self.log.len())
            });
        }
        if self.job.kind == Kind::Pull {
            return;
        }
        let Some(summary) = &life.summary else {
            verdict.check(signal.is_some(), || "there is no summary".to_owned());
            return;
        };
        let outcome = match code {
            0 => "complete",
            1 => "incomplete",
            2 => "usage",
            3 => "refused",
            4 => "stopped",
            _ => "interrupted",
        };
        verdict.check(summary["outcome"] == outcome && summary["exit_code"] == code, || {
            format!("exit code {code}, and the summary has {} {}", summary["outcome"], summary["exit_code"])
        });
        if code == 4 {
            self.judge_stop(verdict);
        }
    }

    /// A run stops early only for a reason.
    fn judge_stop(&self, verdict: &mut Verdict) {
        let answered = |wanted: &dyn Fn(&Request) -> bool| self.log.iter().any(wanted);
        let reason = self.life.reason();
        let justified = match reason {
            Some("outage") => self.weather.is_rough(),
            Some("key_refused") => self.weather.key_dies.is_some(),
            // A short one is too long at the end of an outage.
            Some("long_pause") => {
                self.quota_is_paused
                    || answered(&|request| {
                        let is_asked = matches!(request.fate, Fate::Answered { retry_after: Some(_), .. });
                        is_asked && (self.weather.is_rough() || asks_for_long_pause(request))
                    })
            }
            Some("canary") => self.settings.canary && answered(&|request| !request.acknowledges()),
            Some("ledger_away") => self.ledger_was_away,
            Some("ledger_held") => self.life.hit.is_some_and(|hit| matches!(hit, Hit::Freeze(_))),
            _ => false,
        };
        verdict.check(justified, || format!("it stopped without a cause: {reason:?}"));
    }

    /// Whether the run got as far as to know what becomes of each row.
    fn knows_its_rows(&self) -> bool {
        matches!(self.life.code(), Some(0 | 1 | 4)) || !self.log.is_empty()
    }

    /// Each row has one fate, and the outcome is as good as they are.
    fn judge_sums(&self, verdict: &mut Verdict) {
        let life = self.life;
        let fates =
            ["invalid", "skipped", "superseded", "unchanged", "resumed", "acknowledged", "failed", "unsent"];
        let sum: u64 = fates.iter().map(|fate| life.rows(fate)).sum();
        verdict.check(sum == life.rows("read"), || format!("the rows don't add up: {}", summary_of(life)));
        let bad = life.rows("invalid") + life.rows("failed") + life.rows("unsent");
        match life.code() {
            Some(0) => verdict.check(bad == 0, || format!("complete, with {}", summary_of(life))),
            Some(1) => verdict.check(bad > 0 && life.rows("unsent") == 0, || {
                format!("incomplete, with {}", summary_of(life))
            }),
            Some(2 | 3) => {
                verdict.check(self.log.is_empty(), || "refused, and something was sent".to_owned());
            }
            _ => {}
        }
    }

    /// What is reported of each row is true.
    fn judge_rows(&self, verdict: &mut Verdict) {
        let (life, expected) = (self.life, &self.job.expected);
        if self.job.kind == Kind::Sync {
            let counts = ["read", "invalid", "skipped", "superseded"].map(|fate| life.rows(fate));
            let wanted = [expected.read, expected.invalid, expected.skipped, expected.superseded];
            verdict.check(counts == wanted, || {
                format!("read, invalid, skipped, superseded are {counts:?}, expected {wanted:?}")
            });
        }
        if self.is_first && !self.job.only_changed && self.job.kind == Kind::Sync {
            let (planned, most) =
                (life.number("requests", "planned"), expected.requests(self.job.batch_size));
            verdict.check(planned == most, || format!("{planned} requests planned, expected {most}"));
            verdict.check(life.rows("resumed") == 0, || "rows are resumed of no run".to_owned());
        }
        let Some(report) = &life.report else {
            verdict.0.push("there is no failures report".to_owned());
            return;
        };
        for fate in ["invalid", "failed", "unsent"] {
            let rows = report.iter().filter(|row| row.fate == fate).count() as u64;
            let wrong = || format!("{rows} rows are reported as {fate}: {}", summary_of(life));
            verdict
                .check(rows == life.rows(fate) || fate == "invalid" && self.job.kind == Kind::Saved, wrong);
        }
        let mut reported = BTreeMap::new();
        for row in report.iter().filter(|row| row.fate != "invalid") {
            let key = (row.user.clone(), row.attribute.clone());
            let planned = expected.planned.get(&key);
            verdict.check(planned.is_some_and(|value| text_of(value) == row.value), || {
                format!("{row:?} is reported and not planned")
            });
            verdict.check(reported.insert(key, row).is_none(), || format!("{row:?} is reported twice"));
        }
        self.judge_held(verdict, &reported);
        self.judge_reported(verdict, &reported);
        self.judge_counts(verdict);
    }

    /// What is not reported is at the server.
    fn judge_held(&self, verdict: &mut Verdict, reported: &BTreeMap<Key, &Reported>) {
        for (key, value) in &self.job.expected.planned {
            let (user, attribute) = key;
            let ignored = self.account.unknown == Unknown::Ignored && !self.account.population.exists(user);
            if reported.contains_key(key) || ignored || self.edited.contains(key) {
                continue;
            }
            let held = self.account.value(key);
            let is_held = meaning(attribute, held) == meaning(attribute, value);
            verdict
                .check(is_held, || format!("{key:?} = {value} is not reported, and the server has {held}"));
        }
    }

    /// A row fails only for a reason of its own, and what was never tried was never sent.
    fn judge_reported(&self, verdict: &mut Verdict, reported: &BTreeMap<Key, &Reported>) {
        let mut carried: BTreeMap<Key, Vec<&Request>> = BTreeMap::new();
        for request in self.log {
            if let Asked::Update { users, attribute, .. } = &request.asked {
                for user in users {
                    carried.entry((user.clone(), attribute.clone())).or_default().push(request);
                }
            }
        }
        for (key, row) in reported {
            let requests = carried.get(key).map(Vec::as_slice).unwrap_or_default();
            if row.fate == "failed" {
                verdict.check(self.may_fail(key, row, requests), || {
                    let fates: Vec<_> =
                        requests.iter().map(|request| (&request.fate, request.status)).collect();
                    format!("{row:?} failed, and nothing is wrong with it: {fates:?}")
                });
            } else {
                verdict.check(!self.life.is_finished(), || format!("{row:?} in a run that went to its end"));
            }
            let never_tried = row.attempts == 0 && row.fate == "unsent";
            verdict.check(!never_tried || requests.is_empty(), || {
                format!("{row:?} was sent {} times", requests.len())
            });
            verdict.check(row.attempts <= requests.len() || self.may_lose_connections(), || {
                format!("{row:?} was sent {} times", requests.len())
            });
            let known = requests.iter().any(|request| request.acknowledges())
                && !row.error.starts_with("acknowledged, but not read back");
            let patient = self.settings.timeout >= Duration::from_secs(20)
                && !matches!(self.life.hit, Some(Hit::Signals(..) | Hit::Freeze(_)));
            verdict.check(!known || !patient || self.ledger_was_away, || {
                format!("{row:?} was acknowledged, and is reported")
            });
        }
    }

    fn may_fail(&self, (user, attribute): &Key, row: &Reported, requests: &[&Request]) -> bool {
        let is_missing = !self.account.population.exists(user);
        let was_not_listed = self.job.only_changed && row.error.starts_with("no such user");
        let stranger = is_missing && (was_not_listed || self.account.unknown != Unknown::Ignored);
        let bad_value = BAD_VALUES.contains(&(attribute, &row.value));
        // Faults by chance, and not those that another user of the batch causes.
        let unlucky = requests.iter().filter(|request| !request.fate.is_served()).count();
        stranger || bad_value || self.account.poison.contains(user) || unlucky >= self.settings.max_attempts
    }

    /// Whether a request can be sent that the server never sees. A process that stands still may find afterwards that the
    /// time for a connection is over.
    fn may_lose_connections(&self) -> bool {
        self.weather.may_lose_connections() || matches!(self.life.hit, Some(Hit::Freeze(_)))
    }

    /// The requests of the summary are those that came.
    fn judge_counts(&self, verdict: &mut Verdict) {
        let updates = || self.log.iter().filter(|request| matches!(request.asked, Asked::Update { .. }));
        let (sent, came) = (self.life.number("requests", "sent"), self.log.len() as u64);
        verdict.check(came <= sent && (sent == came || self.may_lose_connections()), || {
            format!("{sent} requests were sent, and {came} came")
        });
        let (told, were) = (
            self.life.number("requests", "acknowledged"),
            updates().filter(|request| request.acknowledges()).count() as u64,
        );
        verdict.check(told <= were, || format!("{told} requests are acknowledged, and {were} were"));
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or(NULL)
}

fn summary_of(life: &Life) -> Value {
    json!(life.summary.as_ref().map(|summary| &summary["rows"]))
}

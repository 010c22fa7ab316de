//! Whom a refusal is for: the bookkeeping round the [`Search`]es of a run.
//!
//! A refused batch is searched, so that one unknown user doesn't fail all others. But a value that the API refuses is
//! refused for its whole group, and it would be a waste to ask for each of its users. So, as long as nobody of a group
//! was ever accepted, one batch of it is searched and the others wait; a handful of users refused alone, for the same
//! reason, condemn the group, as do the server's words where they name the value. Those few are taken from all over the
//! batch, since unknown users often come in a row.
//!
//! No I/O and no time: answers in, [`Step`]s out.

use std::collections::{HashMap, HashSet};

use super::blame::Blame;
use super::event::{Outcome, Purpose, Reason};
use super::job::Job;
use super::split::{Opening, Search};
use crate::plan::{Batch, Plan};

/// So many users refused alone condemn a value.
const ENOUGH: usize = 5;

/// Where in what is left of a batch the second one, the third one, … is looked for.
const SPREAD: [f64; ENOUGH - 1] = [1.0, 0.5, 0.25, 0.75];

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Step {
    Send(Job),
    Settle { part: Batch, outcome: Outcome, attempts: u32 },
}

/// What is known of refusals in this run.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Most requests that searching may add.
    most_extra: u64,
    extra: u64,
    /// By the batch that was refused as a whole.
    searches: HashMap<Batch, Searching>,
    /// Groups of several batches of which somebody was accepted.
    accepted: HashSet<u32>,
    /// Groups of which nobody was accepted so far, while a batch of theirs is searched: the jobs that wait for it.
    suspects: HashMap<u32, Vec<Job>>,
    /// How many users of a group were refused alone for the same reason, as long as nobody of it was accepted.
    alone: HashMap<(u32, String), usize>,
    condemned: HashMap<u32, Reason>,
    /// Somebody was accepted, whoever.
    anybody_accepted: bool,
    /// Users who fail if the address is right.
    doubtful: Vec<Step>,
    limits: Limits,
}

#[derive(Debug)]
struct Searching {
    search: Search,
    /// Requests that carried the batch as a whole.
    sent: u32,
    /// The largest part that was accepted.
    largest: u32,
}

/// What the server was found to take at most.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    bytes: Option<usize>,
    users: Option<u32>,
}

impl Limits {
    fn lower_bytes(&mut self, most: usize) {
        self.bytes = Some(self.bytes.map_or(most, |bytes| bytes.min(most)));
    }

    fn lower_users(&mut self, most: u32) {
        self.users = Some(self.users.map_or(most, |users| users.min(most)));
    }
}

impl Refusals {
    /// Nothing is known yet; searching may add this many requests.
    pub(super) fn new(most_extra: u64) -> Self {
        Self {
            most_extra,
            extra: 0,
            searches: HashMap::new(),
            accepted: HashSet::new(),
            suspects: HashMap::new(),
            alone: HashMap::new(),
            condemned: HashMap::new(),
            anybody_accepted: false,
            doubtful: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// How many jobs wait for what becomes of others.
    pub(super) fn waiting(&self) -> usize {
        self.suspects.values().map(Vec::len).sum()
    }

    /// Whether a job should not be sent now: its group is condemned, or waits for the search through another batch.
    pub(super) fn withholds(&self, job: &Job) -> bool {
        let group = job.part.group;
        job.search.is_none() && (self.condemned.contains_key(&group) || self.suspects.contains_key(&group))
    }

    /// What to do with a job that should not be sent now.
    pub(super) fn withhold(&mut self, job: Job) -> Vec<Step> {
        if let Some(reason) = self.condemned.get(&job.part.group) {
            return vec![settle(&job, Outcome::Failed(reason.clone()))];
        }
        self.suspects.entry(job.part.group).or_default().push(job);
        Vec::new()
    }

    /// What to do with a batch that was not sent yet.
    pub(super) fn claim(&self, batch: Batch, plan: &Plan) -> Vec<Step> {
        cut(batch, self.limits, plan)
            .map(|(number, part)| {
                let purpose = if number == 0 { Purpose::First } else { Purpose::Split };
                Step::Send(Job { purpose, ..Job::new(part) })
            })
            .collect()
    }

    /// The job was acknowledged.
    pub(super) fn accepted(&mut self, job: &Job, plan: &Plan) -> Vec<Step> {
        let Batch { group, len, .. } = job.part;
        self.anybody_accepted = true;
        self.condemned.remove(&group);
        self.alone.retain(|(of, _), _| *of != group);
        if plan.group_len(group) > len {
            self.accepted.insert(group);
        }
        let mut steps = self.believe();
        steps.push(settle(job, Outcome::Acknowledged));
        steps.extend(self.release(group));
        if let Some(batch) = job.search
            && let Some(searching) = self.searches.get_mut(&batch)
        {
            searching.largest = searching.largest.max(len);
            if searching.search.confirms() {
                // He was thought to be the offender, since all but him were accepted: it is the number of users.
                self.limits.lower_users(searching.largest);
            }
            searching.search.settled();
            steps.extend(self.go_on(batch));
        }
        steps
    }

    /// The address is right, or nothing is left that could tell: those who were not found fail.
    pub(super) fn believe(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.doubtful)
    }

    /// The job failed for a reason that a search can't better.
    pub(super) fn failed(&mut self, job: &Job, reason: Reason) -> Vec<Step> {
        let mut steps = vec![settle(job, Outcome::Failed(reason))];
        if let Some(batch) = job.search
            && let Some(searching) = self.searches.get_mut(&batch)
        {
            searching.search.settled();
            steps.extend(self.go_on(batch));
        }
        steps
    }

    /// The job was refused for something in it.
    pub(super) fn refused(&mut self, job: Job, reason: &Reason, blame: Blame, body: usize) -> Vec<Step> {
        let group = job.part.group;
        let accepted = self.accepted.contains(&group);
        if let Some(condemned) = self.condemned.get(&group).cloned() {
            return self.fail_whole(&job, &condemned);
        }
        if blame == Blame::Value && !accepted {
            return self.condemn(&job, reason);
        }
        match blame {
            Blame::Bytes => {
                self.limits.lower_bytes(body / 2);
            }
            Blame::Users(most) => {
                self.limits.lower_users(most);
            }
            _ => {}
        }
        let too_large = matches!(blame, Blame::Bytes | Blame::Users(_));
        if job.part.len == 1 {
            // A user whom the server names, or one who is too large by himself, says nothing of the value.
            let telling = !accepted && !too_large && !matches!(blame, Blame::Named(_));
            return self.refused_alone(&job, reason, telling);
        }
        if self.extra >= self.most_extra {
            let error = format!("{} ({})", reason.error, self.spent());
            return self.fail_whole(&job, &Reason { status: reason.status, error });
        }
        if let Some(batch) = job.search
            && let Some(searching) = self.searches.get_mut(&batch)
        {
            if too_large {
                searching.search.too_large();
            } else {
                searching.search.refuse();
            }
            return self.go_on(batch);
        }
        if !accepted && let Some(waiting) = self.suspects.get_mut(&group) {
            waiting.push(job);
            return Vec::new();
        }
        if !accepted && !too_large {
            self.suspects.entry(group).or_default();
        }
        let opening = match blame {
            Blame::Bytes | Blame::Users(_) => Opening::TooLarge,
            Blame::Named(places) => Opening::Singles(places),
            _ if self.doubts(reason) => {
                // Is it the users at all, or the address? Three of them will tell.
                let (first, last) = (job.part.first, job.part.first + job.part.len - 1);
                let mut places = vec![first, first.midpoint(last), last];
                places.dedup();
                Opening::Singles(places)
            }
            _ => Opening::Halves,
        };
        let batch = job.part;
        let search = Search::new(batch.first..batch.first + batch.len, opening);
        self.searches.insert(batch, Searching { search, sent: job.sent, largest: 0 });
        self.go_on(batch)
    }

    fn refused_alone(&mut self, job: &Job, reason: &Reason, telling: bool) -> Vec<Step> {
        let failed = settle(job, Outcome::Failed(reason.clone()));
        if self.doubts(reason) {
            self.doubtful.push(failed);
            return job.search.map(|batch| self.refuse_in(batch, None)).unwrap_or_default();
        }
        let mut next = None;
        if telling {
            let class = (job.part.group, class(&reason.error));
            let alone = self.alone.entry(class).or_insert(0);
            *alone += 1;
            if *alone >= ENOUGH {
                return self.condemn(job, reason);
            }
            next = SPREAD.get(*alone - 1).copied();
        }
        let mut steps = vec![failed];
        steps.extend(job.search.map(|batch| self.refuse_in(batch, next)).unwrap_or_default());
        steps
    }

    /// Goes on with a search after a user was refused alone; asks for another one alone if told where.
    fn refuse_in(&mut self, batch: Batch, isolate: Option<f64>) -> Vec<Step> {
        if let Some(searching) = self.searches.get_mut(&batch) {
            searching.search.refuse();
            if let Some(share) = isolate {
                searching.search.isolate(share);
            }
        }
        self.go_on(batch)
    }

    /// Whether a refusal may be the address's, and nobody's.
    fn doubts(&self, reason: &Reason) -> bool {
        reason.status == Some(404) && !self.anybody_accepted
    }

    /// Fails this job, and all of its group that is not on its way.
    fn condemn(&mut self, job: &Job, reason: &Reason) -> Vec<Step> {
        let group = job.part.group;
        self.condemned.insert(group, reason.clone());
        self.alone.retain(|(of, _), _| *of != group);
        let waiting = self.suspects.remove(&group).unwrap_or_default();
        let mut steps = self.fail_whole(job, reason);
        steps.extend(waiting.iter().map(|job| settle(job, Outcome::Failed(reason.clone()))));
        steps
    }

    /// Fails this job, and whatever is left of the search that it belongs to.
    fn fail_whole(&mut self, job: &Job, reason: &Reason) -> Vec<Step> {
        let mut steps = vec![settle(job, Outcome::Failed(reason.clone()))];
        if let Some(batch) = job.search
            && let Some(searching) = self.searches.get_mut(&batch)
        {
            searching.search.settled();
            steps.extend(self.abandon(batch, reason));
        }
        steps
    }

    /// Fails whatever is left of a search.
    fn abandon(&mut self, batch: Batch, reason: &Reason) -> Vec<Step> {
        let Some(Searching { search, sent, .. }) = self.searches.remove(&batch) else { return Vec::new() };
        let rest = search.into_rest().map(|rest| Step::Settle {
            part: Batch { group: batch.group, first: rest.start, len: rest.end - rest.start },
            outcome: Outcome::Failed(reason.clone()),
            attempts: sent,
        });
        rest.chain(self.release(batch.group)).collect()
    }

    fn spent(&self) -> String {
        let extra = self.extra;
        format!(
            "not searched further: {extra} extra requests were spent, the most that `--max-split-share` allows"
        )
    }

    /// The next request of a search; at its end, what waited for it.
    fn go_on(&mut self, batch: Batch) -> Vec<Step> {
        let Some(searching) = self.searches.get(&batch) else { return Vec::new() };
        if let Some(next) = searching.search.ask() {
            if self.extra >= self.most_extra {
                let reason = Reason { status: None, error: self.spent() };
                return self.abandon(batch, &reason);
            }
            self.extra += 1;
            let part = Batch { group: batch.group, first: next.start, len: next.end - next.start };
            let purpose = Purpose::Split;
            return vec![Step::Send(Job {
                purpose,
                search: Some(batch),
                sent: searching.sent,
                ..Job::new(part)
            })];
        }
        self.searches.remove(&batch);
        self.release(batch.group)
    }

    fn release(&mut self, group: u32) -> Vec<Step> {
        self.suspects.remove(&group).unwrap_or_default().into_iter().map(Step::Send).collect()
    }
}

fn settle(job: &Job, outcome: Outcome) -> Step {
    Step::Settle { part: job.part, outcome, attempts: job.sent }
}

/// A reason without its numbers: `Invalid pk "42"` and `Invalid pk "43"` are the same.
fn class(error: &str) -> String {
    error.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The parts of a batch that keep the limits, numbered, about equally large.
fn cut(batch: Batch, limits: Limits, plan: &Plan) -> impl Iterator<Item = (u32, Batch)> {
    let by_users = limits.users.map_or(1, |most| batch.len.div_ceil(most));
    let by_bytes = limits.bytes.map_or(1, |most| {
        let mut body = Vec::new();
        plan.body(batch, &mut body);
        u32::try_from(body.len().div_ceil(most.max(1))).unwrap_or(u32::MAX)
    });
    let parts = by_users.max(by_bytes).clamp(1, batch.len);
    let place = move |number: u32| {
        let place = u64::from(batch.len) * u64::from(number) / u64::from(parts);
        u32::try_from(place).expect("inside the batch")
    };
    (0..parts).map(move |number| {
        let (start, end) = (place(number), place(number + 1));
        (number, Batch { group: batch.group, first: batch.first + start, len: end - start })
    })
}

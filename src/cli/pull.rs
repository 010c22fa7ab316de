//! `attrsync pull`: reads what the account holds into the ledger, and changes nothing.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanCount;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::console::Console;
use super::failure::{Failure, block_on};
use super::run_ledger::{self, TIME};
use super::run_reports::unique_id;
use super::send::{obey, watch_lease};
use super::signals::Signals;
use super::waiting::Waiting;
use crate::clock;
use crate::config::{
    Endpoint, Environment, LedgerSettings, PullOptions, Resume, Settings, Typed, resolve_pull,
};
use crate::deliver::{
    AccountUser, AccountValue, Http, Limiter, Options, Page, PageError, PageReader, Shutdown, Stop, Target,
};
use crate::input::{IdType, Operation, STANDARD, Vocabulary};
use crate::ledger::{Ledger, PullRecorder, RunOutcome, UnfinishedPull};
use crate::plan::{SentValue, User};
use crate::report::{ExitCode, Message, Progress, PullSpeed, counted, time, why_stopped};

/// How many users wait for a commit: enough that the ledger's entries are few, and little memory. A kill loses what was read
/// since.
const CHUNK: usize = 10_000;

/// How often the list is read from its beginning because the cursor is no longer good.
const MOST_RESTARTS: u32 = 3;

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// The most memory for compacting the ledger. What doesn't fit goes to temporary files.
const COMPACTING: u64 = 24 << 20;

/// Reads the account, and says how it ended.
pub(super) fn run(typed: &Typed<PullOptions, false>, environment: &Environment) -> ExitCode {
    match resolve_pull(typed, environment) {
        Ok((settings, target)) => {
            let (console, progress) = Console::with_progress(&settings);
            for warning in &settings.warnings {
                console.warning(&Message::warning(warning));
            }
            console.end(block_on(Builder::new_multi_thread(), pull(settings, &target, console, progress)))
        }
        Err(error) => Console::plain().end(Err(error.into())),
    }
}

async fn pull(
    settings: Settings,
    target: &Endpoint,
    console: Console,
    progress: Box<dyn Progress + Send>,
) -> Result<ExitCode, Failure> {
    let Endpoint::Api { base_url, token } = target else {
        return Err(Failure::internal("a sandbox has no users to read"));
    };
    let Some(file) = &settings.ledger else { return Err(Failure::internal("there is no ledger")) };
    let mut signals = Signals::new()?;
    let ledger = open_in_time(&settings, console, &mut signals).await?;
    let id_type = settings.input.id_type;
    let target = Target { base_url: base_url.clone(), token: token.clone(), id_type };
    let options = Options { address: base_url.to_string(), run: run_id(), ..settings.delivery.clone() };
    let http = Http::new(&target, options.timeout, NonZeroUsize::MIN)?;
    let limiter = Limiter::new(options.rate).shared_by(run_ledger::share_rate(&ledger, &settings)?);
    let reader = PageReader::new(Arc::new(http), &options, limiter, rand::make_rng());

    let with_custom = settings.input.vocabulary == Vocabulary::Custom;
    let continued = continued(&ledger, file, id_type, with_custom, console)?;
    let (lease, max_outage) = (ledger.lease().cloned(), options.max_outage);
    let recorder = PullRecorder::begin(ledger, with_custom, continued.as_ref(), clock::utc_now())?;
    let begun = clock::monotonic_now();
    let speed = PullSpeed::new(begun, recorder.users(), recorder.pages());
    let mut pull =
        Pull { reader, recorder, console, progress, speed, id_type, with_custom, count: None, unnamed: 0 };

    let (shutdown, shutdown_rx) = watch::channel(Shutdown::No);
    let reading = pull.read_list(continued.map(|unfinished| unfinished.next), shutdown_rx);
    // A task of its own sees signals also while the ledger's database lets this one wait.
    let watching = tokio::spawn(async move {
        tokio::select! {
            never = obey(&mut signals, &shutdown, lease.as_deref()) => match never {},
            never = watch_lease(lease.as_deref(), &shutdown, max_outage) => match never {},
        }
    });
    let read = reading.await;
    pull.progress.close();
    let Pull { recorder, unnamed, .. } = pull;
    let (users, pages) = (recorder.users(), recorder.pages());
    let outcome = match &read {
        Ok(()) => RunOutcome::Complete,
        Err(failure) => run_ledger::outcome(failure.exit()),
    };
    let finished = block_in_place(|| recorder.finish(outcome, clock::utc_now()));
    watching.abort();
    read?;
    let ledger = finished?;
    let mut signals = Signals::new()?;
    compact(ledger, &settings, console, &mut signals).await;
    if unnamed > 0 {
        let text = format!("{} without an own id: nothing is known of them", counted(unnamed, "user"));
        console.warning(&Message::note(text));
    }
    let took = clock::monotonic_now() - begun;
    console.warning(&Message::note(format!(
        "read {} on {} in {}; `--only-changed` knows them from now on",
        counted(users, "user"),
        counted(pages, "page"),
        time(took)
    )));
    Ok(ExitCode::Complete)
}

/// What the ids of the requests begin with.
fn run_id() -> Arc<str> {
    unique_id(clock::utc_now(), rand::random()).into()
}

/// Opens the ledger, once no other run uses it.
async fn open_in_time(
    settings: &Settings,
    console: Console,
    signals: &mut Signals,
) -> Result<Ledger, Failure> {
    let mut waiting = Waiting::new(settings, console);
    loop {
        match block_in_place(|| run_ledger::open_for_pull(settings)) {
            Err(failure) if waiting.is_worthwhile(&failure) => {}
            opened => return opened,
        }
        let pause = async {
            sleep(Waiting::INTERVAL).await;
            Ok(())
        };
        signals.or("waited", pause).await?;
    }
}

/// The reading that this one continues, if there is one.
fn continued(
    ledger: &Ledger,
    file: &LedgerSettings,
    id_type: IdType,
    with_custom: bool,
    console: Console,
) -> Result<Option<UnfinishedPull>, Failure> {
    let Some(target) = run_ledger::target(file, id_type) else { return Ok(None) };
    let unfinished = ledger.reader().unfinished_pull(&target, with_custom)?;
    let Some(unfinished) = unfinished.filter(|_| file.resume == Resume::IfInterrupted) else {
        return Ok(None);
    };
    let UnfinishedPull { run, started, users, .. } = &unfinished;
    console.warning(&Message::note(format!(
        "continuing run {run}, begun {}: {} were read",
        started.strftime(TIME),
        counted(*users, "user")
    )));
    Ok(Some(unfinished))
}

/// Makes the ledger smaller. What was read is recorded in any case.
async fn compact(ledger: Ledger, settings: &Settings, console: Console, signals: &mut Signals) {
    let mut settings = settings.clone();
    let memory = &mut settings.input.resources.memory;
    *memory = (*memory).min(COMPACTING);
    let compacted = tokio::select! {
        biased;
        _ = signals.next() => return,
        compacted = spawn_blocking(move || run_ledger::compact(ledger, &settings)) => compacted,
    };
    run_ledger::warn_of_compacting(compacted, console);
}

/// A reading of the list of users.
struct Pull {
    reader: PageReader<Http>,
    recorder: PullRecorder,
    console: Console,
    progress: Box<dyn Progress + Send>,
    speed: PullSpeed,
    id_type: IdType,
    with_custom: bool,
    /// How many users there are, if the API says so.
    count: Option<u64>,
    /// Users without an id of the type that is asked for.
    unnamed: u64,
}

impl Pull {
    /// Reads all pages from the cursor on.
    async fn read_list(
        &mut self,
        mut cursor: Option<String>,
        mut shutdown_rx: watch::Receiver<Shutdown>,
    ) -> Result<(), Failure> {
        let mut restarts = 0;
        let mut cursors = HashSet::new();
        loop {
            match self.read_page(cursor.as_deref(), &mut shutdown_rx).await {
                Ok(page) => {
                    let next = page.next.clone();
                    if next.as_ref().is_some_and(|next| !cursors.insert(next.clone())) {
                        let what =
                            "`next`: expected the address of another page, found that of an earlier one";
                        return Err(self.failure(PageError::Malformed(what.to_owned())));
                    }
                    self.take(page);
                    if next.is_none() {
                        return self.check_count();
                    }
                    if self.recorder.pending() >= CHUNK {
                        block_in_place(|| self.recorder.commit(clock::utc_now()))?;
                    }
                    cursor = next;
                }
                Err(PageError::CursorExpired(reason)) if restarts < MOST_RESTARTS => {
                    restarts += 1;
                    self.console.warning(&Message::warning(format!(
                        "the API does not continue its list of users ({}): reading begins again with the first page",
                        reason.error
                    )));
                    block_in_place(|| self.recorder.restart(clock::utc_now()))?;
                    (cursor, self.count) = (None, None);
                    cursors.clear();
                }
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    /// Reads a page, and shows progress meanwhile.
    async fn read_page(
        &mut self,
        cursor: Option<&str>,
        shutdown_rx: &mut watch::Receiver<Shutdown>,
    ) -> Result<Page, PageError> {
        let Self { reader, recorder, progress, speed, count, .. } = self;
        let (held, held_rx) = watch::channel(None);
        let mut on_wait = move |waiting| {
            held.send_replace(waiting);
        };
        let reading = reader.read(cursor, shutdown_rx, &mut on_wait);
        tokio::pin!(reading);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                page = &mut reading => return page,
                now = ticks.tick() => {
                    let read = (recorder.users(), recorder.pages());
                    progress.show_pull(&speed.observe(now, read, *count, *held_rx.borrow()));
                }
            }
        }
    }

    fn take(&mut self, page: Page) {
        self.count = page.count.or(self.count);
        for user in &page.users {
            let named = match self.id_type {
                IdType::Id => Some(User::Id(user.id)),
                IdType::CustomId => user.custom_id.clone().map(|id| User::Custom(id.into())),
            };
            let Some(named) = named else {
                self.unnamed += 1;
                continue;
            };
            let has_all = self.with_custom && shows_all_custom(user);
            self.recorder.add(named, has_all, values(user, self.id_type, self.with_custom));
        }
        self.recorder.end_page(page.next);
    }

    /// Makes sure that the list had all users that the API counts. Some may come and go while it is read.
    fn check_count(&self) -> Result<(), Failure> {
        let read = self.recorder.users() + self.unnamed;
        let hint =
            "nothing is concluded about users that were not read; try again, or ask User.com's support";
        let refused = |text: String| {
            Err(Failure::new(Message::error(text).with_hint(hint.to_owned()), ExitCode::Stopped))
        };
        match self.count {
            Some(count) if read < count - count / 100 => refused(format!(
                "the list of users ended after {} of {}",
                HumanCount(read),
                HumanCount(count)
            )),
            _ if read == 0 => refused("the list of users is empty".to_owned()),
            _ => Ok(()),
        }
    }

    fn failure(&self, error: PageError) -> Failure {
        let next_page = self.recorder.pages() + 1;
        let (message, exit) = match error {
            PageError::Stopped(stop) => {
                let exit = ExitCode::of_stop(&stop);
                (Message::error(why_stopped(&stop)).with_hint(hint(&stop)), exit)
            }
            PageError::CursorExpired(reason) => {
                let text = format!(
                    "the API stopped to continue its list of users {} times: {}",
                    MOST_RESTARTS + 1,
                    reason.error
                );
                let hint = "read faster with a higher `--rate`, if User.com allows it".to_owned();
                (Message::error(text).with_hint(hint), ExitCode::Stopped)
            }
            PageError::Malformed(what) => {
                let text = format!("page {next_page} of the list of users can't be understood: {what}");
                let hint =
                    "nothing of this page is used; report this, with the version of attrsync".to_owned();
                (Message::error(text).with_hint(hint), ExitCode::Stopped)
            }
        };
        Failure::new(message, exit)
    }
}

/// What to do after a stop.
fn hint(stop: &Stop) -> String {
    match stop {
        Stop::KeyRefused(_) => "check the API key",
        Stop::WrongAddress { .. } | Stop::Redirected(_) => "check `--subdomain` or `--base-url`",
        _ => "the same command goes on where this one stopped",
    }
    .to_owned()
}

/// Whether the custom attributes that aren't shown are known to be empty.
fn shows_all_custom(user: &AccountUser) -> bool {
    let list = user.fields.get("attributes").and_then(serde_json::Value::as_array);
    list.is_some_and(|list| list.len() == user.custom_values().count())
}

/// What is known of a user, by attribute.
fn values(
    user: &AccountUser,
    id_type: IdType,
    with_custom: bool,
) -> impl Iterator<Item = (&str, SentValue<'static>)> {
    // The client's own id has two names. It says nothing about a user who is named by it.
    let is_told = move |name: &&str| match *name {
        "user_id" => false,
        "custom_id" => id_type == IdType::Id,
        _ => true,
    };
    let standard = STANDARD.into_iter().filter(is_told);
    let standard = standard.map(|name| (name, user.value(name, Operation::Standard)));
    let custom = user.custom_values().filter(move |(name, _)| with_custom && !STANDARD.contains(name));
    standard.chain(custom).filter_map(|(name, value)| match value {
        AccountValue::Unknown => None,
        AccountValue::Empty => Some((name, SentValue::Null)),
        AccountValue::Value(text) => Some((name, SentValue::Text(text.into_owned().into()))),
    })
}

//! Tells monitoring systems about a run, beside it: metrics while it goes on, and a dead-man switch.
//!
//! A thread of its own does it, because nothing of this may hold up a run or make it fail. What fails is a warning.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use secrecy::ExposeSecret as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::clock;
use crate::config::{MetricsTarget, PingUrl, Reports};
use crate::report::{AtomicFile, ExitCode, METRICS_TYPE, Metrics, Snapshot, WriteError, last_success};

/// How often metrics are written. Prometheus usually collects them every 15 seconds or less often.
const BETWEEN_METRICS: Duration = Duration::from_secs(10);

/// How long a request may take. With one repetition, both kinds of requests fit into [`LONGEST`].
const TIMEOUT: Duration = Duration::from_millis(2400);

/// How long the end of a run waits for this thread.
const LONGEST: Duration = Duration::from_secs(10);

/// The same for a run that a signal ends: who sent it may kill the process two seconds later.
const LONGEST_ON_SIGNAL: Duration = Duration::from_secs(1);

/// The most that is read of the metrics of a Pushgateway, which has those of all programs.
const MOST_METRICS: usize = 16 << 20;

/// The most that is read of an answer that nobody looks at. Where it ends before that, the connection can be used again.
const MOST_IGNORED: usize = 64 << 10;

/// How long a run waits for its first file of metrics.
const LONGEST_FIRST_FILE: Duration = Duration::from_secs(1);

/// The path of all metrics of a Pushgateway, and the beginning of the path that metrics are pushed to.
const ALL_METRICS: &str = "/metrics";

/// The thread that tells monitoring systems about a run.
#[derive(Debug)]
pub(super) struct Monitor {
    messages: Sender<End>,
    warnings: Receiver<String>,
    snapshots: watch::Sender<Snapshot>,
}

/// The end of a run.
#[derive(Debug)]
pub(super) struct End {
    /// The final metrics.
    pub(super) metrics: Metrics,
    /// How it ended.
    pub(super) exit: ExitCode,
    /// What happened, in a few words without personal data.
    pub(super) body: String,
}

impl Monitor {
    /// Starts to tell what the options ask for. `None` if they ask for nothing.
    pub(super) fn start(reports: &Reports, begun: Metrics) -> io::Result<Option<Self>> {
        let (metrics, ping) = (reports.metrics.clone(), reports.ping.clone());
        if metrics.is_none() && ping.is_none() {
            return Ok(None);
        }
        let (messages, inbox) = channel();
        let (warn, warnings) = channel();
        let (snapshots, latest) = watch::channel(begun.snapshot.clone());
        let (writing, is_written) = channel();
        thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            let reporter =
                Reporter { metrics, ping, run: random_uuid(), warn, is_warned: false, client: None };
            reporter.run(&inbox, begun, &latest, writing);
        })?;
        // Even a run that is killed at once leaves a file, unless the disk is slow.
        let _ended: Result<(), RecvTimeoutError> = is_written.recv_timeout(LONGEST_FIRST_FILE);
        Ok(Some(Self { messages, warnings, snapshots }))
    }

    /// Where the counts of the run go while it lasts.
    pub(super) fn snapshots(&self) -> watch::Sender<Snapshot> {
        self.snapshots.clone()
    }

    /// Tells how the run ended, and waits until that is done, but not for long. Returns what went wrong.
    pub(super) fn end(self, end: End) -> Vec<String> {
        let longest = if end.exit.is_interrupted() { LONGEST_ON_SIGNAL } else { LONGEST };
        let mut failed = Vec::new();
        if self.messages.send(end).is_err() {
            return failed;
        }
        let deadline = clock::monotonic_now() + longest;
        loop {
            let left = deadline.saturating_duration_since(clock::monotonic_now());
            match self.warnings.recv_timeout(left) {
                Ok(warning) => failed.push(warning),
                // The thread has ended.
                Err(RecvTimeoutError::Disconnected) => return failed,
                Err(RecvTimeoutError::Timeout) => {
                    failed.push("`--metrics` or `--ping`: no answer in time".to_owned());
                    return failed;
                }
            }
        }
    }
}

/// What runs in the thread.
struct Reporter {
    metrics: Option<MetricsTarget>,
    ping: Option<PingUrl>,
    run: String,
    warn: Sender<String>,
    is_warned: bool,
    client: Option<(Runtime, Client)>,
}

impl Reporter {
    /// Drops `writing` as soon as there is a file of metrics.
    fn run(
        mut self,
        inbox: &Receiver<End>,
        mut metrics: Metrics,
        latest: &watch::Receiver<Snapshot>,
        writing: Sender<()>,
    ) {
        if matches!(self.metrics, Some(MetricsTarget::File(_))) {
            self.begin(&mut metrics);
        }
        drop(writing);
        self.ping("start", concat!("attrsync ", env!("CARGO_PKG_VERSION"), "\n"));
        if matches!(self.metrics, Some(MetricsTarget::Pushgateway(_))) {
            self.begin(&mut metrics);
        }
        let end = loop {
            match inbox.recv_timeout(BETWEEN_METRICS) {
                Ok(end) => break end,
                Err(RecvTimeoutError::Timeout) => {
                    metrics.snapshot = latest.borrow().clone();
                    self.write(&metrics);
                }
                // The run ended without a word: the process is about to end, too.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        self.write(&Metrics { last_success: metrics.last_success, ..end.metrics });
        self.ping(&end.exit.code().to_string(), &end.body);
    }

    /// Writes the metrics for the first time, with the last success of the runs before.
    fn begin(&mut self, metrics: &mut Metrics) {
        metrics.last_success = self.last_success();
        self.write(metrics);
    }

    /// What the metrics of an earlier run say.
    fn last_success(&mut self) -> Option<f64> {
        match self.metrics.clone()? {
            MetricsTarget::File(path) => last_success(&fs::read_to_string(path).ok()?, &BTreeMap::new()),
            MetricsTarget::Pushgateway(address) => {
                let mut url = Url::parse(address.expose_secret()).ok()?;
                let labels = grouping_key(&url)?;
                let start = url.path().find(ALL_METRICS)?;
                let all = format!("{}{ALL_METRICS}", url.path().get(..start)?);
                url.set_path(&all);
                let text = self.send(MOST_METRICS, |client| client.get(url.clone()));
                match text {
                    Ok(text) if text.len() == MOST_METRICS => {
                        self.warn("`--metrics`: the last success is not known: the answer is too long");
                        None
                    }
                    Ok(text) => last_success(&text, &labels),
                    Err(error) => {
                        self.warn(&format!("`--metrics`: the last success is not known: {error}"));
                        None
                    }
                }
            }
        }
    }

    fn write(&mut self, metrics: &Metrics) {
        let Some(target) = self.metrics.clone() else { return };
        let text = metrics.text();
        let written = match target {
            MetricsTarget::File(path) => replace(&path, &text).map_err(|error| causes(&error)),
            MetricsTarget::Pushgateway(address) => {
                let put = |client: &Client| {
                    let put = client.put(address.expose_secret());
                    put.header(reqwest::header::CONTENT_TYPE, METRICS_TYPE).body(text.clone())
                };
                self.send(MOST_IGNORED, put).map(|_answer| ())
            }
        };
        if let Err(error) = written {
            self.warn(&format!("`--metrics`: {error}"));
        }
    }

    fn ping(&mut self, part: &str, body: &str) {
        let Some(url) = self.ping.as_ref().and_then(|ping| ping.with(part, &self.run)) else { return };
        if let Err(error) = self.send(MOST_IGNORED, |client| client.post(url.clone()).body(body.to_owned())) {
            self.warn(&format!("`--ping`: {error}"));
        }
    }

    /// Sends a request, twice if need be. Returns the body of the answer, or its beginning of this many bytes.
    fn send(&mut self, most: usize, request: impl Fn(&Client) -> RequestBuilder) -> Result<String, String> {
        let (runtime, client) = match &mut self.client {
            Some(both) => both,
            none => none.insert(connect()?),
        };
        let attempt = || {
            runtime.block_on(async {
                let mut answer = request(client).send().await?.error_for_status()?;
                let mut body = Vec::new();
                while body.len() < most
                    && let Some(chunk) = answer.chunk().await?
                {
                    body.extend_from_slice(&chunk);
                }
                body.truncate(most);
                Ok(String::from_utf8_lossy(&body).into_owned())
            })
        };
        // The address is left out, because it may be a secret.
        attempt().or_else(|_first: reqwest::Error| attempt()).map_err(|error| causes(&error.without_url()))
    }

    /// Says what went wrong, once for each run: a service that is away is away for all metrics of it.
    fn warn(&mut self, warning: &str) {
        if !std::mem::replace(&mut self.is_warned, true) {
            // Nobody listens if the run has ended meanwhile.
            drop(self.warn.send(warning.to_owned()));
        }
    }
}

fn connect() -> Result<(Runtime, Client), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder()
        .user_agent(concat!("attrsync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| causes(&error))?;
    Ok((runtime, client))
}

/// Writes the file of metrics. Everybody may read it: the collector is another user, and metrics hold counts alone.
fn replace(path: &Path, text: &str) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(path)?.readable_by_all()?;
    file.write_all(text.as_bytes()).map_err(|error| WriteError::writing(path, error))?;
    file.publish()
}

/// What dead-man switches take as the name of a run: a random UUID (version 4).
fn random_uuid() -> String {
    let random: u128 = rand::random();
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    parts.join("-")
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |cause| cause.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The labels that a Pushgateway gives to what is pushed to this address: pairs of segments after `/metrics`.
fn grouping_key(url: &Url) -> Option<BTreeMap<String, String>> {
    let segments: Vec<_> = url.path_segments()?.skip_while(|segment| *segment != "metrics").skip(1).collect();
    let pairs = segments.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
    Some(std::iter::once(("instance".to_owned(), String::new())).chain(pairs).collect())
}

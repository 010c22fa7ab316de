//! `attrsync sandbox`: a simulated API on this computer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::Builder;

use super::console::Console;
use super::failure::{Failure, block_on};
use super::signals::Signals;
use crate::config::{Period, Share};
use crate::deliver::{self, Rate};
use crate::report::{ExitCode, Message, counted};
use crate::sandbox::{Counters, Options, Reject, Sandbox};

#[derive(Args, Debug)]
pub(super) struct SandboxFlags {
    /// Address and port to listen on. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Most requests accepted per second or minute, such as 10/s or 300/m. More are answered 429
    #[arg(long, value_name = "N/s|N/m", default_value_t = deliver::Options::default().rate)]
    rate: Rate,
    /// How long each answer takes, such as 50ms
    #[arg(long, value_name = "TIME", default_value_t = Period(Duration::ZERO))]
    latency: Period,
    /// Share of requests answered with a server error, such as 5%. Half of these are applied all the same
    #[arg(long, value_name = "N%", value_parser = Share::of_whole, default_value = "0%")]
    error_rate: Share,
    /// Share of requests whose connection breaks, such as 1%. Half of these are applied all the same
    #[arg(long, value_name = "N%", value_parser = Share::of_whole, default_value = "0%")]
    drop_rate: Share,
    /// File with the ids of users who don't exist, one id per line
    #[arg(long, value_name = "FILE")]
    reject_ids: Option<PathBuf>,
    /// How a request is answered that has an id from --reject-ids
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    reject: RejectMode,
    /// Most ids accepted in one request [default: any number]
    #[arg(long, value_name = "N")]
    max_ids: Option<usize>,
    /// Most bytes accepted in one request [default: any number]
    #[arg(long, value_name = "N")]
    max_body: Option<usize>,
    /// How many users exist, with ids from 1. Others are refused like those in --reject-ids [default: any id exists]
    #[arg(long, value_name = "N")]
    users: Option<u64>,
    /// Most users in a page of the list of users
    #[arg(long, value_name = "N", default_value_t = Options::default().page_size)]
    page_size: NonZeroUsize,
    /// How many users of a page come again in the next one, as if they had moved in the list
    #[arg(long, value_name = "N", default_value_t = 0)]
    page_overlap: usize,
    /// How long the pages of a list can be asked for, such as 1h [default: for good]
    #[arg(long, value_name = "TIME")]
    cursor_lifetime: Option<Period>,
    /// Number that decides which requests meet a fault. The same number gives the same faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// How a request with an unknown id is refused.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum RejectMode {
    /// 400, naming the ids
    #[default]
    Naming,
    /// 400, naming none
    Unnamed,
    /// 404
    NotFound,
    /// Not at all: the others are updated
    Ignored,
}

/// Serves until it is interrupted.
pub(super) fn run(flags: &SandboxFlags) -> ExitCode {
    let console = Console::plain();
    let served =
        options(flags).and_then(|options| block_on(Builder::new_multi_thread(), serve(options, console)));
    console.end(served.map(|()| ExitCode::Complete))
}

fn options(flags: &SandboxFlags) -> Result<Options, Failure> {
    Ok(Options {
        listen: flags.listen,
        rate: Some((flags.rate.requests.get(), flags.rate.window)),
        latency: flags.latency.0,
        error_rate: flags.error_rate.0,
        drop_rate: flags.drop_rate.0,
        reject_ids: flags.reject_ids.as_deref().map(ids).transpose()?.unwrap_or_default(),
        reject: match flags.reject {
            RejectMode::Naming => Reject::Naming,
            RejectMode::Unnamed => Reject::Unnamed,
            RejectMode::NotFound => Reject::NotFound,
            RejectMode::Ignored => Reject::Ignored,
        },
        max_ids: flags.max_ids,
        max_body: flags.max_body,
        users: flags.users,
        page_size: flags.page_size,
        page_overlap: flags.page_overlap,
        cursor_lifetime: flags.cursor_lifetime.map(|period| period.0),
        seed: flags.seed,
        ..Options::default()
    })
}

async fn serve(options: Options, console: Console) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let listen = options.listen;
    let sandbox = Sandbox::start(options).await.map_err(|error| {
        let message = Message::error(format!("cannot listen on `{listen}`: {error}"));
        Failure::usage(message.with_hint("choose another address with `--listen`".to_owned()))
    })?;
    let (base_url, addr) = (sandbox.base_url(), sandbox.addr());
    let said = format!(
        "base URL  {base_url}\nstate     http://{addr}/sandbox/state.csv\n\
         try       ATTRSYNC_TOKEN=any attrsync sync --base-url {base_url} FILE\n\
         any key is accepted; stop with Ctrl-C\n"
    );
    Console::print(&said)?;
    signals.next().await;
    let Counters { requests, ok, throttled, refused, faulted, .. } = sandbox.counters();
    sandbox.shutdown().await;
    console.aside(&format_args!(
        "{}: {ok} answered ok, {throttled} throttled, {refused} refused, {faulted} answered with a fault",
        counted(requests, "request")
    ));
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let example =
        if text.parse::<u16>().is_ok() { format!("127.0.0.1:{text}") } else { "127.0.0.1:8080".to_owned() };
    text.parse().ok().ok_or_else(|| format!("write an address and a port, as `{example}`"))
}

fn ids(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(Message::error(format!("`{}` cannot be read: {error}", path.display())))
    })?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, id)| !id.is_empty());
    lines
        .map(|(number, id)| {
            if id.contains([',', ';', '\t']) {
                let place = format!("{}:{}", path.display(), number + 1);
                let message = Message::error(format!("{place}: expected one id, found `{id}`"));
                return Err(Failure::usage(
                    message.with_hint("write a file with one id on each line".to_owned()),
                ));
            }
            Ok(id.to_owned())
        })
        .collect()
}

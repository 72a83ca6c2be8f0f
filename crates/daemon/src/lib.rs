//! What all daemons share: how they log, how they are asked to stop, how they run.

mod complaints;
pub mod health;
mod levels;
mod process;

use std::error::Error;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::ValueEnum;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

pub use complaints::Complaints;

use crate::levels::Levels;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// What is logged unless the environment says otherwise. What its watches run into is said by those who know what they
/// are for.
const DEFAULT: &str = "info,netlink_proto=warn,notify=warn,kube_runtime=off,kube_client=off";
/// Of the one who writes this process' log lines.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Sends structured log lines to standard error. The environment variable `RUST_LOG` chooses levels;
/// the default shows what changed and what is wrong. [`health::serve`] lets them be changed.
pub fn start_logging(format: LogFormat) {
    let start = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| EnvFilter::try_new(asked).is_ok());
    let start = start.unwrap_or_else(|| DEFAULT.to_owned());
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&start));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    LEVELS.get_or_init(|| Levels::new(handle, start));
}

/// What tells this process from others that want the same Lease: the host's name, in a Pod the Pod's, and its
/// process number.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    format!("{host}-{}", std::process::id())
}

/// Runs `work` to its end on this thread: a daemon has one owner of its state, and so one thread.
///
/// # Errors
/// If the runtime cannot be set up.
pub fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// Completes when the process is asked to stop, by SIGTERM or SIGINT.
///
/// # Errors
/// If signals cannot be listened for.
pub async fn stop_requested() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Success; or, after the error and its causes were logged in one line, exit code 2 if it is one of usage or
/// input, else 1.
pub fn exit_code<E: Error>(result: Result<(), E>, is_input: impl Fn(&E) -> bool) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    tracing::error!("{text}");
    if is_input(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
}

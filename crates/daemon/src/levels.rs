//! Levels of log lines, changed while the program runs, and back by themselves: a level that was raised and forgotten
//! fills disks.
//!
//! What is asked for stands behind what the program started with, so that it changes just what it names. The level
//! alone is that of Causeway's own crates.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing_subscriber::{EnvFilter, Registry, reload};

/// How long a level holds that is asked for without a time.
pub const HOLDS: Duration = Duration::from_secs(15 * 60);
/// How long one may hold.
pub const HOLDS_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// The beginning of the names of our own crates.
const OWN: &str = "causeway";
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Why levels are not changed.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// There is no such parameter.
    #[error("{0:?} is not known; give level=LEVEL, and for=TIME if 15 minutes are not right")]
    Parameter(String),
    /// It is no level.
    #[error(
        "{0:?} is no level: give error, warn, info, debug or trace, or CRATE=LEVEL, several with commas between"
    )]
    Level(String),
    /// It is no time.
    #[error("{0:?} is no time: give a number with s, m or h, up to 24h")]
    Time(String),
    /// What was understood is refused by the filter.
    #[error("{asked:?} is not understood: {source}")]
    Filter {
        /// What was asked for.
        asked: String,
        /// What the filter says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Log lines are written by somebody else.
    #[error("levels cannot be changed: {0}")]
    Reload(#[from] reload::Error),
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Directives of a filter, after those of the start.
    levels: String,
    holds: Duration,
}

impl Request {
    /// Reads the query of a URL, such as `level=debug&for=10m`.
    ///
    /// # Errors
    /// [`LevelError`] with what can be asked for.
    pub fn read(query: &str) -> Result<Request, LevelError> {
        let (mut levels, mut holds) = (None, HOLDS);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("level", asked)) => levels = Some(directives(asked)?),
                Some(("for", asked)) => {
                    holds = time(asked).ok_or_else(|| LevelError::Time(asked.to_owned()))?;
                }
                _ => return Err(LevelError::Parameter(parameter.to_owned())),
            }
        }
        let levels = levels.ok_or_else(|| LevelError::Level(String::new()))?;
        Ok(Request { levels, holds })
    }
}

/// Directives as a filter takes them. It would take any word for the name of a crate.
fn directives(asked: &str) -> Result<String, LevelError> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    };
    let read = |part: &str| match part.split_once('=') {
        None if LEVELS.contains(&part) => Some(format!("{OWN}={part}")),
        Some((name, level)) if is_name(name) && (LEVELS.contains(&level) || level == "off") => {
            Some(part.to_owned())
        }
        _ => None,
    };
    let parts: Option<Vec<String>> = asked.split(',').map(read).collect();
    parts.map(|parts| parts.join(",")).ok_or_else(|| LevelError::Level(asked.to_owned()))
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let time = Duration::from_secs(number.checked_mul(seconds)?);
    (Duration::from_secs(1)..=HOLDS_AT_MOST).contains(&time).then_some(time)
}

/// The levels of this program.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    filter: reload::Handle<EnvFilter, Registry>,
    start: String,
    asked: Mutex<Asked>,
}

/// What is in force besides the start.
#[derive(Default)]
struct Asked {
    request: Option<(Request, Instant)>,
    /// How often something was asked for, so that only the last request falls back.
    count: u64,
}

impl Levels {
    /// Those of a filter that was made from `start`.
    pub fn new(filter: reload::Handle<EnvFilter, Registry>, start: String) -> Levels {
        Levels(Arc::new(Inner { filter, start, asked: Mutex::default() }))
    }

    /// Has what is asked for in force, until its time is over or something else is asked for. Needs the runtime.
    ///
    /// # Errors
    /// [`LevelError`]; what was in force stays.
    pub fn set(&self, request: Request) -> Result<(), LevelError> {
        let Request { levels, holds } = request.clone();
        let all = format!("{},{levels}", self.0.start);
        let filter =
            EnvFilter::try_new(all).map_err(|source| LevelError::Filter { asked: levels.clone(), source })?;
        tracing::info!(levels, seconds = holds.as_secs(), "levels of log lines are changed");
        self.0.filter.reload(filter)?;
        let mine = self.note(Some((request, Instant::now() + holds)));
        let levels = self.clone();
        tokio::spawn(async move {
            sleep(holds).await;
            if levels.count() == mine {
                // It was installed once, so it is there.
                let _ = levels.reset();
            }
        });
        Ok(())
    }

    /// Has the levels of the start in force again.
    ///
    /// # Errors
    /// [`LevelError::Reload`].
    pub fn reset(&self) -> Result<(), LevelError> {
        self.0.filter.reload(EnvFilter::new(&self.0.start))?;
        self.note(None);
        tracing::info!(levels = self.0.start, "levels of log lines are those of the start again");
        Ok(())
    }

    fn note(&self, request: Option<(Request, Instant)>) -> u64 {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.request = request;
        asked.count += 1;
        asked.count
    }

    fn count(&self) -> u64 {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

/// What is in force, and for how long.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "start: {}", self.0.start)?;
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &asked.request {
            None => Ok(()),
            Some((request, until)) => {
                let left = until.duration_since(Instant::now()).as_secs();
                writeln!(f, "asked: {}, for {left} s more", request.levels)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<(String, u64), String> {
        Request::read(query)
            .map(|request| (request.levels, request.holds.as_secs()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_level_alone_is_that_of_our_own_crates() {
        assert_eq!(read("level=debug"), Ok(("causeway=debug".to_owned(), 900)));
        let several = "level=warn,causeway_dataplane::netlink=trace,kube_client=off&for=2h";
        assert_eq!(
            read(several),
            Ok(("causeway=warn,causeway_dataplane::netlink=trace,kube_client=off".to_owned(), 7200))
        );
    }

    #[test]
    fn what_is_no_level_and_no_time_is_refused_with_what_is() {
        for level in
            ["", "level=", "level=debgu", "level=DEBUG,", "level=off", "level=a=b", "level=a[b]=info"]
        {
            assert!(read(level).is_err_and(|told| told.contains("error, warn, info")), "{level}");
        }
        for time in ["", "10", "0s", "25h", "-1s", "s", "1d", "99999999999999999999h", "é"] {
            let told = read(&format!("level=info&for={time}"));
            assert!(told.as_ref().is_err_and(|told| told.contains("s, m or h")), "{time}: {told:?}");
        }
        assert!(read("levels=info").is_err_and(|told| told.contains("level=LEVEL")));
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_follow_the_level_and_it_falls_back_by_itself() {
        let lines = Lines::default();
        let start = "info,other=warn";
        let (filter, handle) = reload::Layer::new(EnvFilter::new(start));
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
        let _guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(layer));
        let levels = Levels::new(handle, start.to_owned());
        let said = |mark: &'static str| {
            tracing::debug!("{mark} own");
            tracing::debug!(target: "other", "{mark} other");
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            (text.contains(&format!("{mark} own")), text.contains(&format!("{mark} other")))
        };
        assert_eq!(said("first"), (false, false));
        levels.set(Request::read("level=debug&for=10m").unwrap()).unwrap();
        assert_eq!(levels.to_string(), "start: info,other=warn\nasked: causeway=debug, for 600 s more\n");
        assert_eq!(said("second"), (true, false));
        // Another request replaces the first and its time.
        levels.set(Request::read("level=other=debug&for=20m").unwrap()).unwrap();
        assert_eq!(said("third"), (false, true));
        sleep(Duration::from_secs(15 * 60)).await;
        assert_eq!(said("fourth"), (false, true));
        sleep(Duration::from_secs(6 * 60)).await;
        assert_eq!(said("fifth"), (false, false));
        assert_eq!(levels.to_string(), "start: info,other=warn\n");
        levels.set(Request::read("level=debug").unwrap()).unwrap();
        levels.reset().unwrap();
        assert_eq!(said("sixth"), (false, false));
    }
}

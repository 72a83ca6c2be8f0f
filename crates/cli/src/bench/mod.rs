//! `causeway bench`: what a path through Causeway costs, against the underlay between the same two ends, in the same run.
//!
//! `serve` answers on one end, `run` asks from the other; both run wherever this program is: on a node, or in a Pod of
//! its image. `nodes` starts both, on two nodes of the clusterset, through their agents' Pods.

mod nodes;

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_pathbench::PORT;
use causeway_pathbench::measure::{Asking, Compared, Figure, MeasureError, Path, What, measure};
use causeway_pathbench::serve::{Serving, serve};
use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::report::{Format, Outcome, Page, Report, Table, Tone};
pub use nodes::{NodesArgs, run as nodes};

/// Measure what a path costs, against another between the same two ends
#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: Bench,
}

/// Which end, or both.
#[derive(Subcommand, Debug)]
pub enum Bench {
    Nodes(Box<NodesArgs>),
    Serve(ServeArgs),
    Run(RunArgs),
}

/// Answer what `bench run` asks, for a while
///
/// Bytes that come over UDP, or on a TCP connection, go back to where they came from. Nothing else can be had here, and it
/// ends by itself.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  causeway bench serve --from 192.0.2.1 --from 198.18.0.1
  causeway bench serve --listen 198.18.1.1 --for 30")]
pub struct ServeArgs {
    /// Address to listen on; may be given several times. Default: all
    #[arg(long, value_name = "ADDRESS", default_values_t = [IpAddr::V6(Ipv6Addr::UNSPECIFIED)])]
    pub listen: Vec<IpAddr>,
    /// Port, TCP and UDP; 0 takes one that is free
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub port: u16,
    /// Whom to answer; may be given several times. Default: everybody
    #[arg(long, value_name = "ADDRESS")]
    pub from: Vec<IpAddr>,
    /// For how many seconds
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// End as soon as standard input does
    #[arg(long)]
    pub until_input_ends: bool,
}

/// How much is measured.
#[derive(Args, Debug, Clone, Copy)]
pub struct Amount {
    /// Seconds for each kind: round trips over TCP and over UDP, new connections
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub seconds: u64,
    /// MiB of each transfer; 0 for none
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=4096))]
    pub transfer: u64,
    /// How many transfers each path has
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub transfers: u32,
}

/// Ask what `bench serve` answers, over several paths in turn
///
/// Short slices of all paths follow each other in random order. The first path is what the others are compared with; it is measured
/// under two names, and where those differ by more than 2 % nothing is to be trusted.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if a path carries nothing, or figures are not to be trusted.

Examples:
  causeway bench run --path underlay=192.0.2.7 --path overlay=198.18.1.1
  causeway bench run --path overlay=198.18.1.1 --path pod=10.2.1.7 --transfer 0 -o json")]
pub struct RunArgs {
    /// A path: a name, and the address to send to
    #[arg(long, value_name = "NAME=ADDRESS", required = true, value_parser = path)]
    pub path: Vec<Path>,
    /// Port of the other end
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub port: u16,
    #[command(flatten)]
    pub amount: Amount,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

fn path(text: &str) -> Result<Path, String> {
    let wrong = || format!("\"{text}\" is not NAME=ADDRESS, such as underlay=192.0.2.7");
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    Ok(Path { name: name.to_owned(), address: address.parse().map_err(|_| wrong())? })
}

/// What paths cost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BenchReport {
    /// From where, if it is a node of the clusterset.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// To where, if it is a node of the clusterset.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// Whether, in all, the first path is within 2 % of itself.
    pub trusted: bool,
    /// Each kind of figure, for all paths.
    pub compared: Vec<Compared>,
}

/// Answers until the time is over.
///
/// # Errors
/// If it cannot listen.
pub fn answer(args: &ServeArgs) -> Result<Outcome, Error> {
    let serving = Serving {
        listen: args.listen.clone(),
        port: args.port,
        from: args.from.clone(),
        lasting: Duration::from_secs(args.seconds),
    };
    let listening = |port: u16| {
        let mut out = io::stdout();
        let _ = writeln!(out, "listening on port {port} for {} s", args.seconds);
        let _ = out.flush();
    };
    let stop = Arc::new(AtomicBool::new(false));
    if args.until_input_ends {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            stop.store(true, Ordering::Relaxed);
        });
    }
    let served = serve(&serving, &stop, listening);
    served.map_err(|error| Error::Bench(format!("cannot listen: {error}")))?;
    Ok(Outcome::Fine)
}

/// Asks.
///
/// # Errors
/// If a path carries nothing.
pub fn ask(args: &RunArgs) -> Result<BenchReport, Error> {
    let asking = Asking {
        paths: args.path.clone(),
        port: args.port,
        lasting: Duration::from_secs(args.amount.seconds),
        transfer: args.amount.transfer << 20,
        transfers: args.amount.transfers,
    };
    let show = io::stderr().is_terminal();
    let progress = |done: usize, total: usize| {
        if show {
            let _ = write!(io::stderr(), "\r{:3} % ", done * 100 / total.max(1));
        }
    };
    let measured = measure(&asking, progress);
    if show {
        let _ = write!(io::stderr(), "\r      \r");
    }
    let compared = measured.map_err(|error| match &error {
        MeasureError::Paths => {
            Error::Usage("give at least two times --path: one to compare with another".to_owned())
        }
        MeasureError::Broken { address, .. } => Error::Bench(format!(
            "{error}; does `causeway bench serve` run there, and is port {} open?",
            address.port()
        )),
    })?;
    let trusted = compared.iter().all(|compared| compared.trusted);
    Ok(BenchReport { from: None, to: None, trusted, compared })
}

impl Report for BenchReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            page.line(format!("from {from} to {to}"));
        }
        let mut table = Table::new(&["WHAT", "PATH", "ADDRESS", "FIGURE", "RATIO", "95 %", "DIFFERENCE"]);
        for compared in &self.compared {
            for figure in &compared.figures {
                table.row(cells(compared.what, figure));
            }
        }
        page.table(table);
        for compared in &self.compared {
            let percent = (compared.control.median - 1.0) * 100.0;
            let what = compared.what.words();
            let text = format!("{what}: the first path differs from itself by {percent:+.1} %");
            if !compared.trusted {
                page.toned(
                    Tone::Bad,
                    format!("{text}: do not trust these figures; measure longer, or when less runs"),
                );
            }
        }
        if self.trusted {
            page.toned(Tone::Good, "the first path differs from itself by less than 2 % in all");
        }
        page
    }

    fn outcome(&self) -> Outcome {
        if self.trusted { Outcome::Fine } else { Outcome::Findings }
    }
}

fn cells(what: What, figure: &Figure) -> [String; 7] {
    let value = |value: f64| match what {
        What::Throughput => format!("{:.2} Gbit/s", value / 1e9),
        What::TcpRoundTrip | What::UdpRoundTrip | What::TcpConnection => format!("{:.1} µs", value * 1e6),
    };
    let (ratio, interval) = figure.ratio.map_or_else(Default::default, |ratio| {
        (format!("{:.2}", ratio.median), format!("{:.2} to {:.2}", ratio.low, ratio.high))
    });
    let sign = |value: f64| if value < 0.0 { "-" } else { "+" };
    let difference = figure.difference.map_or_else(String::new, |d| format!("{}{}", sign(d), value(d.abs())));
    [
        what.words().to_owned(),
        figure.path.clone(),
        figure.address.to_string(),
        value(figure.value),
        ratio,
        interval,
        difference,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_and_an_address() {
        let good = path("overlay=2001:db8::1").unwrap();
        assert_eq!((good.name.as_str(), good.address.to_string()), ("overlay", "2001:db8::1".to_owned()));
        for bad in ["192.0.2.1", "=192.0.2.1", "a=b", "a=192.0.2.0/24"] {
            assert!(path(bad).unwrap_err().contains("NAME=ADDRESS"), "{bad}");
        }
    }
}

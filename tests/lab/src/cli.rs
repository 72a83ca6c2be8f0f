//! The command line of `causeway-lab`.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::sys::signal::{SigSet, Signal};

use crate::daemon::own_program;
use crate::demo;
use crate::error::{LabError, Result};
use crate::inside::{self, BedCommand, Inside};
use crate::lab::{self, Lab, Programs};
use crate::matrix::{self, FaultsArgs};
use crate::outside::Holder;
use crate::soak::{self, SoakOptions};
use crate::topology::Topology;

/// Clusters of nodes and pods in network namespaces, linked by Causeway.
///
/// Touches nothing of this machine's network and leaves nothing behind. Exit codes: 0 fine, 1 a
/// finding or failure, 2 usage, input, or something that the machine lacks.
#[derive(Parser, Debug)]
#[command(name = "causeway-lab", version, disable_help_subcommand = true)]
struct Cli {
    /// Which bed, when several are up; the name that `up` gives
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Subcommand, Debug)]
enum LabCommand {
    /// Bring a bed up from a lab file and keep it until Ctrl-C
    Up {
        /// The lab file; `-` reads standard input
        file: PathBuf,
        /// Return once the bed is up, and leave it to `down`
        #[arg(long)]
        detach: bool,
        /// Run none of Causeway's programs
        #[arg(long)]
        no_agents: bool,
    },
    /// Show three linked clusters, from nothing to nothing
    Demo {
        /// Show two members and a hub with real control planes instead
        #[arg(long)]
        kubernetes: bool,
    },
    /// Make every fault of the matrix in a bed of its own, with packets under way, and print what became of them
    Faults(FaultsArgs),
    /// Let nodes join and leave again and again, and compare all of their network state each time
    Soak(SoakOptions),
    /// End a bed
    Down,
    /// Print the names of the beds that are up
    Beds,
    /// Print the directory of a bed's objects, for `--objects` of other programs
    Objects,
    /// Run a program in the network of a node, a pod, or the `underlay`
    Exec {
        /// CLUSTER/NODE, CLUSTER/NODE/POD or `underlay`
        endpoint: String,
        /// The program with its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    #[command(flatten)]
    Bed(BedCommand),
    #[command(hide = true)]
    Inside {
        #[command(subcommand)]
        command: Inside,
    },
}

/// The program `causeway-lab`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("causeway-lab: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let name = cli.name.as_deref();
    match cli.command {
        LabCommand::Up { file, detach, no_agents } => up(&file, name, detach, no_agents)?,
        LabCommand::Demo { kubernetes: false } => return demo::run(&own_program()?),
        LabCommand::Demo { kubernetes: true } => return demo::kubernetes::run(&own_program()?),
        LabCommand::Faults(args) => return matrix::main(&own_program()?, &args),
        LabCommand::Soak(options) => soak::run(&own_program()?, options)?,
        LabCommand::Down => Holder::find(name)?.end()?,
        LabCommand::Beds => Holder::all().iter().for_each(|bed| println!("{}", bed.name)),
        LabCommand::Objects => println!("{}", Holder::find(name)?.objects().display()),
        LabCommand::Exec { endpoint, command } => {
            let mut inside = lab::inside(&Holder::find(name)?, &own_program()?);
            inside.args(["enter", &endpoint, "--"]).args(command);
            return Err(LabError::run("nsenter")(inside.exec()));
        }
        LabCommand::Bed(_) => {
            // The same words again, on the other side.
            let words = std::env::args_os().skip(1);
            let mut inside = lab::inside(&Holder::find(name)?, &own_program()?);
            return Err(LabError::run("nsenter")(inside.args(words).exec()));
        }
        LabCommand::Inside { command } => return inside::main(command),
    }
    Ok(ExitCode::SUCCESS)
}

fn up(file: &Path, name: Option<&str>, detach: bool, no_agents: bool) -> Result<()> {
    let mut topology = read(file)?;
    if let Some(name) = name {
        topology.name = name.to_owned();
    }
    let program = own_program()?;
    let programs = if no_agents { Programs::None } else { Programs::beside(&program) };
    // Before any thread or child is there, so that a Ctrl-C waits until the bed can be ended.
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|s| signals.add(s));
    let lab = Lab::make(&program, topology, programs, detach)?;
    println!("bed {} is up", lab.name());
    if detach {
        return Ok(());
    }
    println!(
        "Ctrl-C ends it; meanwhile, in another terminal: causeway-lab check | exec | fault | list | objects"
    );
    signals.thread_block().map_err(LabError::namespace("block signals"))?;
    signals.wait().map_err(LabError::namespace("wait for signals"))?;
    println!("ending bed {}", lab.name());
    lab.down()
}

pub(crate) fn read(file: &Path) -> Result<Topology> {
    let name = file.display().to_string();
    let mut text = String::new();
    let read = match name.as_str() {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(file).map(|content| text = content),
    };
    read.map_err(|source| LabError::Input { path: file.to_owned(), source })?;
    Ok(Topology::parse(&text, &name)?)
}

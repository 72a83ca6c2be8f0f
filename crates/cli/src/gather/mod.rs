//! `causeway gather`: one archive with all that a bug report needs, and no secret in it.

mod archive;
mod kubernetes;
mod node;
mod redact;

use std::path::{Path, PathBuf};

use causeway_api::Kind;
use causeway_objects::Store;
use clap::Args;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{HubServerArgs, ServerArgs};
use crate::error::Error;
use crate::report::{Format, Outcome, Page, Report, Table};
use crate::source::Hub;
use crate::version::Side;
use crate::{status, version};
use archive::Archive;

const README: &str = "What `causeway gather` found. objects/ can be looked at with `causeway status|plan|explain --objects`.
Secrets, ConfigMaps and values of environment variables were never read; tokens, passwords, keys and certificates
in all texts stand as REDACTED. Names, labels, addresses and CIDRs are as they are: look before you publish it.
missing.txt says what could not be had.
";

/// Collect what a bug report needs into one archive, without secrets
///
/// Objects of Causeway, what is running, Nodes, Events, logs of managers and agents, versions and status: of the hub and
/// of one member, or of a directory of objects; and with --node-state the network state of the node that it runs on.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if something could not be had; the archive is written all the same.

Examples:
  causeway gather --context east --hub-context hub
  causeway gather --context hub --file report.tar.gz
  causeway gather --objects hub/
  sudo causeway gather --node-state                      on a node, also without a kubeconfig")]
pub struct GatherArgs {
    /// Directory of objects, in place of API servers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "context", "hub_kubeconfig", "hub_context"])]
    pub objects: Option<PathBuf>,
    #[command(flatten)]
    pub member: ServerArgs,
    #[command(flatten)]
    pub hub: HubServerArgs,
    /// Add the network state of this node: links, routes, next hops, neighbours, nftables; needs root
    #[arg(long)]
    pub node_state: bool,
    /// The archive to write; one that is there is not overwritten. Default: causeway-gather-TIME.tar.gz
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Lines that are taken of each log, from its end
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub log_lines: u32,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// What was gathered.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatherReport {
    /// The archive.
    pub file: String,
    /// What is in it.
    pub entries: Vec<String>,
    /// What could not be had, and why.
    pub missing: Vec<String>,
}

/// Gathers, and writes the archive.
///
/// # Errors
/// If the source is of no use at all, or the archive cannot be written.
pub fn run(args: &GatherArgs) -> Result<GatherReport, Error> {
    let now = Timestamp::now();
    let root = format!("causeway-gather-{}", now.strftime("%Y%m%d-%H%M%S"));
    let mut archive = Archive::default();
    archive.text("README.txt", README);
    if args.node_state {
        node::add(&mut archive);
    }
    if let Some(directory) = &args.objects {
        of_directory(&mut archive, directory)?;
    } else if !args.node_state || version::is_asked(&args.member, &args.hub) {
        crate::wait_for(of_servers(&mut archive, args))?;
    }
    let missing = archive.missing.clone();
    archive.text("missing.txt", &missing.join("\n"));
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{root}.tar.gz")));
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let shown = file.display().to_string();
    archive.write(&file, &root, seconds).map_err(|error| Error::Written { file: shown.clone(), error })?;
    Ok(GatherReport { file: shown, entries: archive.paths().map(str::to_owned).collect(), missing })
}

fn of_directory(archive: &mut Archive, directory: &Path) -> Result<(), Error> {
    let store = Store::open(directory).map_err(|source| Error::Open { source })?;
    for kind in Kind::ALL {
        let of_kind: Vec<_> =
            store.objects().iter().filter(|object| object.kind() == kind).map(AsRef::as_ref).collect();
        archive.documents(format!("objects/{}.yaml", kind.plural()), &of_kind);
    }
    let problems: Vec<String> = store.problems().iter().map(ToString::to_string).collect();
    archive.text("problems.txt", &problems.join("\n"));
    archive.yaml("status.yaml", &status::of_directory(directory)?);
    archive.text("version.txt", env!("CARGO_PKG_VERSION"));
    Ok(())
}

async fn of_servers(archive: &mut Archive, args: &GatherArgs) -> Result<(), Error> {
    let (hub, member) = (args.hub.access(&args.member), args.member.access());
    let mut servers = Vec::new();
    if hub == member {
        servers.push((Side::Both, Hub::of(&hub).await?));
    } else {
        servers.push((Side::Hub, Hub::of(&hub).await?));
        servers.push((Side::Member, Hub::of(&member).await?));
    }
    let entries = archive.paths().count();
    for (side, server) in &servers {
        kubernetes::add(archive, server, side.word(), args.log_lines).await;
    }
    if archive.paths().count() == entries {
        let why = archive.missing.first().cloned().unwrap_or_default();
        return Err(Error::Nothing(why));
    }
    match status::of_hub(&servers[0].1).await {
        Ok(report) => archive.yaml("status.yaml", &report),
        Err(error) => archive.lacks(error),
    }
    archive.yaml("version.yaml", &version::of(&servers).await);
    Ok(())
}

impl Report for GatherReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format!(
            "wrote {} with {} files; secrets are removed, names and addresses are not",
            self.file,
            self.entries.len()
        ));
        let mut table = Table::new(&[]);
        self.missing.iter().for_each(|missing| table.row([missing.clone()]));
        page.section("COULD NOT BE HAD", table);
        page
    }

    fn outcome(&self) -> Outcome {
        if self.missing.is_empty() { Outcome::Fine } else { Outcome::Findings }
    }
}

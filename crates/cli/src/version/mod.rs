//! `causeway version`: which programs are what version, here, at the hub and in a member, and where they differ.
//!
//! A program's version is that of its image: no object states it. Images are those of the Pods that there are, so that
//! an upgrade that is under way, or stuck, shows.

mod skew;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{HubServerArgs, ServerArgs};
use crate::error::Error;
use crate::report::{Format, Outcome, Page, Report, Table, Tone};
use crate::source::Hub;
pub use skew::{Program, Side};

/// Show the versions of this program, of the managers and of the agents, and where they differ
///
/// The versions of managers and agents are those of the images that their Pods run. Without a kubeconfig, or with
/// --client, only this program's is shown.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if versions differ, or an API server does not answer.

Examples:
  causeway version --client
  causeway version --context east --hub-context hub
  causeway version -o json | jq .programs")]
pub struct VersionArgs {
    /// Show this program's version only
    #[arg(long)]
    pub client: bool,
    #[command(flatten)]
    pub member: ServerArgs,
    #[command(flatten)]
    pub hub: HubServerArgs,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Which programs are what version.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionReport {
    /// This program's version.
    pub client: String,
    /// The version of the objects that it reads.
    pub api_version: String,
    /// Programs that run, one entry for each version of each.
    pub programs: Vec<Program>,
    /// Where versions differ, in words.
    pub skew: Vec<String>,
    /// What could not be asked, and why.
    pub problems: Vec<String>,
    /// Whether nobody was asked.
    #[serde(skip)]
    pub alone: bool,
}

/// Builds the report.
///
/// # Errors
/// If a kubeconfig that is named is of no use.
pub fn run(args: &VersionArgs) -> Result<VersionReport, Error> {
    if args.client || !is_asked(&args.member, &args.hub) {
        return Ok(alone());
    }
    crate::wait_for(async {
        let (hub, member) = (args.hub.access(&args.member), args.member.access());
        let hub_server = Hub::of(&hub).await?;
        if hub == member {
            return Ok(of(&[(Side::Both, hub_server)]).await);
        }
        Ok(of(&[(Side::Hub, hub_server), (Side::Member, Hub::of(&member).await?)]).await)
    })
}

/// Whether an API server is named, or there is one to ask where none is.
pub fn is_asked(member: &ServerArgs, hub: &HubServerArgs) -> bool {
    let named = member.kubeconfig.is_some() || member.context.is_some();
    named || hub.hub_kubeconfig.is_some() || hub.hub_context.is_some() || has_kubeconfig()
}

/// Whether there is anything to ask, where nothing is named.
fn has_kubeconfig() -> bool {
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || home.is_some_and(|path| path.exists())
}

fn alone() -> VersionReport {
    VersionReport {
        client: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: causeway_api::API_VERSION.to_owned(),
        programs: Vec::new(),
        skew: Vec::new(),
        problems: Vec::new(),
        alone: true,
    }
}

/// What runs at these API servers.
pub async fn of(servers: &[(Side, Hub)]) -> VersionReport {
    let mut report = VersionReport { alone: false, ..alone() };
    for (side, server) in servers {
        match skew::programs(server, *side).await {
            Ok(programs) => report.programs.extend(programs),
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    report.skew = skew::skew(&report.client, &report.programs);
    report
}

impl Report for VersionReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format!("causeway {}", self.client));
        page.line(format!("objects  {}", self.api_version));
        if self.alone {
            return page;
        }
        let mut table = Table::new(&["AT", "PROGRAM", "VERSION", "PODS", "READY", "IMAGE"]);
        for Program { side, program, version, pods, ready, image } in &self.programs {
            let version = version.clone().unwrap_or_else(|| "-".to_owned());
            let cells =
                [side.word().to_owned(), program.clone(), version, pods.to_string(), ready.to_string()];
            table.row(cells.into_iter().chain([image.clone()]));
        }
        if table.is_empty() && self.problems.is_empty() {
            page.line(
                "no manager and no agent runs there; install with: causeway install hub, causeway join",
            );
        }
        page.section("PROGRAMS", table);
        if !self.skew.is_empty() {
            page.heading("SKEW");
            self.skew.iter().for_each(|text| page.toned(Tone::Bad, text));
        }
        if !self.problems.is_empty() {
            page.heading("NOT ASKED");
            self.problems.iter().for_each(|text| page.toned(Tone::Bad, text));
        }
        page
    }

    fn outcome(&self) -> Outcome {
        if self.skew.is_empty() && self.problems.is_empty() { Outcome::Fine } else { Outcome::Findings }
    }
}

//! `causeway join`: a Cluster at the hub, a credential for it, and Causeway's programs at the member.

use std::time::Duration;

use causeway_api::{API_VERSION, Cluster, Kind, SYSTEM_NAMESPACE, conditions};
use causeway_kubernetes::{Client, RequestError, Trouble};
use causeway_model::{ClusterName, cluster_namespace};
use clap::{Args, ValueEnum};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube_client::{Api, Error as KubeError};
use serde_json::{Value, json};

use crate::access::{self, Endpoint, HubServerArgs, Look, ServerArgs};
use crate::apply::{Changes, OutputArgs, Planned, Side};
use crate::credential::{self, ACCOUNT};
use crate::error::Error;
use crate::{manifests, rollout};

/// Join a cluster to the clusterset
///
/// Creates the Cluster at the hub, waits until network-manager has registered it, gives the member a
/// credential for the hub that expires soon and that its controller-manager renews, and installs the
/// member's programs. Doing it again changes nothing but the credential.
#[derive(Args, Debug)]
#[command(after_help = "With --dry-run nothing is asked of either API server. The Secret then holds a
placeholder for the token; with --show-credential the hub is asked for one.

Examples:
  causeway join --cluster east --context east --hub-context hub
  causeway join --cluster east --kubeconfig east.conf --hub-kubeconfig hub.conf --mode Gateway --wait
  causeway join --cluster east --hub-kubeconfig hub.conf --dry-run --only member -o yaml > east.yaml")]
pub struct JoinArgs {
    /// Name of the cluster in the clusterset
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterName,
    #[command(flatten)]
    pub member: ServerArgs,
    #[command(flatten)]
    pub hub: HubServerArgs,
    /// URL at which the member reaches the hub. Default: that of the hub's kubeconfig
    #[arg(long, value_name = "URL")]
    pub hub_server: Option<String>,
    /// How the cluster's pods are reached. Default: what the Cluster says already, else the
    /// ClusterSet's default
    #[arg(long, value_enum, ignore_case = true, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// The image that holds Causeway's programs
    #[arg(long, value_name = "IMAGE", default_value = manifests::DEFAULT_IMAGE)]
    pub image: String,
    /// How long the first token lives, in hours; the hub may make it shorter
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    pub token_hours: u64,
    /// Give the member its credential only: its programs are installed otherwise, such as by the Helm chart
    #[arg(long)]
    pub no_install: bool,
    /// With --dry-run: ask the hub for a token and print it
    #[arg(long, requires = "dry_run")]
    pub show_credential: bool,
    /// Wait until the programs run and the hub knows the cluster's CIDRs
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long to wait for each step, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How a cluster's pods are reached.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Straight to the pod's own node
    #[value(name = "P2P")]
    P2p,
    /// Through the cluster's gateways
    #[value(name = "Gateway")]
    Gateway,
}

impl JoinArgs {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    fn lifetime(&self) -> Duration {
        Duration::from_secs(self.token_hours.saturating_mul(3600))
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        Endpoint::of(&self.hub.access(&self.member), self.hub_server.as_deref())
    }
}

/// The Cluster as the command line says it.
fn cluster(name: &ClusterName, mode: Option<Mode>) -> Value {
    let mode = mode.map(|mode| match mode {
        Mode::P2p => causeway_model::Mode::P2p,
        Mode::Gateway => causeway_model::Mode::Gateway,
    });
    let spec = causeway_api::ClusterSpec { mode: mode.map(Into::into), ..Default::default() };
    json!({
        "apiVersion": API_VERSION,
        "kind": Kind::Cluster.as_str(),
        "metadata": {"name": name.as_str()},
        "spec": spec,
    })
}

/// What the member gets. The Secret goes right behind the namespaces: the programs wait for it.
fn for_member(args: &JoinArgs, secret: Value) -> Result<Vec<Value>, Error> {
    let mut objects =
        if args.no_install { Vec::new() } else { manifests::member(&args.image, &args.cluster)? };
    let after = objects.iter().take_while(|object| object["kind"] == "Namespace").count();
    objects.insert(after, secret);
    Ok(objects)
}

/// What would be applied.
///
/// # Errors
/// [`Error::Endpoint`] if the hub's kubeconfig is of no use; with --show-credential also what the hub
/// refuses.
pub async fn planned(args: &JoinArgs) -> Result<Planned, Error> {
    let endpoint = args.endpoint()?;
    let token = if args.show_credential {
        let hub = access::client(&args.hub.access(&args.member)).await?;
        credential::request(&hub, &args.cluster, args.lifetime()).await?.token
    } else {
        credential::placeholder(&args.cluster)
    };
    let secret = credential::readable(&credential::kubeconfig(&args.cluster, &endpoint, &token)?);
    let member = for_member(args, secret)?;
    Ok(Planned(vec![(Side::Hub, vec![cluster(&args.cluster, args.mode)]), (Side::Member, member)]))
}

/// Joins the cluster.
///
/// # Errors
/// What an API server refuses, and [`Error::Timeout`] with what is missing.
pub async fn run(args: &JoinArgs) -> Result<Changes, Error> {
    let endpoint = args.endpoint()?;
    let hub = access::client(&args.hub.access(&args.member)).await?;
    let member = access::client(&args.member.access()).await?;
    refuse_another_name(&member, &args.cluster).await?;

    let mut changes = Changes::default();
    declare(&hub, args, &mut changes).await?;
    access::wait("the hub has registered the cluster", args.limit(), || registered(&hub, &args.cluster))
        .await?;

    let credential = credential::request(&hub, &args.cluster, args.lifetime()).await?;
    let secret = credential::stored(&credential::kubeconfig(&args.cluster, &endpoint, &credential.token)?)?;
    changes.apply(Side::Member, &member, &for_member(args, secret)?).await?;
    if let Some(expires) = credential.expires {
        changes.note(format!("the credential expires at {expires}; controller-manager renews it before"));
    }
    if args.wait {
        wait_until_it_works(args, &hub, &member).await?;
        changes.note(format!("cluster {} is joined", args.cluster));
    }
    Ok(changes)
}

/// A member has one name; a second one would take its nodes away from the first.
async fn refuse_another_name(member: &Client, name: &ClusterName) -> Result<(), Error> {
    let api: Api<Deployment> = Api::namespaced(member.clone(), SYSTEM_NAMESPACE);
    let what = format!("read Deployment {SYSTEM_NAMESPACE}/causeway-controller-manager");
    let found = api.get_opt("causeway-controller-manager").await;
    let found = found.map_err(|error| Error::Request(RequestError::new(what, &error)))?;
    match found.as_ref().and_then(manifests::cluster_of) {
        Some(other) if other != *name => Err(Error::OtherCluster { asked: name.clone(), joined: other }),
        _ => Ok(()),
    }
}

/// Makes the Cluster be there. One that is there keeps its spec unless something else is asked for.
async fn declare(hub: &Client, args: &JoinArgs, changes: &mut Changes) -> Result<(), Error> {
    let wanted = cluster(&args.cluster, args.mode);
    let existing = read_cluster(hub, &args.cluster).await?;
    if existing.as_ref().is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some()) {
        return Err(Error::Leaving(args.cluster.clone()));
    }
    let objects = if existing.is_some() && args.mode.is_none() { Vec::new() } else { vec![wanted] };
    changes.apply(Side::Hub, hub, &objects).await
}

/// The Cluster at the hub.
///
/// # Errors
/// [`Error::NoHub`] if there is no such kind of object; else [`Error::Request`].
pub async fn read_cluster(hub: &Client, name: &ClusterName) -> Result<Option<Cluster>, Error> {
    let clusters: Api<Cluster> = Api::all(hub.clone());
    match clusters.get(name.as_str()).await {
        Ok(cluster) => Ok(Some(cluster)),
        // A kind that is not served and an object that is not there differ only in who says so.
        Err(KubeError::Api(status))
            if status.code == 404 && status.reason == "NotFound" && status.details.is_some() =>
        {
            served(&clusters).await.map(|()| None)
        }
        Err(error) => match Trouble::of(&error) {
            Trouble::NotServed(_) => Err(no_hub()),
            _ => Err(Error::Request(RequestError::new(format!("read Cluster {name}"), &error))),
        },
    }
}

fn no_hub() -> Error {
    Error::NoHub { at: "the API server".to_owned() }
}

async fn served(clusters: &Api<Cluster>) -> Result<(), Error> {
    let params = kube_client::api::ListParams::default().limit(1);
    match clusters.list_metadata(&params).await {
        Ok(_) => Ok(()),
        Err(KubeError::Api(status)) if status.code == 404 => Err(no_hub()),
        Err(error) => Err(Error::Request(RequestError::new("list Clusters", &error))),
    }
}

/// Whether network-manager has made the cluster's identity and given it its rights; the bindings come last.
async fn registered(hub: &Client, name: &ClusterName) -> Result<Look<()>, Error> {
    let namespace = cluster_namespace(name);
    let bindings: Api<RoleBinding> = Api::namespaced(hub.clone(), &namespace);
    let global: Api<ClusterRoleBinding> = Api::all(hub.clone());
    let own = bindings.get_opt(ACCOUNT).await.map(|found| found.is_some());
    let all = global.get_opt(&format!("causeway:cluster:{name}")).await.map(|found| found.is_some());
    match (own, all) {
        (Ok(true), Ok(true)) => Ok(Look::Done(())),
        (Err(error), _) | (_, Err(error)) => {
            Err(Error::Request(RequestError::new(format!("read the rights of cluster {name}"), &error)))
        }
        _ => Ok(Look::Missing(format!(
            "network-manager has not registered cluster {name} yet; does it run at the hub? (causeway install hub)"
        ))),
    }
}

async fn wait_until_it_works(args: &JoinArgs, hub: &Client, member: &Client) -> Result<(), Error> {
    let limit = args.limit();
    let name = "causeway-controller-manager";
    access::wait("controller-manager is ready", limit, || rollout::deployment(member, name)).await?;
    access::wait("the hub knows the cluster", limit, || discovered(hub, &args.cluster)).await?;
    access::wait("all agents are ready", limit, || rollout::agents(member, "causeway-agent")).await
}

/// Whether the cluster's CIDRs were found, and what the hub says against them.
async fn discovered(hub: &Client, name: &ClusterName) -> Result<Look<()>, Error> {
    let cluster = read_cluster(hub, name).await?.unwrap_or_else(|| Cluster::new("", Default::default()));
    let found = cluster.status.iter().flat_map(|status| &status.conditions);
    let condition = found.into_iter().find(|condition| condition.type_ == conditions::DISCOVERED);
    Ok(match condition {
        Some(condition) if condition.status == "True" => Look::Done(()),
        Some(condition) => Look::Missing(format!("Cluster {name}: {}", condition.message)),
        None => Look::Missing(format!("controller-manager has not told the hub of cluster {name} yet")),
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn a_mode_that_is_not_asked_for_is_not_said() {
        let name = "east".parse().unwrap();
        assert_eq!(cluster(&name, None)["spec"], json!({}));
        assert_eq!(cluster(&name, Some(Mode::P2p))["spec"], json!({"mode": "P2P"}));
        assert_eq!(cluster(&name, Some(Mode::Gateway))["spec"], json!({"mode": "Gateway"}));
    }

    #[test]
    fn the_credential_is_there_before_the_programs_that_need_it() {
        let kinds = |words: &[&str]| -> Vec<String> {
            let command = JoinArgs::augment_args(clap::Command::new("join"));
            let matches = command.get_matches_from([&["join", "--cluster", "east"], words].concat());
            let args = JoinArgs::from_arg_matches(&matches).unwrap();
            let objects = for_member(&args, credential::readable("k")).unwrap();
            objects.iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kinds(&[])[..2], ["Namespace", "Secret"]);
        assert_eq!(kinds(&["--no-install"]), ["Secret"]);
    }
}

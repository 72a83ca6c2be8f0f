//! One API server of a bed, with its store and its controllers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::{Family, Prefix};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::kubernetes::folder;
use crate::state::{State, to_json};
use crate::topology::{Cluster, CniKind, KubeProxy, KubernetesVersion, Node, Topology};

/// How long a control plane may take to come up.
const START: Duration = Duration::from_secs(120);
/// Ports: the hub's API server, from there on the clusters'; controllers a hundred above.
const FIRST_PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";

/// The folder of Kubernetes' programs: that of KUBEBUILDER_ASSETS for the newest, else what
/// `tests/kubernetes/build.sh` built.
pub(crate) fn binaries(version: KubernetesVersion) -> Result<PathBuf> {
    let which = match version {
        KubernetesVersion::Oldest => "oldest",
        KubernetesVersion::Newest => match std::env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) if !folder.is_empty() => return Ok(PathBuf::from(folder)),
            _ => "newest",
        },
    };
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.unwrap_or_default().join("causeway/kubernetes").join(which);
    // A build that was made anew meanwhile must not mix with this one.
    let folder = folder.canonicalize().unwrap_or(folder);
    if folder.join(".complete").exists() { Ok(folder) } else { Err(LabError::NoKubernetes(folder)) }
}

/// An API server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    name: String,
    /// Its place: 0 for the hub.
    place: u16,
    service_cidrs: Vec<Prefix>,
    /// Addresses in the underlay at which nodes reach it.
    routers: Vec<IpAddr>,
}

impl Server {
    /// The hub's. It is reached at the routers of all clusters.
    pub fn hub(topology: &Topology) -> Server {
        let routers = topology.clusters.iter().flat_map(routers).collect();
        Server { name: "hub".to_owned(), place: 0, service_cidrs: Vec::new(), routers }
    }

    /// A cluster's.
    pub fn of(cluster: &Cluster) -> Server {
        Server {
            name: format!("cluster-{}", cluster.name),
            place: cluster.index + 1,
            service_cidrs: cluster.service_cidrs.clone(),
            routers: routers(cluster),
        }
    }

    /// That of a cluster, or `hub`.
    pub fn named(name: &str) -> Result<Server> {
        let topology = State::load()?.topology;
        let cluster = topology.clusters.iter().find(|cluster| cluster.name.as_str() == name);
        match cluster {
            Some(cluster) => Ok(Server::of(cluster)),
            None if name == "hub" => Ok(Server::hub(&topology)),
            None => Err(LabError::UnknownEndpoint(name.to_owned())),
        }
    }

    /// Its place: 0 for the hub, and one more than a cluster's index.
    pub fn place(&self) -> u16 {
        self.place
    }

    /// What its files are named after.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn port(&self) -> u16 {
        FIRST_PORT + self.place
    }

    /// Every address that its certificate holds for.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let services = self.service_cidrs.iter().filter_map(|cidr| cidr.nth(1));
        [IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(self.routers.clone()).chain(services).collect()
    }

    /// Its URL in the underlay's network.
    pub fn loopback(&self) -> String {
        format!("https://127.0.0.1:{}", self.port())
    }

    /// Its URL as a node sees it.
    pub fn seen_by(&self, cluster: &Cluster, node: &Node) -> String {
        let family = Family::BOTH.into_iter().find(|family| node.address(*family).is_some());
        let router = family.and_then(|family| cluster.router(family));
        router.map_or_else(|| self.loopback(), |(address, _)| self.url(address))
    }

    /// Its URL in the underlay.
    pub fn underlay(&self) -> String {
        self.routers.first().map_or_else(|| self.loopback(), |address| self.url(*address))
    }

    fn url(&self, address: IpAddr) -> String {
        match address {
            IpAddr::V4(address) => format!("https://{address}:{}", self.port()),
            IpAddr::V6(address) => format!("https://[{address}]:{}", self.port()),
        }
    }

    fn file(&self, name: &str) -> String {
        folder().join(format!("{}-{name}", self.name)).display().to_string()
    }

    /// The kubeconfig of somebody who may do everything.
    pub fn admin(&self) -> String {
        self.file("admin.conf")
    }

    /// The kubeconfig of that name, if it was written.
    pub fn kubeconfig(&self, name: &str) -> Option<String> {
        let path = self.file(&format!("{name}.conf"));
        Path::new(&path).exists().then_some(path)
    }

    /// Writes a kubeconfig.
    pub fn write_kubeconfig(&self, name: &str, url: &str, user: &Value) -> Result<String> {
        let authority = folder().join("ca.crt");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": url, "certificate-authority": authority}}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        let path = self.file(&format!("{name}.conf"));
        fs::write(&path, to_json(&kubeconfig, "a kubeconfig")?)
            .map_err(LabError::file("write", Path::new(&path)))?;
        Ok(path)
    }

    /// Its process.
    pub fn daemon(&self) -> Daemon {
        Daemon::part_of_kubernetes(&format!("{}-kube-apiserver", self.name))
    }

    /// Starts its API server.
    pub fn start(&self, binaries: &Path) -> Result<()> {
        for name in ["admin", "controllers"] {
            self.write_kubeconfig(name, &self.loopback(), &user_of_certificate(name))?;
        }
        let services: Vec<String> = self.service_cidrs.iter().map(ToString::to_string).collect();
        let services = if services.is_empty() { "10.96.0.0/16".to_owned() } else { services.join(",") };
        let advertised = self.routers.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut command = Command::new(binaries.join("kube-apiserver"));
        command.args([
            format!("--etcd-servers={ETCD}"),
            format!("--etcd-prefix=/{}", self.name),
            "--bind-address=::".to_owned(),
            format!("--secure-port={}", self.port()),
            format!("--advertise-address={advertised}"),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--service-cluster-ip-range={services}"),
            format!("--client-ca-file={}", folder().join("ca.crt").display()),
            format!("--tls-cert-file={}", self.file("server.crt")),
            format!("--tls-private-key-file={}", self.file("server.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.file("sa.pub")),
            format!("--service-account-signing-key-file={}", self.file("sa.key")),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
            format!("--cert-dir={}", self.file("run")),
        ]);
        self.daemon().start(command)
    }

    /// Waits until it serves.
    pub fn wait_until_ready(&self) -> Result<()> {
        let daemon = self.daemon();
        wait_until(&format!("the API server {}", self.name), START, || {
            if daemon.pid().is_none() {
                return Err(LabError::Failed { program: self.name.clone(), message: daemon.last_words() });
            }
            Ok(self.kubectl(&["get", "--raw", "/readyz"]).map(drop).map_err(|error| error.to_string()))
        })
    }

    /// The kubeconfig with a certificate of that name, for use on a node.
    pub fn kubeconfig_on(&self, cluster: &Cluster, node: &Node, name: &str) -> Result<String> {
        let url = self.seen_by(cluster, node);
        self.write_kubeconfig(&format!("{name}-{}", node.name), &url, &user_of_certificate(name))
    }

    /// Starts the controllers that deletion and ServiceAccounts need, and for a cluster those that its network
    /// needs; else Nodes, and Services of the bed, are the lab's own.
    pub fn start_controllers(&self, binaries: &Path, network: Option<&Cluster>) -> Result<()> {
        let kubeconfig = self.file("controllers.conf");
        let mut controllers =
            vec!["namespace-controller", "garbage-collector-controller", "serviceaccount-controller"];
        let mut command = Command::new(binaries.join("kube-controller-manager"));
        command.args([
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port() + 100),
            "--leader-elect=false".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", self.file("sa.key")),
            format!("--root-ca-file={}", folder().join("ca.crt").display()),
            format!("--cert-dir={}", self.file("run")),
        ]);
        if network.is_some_and(|cluster| cluster.kube_proxy != KubeProxy::Imitated) {
            controllers.push("endpointslice-controller");
        }
        if let Some(cluster) = network.filter(|cluster| cluster.cni.kind == CniKind::Flannel) {
            controllers.push("node-ipam-controller");
            let shown =
                |cidrs: &[Prefix]| cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            command.args([
                "--allocate-node-cidrs=true".to_owned(),
                format!("--cluster-cidr={}", shown(&cluster.pod_cidrs)),
                format!("--service-cluster-ip-range={}", shown(&cluster.service_cidrs)),
            ]);
        }
        command.arg(format!("--controllers={}", controllers.join(",")));
        Daemon::part_of_kubernetes(&format!("{}-kube-controller-manager", self.name)).start(command)
    }
}

/// The user of a kubeconfig who shows the certificate of that name.
fn user_of_certificate(name: &str) -> Value {
    let file = |ending: &str| folder().join(format!("{name}.{ending}"));
    json!({"client-certificate": file("crt"), "client-key": file("key")})
}

fn routers(cluster: &Cluster) -> Vec<IpAddr> {
    let routers = Family::BOTH.into_iter().filter_map(|family| cluster.router(family));
    routers.map(|(address, _)| address).collect()
}

/// Starts the store that all servers of the bed share, each under a prefix of its own.
pub(super) fn start_etcd(binaries: &Path, folder: &Path) -> Result<()> {
    let peers = "http://127.0.0.1:2380";
    let mut command = Command::new(binaries.join("etcd"));
    command.arg("--data-dir").arg(folder.join("etcd")).args([
        &format!("--listen-client-urls={ETCD}"),
        &format!("--advertise-client-urls={ETCD}"),
        &format!("--listen-peer-urls={peers}"),
        &format!("--initial-advertise-peer-urls={peers}"),
        &format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync",
        // Room for several versions of 200,000 objects, where 2 GiB are the default.
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]);
    Daemon::part_of_kubernetes("etcd").start(command)
}

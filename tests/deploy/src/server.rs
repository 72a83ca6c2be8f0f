//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. No kubelet and no
//! scheduler: Pods are made and never run.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use causeway_kubernetes::{Access, Client, connect};
use serde_json::Value;
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::{eventually, kubernetes_program, mortal, succeed};

const API_SERVER: &str = "kube-apiserver";

/// A control plane. It ends with this value, and with the thread that started it.
pub struct Server {
    folder: TempDir,
    port: u16,
    etcd: String,
    processes: Vec<Process>,
}

struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Clients first: an API server that is asked to stop waits for them, so it is not asked.
        self.processes.iter_mut().rev().for_each(Process::end);
    }
}

impl Server {
    /// Starts one, and waits until it serves.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start() -> Server {
        let folder = TempDir::new().expect("a folder");
        let mut server = Server { folder, port: free_port(), etcd: String::new(), processes: Vec::new() };
        server.write_certificates();
        server.start_etcd();
        server.start_api_server();
        server.write_kubeconfig("admin", &server.client_certificate("admin"));
        server.write_kubeconfig("manager", &server.client_certificate("manager"));
        server.wait_until_ready().await;
        server.start_controller_manager();
        server
    }

    /// Asks its API server to stop, as an upgrade does: it ends each watch in good order. It is not waited for longer
    /// than that takes, since it waits for its clients.
    ///
    /// # Panics
    /// If there is none.
    pub async fn stop(&mut self) {
        let is_server = |process: &&mut Process| process.name == API_SERVER;
        let server = self.processes.iter_mut().find(is_server).expect("one that runs");
        succeed(Command::new("kill").arg(server.child.id().to_string()));
        for _ in 0..50 {
            if !matches!(server.child.try_wait(), Ok(None)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.go_away();
    }

    /// Ends its API server, as by a power cut. What was written stays.
    pub fn go_away(&mut self) {
        self.processes.iter_mut().filter(|process| process.name == API_SERVER).for_each(Process::end);
        self.processes.retain(|process| process.name != API_SERVER);
    }

    /// Starts the API server again that went away, and waits until it serves.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn come_back(&mut self) {
        self.start_api_server();
        self.wait_until_ready().await;
    }

    /// The folder with its files, for those of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was asked by whom, one event each
    /// (<https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>).
    ///
    /// # Panics
    /// If that cannot be read.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A way to it that can be disturbed, and the kubeconfig that takes this way in place of the straight one.
    ///
    /// # Panics
    /// If files cannot be read and written.
    pub fn through_proxy(&self, kubeconfig: &Path) -> (Proxy, PathBuf) {
        let proxy = Proxy::to(self.port);
        let text = fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let path = kubeconfig.with_extension("proxy.conf");
        let port = |port: u16| format!("127.0.0.1:{port}\"");
        fs::write(&path, text.replace(&port(self.port), &port(proxy.port()))).expect("a kubeconfig");
        (proxy, path)
    }

    /// The kubeconfig of somebody who may everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.path("admin.conf")
    }

    /// A client of somebody who may everything.
    ///
    /// # Panics
    /// If the kubeconfig is of no use.
    pub async fn admin(&self) -> Client {
        client(&self.admin_kubeconfig()).await
    }

    /// The kubeconfig, in a file named for `name`, of somebody with this token.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> PathBuf {
        self.write_kubeconfig(name, &format!("token: {token}"))
    }

    /// The kubeconfig, in a file named for `name`, of somebody whose token is in a file that is read again and
    /// again, as a Pod's is.
    pub fn kubeconfig_with_token_file(&self, name: &str, token: &Path) -> PathBuf {
        self.write_kubeconfig(name, &format!("tokenFile: \"{}\"", token.display()))
    }

    fn write_kubeconfig(&self, name: &str, user: &str) -> PathBuf {
        let path = self.path(&format!("{name}.conf"));
        let text = format!(
            "apiVersion: v1\nkind: Config\n\
             clusters: [{{name: c, cluster: {{server: \"{}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\ncurrent-context: c\n",
            self.url(),
            self.shown("ca.crt"),
        );
        fs::write(&path, text).expect("a kubeconfig");
        path
    }

    fn client_certificate(&self, name: &str) -> String {
        format!(
            "client-certificate: \"{}\", client-key: \"{}\"",
            self.shown(&format!("{name}.crt")),
            self.shown(&format!("{name}.key"))
        )
    }

    fn write_certificates(&self) {
        let script = r#"
            key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }
            key ca.key && openssl req -x509 -new -key ca.key -subj /CN=test -days 30 -out ca.crt
            leaf() {
                key "$1.key" && openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
                printf '%s' "$3" > "$1.ext"
                openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
                    -extfile "$1.ext" -out "$1.crt" 2>/dev/null
            }
            leaf server /CN=kube-apiserver 'subjectAltName=IP:127.0.0.1'
            leaf admin /O=system:masters/CN=admin 'extendedKeyUsage=clientAuth'
            leaf manager /CN=system:kube-controller-manager 'extendedKeyUsage=clientAuth'
            openssl genrsa -out other.key 2048 2>/dev/null
            openssl rsa -in other.key -pubout -out other.pub 2>/dev/null
            key sa.key && openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
        "#;
        succeed(Command::new("bash").args(["-e", "-c", script]).current_dir(self.folder.path()));
    }

    fn start_etcd(&mut self) {
        let (clients, peers) = (local(free_port()), local(free_port()));
        self.run(
            "etcd",
            &[
                &format!("--data-dir={}", self.shown("etcd")),
                &format!("--listen-client-urls={clients}"),
                &format!("--advertise-client-urls={clients}"),
                &format!("--listen-peer-urls={peers}"),
                &format!("--initial-advertise-peer-urls={peers}"),
                &format!("--initial-cluster=default={peers}"),
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        );
        self.etcd = clients;
    }

    fn start_api_server(&mut self) {
        // Not what nobody asks for here: leases of nodes, and what its own parts ask.
        let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\n\
            rules: [{level: None, users: [\"system:apiserver\", \"system:kube-controller-manager\"]}, {level: Metadata}]\n";
        fs::write(self.path("audit.yaml"), policy).expect("a policy");
        let certificate = |flag: &str, file: &str| format!("--{flag}={}", self.shown(file));
        let flags = [
            format!("--etcd-servers={}", self.etcd),
            certificate("audit-policy-file", "audit.yaml"),
            certificate("audit-log-path", "audit.log"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            // Endpoints may not hold addresses of loopback.
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            certificate("client-ca-file", "ca.crt"),
            certificate("tls-cert-file", "server.crt"),
            certificate("tls-private-key-file", "server.key"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            certificate("service-account-key-file", "sa.pub"),
            // Tests sign with it what the server itself would not give them.
            certificate("service-account-key-file", "other.pub"),
            certificate("service-account-signing-key-file", "sa.key"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run(API_SERVER, &flags);
    }

    fn start_controller_manager(&mut self) {
        let kubeconfig = self.shown("manager.conf");
        let flags = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", free_port()),
            "--leader-elect=false".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", self.shown("sa.key")),
            format!("--root-ca-file={}", self.shown("ca.crt")),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run("kube-controller-manager", &flags);
    }

    fn run(&mut self, name: &'static str, flags: &[&str]) {
        let log = File::create(self.path(&format!("{name}.log"))).expect("a log");
        let errors = log.try_clone().expect("the same log");
        let mut command = mortal(&kubernetes_program(name));
        command.args(flags).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        self.processes.push(Process { name, child });
    }

    async fn wait_until_ready(&mut self) {
        let admin = self.admin().await;
        eventually("an API server", async || {
            let answer = admin.request_text(http_request("/readyz")).await;
            if answer.is_ok_and(|answer| answer == "ok") {
                return Ok(());
            }
            let log = fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
            // kube-controller-manager ends by itself when its API server is away for long.
            let serves = |process: &Process| process.name != "kube-controller-manager";
            let ended =
                |process: &mut Process| serves(process) && !matches!(process.child.try_wait(), Ok(None));
            assert!(!self.processes.iter_mut().any(ended), "no API server:\n{log}");
            Err(log)
        })
        .await;
    }
}

fn http_request(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).expect("a request")
}

/// A client with a kubeconfig.
///
/// # Panics
/// If it is of no use.
pub async fn client(kubeconfig: &Path) -> Client {
    let access = Access { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    connect(&access).await.expect("a usable kubeconfig")
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A port of loopback that nobody listens on.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. No kubelet and no
//! scheduler: Pods are made and never run.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use causeway_kubernetes::{Access, Client, connect};
use tempfile::TempDir;

use crate::{kubernetes_program, succeed};

/// How long the control plane may take to come up.
const START: Duration = Duration::from_secs(120);

/// A control plane. It ends with this value.
pub struct Server {
    folder: TempDir,
    port: u16,
    processes: Vec<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Clients first: an API server that is asked to stop waits for them, so it is not asked.
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Server {
    /// Starts one, and waits until it serves.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start() -> Server {
        let folder = TempDir::new().expect("a folder");
        let mut server = Server { folder, port: free_port(), processes: Vec::new() };
        server.write_certificates();
        let etcd = server.start_etcd();
        server.start_api_server(&etcd);
        server.write_kubeconfig("admin", &server.client_certificate("admin"));
        server.write_kubeconfig("manager", &server.client_certificate("manager"));
        server.wait_until_ready().await;
        server.start_controller_manager();
        server
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
            key sa.key && openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
        "#;
        succeed(Command::new("bash").args(["-e", "-c", script]).current_dir(self.folder.path()));
    }

    fn start_etcd(&mut self) -> String {
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
        clients
    }

    fn start_api_server(&mut self, etcd: &str) {
        let certificate = |flag: &str, file: &str| format!("--{flag}={}", self.shown(file));
        let flags = [
            format!("--etcd-servers={etcd}"),
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
            certificate("service-account-signing-key-file", "sa.key"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--profiling=false".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run("kube-apiserver", &flags);
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

    fn run(&mut self, name: &str, flags: &[&str]) {
        let log = File::create(self.path(&format!("{name}.log"))).expect("a log");
        let errors = log.try_clone().expect("the same log");
        let mut command = Command::new(kubernetes_program(name));
        command.args(flags).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        self.processes.push(child);
    }

    async fn wait_until_ready(&mut self) {
        let admin = self.admin().await;
        let deadline = Instant::now() + START;
        loop {
            let request = http_request("/readyz");
            if admin.request_text(request).await.is_ok_and(|answer| answer == "ok") {
                return;
            }
            let log = fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
            let ended = self.processes.iter_mut().any(|process| !matches!(process.try_wait(), Ok(None)));
            assert!(!ended && Instant::now() < deadline, "no API server:\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

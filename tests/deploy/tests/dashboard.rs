//! `causeway dashboard` at a real API server: it follows what changes there, looks nodes up, and says when the hub is gone.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use causeway_test_deploy::clusterset::{condition, given, namespace_is_there, ours, say};
use causeway_test_deploy::hub::install;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, mortal, program};
use serde_json::{Value, json};

/// A dashboard that ends with the test.
struct Page {
    child: Child,
    address: String,
}

impl Page {
    fn of(hub: &Server) -> Page {
        let mut command = mortal(&program("causeway"));
        command.args(["dashboard", "--kubeconfig"]).arg(hub.admin_kubeconfig()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{line}"));
        Page { child, address: address.trim_end_matches('/').to_owned() }
    }

    fn told(&self, query: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        write!(stream, "GET /dashboard.json{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    async fn becomes(&self, what: &str, query: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let told = self.told(query);
            if is(&told) { Ok(told) } else { Err(format!("{told:#}")) }
        })
        .await
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_hub_is_followed_and_its_end_is_told_with_what_was_known() {
    let mut hub = Server::start().await;
    let manager = install(&hub).await;
    let admin = hub.admin().await;
    for (name, number) in [("east", 1), ("west", 2)] {
        let spec = json!({"mode": "P2P", "podCIDRs": [format!("10.{number}.0.0/16")]});
        given(&admin, ours("Cluster", None, name, spec)).await;
        let namespace = format!("causeway-cluster-{name}");
        namespace_is_there(&admin, &namespace).await;
        let spec =
            json!({"underlay": [format!("192.0.2.{number}")], "podCIDRs": [format!("10.{number}.1.0/24")]});
        given(&admin, ours("ClusterNode", Some(&namespace), "n1", spec)).await;
    }
    let page = Page::of(&hub);
    let links = |told: &Value| told["status"]["links"].as_array().map_or(0, Vec::len);
    let planned = page.becomes("two links", "", |told| links(told) == 2).await;
    assert_eq!(planned["status"]["links"][0]["state"], "Unknown", "nobody has reported");

    let status = json!({"nodes": {"ready": 0, "total": 1}, "conditions": [
        condition("Ready", "False", "NoWay", "no node has a way to the remote cluster that works"),
    ]});
    let controller = "causeway-controller-manager";
    say(&admin, controller, "ClusterLink", Some("causeway-cluster-east"), "west", status).await;
    let broken = |told: &Value| told["status"]["links"][0]["state"] == "NotReady";
    page.becomes("a broken link", "", broken).await;
    let closely = page.told("?link=east/west");
    let said = closely["focus"]["ways"][0]["conditions"].as_array().unwrap();
    assert!(said.iter().any(|one| one["reason"] == "NoWay" && one["good"] == false), "{closely:#}");
    let node =
        page.becomes("a node that is planned", "?node=east/n1", |told| told["focus"]["role"] == "Node").await;
    assert_eq!(node["focus"]["underlay"], json!(["192.0.2.1"]));
    assert_eq!(node["focus"]["nodeConfig"]["kind"], "NodeConfig", "{node:#}");
    let cluster = page.told("?cluster=west");
    assert_eq!(cluster["focus"]["nodes"][0]["name"], "n1", "{cluster:#}");
    assert!(page.told("?node=east/n9")["missing"].is_string());

    drop(manager);
    hub.stop().await;
    let gone = page.becomes("that the hub is gone", "", |told| told["trouble"].is_string()).await;
    assert_eq!(links(&gone), 2, "unknown is not empty: {gone:#}");
    let later = page.told("");
    assert_eq!(later["asOf"], gone["asOf"], "as of when it was read last");
    let node = page.told("?node=east/n1");
    assert!(node["missing"].is_string() && node.get("focus").is_none(), "{node:#}");
}

//! What is saved is read again, and nothing else is.

use std::fs;
use std::io::Write as _;

use causeway_api::{API_VERSION, Object};
use causeway_dataplane::nft::{Change, TableKind, Transaction};
use causeway_dataplane::state::{Hop, Route};
use causeway_dataplane::table::Table;
use causeway_dataplane::{Device, Observed, Step};
use serde_json::{Value, json};

use super::basis::{GRACE, Saved, basis};
use super::codec::{self, CodecError, Seal};
use super::content::{self, Unusable};
use super::*;
use crate::plans::Plans;

fn objects() -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
    let peers = json!([{
        "node": "n1", "underlay": ["192.0.2.9"], "overlay": ["198.18.1.1", "fd63:6175:7365:1::101"],
        "podCIDRs": ["10.2.1.0/24"],
    }]);
    vec![
        object(
            "NodeConfig",
            "n1",
            json!({
                "cluster": "a", "role": "Node", "underlay": ["192.0.2.1"],
                "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"], "localPodCIDRs": ["10.1.1.0/24"],
                "tunnels": {"bridge": {"vni": 54, "port": 4876}}, "own": {"podCIDRs": ["10.1.0.0/16"]},
            }),
        ),
        object(
            "ClusterLink",
            "b",
            json!({
                "sourceCluster": "a", "remoteCluster": "b", "via": "Nodes",
                "prefixes": [{"cidr": "10.2.0.0/16", "kind": "Pod", "via": "Nodes"}],
            }),
        ),
        object(
            "PeerSlice",
            "b.nodes.0",
            json!({"cluster": "b", "scope": "Nodes", "index": 0, "peers": peers}),
        ),
    ]
}

fn read(value: &Value) -> Object {
    let kind = causeway_api::Kind::of(API_VERSION, value["kind"].as_str().unwrap()).unwrap();
    Object::deserialize(kind, value).unwrap()
}

fn plans() -> Plans {
    let mut plans = Plans::default();
    for object in objects() {
        plans.handle(&causeway_api::Change::Applied(std::sync::Arc::new(read(&object))));
    }
    plans.settle();
    assert_eq!(plans.complaints().count(), 0);
    plans
}

fn here() -> Identity {
    Identity::new("n1".parse().unwrap(), &[b"authority".to_vec()])
}

fn snapshot(plans: &Plans) -> Snapshot {
    let Known::Plan(inputs) = plans.known() else { panic!() };
    Snapshot::of(inputs, &here())
}

/// A file with just these lines, sealed.
fn sealed(lines: &[Value]) -> Vec<u8> {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let seal = Seal::of(|sum| sum.write_all(body.as_bytes())).unwrap();
    (seal.header() + &body).into_bytes()
}

fn used(bytes: &[u8], here: &Identity) -> Result<Plans, Unusable> {
    let (origin, objects) = codec::read(bytes)?;
    content::plans(&origin, objects, here)
}

fn error(result: Result<Plans, Unusable>) -> String {
    result.map(|plans| format!("{plans:?}")).unwrap_err().to_string()
}

#[test]
fn what_is_saved_is_known_again_and_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = content::path(dir.path());
    assert!(file::load(&path, &here()).unwrap().is_none());
    let before = plans();
    file::save(&path, &snapshot(&before)).unwrap();
    let loaded = file::load(&path, &here()).unwrap().unwrap();
    assert_eq!(loaded.plans.known(), before.known());
    assert!(loaded.age.unwrap() < Duration::from_secs(3600));

    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let first = inode();
    file::save(&path, &snapshot(&before)).unwrap();
    assert_eq!(inode(), first);
    // One that was damaged meanwhile is put right.
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    file::save(&path, &snapshot(&before)).unwrap();
    assert_eq!(file::load(&path, &here()).unwrap().unwrap().plans.known(), before.known());
    remove_from(dir.path()).unwrap();
    remove_from(dir.path()).unwrap();
    assert!(file::load(&path, &here()).unwrap().is_none());
}

#[test]
fn a_file_that_is_cut_off_anywhere_or_has_a_wrong_bit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = content::path(dir.path());
    file::save(&path, &snapshot(&plans())).unwrap();
    let whole = fs::read(&path).unwrap();
    assert!(used(&whole, &here()).is_ok());
    for length in 0..whole.len() {
        assert!(codec::open(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for at in (0..=header).chain((0..whole.len()).step_by(97)) {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(codec::open(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let longer = [&whole[..], b"\n"].concat();
    assert!(matches!(codec::open(&longer), Err(CodecError::Length { .. })));
}

#[test]
fn what_is_no_file_of_this_format_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = content::path(dir.path());
    let load = || file::load(&path, &here()).unwrap_err().to_string();
    for (content, expected) in [
        ("", "it is empty"),
        ("{}", "not a file of last known state"),
        ("causeway-last-known 1\n", "header is damaged"),
        ("causeway-last-known 2 0 0\n", "format \"2\""),
        ("causeway-last-known 2 more of another kind\n{}", "format \"2\""),
    ] {
        fs::write(&path, content).unwrap();
        assert!(load().contains(expected), "{content:?}: {}", load());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(load().contains("no regular file"), "{}", load());
}

#[test]
fn objects_of_another_version_are_read_as_those_of_an_api_server_are() {
    let mut other = objects();
    other[0]["spec"]["ofALaterVersion"] = json!({"a": [1]});
    other[0]["spec"].as_object_mut().unwrap().remove("own");
    other[2]["spec"]["peers"][0]["ofALaterVersion"] = json!(true);
    other.insert(0, json!({"later": "field"}));
    let plans = used(&sealed(&other), &here()).unwrap();
    let Known::Plan(inputs) = plans.known() else { panic!() };
    assert_eq!(inputs.slices()[0].peers.len(), 1);
}

#[test]
fn a_part_that_cannot_be_used_spoils_the_whole() {
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut lines = objects();
        lines.insert(0, json!({"node": "n1", "cluster": "a"}));
        change(&mut lines);
        error(used(&sealed(&lines), &here()))
    };
    let transport = with(&|lines| lines[2]["spec"]["transport"] = json!("Unheard"));
    assert!(transport.contains("spec.transport"), "{transport}");
    let prefix = with(&|lines| lines[3]["spec"]["peers"][0]["podCIDRs"] = json!(["10.2.1.0/33"]));
    assert!(prefix.contains("podCIDRs"), "{prefix}");
    let kind = with(&|lines| lines[3]["kind"] = json!("Unheard"));
    assert!(kind.contains("line 5") && kind.contains("Unheard"), "{kind}");
    let shape = with(&|lines| lines[2]["spec"] = json!(7));
    assert!(shape.contains("line 4"), "{shape}");
    let no_plan = with(&|lines| lines.truncate(1));
    assert!(no_plan.contains("no NodeConfig"), "{no_plan}");
}

#[test]
fn a_file_of_another_node_or_cluster_is_refused() {
    let other = Identity { node: "n2".parse().unwrap(), ..here() };
    let with = |origin: Value, here: &Identity| {
        let lines = [vec![origin], objects()].concat();
        used(&sealed(&lines), here)
    };
    assert!(error(with(json!({"node": "n1"}), &other)).contains("n2"));
    assert!(error(with(json!({}), &other)).contains("n2"));
    assert!(error(with(json!({"cluster": "c"}), &here())).contains("clusters a and c"));
    // The node was made anew in another cluster, under its old name.
    let authorities = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| codec::fingerprint(name.as_bytes())).collect()
    };
    let origin = |names: &[&str]| json!({"authorities": authorities(names)});
    assert!(error(with(origin(&["stranger"]), &here())).contains("another cluster"));
    // Authorities are changed one at a time; who trusts the system's says none.
    for (origin, here) in [
        (origin(&["stranger", "authority"]), here()),
        (origin(&[]), here()),
        (origin(&["stranger"]), Identity { authorities: Vec::new(), ..here() }),
    ] {
        assert!(with(origin, &here).is_ok());
    }
}

#[test]
fn the_file_counts_after_the_grace_and_until_the_source_has_told() {
    let late = GRACE + Duration::from_secs(1);
    for saved in [Saved::Unread, Saved::Plan, Saved::Nothing] {
        assert_eq!(basis(true, Duration::ZERO, saved), Basis::Source, "{saved:?}");
        assert_eq!(basis(true, late, saved), Basis::Source, "{saved:?}");
    }
    assert_eq!(basis(false, Duration::ZERO, Saved::Unread), Basis::Wait(GRACE));
    assert_eq!(basis(false, GRACE / 2, Saved::Unread), Basis::Wait(GRACE / 2));
    assert_eq!(basis(false, GRACE, Saved::Unread), Basis::Read);
    assert_eq!(basis(false, late, Saved::Plan), Basis::Saved);
    assert_eq!(basis(false, late, Saved::Nothing), Basis::Source);
}

#[test]
fn a_step_that_takes_away_or_changes_what_is_there_is_a_loss() {
    let (device, address) = (Device::ALL[0], "198.18.1.1".parse().unwrap());
    let prefix = "10.2.0.0/16".parse().unwrap();
    let route = Route { hop: Hop::Link(device), src: None, mtu: None };
    let replace = Step::ReplaceRoute(prefix, 7, route);
    let add = Step::AddAddress(device, address);
    let firewall = |change| Step::Firewall(Transaction::new(vec![Change::AddTable, change]).unwrap());
    let nothing = Observed::default();
    let routes = Table::from_entries(vec![((prefix, 7), route)]).0;
    let there = Observed { routes, ..Observed::default() };

    assert_eq!(first_loss(&[add.clone(), replace.clone()], &nothing), None);
    assert_eq!(first_loss(&[add.clone(), replace.clone()], &there), Some(&replace));
    // Ports of pods come and go while nobody looks.
    let of_pods =
        vec![Change::FlushChain("from_pods".to_owned()), Change::DeleteChain("from_pods".to_owned())];
    let of_pods = Step::Firewall(Transaction::of(TableKind::Netdev, of_pods).unwrap());
    assert_eq!(first_loss(&[of_pods], &nothing), None);
    let added = Step::Firewall(Transaction::new(vec![Change::AddTable]).unwrap());
    assert_eq!(first_loss(&[added], &nothing), None);
    for loss in [
        Step::DelRoute(prefix, 7),
        Step::DelAddress(device, address),
        Step::DelDevice(device),
        firewall(Change::FlushChain("a".to_owned())),
    ] {
        assert_eq!(first_loss(&[add.clone(), loss.clone()], &nothing), Some(&loss));
    }
}

#[test]
fn ages_are_told_in_words() {
    let told = [0, 119, 120, 7200, 200_000].map(|seconds| ago(Duration::from_secs(seconds)));
    assert_eq!(told, ["0 s ago", "119 s ago", "2 min ago", "2 h ago", "2 d ago"]);
}

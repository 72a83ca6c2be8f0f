//! API servers that are away.

use causeway_lab::{Action, Fault, StreamOptions};

use crate::bed::{becomes, becomes_well, kubectl, names, well};

fn api_server(server: &str, action: Action) -> Fault {
    Fault::ApiServer { server: server.to_owned(), action }
}

#[test]
fn without_the_hub_traffic_goes_on_agents_restart_and_all_is_caught_up_with_afterwards() {
    let lab = well("away", "clusters: [{name: east, nodes: 2}, {name: west, nodes: 1}]");
    let stream = lab
        .stream(&StreamOptions::new("east/n1/p1".parse().unwrap(), "west/n1/p1".parse().unwrap()))
        .unwrap();
    lab.fault(&api_server("hub", Action::Kill)).unwrap();
    lab.node("east/n1").unwrap().agent(Action::Restart).unwrap();
    lab.fault(&Fault::ControllerManager { cluster: "west".parse().unwrap(), action: Action::Kill }).unwrap();
    lab.fault(&Fault::ControllerManager { cluster: "west".parse().unwrap(), action: Action::Start }).unwrap();
    // A fact that the hub does not hear of now.
    kubectl(&lab, "east", &["label", "node", "n2", "causeway.dev/exclude=true"]);
    lab.fault(&api_server("east", Action::Restart)).unwrap();
    let report = stream.finish().unwrap();
    assert_eq!(report.lost(), 0, "{report:?}");

    lab.fault(&api_server("hub", Action::Start)).unwrap();
    becomes("the excluded node to be out of the plan", vec!["n1".to_owned()], || {
        names(&lab, "east", &["nodeconfigs", "-n", "causeway-system"])
    });
    kubectl(&lab, "east", &["label", "node", "n2", "causeway.dev/exclude-"]);
    becomes_well(&lab);
}

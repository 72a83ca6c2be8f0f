//! The page of `causeway dashboard` in a browser: over a lab whose links break, over objects with hostile words, over a hundred
//! clusters.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fmt::Write;
use std::path::Path;

use causeway_lab::browser::{Browser, Scheme};
use causeway_lab::dashboard::Dashboard;
use causeway_lab::{CheckOptions, Fault, Lab, Programs};
use common::{LIMIT, PROGRAM, topology};
use serde_json::{Value, json};

const THREE: &str =
    "clusters: [{name: a, nodes: 1}, {name: b, spec: {mode: Gateway}, nodes: 2}, {name: c, nodes: 1}]";
const LINKS: [&str; 6] = ["a/b", "a/c", "b/a", "b/c", "c/a", "c/b"];

/// What the page says, for messages.
const TEXT: &str = "document.body.innerText";

fn opened(dashboard: &Dashboard) -> Browser {
    let mut browser = Browser::start(1400, 1000).unwrap();
    browser.open(dashboard.url()).unwrap();
    browser.wait("the page", "document.querySelector('.matrix td a')", TEXT).unwrap();
    browser
}

/// What a selector finds, as texts.
fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let all = format!("[...document.querySelectorAll({selector:?})].map((one) => one.textContent)");
    serde_json::from_value(browser.value(&all).unwrap()).unwrap()
}

/// Presses Tab until what has the focus is `selector`: what a person without a mouse comes to.
#[track_caller]
fn tab_to(browser: &mut Browser, selector: &str) {
    for _ in 0..200 {
        browser.press("Tab").unwrap();
        if browser.value(&format!("document.activeElement.matches({selector:?})")).unwrap() == true {
            return;
        }
    }
    panic!("Tab never comes to {selector}");
}

/// No error was told, and nothing was asked of anybody but the dashboard.
#[track_caller]
fn is_clean(browser: &Browser, dashboard: &Dashboard) {
    assert_eq!(browser.complaints(), [] as [String; 0]);
    let foreign = |url: &&String| !url.starts_with(dashboard.url()) && *url != "about:blank";
    let foreign: Vec<&String> = browser.requests().iter().filter(foreign).collect();
    assert!(foreign.is_empty() && browser.requests().len() > 3, "{foreign:?}");
}

#[test]
fn a_link_that_breaks_is_shown_first_and_closely_and_a_source_that_goes_is_told() {
    let lab = Lab::up(PROGRAM, topology("dashboard", THREE), Programs::beside(Path::new(PROGRAM))).unwrap();
    assert!(lab.wait_until_ready(&CheckOptions::default(), LIMIT).unwrap().is_fine());
    let dashboard = Dashboard::start(PROGRAM, &lab.objects_dir()).unwrap();
    let mut browser = opened(&dashboard);
    let ready = "[...document.querySelectorAll('.matrix td:not(.self)')].filter((td) => td.classList.contains('is-Ready')).length === 6";
    browser.wait("six links that work", ready, TEXT).unwrap();
    assert_eq!(texts(&mut browser, ".well"), ["Nothing is wrong."]);
    assert_eq!(texts(&mut browser, ".matrix tbody th"), ["a", "b", "c"]);
    assert_eq!(texts(&mut browser, ".map .name"), ["a", "b", "c"]);
    for link in LINKS {
        for place in ["map", "cell", "link"] {
            let found = format!("document.querySelectorAll('[data-key=\"{place} {link}\"]').length");
            assert_eq!(browser.value(&found).unwrap(), 1, "{place} {link}");
        }
    }

    lab.fault(&Fault::Partition { one: "a".parse().unwrap(), other: "b".parse().unwrap() }).unwrap();
    let broken = "document.querySelector('.wrong li')?.textContent.includes('AllGatewaysSilent')";
    browser.wait("what is wrong", broken, TEXT).unwrap();
    let first = "document.querySelector('tbody [data-key^=\"link \"]').closest('tr').textContent";
    browser.wait("a broken link", &format!("{first}.includes('NotReady')"), TEXT).unwrap();
    let row = browser.value(first).unwrap();
    assert!(row.as_str().unwrap().starts_with("a → b✕NotReady"), "{row}");
    let news = "document.getElementById('news').textContent.includes('a to b is NotReady now')";
    browser.wait("news for who does not see it", news, TEXT).unwrap();
    let shape =
        browser.value("document.querySelector('[data-key=\"map a/b\"]').getAttribute('class')").unwrap();
    assert_eq!(shape, "NotReady");

    // From the top, by keyboard alone: the link, then back, then a node.
    tab_to(&mut browser, "[data-key='link a/b']");
    browser.press("Enter").unwrap();
    browser.wait("the link", "document.activeElement?.textContent === 'Link a ↔ b'", TEXT).unwrap();
    browser.wait("both ways", "document.querySelectorAll('.ways > section').length === 2", TEXT).unwrap();
    let ways = texts(&mut browser, ".ways > section");
    assert!(
        ways[0].contains("NotReady") && ways[0].contains("VXLAN") && ways[0].contains("Gateways"),
        "{ways:?}"
    );
    assert!(ways[0].contains("AllGatewaysSilent"), "{ways:?}");
    let bar = "document.querySelector('.ways .bar').getAttribute('aria-label')";
    let bar = browser.value(bar).unwrap();
    assert!(bar.as_str().unwrap().contains("Ready") && bar.as_str().unwrap().contains("NotReady"), "{bar}");
    tab_to(&mut browser, "a[href='#/node/a/n1']");
    browser.press("Enter").unwrap();
    browser.wait("the node", "document.querySelector('main details')", TEXT).unwrap();
    let node = browser.value(TEXT).unwrap();
    for word in ["Node a/n1", "Role", "Overlay addresses", "GatewaysReachable=False", "Programmed=True"] {
        assert!(node.as_str().unwrap().contains(word), "{word}: {node}");
    }
    browser
        .wait("its NodeConfig", "document.querySelector('pre').textContent.includes('NodeConfig')", TEXT)
        .unwrap();
    tab_to(&mut browser, "[data-key=back]");
    browser.press("Enter").unwrap();
    browser.wait("the overview", "document.querySelector('.matrix td a')", TEXT).unwrap();

    let page = dashboard.url().to_owned();
    lab.down().unwrap();
    let words = "document.getElementById('trouble-words').textContent.includes('does not answer')";
    browser.wait("that the source is gone", words, TEXT).unwrap();
    let age = browser.value("document.getElementById('trouble-age').textContent").unwrap();
    assert!(age.as_str().unwrap().contains(" ago"), "{age}");
    assert_eq!(texts(&mut browser, ".map .name"), ["a", "b", "c"], "what was known is still shown");
    is_clean(&browser, &dashboard);

    drop(dashboard);
    let words =
        "document.getElementById('trouble-words').textContent.includes('causeway dashboard does not answer')";
    browser.wait("that the program is gone", words, TEXT).unwrap();
    assert_eq!(texts(&mut browser, ".map .name"), ["a", "b", "c"], "{page}");
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    let since = "2026-01-01T00:30:00Z";
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
}

fn object(kind: &str, namespace: Option<&str>, name: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status,
    })
}

fn cluster(name: &str, message: &str) -> Value {
    let status =
        json!({"conditions": [condition("Ready", "False", "Excluded", message)], "gateways": [message]});
    object("Cluster", None, name, json!({}), status)
}

fn link(from: &str, to: &str, rtt: &str, ready: bool) -> Value {
    let spec = json!({"sourceCluster": from, "remoteCluster": to, "via": "Nodes"});
    let status = json!({
        "nodes": {"ready": i32::from(ready), "total": 1}, "rtt": rtt,
        "conditions": [condition("Ready", if ready { "True" } else { "False" }, "NoWay", "")],
    });
    object("ClusterLink", Some(&format!("causeway-cluster-{from}")), to, spec, status)
}

/// A directory with these objects in one file.
fn folder(objects: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::with_prefix("causeway-dashboard-").unwrap();
    let mut text = String::new();
    for object in objects {
        writeln!(text, "---\n{object}").unwrap();
    }
    std::fs::write(folder.path().join("objects.yaml"), text).unwrap();
    folder
}

#[test]
fn what_objects_say_is_text_whatever_it_looks_like() {
    let hostile = "<img src=x onerror=hacked=1><script>hacked=1</script>\"'&lt;b&gt;</td></table>";
    let name = "<img/src=x/onerror=hacked=1>";
    let mut broken = link("a", "b", "<svg onload=hacked=1>", false);
    broken["status"]["conditions"][0]["message"] = json!(hostile);
    let mut odd = link("a", "c", "0.42ms", true);
    odd["spec"]["remoteCluster"] = json!(name);
    let folder = folder(&[cluster("a", hostile), cluster("b", hostile), cluster(name, hostile), broken, odd]);
    let dashboard = Dashboard::start(PROGRAM, folder.path()).unwrap();
    let mut browser = opened(&dashboard);
    let none = "document.querySelectorAll('main img, main script, main td td').length === 0 && typeof hacked === 'undefined'";
    assert_eq!(browser.value(none).unwrap(), true);
    assert!(texts(&mut browser, ".wrong li").iter().any(|text| text.contains(hostile)));
    assert!(texts(&mut browser, ".matrix tbody th").contains(&name.to_owned()));
    for place in
        ["link/a/b", "cluster/a", "link/a/%3Cimg%2Fsrc%3Dx%2Fonerror%3Dhacked%3D1%3E", "node/a/%3Cb%3E"]
    {
        browser.value(&format!("location.hash = '#/{place}'")).unwrap();
        let shown = "document.querySelector('main h1') && document.querySelector('main dl, main .trouble')";
        browser.wait(place, shown, TEXT).unwrap();
        assert_eq!(browser.value(none).unwrap(), true, "{place}");
    }
    is_clean(&browser, &dashboard);
}

#[test]
fn a_hundred_clusters_are_a_matrix_that_keys_move_in() {
    let names: Vec<String> = (0..100).map(|number| format!("c{number:02}")).collect();
    let mut objects: Vec<Value> = names.iter().map(|name| cluster(name, "")).collect();
    for (row, from) in names.iter().enumerate() {
        for (column, to) in names.iter().enumerate().filter(|(column, _)| *column != row) {
            objects.push(link(from, to, &format!("{}.42ms", (row + column) % 90), (row, column) != (3, 7)));
        }
    }
    let folder = folder(&objects);
    let dashboard = Dashboard::start(PROGRAM, folder.path()).unwrap();
    let mut browser = opened(&dashboard);
    let cells = "document.querySelectorAll('.matrix td:not(.self)').length";
    assert_eq!(browser.value(cells).unwrap(), 9900);
    assert_eq!(browser.value("document.querySelectorAll('.map').length").unwrap(), 0, "no tangle");
    assert_eq!(texts(&mut browser, "[data-key='cell c03/c07']"), ["✕ 10"]);
    // One stop for Tab, whatever the size.
    assert_eq!(browser.value("document.querySelectorAll('.matrix a[tabindex=\"0\"]').length").unwrap(), 1);
    tab_to(&mut browser, ".matrix a");
    for (key, cell) in [
        ("ArrowRight", "c00/c02"),
        ("ArrowDown", "c01/c02"),
        ("ArrowDown", "c03/c02"),
        ("ArrowLeft", "c03/c01"),
        ("End", "c03/c99"),
    ] {
        browser.press(key).unwrap();
        assert_eq!(
            browser.value("document.activeElement.dataset.key").unwrap(),
            format!("cell {cell}"),
            "{key}"
        );
    }
    browser.press("Enter").unwrap();
    browser.wait("the link", "document.activeElement?.textContent === 'Link c03 ↔ c99'", TEXT).unwrap();
    browser.value("history.back()").unwrap();
    browser.wait("the overview", "document.querySelector('.matrix td a')?.textContent", TEXT).unwrap();
    let filter = "(() => { const only = document.querySelector('input[type=search]'); only.value = 'c0'; only.dispatchEvent(new Event('input')); })()";
    browser.value(filter).unwrap();
    assert_eq!(browser.value(cells).unwrap(), 90);
    is_clean(&browser, &dashboard);
}

/// Ratios of contrast below 4.5 to 1 (WCAG 2.2, 1.4.3), of all texts that are shown.
const PALE: &str = r"(() => {
    const parts = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const light = (color) => {
        const [r, g, b] = parts(color).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = parts(getComputedStyle(at).backgroundColor);
            if (a > 0) return `rgb(${r}, ${g}, ${b})`;
        }
        return 'rgb(255, 255, 255)';
    };
    const pale = [];
    for (const element of document.querySelectorAll('body *')) {
        const said = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!said || !element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const color = element.closest('svg') ? style.fill : style.color;
        const [one, other] = [light(color), light(ground(element))].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < 4.5) pale.push(`${ratio.toFixed(2)} ${element.tagName} ${element.textContent.slice(0, 30)}`);
    }
    return pale;
})()";

#[test]
fn who_cannot_see_well_or_at_all_can_use_the_page() {
    let objects = [
        cluster("a", "none"),
        cluster("b", "none"),
        link("a", "b", "0.42ms", true),
        link("b", "a", "7.00ms", false),
    ];
    let folder = folder(&objects);
    let dashboard = Dashboard::start(PROGRAM, folder.path()).unwrap();
    let mut browser = opened(&dashboard);
    for place in ["", "#/link/b/a", "#/cluster/a"] {
        browser.value(&format!("location.hash = '{place}'")).unwrap();
        browser
            .wait(place, "document.querySelector('main h1') && document.querySelector('main table')", TEXT)
            .unwrap();
        for scheme in [Scheme::Light, Scheme::Dark] {
            browser.prefer(scheme).unwrap();
            assert_eq!(browser.value(PALE).unwrap(), json!([]), "{place} {scheme:?}");
        }
        let tree = browser.call("Accessibility.getFullAXTree", json!({})).unwrap();
        let nodes = tree["nodes"].as_array().unwrap();
        let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
        for landmark in ["banner", "main", "contentinfo"] {
            let found = nodes.iter().filter(|node| role(node) == landmark).count();
            assert_eq!(found, 1, "{place}: {landmark}");
        }
        for node in nodes.iter().filter(|node| node["ignored"] == false) {
            let needs = [
                "link",
                "button",
                "radio",
                "searchbox",
                "heading",
                "image",
                "region",
                "columnheader",
                "rowheader",
            ];
            let named = node["name"]["value"].as_str().is_some_and(|name| !name.trim().is_empty());
            assert!(named || !needs.contains(&role(node).as_str()), "{place}: {node}");
        }
        let headings = browser.value("document.querySelectorAll('h1').length").unwrap();
        assert_eq!(headings, 1, "{place}");
    }
    is_clean(&browser, &dashboard);
}

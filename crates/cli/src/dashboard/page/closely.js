// One link, cluster or node, closely.

import { clock, clusterPath, conditionTag, conditions, el, linkPath, list, nodePath, rttLine, since, stateBar, stateTag, table } from "./parts.js";

export function closely({ kind, names }) {
  const heading = { link: `Link ${names.join(" ↔ ")}`, cluster: `Cluster ${names[0]}`, node: `Node ${names.join("/")}` }[kind];
  const body = el("div");
  const back = el("p", null, el("a", { href: "#/", "data-key": "back" }, "← Clusterset"));
  const root = el("div", null, back, el("h1", { tabindex: "-1" }, heading), body);
  let last;
  return {
    root,
    title: () => heading,
    update(data, end) {
      const seconds = data.memory.seconds;
      const text = JSON.stringify([data.focus, data.missing, kind === "link" ? Math.floor(end / 10) : 0]);
      if (text === last) return;
      last = text;
      body.replaceChildren(...[data.missing ? missing(data) : views[kind](data.focus, data, end, seconds)].flat());
    },
  };
}

const missing = (data) => el("p", { class: "trouble" }, data.missing);

const views = {
  link: (focus, data, end, seconds) => el("div", { class: "ways" }, focus.ways.map((way) => wayView(way, end, seconds))),
  cluster: clusterView,
  node: nodeView,
};

function wayView({ link, conditions: said, gateways, moments }, end, seconds) {
  const rtt = rttLine(moments, end, seconds);
  const began = Math.max(moments[0]?.at ?? end, end - seconds);
  return el("section", { class: "wide" },
    el("h2", null, `${link.from} → ${link.to}`),
    list([
      ["State", stateTag(link.state)], ["Since", link.since ? since(link.since) : undefined], ["Round-trip time", link.rtt ?? "not measured"],
      ["Loss", link.loss ?? "not measured"], ["Nodes with a way", link.nodes ? `${link.nodes.ready} of ${link.nodes.total}` : "not told"],
      ["Via", link.via], ["Transport", link.transport], ["MTU", link.mtu === undefined ? "as the devices have it" : `${link.mtu} bytes`],
      ["From", el("a", { href: clusterPath(link.from) }, link.from)], ["To", el("a", { href: clusterPath(link.to) }, link.to)],
      ["Prefixes reached", link.prefixes],
    ]),
    el("h3", null, "Last hour"),
    el("p", { class: "soft" }, `State, then round-trip time (${rtt.words}); seen since ${clock(new Date(began * 1000).toISOString())}.`),
    stateBar(moments, end, seconds), rtt.picture,
    changes(moments),
    el("h3", null, "Conditions"), conditions(`Conditions of ${link.from} → ${link.to}`, said),
    gateways.length > 0 ? [el("h3", null, `What nodes of ${link.from} say of gateways`), table(`Gateways as nodes of ${link.from} see them`, ["Node", "Condition", "Reason", "In words", "Since"],
      gateways.map(({ node, condition }) => [el("a", { href: nodePath(link.from, node) }, node), conditionTag(condition), condition.reason, condition.message, since(condition.since)]))] : null);
}

/** Changes of state in words, the latest first. */
function changes(moments) {
  const turns = moments.filter((one, at) => at > 0 && one.state !== moments[at - 1].state).slice(-10).reverse();
  if (turns.length === 0) return el("p", { class: "soft" }, "The state has not changed.");
  return el("ul", null, turns.map((one) => el("li", null, since(new Date(one.at * 1000).toISOString()), " ", stateTag(one.state))));
}

function clusterView(focus, data) {
  const row = data.status.clusters.find((one) => one.name === focus.name);
  const count = (one) => (one ? `${one.ready} of ${one.total}` : "not told");
  const links = data.status.links.filter((one) => one.from === focus.name || one.to === focus.name);
  const programmed = (one) => (one.programmed === undefined ? "told in its own cluster" : conditionTag({ good: one.programmed, type: "Programmed", status: one.programmed ? "True" : "False" }));
  return [
    row ? list([
      ["State", stateTag(row.state)], ["Mode", row.mode], ["CNI", row.cni], ["Nodes ready", count(row.nodes)], ["Links ready", count(row.links)], ["Gateways", row.gateways],
      ["Pod CIDRs", row.podCIDRs], ["Service CIDRs", row.serviceCIDRs], ["Global CIDRs", row.globalCIDRs], ["Made", row.since ? since(row.since) : undefined],
    ]) : null,
    el("h2", null, "Conditions"), conditions(`Conditions of ${focus.name}`, focus.conditions),
    el("h2", null, "Nodes"),
    focus.nodes.length === 0 ? el("p", { class: "soft" }, "No node takes part, or nothing is planned yet.") : table(`Nodes of ${focus.name}`, ["Node", "Role", "Underlay", "Overlay", "Kernel state"],
      focus.nodes.map((one) => [el("a", { href: nodePath(focus.name, one.name), "data-key": `node ${one.name}` }, one.name), one.role, one.underlay.join(", "), one.overlay.join(", "), programmed(one)])),
    focus.nodesLeftOut > 0 ? el("p", null, `… and ${focus.nodesLeftOut} more nodes.`) : null,
    el("h2", null, "Links"),
    table(`Links of ${focus.name}`, ["Link", "State", "Since", "RTT"], links.map((one) => [el("a", { href: linkPath(one.from, one.to), "data-key": `link ${one.from}/${one.to}` }, `${one.from} → ${one.to}`), stateTag(one.state), since(one.since), one.rtt ?? "–"])),
  ];
}

function nodeView(focus) {
  const yesNo = { true: "yes", false: "no" };
  const ways = focus.links.map((one) => [el("a", { href: linkPath(focus.cluster, one.remoteCluster), "data-key": `link ${one.remoteCluster}` }, one.remoteCluster), stateTag(one.ready ? "Ready" : "NotReady"),
    one.rttMicroseconds === undefined ? "–" : `${(one.rttMicroseconds / 1000).toFixed(2)} ms`]);
  const object = (name, value) => (value ? el("details", null, el("summary", null, name), el("pre", { tabindex: "0", "aria-label": name }, JSON.stringify(value, null, 2))) : null);
  return [
    list([
      ["Cluster", el("a", { href: clusterPath(focus.cluster), "data-key": "cluster" }, focus.cluster)], ["Role", focus.role ?? "takes no part"],
      ["Ready in Kubernetes", focus.kubernetesReady === undefined ? "not told" : yesNo[focus.kubernetesReady]], ["Underlay addresses", focus.underlay], ["Overlay addresses", focus.overlay],
      ["Pod CIDRs", focus.podCIDRs], ["Gateways of its cluster", focus.clusterGateways],
    ]),
    el("h2", null, "Conditions"), conditions(`Conditions of ${focus.cluster}/${focus.name}`, focus.conditions),
    el("h2", null, "Ways to other clusters"),
    ways.length > 0 ? table(`Ways as ${focus.name} sees them`, ["To", "State", "RTT"], ways) : el("p", { class: "soft" }, "Not told here: an agent reports to its own cluster's API server, and its controller-manager sums up."),
    el("h2", null, "Objects"), object("NodeConfig", focus.nodeConfig), object("ClusterNode", focus.clusterNode),
  ];
}

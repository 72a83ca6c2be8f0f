// The clusterset at a glance: what is wrong, the map, the matrix, clusters, links.

import { MARKS, clusterPath, el, linkPath, milliseconds, rttLine, since, stateBar, stateTag, svg, table } from "./parts.js";

/** With more clusters a map is a tangle, and the matrix stands for it. */
const MAP = 16;
/** With more clusters cells hold one number each. */
const LARGE = 24;
/** Links that are listed. */
const LISTED = 100;

/** A part of the page that is built anew only when what it shows has changed. */
function section(heading, build) {
  const body = el("div");
  const root = el("section", null, el("h2", null, heading), body);
  let last;
  return {
    root,
    update(data, ...more) {
      const text = JSON.stringify([data, more]);
      if (text === last) return;
      last = text;
      body.replaceChildren(...[build(data, ...more)].flat());
    },
  };
}

export function overview() {
  const summary = el("ul", { class: "tiles" });
  const wrong = section("What is wrong", wrongList);
  const map = section("Map", drawMap);
  const clusters = section("Clusters", clusterTable);
  const links = section("Links", linkTable);
  const grid = matrix();
  const root = el("div", null,
    el("h1", { tabindex: "-1" }, "Clusterset"), summary, wrong.root,
    el("div", { class: "columns" }, map.root, grid.root), clusters.root, links.root);
  return {
    root,
    title: (data) => (data.status.wrong.length > 0 ? `${data.status.wrong.length} wrong` : "Clusterset"),
    update(data, end) {
      const { status } = data;
      summary.replaceChildren(...tiles(status));
      wrong.update({ wrong: status.wrong, problems: status.problems, empty: status.clusters.length === 0 });
      const lines = status.links.map(({ from, to, state, rtt }) => ({ from, to, state, rtt }));
      map.update({ clusters: status.clusters.map(({ name, mode, state, nodes }) => ({ name, mode, state, nodes })), links: status.clusters.length > MAP ? [] : lines });
      grid.update(status);
      clusters.update(status.clusters);
      links.update({ links: status.links.slice(0, LISTED), more: status.links.length - LISTED, histories: data.histories, seconds: data.memory.seconds }, Math.ceil(end / 10) * 10);
    },
  };
}

function tiles({ summary, wrong }) {
  const tile = (name, count) => el("li", null, el("b", null, `${count.ready}/${count.total}`), `${name} ready`);
  return [
    tile("clusters", summary.clusters), tile("nodes", summary.nodes), tile("links", summary.links),
    el("li", null, el("b", null, String(wrong.length)), wrong.length === 1 ? "thing wrong" : "things wrong"),
  ];
}

/** Leads to an object of which findings speak, where there is a view of it. */
function objectLink(name) {
  const [kind, rest = ""] = name.split(/ (.*)/s);
  const [first, second] = rest.split(/\/(.*)/s);
  if (kind === "Cluster") return el("a", { href: clusterPath(rest), "data-key": `wrong ${name}` }, name);
  if (kind === "ClusterLink" && second) return el("a", { href: linkPath(first, second), "data-key": `wrong ${name}` }, name);
  if ((kind === "ClusterNode" || kind === "NodeConfig") && second) return el("a", { href: `#/node/${encodeURIComponent(first)}/${encodeURIComponent(second)}`, "data-key": `wrong ${name}` }, name);
  return name;
}

function wrongList({ wrong, problems, empty }) {
  if (wrong.length === 0 && problems.length === 0) {
    return el("p", { class: "well" }, empty ? "There is no cluster yet. Join one with: causeway join --cluster NAME" : "Nothing is wrong.");
  }
  const item = (one) => {
    const shown = one.objects.slice(0, 8).flatMap((name, at) => [at ? ", " : "", objectLink(name)]);
    const more = one.objects.length > 8 ? ` and ${one.objects.length - 8} more` : "";
    return el("li", null,
      el("p", null, el("span", { class: "state NotReady" }, el("span", { class: "mark", "aria-hidden": "true" }, "✕"), `${one.condition} ${one.reason}`), " of ", shown, more),
      el("p", null, one.message), one.since ? el("p", { class: "soft" }, "since ", since(one.since)) : null,
      el("p", null, el("b", null, "What to do: "), one.do));
  };
  const unused = (one) => el("li", null, el("p", null, el("b", null, "Not used: "), `${one.object ?? ""} ${one.file}${one.line ? `:${one.line}` : ""}`), el("p", null, one.message));
  return el("ul", { class: "wrong" }, wrong.map(item), problems.map(unused));
}

function legend() {
  const states = ["Ready", "Degraded", "NotReady", "Unknown", "Leaving"];
  return el("ul", { class: "legend", "aria-label": "Marks" }, states.map((state) => el("li", null, stateTag(state))));
}

function drawMap({ clusters, links }) {
  if (clusters.length === 0) return el("p", { class: "soft" }, "There is no cluster to draw.");
  if (clusters.length > MAP) return el("p", null, `${clusters.length} clusters are too many for a map: see the matrix. A map is drawn of up to ${MAP}.`);
  const [wide, high, radius] = [820, clusters.length > 2 ? 560 : 260, 34];
  const places = new Map(clusters.map((cluster, at) => {
    const angle = Math.PI + (2 * Math.PI * at) / clusters.length + (clusters.length > 2 ? Math.PI / 2 : 0);
    const spread = clusters.length === 1 ? 0 : 1;
    return [cluster.name, { x: wide / 2 + spread * (wide / 2 - 130) * Math.cos(angle), y: high / 2 - 6 + spread * (high / 2 - 86) * Math.sin(angle) }];
  }));
  const ways = links.filter((link) => places.has(link.from) && places.has(link.to)).map((link) => way(link, places.get(link.from), places.get(link.to), radius, clusters.length <= 6));
  const nodes = clusters.map((cluster) => body(cluster, places.get(cluster.name), radius));
  return [svg("svg", { class: "map", viewBox: `0 0 ${wide} ${high}`, role: "group", "aria-label": "Map of clusters and links" }, ways, nodes), legend()];
}

/** One direction of a link: a curve that ends in an arrow; what is not well has a mark in its middle. */
function way(link, from, to, radius, labelled) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const bend = Math.min(70, 18 + length / 9);
  const middle = { x: (from.x + to.x) / 2 - uy * bend, y: (from.y + to.y) / 2 + ux * bend };
  const edge = (at, towards, gap) => {
    const [ex, ey] = [towards.x - at.x, towards.y - at.y];
    const far = Math.hypot(ex, ey) || 1;
    return { x: at.x + (ex / far) * gap, y: at.y + (ey / far) * gap };
  };
  const [start, end] = [edge(from, middle, radius + 4), edge(to, middle, radius + 8)];
  const path = `M${start.x} ${start.y}Q${middle.x} ${middle.y} ${end.x} ${end.y}`;
  const [hx, hy] = [end.x - middle.x, end.y - middle.y];
  const far = Math.hypot(hx, hy) || 1;
  const [vx, vy] = [hx / far, hy / far];
  const head = `M${end.x + vx * 5} ${end.y + vy * 5}L${end.x - vx * 8 - vy * 5} ${end.y - vy * 8 + vx * 5}L${end.x - vx * 8 + vy * 5} ${end.y - vy * 8 - vx * 5}Z`;
  const top = { x: (start.x + 2 * middle.x + end.x) / 4, y: (start.y + 2 * middle.y + end.y) / 4 };
  const name = `${link.from} to ${link.to}: ${link.state}${link.rtt ? `, ${link.rtt}` : ""}`;
  const sign = link.state === "Ready" ? [] : [svg("circle", { class: "sign", cx: top.x, cy: top.y, r: 11 }), svg("text", { x: top.x, y: top.y + 5 }, MARKS[link.state] ?? "·")];
  const words = link.state === "Ready" ? link.rtt : link.state;
  const label = labelled && words ? svg("text", { class: "small", x: top.x - uy * 24, y: top.y + ux * 20 + 4 }, words) : null;
  return svg("a", { href: linkPath(link.from, link.to), class: link.state, "aria-label": name, "data-key": `map ${link.from}/${link.to}` },
    svg("title", null, name), svg("path", { class: "hit", d: path }), svg("path", { class: "way", d: path }), svg("path", { class: "head", d: head }), sign, label);
}

/** A cluster: round if it is ready, else of another shape. */
function body(cluster, { x, y }, radius) {
  const name = `Cluster ${cluster.name}: ${cluster.state}`;
  const shapes = {
    Ready: () => svg("circle", { class: "body", cx: x, cy: y, r: radius }),
    Degraded: () => svg("path", { class: "body", d: `M${x} ${y - radius}L${x + radius} ${y + radius * 0.75}H${x - radius}Z` }),
    NotReady: () => svg("rect", { class: "body", x: x - radius * 0.85, y: y - radius * 0.85, width: radius * 1.7, height: radius * 1.7 }),
  };
  const other = () => svg("path", { class: "body", d: `M${x} ${y - radius}L${x + radius} ${y}L${x} ${y + radius}L${x - radius} ${y}Z` });
  const nodes = cluster.nodes ? `${cluster.nodes.ready}/${cluster.nodes.total} nodes` : "nodes not told";
  const label = cluster.state === "Ready" ? `${cluster.mode}, ${nodes}` : `${cluster.state}, ${nodes}`;
  return svg("a", { href: clusterPath(cluster.name), class: `node ${cluster.state}`, "aria-label": `${name}, ${nodes}`, "data-key": `map ${cluster.name}` },
    svg("title", null, name), (shapes[cluster.state] ?? other)(), svg("text", { class: "glyph", x, y: y + 6 }, MARKS[cluster.state] ?? "·"),
    svg("text", { class: "name", x, y: y + radius + 20 }, cluster.name), svg("text", { class: "small", x, y: y + radius + 37 }, label));
}

const heat = (ms) => (ms === undefined ? "" : `heat${[1, 5, 20, 100].filter((edge) => ms >= edge).length}`);

/** Who reaches whom, and how fast. Cells are changed in place, so that ten thousand of them stay quick. */
function matrix() {
  let measure = "rtt";
  let filter = "";
  let status;
  let names = [];
  let cells = new Map();
  let at = [0, 1];
  const choice = (value, text) => {
    const input = el("input", { type: "radio", name: "measure", value, checked: value === measure });
    input.addEventListener("change", () => { measure = value; fill(); });
    return el("label", null, input, ` ${text}`);
  };
  const search = el("input", { type: "search", size: 14, "aria-label": "Only clusters whose name contains" });
  search.addEventListener("input", () => { filter = search.value; fill(); });
  const body = el("div", { class: "scroll" });
  const root = el("section", null, el("h2", null, "Matrix"),
    el("fieldset", { class: "choices" }, el("legend", null, "Cells show"), choice("rtt", "round-trip time (ms)"), choice("loss", "loss"), choice("state", "state"), el("label", null, "only ", search)),
    body, el("p", { class: "soft", id: "matrix-keys" }, "The arrow keys move from cell to cell, Enter opens a link."));

  function build(large) {
    cells = new Map();
    const head = names.map((name) => el("th", { scope: "col" }, el("a", { href: clusterPath(name), tabindex: "-1" }, name)));
    const rows = names.map((from, row) => el("tr", null, el("th", { scope: "row" }, el("a", { href: clusterPath(from), tabindex: "-1" }, from)), names.map((to, column) => {
      if (from === to) return el("td", { class: "self", "aria-label": "itself" }, "·");
      const anchor = el("a", { href: linkPath(from, to), tabindex: "-1", "data-key": `cell ${from}/${to}` });
      const td = el("td", null, anchor);
      cells.set(`${from}/${to}`, { td, anchor, row, column, shown: undefined });
      return td;
    })));
    body.replaceChildren(el("table", { class: large ? "matrix large" : "matrix", role: "grid", "aria-label": "From row to column", "aria-describedby": "matrix-keys" },
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "from \\ to"), head)), el("tbody", null, rows)));
    enter(at);
  }

  /** Makes one cell the one that Tab comes to. */
  function enter([row, column]) {
    const cell = cells.get(`${names[row]}/${names[column]}`) ?? cells.values().next().value;
    if (!cell) return;
    cells.get(`${names[at[0]]}/${names[at[1]]}`)?.anchor.setAttribute("tabindex", "-1");
    cell.anchor.setAttribute("tabindex", "0");
    at = [cell.row, cell.column];
    return cell;
  }

  body.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -names.length], End: [0, names.length] };
    const step = steps[event.key];
    if (!step || !event.target.dataset.key?.startsWith("cell ")) return;
    event.preventDefault();
    const within = (value) => Math.min(Math.max(value, 0), names.length - 1);
    let [row, column] = [within(at[0] + step[0]), within(at[1] + step[1])];
    // A cluster has no link to itself: the next cell in the same direction, else the one before.
    if (row === column) [row, column] = [within(row + Math.sign(step[0])), within(column + Math.sign(step[1]))];
    if (row !== column) enter([row, column])?.anchor.focus();
  });
  body.addEventListener("focusin", (event) => {
    const cell = event.target.dataset.key?.startsWith("cell ") && cells.get(event.target.dataset.key.slice(5));
    if (cell) enter([cell.row, cell.column]);
  });

  function text(link, large) {
    if (measure === "state") return link.state === "Ready" ? MARKS.Ready : large ? MARKS[link.state] ?? "·" : `${MARKS[link.state] ?? "·"} ${link.state}`;
    const value = measure === "loss" ? link.loss : link.rtt?.replace(/ms$/, "");
    const number = measure === "rtt" && value && large ? milliseconds(value).toPrecision(2) : value;
    return link.state === "Ready" ? number ?? "–" : `${MARKS[link.state] ?? "·"}${number ? ` ${number}` : ""}`;
  }

  function fill() {
    const wanted = status.clusters.map((cluster) => cluster.name).filter((name) => name.includes(filter));
    const large = wanted.length > LARGE;
    if (wanted.length !== names.length || wanted.some((name, index) => name !== names[index])) {
      names = wanted;
      build(large);
    }
    const there = new Map(status.links.map((link) => [`${link.from}/${link.to}`, link]));
    for (const [key, cell] of cells) {
      const link = there.get(key);
      const words = link ? text(link, large) : "";
      const kind = link ? `${measure === "rtt" && link.state === "Ready" ? heat(milliseconds(link.rtt)) : ""} is-${link.state}` : "";
      const shown = `${words}|${kind}|${link?.state}|${link?.rtt}|${link?.loss}`;
      if (shown === cell.shown) continue;
      cell.shown = shown;
      cell.td.className = kind;
      cell.anchor.className = link && link.state !== "Ready" ? link.state : "";
      cell.anchor.textContent = words;
      cell.anchor.setAttribute("aria-label", link ? `${link.from} to ${link.to}: ${link.state}, round-trip time ${link.rtt ?? "not measured"}, loss ${link.loss ?? "not measured"}` : `${key}: no link`);
    }
  }

  return { root, update(next) { status = next; fill(); } };
}

function clusterTable(clusters) {
  if (clusters.length === 0) return el("p", { class: "soft" }, "There is none yet.");
  const count = (one) => (one ? `${one.ready}/${one.total}` : "not told");
  const rows = clusters.map((one) => [
    el("a", { href: clusterPath(one.name), "data-key": `cluster ${one.name}` }, one.name), stateTag(one.state), one.mode, one.cni ?? "–", count(one.nodes), count(one.links),
    one.gateways.slice(0, 6).join(", ") + (one.gateways.length > 6 ? `, and ${one.gateways.length - 6} more` : "") || "–", one.podCIDRs.join(", ") || "–",
  ]);
  return table("Clusters by name", ["Cluster", "State", "Mode", "CNI", "Nodes ready", "Links ready", "Gateways", "Pod CIDRs"], rows);
}

function linkTable({ links, more, histories, seconds }, end) {
  if (links.length === 0) return el("p", { class: "soft" }, "There is none yet.");
  const told = new Map(histories.map((one) => [`${one.from}/${one.to}`, one.moments]));
  const rows = links.map((one) => {
    const moments = told.get(`${one.from}/${one.to}`);
    const past = moments ? [stateBar(moments, end, seconds), rttLine(moments, end, seconds).picture] : "–";
    return [el("a", { href: linkPath(one.from, one.to), "data-key": `link ${one.from}/${one.to}` }, `${one.from} → ${one.to}`), stateTag(one.state), since(one.since), one.via, one.transport,
      one.nodes ? `${one.nodes.ready}/${one.nodes.total}` : "not told", one.rtt ?? "–", one.loss ?? "–", past];
  });
  const whole = table("Links, those that do not work first", ["Link", "State", "Since", "Via", "Transport", "Nodes with a way", "RTT", "Loss", "Last hour: state, RTT"], rows);
  return more > 0 ? [whole, el("p", null, `… and ${more} more: see the matrix.`)] : whole;
}

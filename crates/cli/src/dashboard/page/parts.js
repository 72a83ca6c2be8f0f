// What all views are built of. Text is only ever set as text: nothing that an object says is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; children are elements, or text as it is. */
export const el = (name, attributes, ...children) => make(document.createElement(name), attributes, children);

/** An SVG element. */
export const svg = (name, attributes, ...children) => make(document.createElementNS(SVG, name), attributes, children);

/** Each state's mark, so that colour never stands alone. */
export const MARKS = { Ready: "●", Degraded: "▲", NotReady: "✕", Unknown: "?", Leaving: "⇥", Unseen: "·" };

const known = (state) => (state in MARKS ? state : "Unseen");

/** A state: mark, colour and word. */
export function stateTag(state) {
  const mark = el("span", { class: "mark", "aria-hidden": "true" }, MARKS[known(state)]);
  return el("span", { class: `state ${known(state)}` }, mark, state ?? "not seen");
}

/** Whether a condition is as it should be. */
export const conditionTag = (one) => {
  const [kind, mark] = one.good ? ["Ready", "●"] : ["NotReady", "✕"];
  return el("span", { class: `state ${kind}` }, el("span", { class: "mark", "aria-hidden": "true" }, mark), `${one.type}=${one.status}`);
};

const part = encodeURIComponent;
export const linkPath = (from, to) => `#/link/${part(from)}/${part(to)}`;
export const clusterPath = (name) => `#/cluster/${part(name)}`;
export const nodePath = (cluster, node) => `#/node/${part(cluster)}/${part(node)}`;

/** Seconds in words. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A time of RFC 3339 as a person of here writes it. */
export function clock(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return text;
  const pad = (number) => String(number).padStart(2, "0");
  const day = `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  return `${day} ${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
}

/** Since when. */
export const since = (text) => (text ? el("time", { datetime: text }, clock(text)) : "–");

/** Milliseconds of a text such as `0.42ms`. */
export const milliseconds = (text) => (text ? Number.parseFloat(text) : undefined);

/** A table. Each row is a list of cells, the first of which heads it. */
export function table(caption, headers, rows) {
  const head = el("tr", null, headers.map((text) => el("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) => el("tr", null, el("th", { scope: "row" }, first), rest.map((cell) => el("td", null, cell))));
  const whole = el("table", null, el("caption", null, caption), el("thead", null, head), el("tbody", null, body));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

/** Names and what they are; what is not there is left out. */
export function list(pairs) {
  const there = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0));
  return el("dl", null, there.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, Array.isArray(value) && value.every((one) => typeof one === "string") ? value.join(", ") : value)]));
}

/** Conditions as a table. */
export function conditions(caption, all) {
  if (all.length === 0) return el("p", { class: "soft" }, `${caption}: nobody has said anything.`);
  const words = (one) => [el("div", null, one.message), one.do ? el("div", null, el("b", null, "What to do: "), one.do) : null];
  return table(caption, ["Condition", "Of", "Reason", "In words", "Since"], all.map((one) => [conditionTag(one), one.of, one.reason, words(one), since(one.since)]));
}

/** Moments cut to the last `seconds` before `end`: each with its beginning and end. */
function stretches(moments, end, seconds) {
  const begin = end - seconds;
  return moments
    .map((moment, at) => ({ ...moment, from: Math.max(moment.at, begin), to: Math.min(moments[at + 1]?.at ?? end, end) }))
    .filter((one) => one.to > one.from);
}

/** How a link was, as a bar: height and colour tell the state, and words are there too. */
export function stateBar(moments, end, seconds) {
  const parts = stretches(moments, end, seconds);
  const sums = new Map();
  for (const one of parts) sums.set(one.state ?? "not seen", (sums.get(one.state ?? "not seen") ?? 0) + one.to - one.from);
  const words = [...sums].map(([state, sum]) => `${state} ${duration(sum)}`).join(", ") || "nothing seen yet";
  const place = (time) => (100 * (time - end + seconds)) / seconds;
  const rects = parts.map((one) => {
    const full = one.state === "NotReady" || one.state === undefined;
    const [x, width] = [place(one.from), Math.max(place(one.to) - place(one.from), 0.3)];
    const shape = { class: `${known(one.state)} ${full ? "full" : "half"}`, x, y: full ? 0 : 5, width, height: full ? 10 : 5 };
    return svg("rect", shape);
  });
  return svg("svg", { class: "chart bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `State in the last hour: ${words}` }, rects);
}

/** Round-trip times as a line, and their least and most in words. */
export function rttLine(moments, end, seconds) {
  const parts = stretches(moments, end, seconds).filter((one) => one.rttMicroseconds !== undefined);
  const times = parts.map((one) => one.rttMicroseconds / 1000);
  const [least, most] = [Math.min(...times), Math.max(...times)];
  const words = parts.length === 0 ? "none measured" : least === most ? `${most.toFixed(2)} ms` : `${least.toFixed(2)} to ${most.toFixed(2)} ms`;
  const top = most > 0 ? most * 1.15 : 1;
  const place = (time) => ((100 * (time - end + seconds)) / seconds).toFixed(3);
  let path = "";
  let last;
  for (const one of parts) {
    const y = (30 - (30 * one.rttMicroseconds) / 1000 / top).toFixed(3);
    path += `${last === one.from ? "L" : "M"}${place(one.from)} ${y}L${place(one.to)} ${y}`;
    last = one.to;
  }
  const picture = svg("svg", { class: "chart line", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": `Round-trip time in the last hour: ${words}` }, svg("path", { d: path }));
  return { picture, words };
}

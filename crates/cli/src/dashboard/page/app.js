// Asks the server again and again, shows what it says, and says when it does not.

import { overview } from "./overview.js";
import { closely } from "./closely.js";
import { clock, duration } from "./parts.js";

/** How often the server is asked, in milliseconds: few links, many links, and while nobody looks. */
const PERIOD = { few: 2000, many: 5000, hidden: 15000 };
/** From how many links on they are many. */
const MANY = 1000;
/** How long an answer may take, in milliseconds. */
const ANSWER = 15000;

const page = (id) => document.getElementById(id);
const now = { data: undefined, tag: undefined, query: undefined, asOf: undefined, silent: undefined, view: undefined, states: undefined };
let timer;
let asking;

/** What the address of the page asks for: a kind and names. */
function route() {
  const [, kind, ...names] = location.hash.split("/");
  try {
    const read = names.map(decodeURIComponent);
    const lengths = { link: 2, node: 2, cluster: 1 };
    if (lengths[kind] === read.length) return { kind, names: read };
  } catch {
    // An address that cannot be read leads to the overview.
  }
  return { kind: "overview", names: [] };
}

function queryOf({ kind, names }) {
  return kind === "overview" ? "" : `?${kind}=${names.map(encodeURIComponent).join("/")}`;
}

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  const limit = setTimeout(() => mine.abort(), ANSWER);
  const query = queryOf(route());
  try {
    const headers = now.tag && now.query === query ? { "If-None-Match": now.tag } : {};
    const answer = await fetch(`dashboard.json${query}`, { headers, cache: "no-store", signal: mine.signal });
    if (answer.status === 200) {
      const data = await answer.json();
      if (mine !== asking) return;
      Object.assign(now, { data, tag: answer.headers.get("ETag"), query });
      now.silent = undefined;
      now.asOf = data.asOf;
      show();
    } else if (answer.status === 304) {
      now.silent = undefined;
      now.asOf = answer.headers.get("Causeway-As-Of") ?? now.asOf;
      now.view?.time?.(endOf());
    } else {
      now.silent = (await answer.text()).trim();
    }
  } catch (error) {
    if (mine !== asking) return;
    now.silent = "The program causeway dashboard does not answer any more; start it again, and open the address that it prints.";
  } finally {
    clearTimeout(limit);
  }
  tell();
  const many = (now.data?.status.links.length ?? 0) > MANY;
  timer = setTimeout(ask, document.hidden ? PERIOD.hidden : many ? PERIOD.many : PERIOD.few);
}

/** Up to when there is something to show, in seconds since 1970. */
const endOf = () => new Date(now.asOf).getTime() / 1000;

function show() {
  const wanted = route();
  const key = queryOf(wanted);
  const main = page("main");
  if (now.view?.key !== key) {
    const first = now.view === undefined;
    now.view = { key, ...(wanted.kind === "overview" ? overview() : closely(wanted)) };
    main.replaceChildren(now.view.root);
    if (!first) now.view.root.querySelector("h1")?.focus();
    window.scrollTo(0, 0);
  }
  const kept = document.activeElement?.dataset?.key;
  now.view.update(now.data, endOf());
  // What was built anew under the focus gets it back.
  if (kept && document.activeElement?.dataset?.key !== kept) main.querySelector(`[data-key="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
  document.title = `${now.view.title(now.data)} – Causeway`;
  page("source").textContent = `Clusterset of ${now.data.status.source}`;
  page("version").textContent = `causeway ${now.data.version}`;
  announce();
}

/** Says what has changed, for who does not see it. */
function announce() {
  const states = new Map(now.data.status.links.map((link) => [`${link.from} to ${link.to}`, link.state]));
  for (const cluster of now.data.status.clusters) states.set(`cluster ${cluster.name}`, cluster.state);
  const before = now.states;
  now.states = states;
  if (!before) return;
  const changed = [...states].filter(([name, state]) => before.get(name) !== state).map(([name, state]) => `${name} is ${state} now`);
  changed.push(...[...before.keys()].filter((name) => !states.has(name)).map((name) => `${name} is gone`));
  if (changed.length > 0) page("news").textContent = changed.slice(0, 3).join("; ") + (changed.length > 3 ? `; and ${changed.length - 3} more changes` : "");
}

/** Says whether what is shown is so now. Text that stays the same is not set again: it would be read out again. */
function tell() {
  const trouble = now.silent ?? (now.data?.trouble ? `The source does not answer: ${now.data.trouble}` : undefined);
  const words = page("trouble-words");
  page("trouble").hidden = trouble === undefined;
  if (words.textContent !== (trouble ?? "")) words.textContent = trouble ?? "";
  if (trouble === undefined && page("trouble").dataset.was) page("news").textContent = "What is shown is so now again.";
  page("trouble").dataset.was = trouble ?? "";
  page("main").classList.toggle("stale", trouble !== undefined);
  age();
}

function age() {
  if (!now.asOf) return;
  const old = duration((Date.now() - new Date(now.asOf).getTime()) / 1000);
  page("age").textContent = `as of ${clock(now.asOf)}, ${old} ago`;
  page("trouble-age").textContent = `What is shown was so at ${clock(now.asOf)}, ${old} ago. It may be otherwise now.`;
}

window.addEventListener("hashchange", ask);
document.addEventListener("visibilitychange", () => document.hidden || ask());
page("skip").addEventListener("click", (event) => {
  event.preventDefault();
  page("main").focus();
});
setInterval(age, 1000);
ask();

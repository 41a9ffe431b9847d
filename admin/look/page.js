// The operator's page: asks the server for its state once a second while anybody
// can see the page, and shows it. Everything that comes from clients, such as names
// of channels, is put in as text and never as HTML.

import { Plot } from "./plot.js";

const $ = (id) => document.getElementById(id);
const intervalMillis = 1000;
const surveyMillis = 3000;
const historyMax = 600;

// Numbers.

const whole = new Intl.NumberFormat("en");
const orNone = (format) => (v) => (v === null || v === undefined || Number.isNaN(v) ? "–" : format(v));

const short = orNone((v) => {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (v >= size) return trim(v / (unit === "k" ? 1e3 : size)) + " " + unit;
  }
  return v >= 1000 ? whole.format(Math.round(v)) : trim(v);
});
const count = orNone((v) => whole.format(v));
const rate = orNone((v) => (v >= 100 ? whole.format(Math.round(v)) : trim(v)));
const bytes = orNone((v) => {
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) if (v >= size) return trim(v / size) + " " + unit;
  return trim(v) + " B";
});
const seconds = orNone((v) => {
  if (v < 0.001) return trim(v * 1e6) + " µs";
  return v < 1 ? trim(v * 1e3) + " ms" : trim(v) + " s";
});
const part = orNone((v) => Math.round(v * 100) + " %");

function trim(v) {
  return v === 0 ? "0" : v >= 100 ? String(Math.round(v)) : String(Number(v.toPrecision(v >= 10 ? 3 : 2)));
}

function span(s) {
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
}

// What is shown.

const plots = [
  ["Connections", [["connections", "open"]], short],
  ["Messages a second", [["messages", "published"]], short],
  ["Deliveries a second", [["deliveries", "written"]], short],
  ["Latency, publish to last write", [["lagP50", "half within"], ["lagP99", "p99 within"]], seconds, "log"],
  ["Opened and closed a second", [["opened", "opened"], ["closed", "closed"]], short],
  ["Resident memory of the process", [["resident", "resident"]], bytes, "binary"],
  ["Busiest loop", [["busyMax", "busy"]], part],
  ["Turn of a loop", [["turnP99", "p99 within"]], seconds, "log"],
  ["Slow consumers", [["blocked", "blocked"]], short],
].map(([title, lines, format, scale]) =>
  new Plot($("plots"), { title, format, [scale]: true, lines: lines.map(([column, label]) => ({ column, label })) }));

const model = { samples: [], count: 0, paused: false, busiest: [], counting: true, pressed: null };

async function get(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(25000) });
  const answer = await response.json().catch(() => ({ error: `the server answers with status ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// loop calls work again and again, with a pause in between, while the page can be
// seen and is not paused. wake calls it now.
function loop(work, pause) {
  let timer, running = false;
  const run = async () => {
    clearTimeout(timer);
    if (running || document.hidden || model.paused) return;
    running = true;
    const begun = performance.now();
    await work();
    running = false;
    timer = setTimeout(run, Math.max(100, pause - (performance.now() - begun)));
  };
  return run;
}

const pollState = loop(async () => {
  try {
    const state = await get(`state?since=${model.count}`);
    show(state);
  } catch (error) {
    trouble(`The server does not answer (${error.message}). What you see is old.`);
    setStates([["no answer", false]]); // nobody knows whether the bus is up
  }
}, intervalMillis);

const pollChannels = loop(async () => {
  const asked = pattern();
  try {
    const answer = await get(`channels?match=${encodeURIComponent(asked)}`);
    if (asked === pattern()) showLargest(answer);
    else queueMicrotask(pollChannels);
  } catch (error) {
    fill("largest", [], error.message);
  }
}, surveyMillis);

// pattern is what is typed into the filter as a pattern of Redis.
function pattern() {
  const typed = $("filter").value;
  return typed === "" || /[*?[\\]/.test(typed) ? typed : `*${typed}*`;
}

// matches does on the page what the server does with a pattern, as far as * and ?
// go; whatever else is in one passes here.
function matches(name) {
  const p = pattern();
  if (p === "" || /[[\\]/.test(p)) return true;
  const source = p.replace(/[.+^${}()|\]]/g, "\\$&").replaceAll("*", "[^]*").replaceAll("?", "[^]");
  return new RegExp(`^${source}$`, "u").test(name);
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = text === "";
}

// setStates shows what is so, and whether it is good, where it has changed.
function setStates(states) {
  const text = states.map(([name]) => name).join();
  if (text === $("states").dataset.text) return;
  $("states").dataset.text = text;
  $("states").replaceChildren(...states.map(([name, good]) => make("span", name, good ? "state good" : "state bad")));
}

function show(state) {
  trouble("");
  // A smaller count is a new server's: its history begins again.
  if (state.count < model.count) model.samples = [];
  model.count = state.count;
  model.samples = model.samples.concat(state.samples).slice(-historyMax);
  const now = Object.fromEntries(state.columns.map((name, i) => [name, model.samples.at(-1)?.[i] ?? null]));
  showStates(state);
  showTiles(state, now);
  for (const plot of plots) plot.update(model.samples, state.columns);
  showLoops(state.loops);
  showFacts(state);
  showCloses(state.closes);
  if (state.look) showLook(state.look);
  document.title = `${short(state.connections)} connections – c10m`;
}

function showStates(state) {
  const states = [[state.bus.up ? "bus up" : "bus down", state.bus.up]];
  if (state.draining) states.push(["draining", false]);
  if (state.memory.short) states.push(["memory short", false]);
  if (state.look?.silent) states.push([`${state.look.silent} loops did not answer`, false]);
  setStates(states);
  $("about").textContent = `${state.version}, up ${span(state.upSeconds)}`.replace(/^, /, "");
}

function showTiles(state, now) {
  // Below that it is the process itself that one would see.
  const each = state.connections >= 10000 ? `${bytes(state.memory.residentBytes / state.connections)} per connection` : "per connection: from 10,000 on";
  const tiles = [
    ["Connections", count(state.connections), `${count(state.channels)} channels*`],
    ["Messages/s", rate(now.messages), ""],
    ["Deliveries/s", rate(now.deliveries), now.bytes === null ? "" : `${bytes(now.bytes)}/s`],
    ["Latency, p99", now.lagP99 === null ? "–" : `≤ ${seconds(now.lagP99)}`, now.lagP50 === null ? "nothing was published" : `half ≤ ${seconds(now.lagP50)}`],
    ["Memory", bytes(state.memory.residentBytes), each],
    ["Slow consumers", count(now.blocked), `${bytes(state.logBytes)} owed`],
  ];
  $("tiles").replaceChildren(...tiles.map(([name, value, more]) => {
    const tile = make("div");
    tile.append(make("dt", name), make("dd", value, "value"), make("dd", more, "more"));
    return tile;
  }));
}

// Tables.

function make(name, text = "", className = "") {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

// A cell that is an Element stands for itself; any other value becomes text.
function cell(value, className = "") {
  const td = make("td", "", className);
  td.append(value);
  return td;
}

// fill replaces the rows of a table. A row is {key, cells}; the element with the
// focus keeps it if its row, by key, is still there. While a button is being
// pressed its table stays, or the click would be lost.
function fill(id, rows, empty = "none") {
  const table = $(id), body = table.tBodies[0];
  if (model.pressed && body.contains(model.pressed)) return;
  const held = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
  body.replaceChildren(...rows.map(({ key = "", cells }) => {
    const tr = make("tr");
    tr.dataset.key = key;
    tr.append(...cells);
    return tr;
  }));
  if (!rows.length) {
    const td = cell(empty, "empty");
    td.colSpan = 9;
    body.append(make("tr"));
    body.lastChild.append(td);
  }
  if (held !== null) [...body.rows].find((row) => row.dataset.key === held)?.querySelector("button")?.focus();
}

function channelButton(name, cut = false) {
  if (name === "") return "–"; // of a connection of many channels
  const button = make("button", name + (cut ? "…" : ""), "link");
  if (!cut) button.onclick = () => openChannel(name);
  button.disabled = cut;
  return button;
}

function showLoops(loops) {
  fill("loops", loops.map((l, i) => ({
    key: i, cells: [cell(i), cell(count(l.connections)), cell(part(l.busy)), cell(seconds(l.turnP99)), cell(seconds(l.lagP99)), cell(bytes(l.logBytes))],
  })));
}

function showFacts(state) {
  const { bus, memory } = state;
  const facts = [
    ["Bus", bus.up ? `up since ${clock(bus.since)}` : `down since ${clock(bus.since)}: ${bus.reason}`],
    ["Gaps", bus.gaps === 0 ? "none" : `${count(bus.gaps)}${bus.gapFrom ? `, the last from ${clock(bus.gapFrom)} ${bus.gapTo ? `to ${clock(bus.gapTo)}` : "on"}` : ""}`],
    ["Reconnects to Redis", count(bus.reconnects)],
    ["Messages that the bus had and clients did not get", count(bus.dropped)],
    ["Memory in use, the kernel's part included", memory.limitBytes ? `${bytes(memory.usedBytes)} of ${bytes(memory.limitBytes)}${memory.short ? `: ${memory.short}` : ""}` : "not looked at (--max-memory off)"],
    ["* Channels", "are counted once for each loop that has one"],
  ];
  fill("facts", facts.map(([name, value]) => ({ cells: [cell(name), cell(value)] })));
}

function clock(time) {
  const at = new Date(time);
  return at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
}

function showCloses({ seconds: lately, reasons }) {
  $("lately").textContent = `In ${span(lately)}`;
  fill("reasons", reasons.map((r) => ({ cells: [cell(r.reason), cell(count(r.lately)), cell(count(r.total))] })));
}

function showLook(look) {
  model.busiest = look.busiest;
  model.counting = look.counting;
  showBusiest();
  fill("slow", look.slowest.map((c) => ({
    key: identity(c),
    cells: [cell(who(c)), cell(channelButton(c.channel), "name text"), cell(c.behind === 1 ? "1 message" : `${count(c.behind)} messages`), cell(span(c.seconds)), cell(clientButton(c))],
  })));
  fill("recent", look.recent.map((c, i) => ({
    key: i, cells: [cell(`${span(c.secondsAgo)} ago`), cell(c.reason), cell(channelButton(c.channel, c.cut), "name")],
  })));
}

function showBusiest() {
  const rows = model.busiest.filter((b) => matches(b.channel));
  fill("busiest", rows.map((b) => ({
    key: b.channel,
    cells: [cell(channelButton(b.channel), "name"), cell(rate(b.messages)), cell((b.surplus > b.deliveries / 10 ? "≤ " : "") + rate(b.deliveries))],
  })), model.counting ? "counting begins" : model.busiest.length > 0 ? "no busy channel matches" : "nothing is published");
}

function showLargest(answer) {
  const about = pattern() === "" ? "Largest" : `Largest of ${count(answer.channels)} channels* that match, with ${count(answer.connections)} connections`;
  $("largest").caption.textContent = about;
  fill("largest", answer.largest.map((c) => ({
    key: c.channel, cells: [cell(channelButton(c.channel), "name"), cell((c.atLeast ? "≥ " : "") + count(c.connections))],
  })), pattern() === "" ? "no channel has connections" : "no channel matches");
}

const identity = (c) => `${c.loop}/${c.fd}/${c.generation}`;
const who = (c) => c.peer || `loop ${c.loop}, descriptor ${c.fd}`;

// Channels, clients, and disconnecting them.

async function openChannel(name) {
  $("channel-name").textContent = name;
  $("channel-about").textContent = "…";
  fill("clients", [], "…");
  if (!$("channel").open) $("channel").showModal();
  let answer;
  try {
    answer = await get(`clients?channel=${encodeURIComponent(name)}`);
  } catch (error) {
    $("channel-about").textContent = error.message;
    return;
  }
  if ($("channel-name").textContent !== name) return; // another was opened meanwhile
  $("channel-about").textContent = `${count(answer.connections)} connections here.`;
  $("channel-disconnect").disabled = answer.connections === 0;
  $("channel-disconnect").onclick = () => disconnectChannel(name, answer.connections);
  const some = answer.clients.length < answer.connections;
  $("clients-about").textContent = some ? `${count(answer.clients.length)} of them, the slow ones first` : "Clients";
  fill("clients", answer.clients.map((c) => ({
    key: identity(c), cells: [cell(who(c)), cell(c.blocked ? "slow" : "", "text"), cell(clientButton({ ...c, channel: name }))],
  })));
}

function clientButton(c) {
  const button = make("button", "Disconnect…");
  button.setAttribute("aria-label", `Disconnect ${who(c)}`);
  button.onclick = async () => {
    const { yes } = await confirm(`Disconnect ${who(c)}?`, `This client of the channel ${c.channel} is closed with code 4002. Most clients that do not know this code come back at once.`, false);
    if (!yes) return;
    await disconnect({ client: { loop: c.loop, fd: c.fd, generation: c.generation } }, (n) => (n ? "The client is disconnected." : "The client had gone already."));
    if ($("channel").open) openChannel($("channel-name").textContent);
  };
  return button;
}

async function disconnectChannel(name, connections) {
  const clients = connections === 1 ? "the one client" : `all ${count(connections)} clients`;
  const { yes, over } = await confirm(`Disconnect ${clients} of ${name}?`,
    "Who is there when this begins is closed with code 4002; who connects, or subscribes with c10m.v1, later stays. Most clients that do not know this code come back at once: more time spares the server a storm.", true);
  if (!yes) return;
  $("channel").close();
  await disconnect({ channel: name, overSeconds: over }, (n) => `${count(n)} clients of ${name} are being disconnected.`);
}

// confirm asks, with the focus on the answer that changes nothing.
function confirm(title, text, withTime) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-over").hidden = !withTime;
  return new Promise((resolve) => {
    const dialog = $("confirm");
    // Not by the close event: it comes later, and may be that of the question before.
    const end = (yes) => {
      dialog.close();
      resolve({ yes, over: Number($("over").value) });
    };
    $("confirm-yes").onclick = () => end(true);
    $("confirm-no").onclick = () => end(false);
    dialog.oncancel = () => resolve({ yes: false, over: 0 });
    dialog.showModal();
    $("confirm-no").focus();
  });
}

async function disconnect(what, say) {
  let text;
  try {
    const response = await fetch("disconnect", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) });
    const answer = await response.json();
    text = response.ok ? say(answer.clients) : answer.error;
  } catch (error) {
    text = `Nobody knows whether it happened: ${error.message}`;
  }
  $("done").textContent = text;
  $("done").hidden = false;
  clearTimeout(disconnect.timer);
  disconnect.timer = setTimeout(() => ($("done").hidden = true), 6000);
  pollState();
}

// Keys, pausing, and the tab that nobody sees.

function pause(is) {
  model.paused = is;
  $("pause").setAttribute("aria-pressed", is);
  $("pause").textContent = is ? "Go on" : "Pause";
  if (!is) wake();
}

function wake() {
  pollState();
  pollChannels();
}

$("pause").onclick = () => pause(!model.paused);
document.addEventListener("visibilitychange", wake);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    $("filter").focus();
  } else if (event.key === "p") {
    pause(!model.paused);
  }
});
document.addEventListener("pointerdown", (event) => (model.pressed = event.target));
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(() => (model.pressed = null)));
let typing;
$("filter").oninput = () => {
  showBusiest();
  clearTimeout(typing);
  typing = setTimeout(pollChannels, 300);
};
wake();

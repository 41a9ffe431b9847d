// The demo page: two panes, each a client of its own, and a form that does what a
// backend would. A message made here is JSON with the time at which it was sent, so
// that a pane can say how long it took; anything else is shown as it is.
//
// The page's query may preset it: a and b are servers, ta and tb transports
// (auto, websocket, sse, poll), channel.

import { C10m } from "./c10m.js";

const entriesMax = 200; // of a log
const latenciesMax = 200; // for a median

const preset = new URLSearchParams(location.search);
const here = new URL("..", location.href).href.replace(/\/$/, "");
/** @type {(id: string) => any} */
const find = (id) => document.getElementById(id);
const now = () => performance.timeOrigin + performance.now();

// Tells panes' messages apart, those of other pages included.
const page = Math.random().toString(36).slice(2, 8);

function pack(from, text) {
  return JSON.stringify({ from, text, page, at: now() });
}

function unpack(data) {
  if (typeof data !== "string") return { text: `${data.length} bytes` };
  try {
    const { from, text, at, page } = JSON.parse(data);
    if (typeof at === "number" && typeof text === "string") return { from: String(from), text, at, page };
  } catch { /* somebody else's format */ }
  return { text: data };
}

function milliseconds(value) {
  if (value === undefined) return "–";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

class Pane {
  #client;
  #latencies = [];
  #count = 0;
  #gaps = 0;

  constructor(name, key) {
    this.name = name;
    const root = document.importNode(find("pane").content, true).firstElementChild;
    this.get = (part) => root.querySelector(part);
    root.id = `pane-${key}`;
    this.get("h2").textContent = `Client ${name}`;
    this.get(".log").setAttribute("aria-label", `Messages of client ${name}`);
    this.get(".url").value = preset.get(key) ?? here;
    const chosen = preset.get(`t${key}`) ?? "auto";
    for (const radio of root.querySelectorAll("[type=radio]")) {
      radio.name = `transport-${key}`;
      radio.checked = radio.value === chosen;
      radio.addEventListener("change", () => this.connect());
    }
    this.get(".connect").addEventListener("submit", (event) => {
      event.preventDefault();
      this.connect();
    });
    this.get(".say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.say(this.get(".words").value);
      this.get(".words").value = "";
    });
    find("panes").append(root);
  }

  connect() {
    this.#client?.close();
    const chosen = this.get("[type=radio]:checked").value;
    try {
      // A demo is looked at while its server is stopped and started: it waits less
      // long than a page with millions of visitors should.
      const client = this.#client = new C10m(this.get(".url").value, {
        transports: chosen === "auto" ? undefined : [chosen], remember: false, backoffCapSeconds: 3, token: token(),
      });
      client.addEventListener("state", (event) => client === this.#client && this.#show(event));
      client.addEventListener("error", (event) => this.#told(`${event.command}: ${event.message}`));
      const subscription = client.subscribe(find("channel").value);
      subscription.addEventListener("message", (event) => this.#message(event));
      subscription.addEventListener("gap", (event) => this.#gap(event));
      subscription.addEventListener("error", (event) => this.#told(`refused: ${event.message || event.code}`));
    } catch {
      this.#told(`${this.get(".url").value} is no server's address, or ${find("channel").value} no channel.`);
    }
  }

  // A gap may be told more than once before the next message; it is one.
  #gap({ isLasting }) {
    const text = isLasting ? "Messages may be missing from here on: polls need a server with --history." : "Messages may be missing here.";
    const newest = this.get(".log").firstElementChild;
    if (newest?.classList.contains("gap")) {
      newest.querySelector(".text").textContent = text;
      return;
    }
    this.get(".gaps").textContent = ++this.#gaps;
    this.#add(text, "", "told gap");
  }

  async say(text) {
    try {
      await this.#client.publish(find("channel").value, pack(this.name, text));
    } catch (error) {
      this.#told(error.code === "not_allowed" ? `${error.message} ${howToPublish}` : error.message);
    }
  }

  /** @param {import("./c10m.js").StateEvent} event */
  #show({ state, transport, reason, retryInSeconds }) {
    const names = { websocket: "WebSocket", sse: "events (SSE)", poll: "long-poll" };
    const text = {
      open: `open: ${names[transport]}`,
      connecting: `trying ${names[transport]}`,
      waiting: `again in ${retryInSeconds?.toFixed(1)} s: ${reason}`,
      closed: `closed: ${reason}`,
    }[state];
    const shown = this.get(".state");
    shown.textContent = text;
    shown.dataset.state = state;
  }

  #message({ data, id }) {
    const { from, text, at, page: origin } = unpack(data);
    this.get(".count").textContent = ++this.#count;
    let took;
    if (at !== undefined) {
      took = Math.max(0, now() - at); // two machines' clocks differ
      this.#latencies.push(took);
      if (this.#latencies.length > latenciesMax) this.#latencies.shift();
      this.get(".last").textContent = milliseconds(took);
      this.get(".median").textContent = milliseconds([...this.#latencies].sort((a, b) => a - b)[this.#latencies.length >> 1]);
    }
    const isMine = origin === page && from === this.name;
    this.#add(from === undefined ? text : `${from}: ${text}`, milliseconds(took), isMine ? "mine" : "", id);
  }

  #told(text) { this.#add(text, "", "told"); }

  #add(text, took, kind, title = "") {
    const entry = document.createElement("li");
    entry.className = kind;
    entry.title = title;
    for (const [name, words] of [["text", text], ["took", took]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = words;
      entry.append(part);
    }
    const log = this.get(".log");
    log.prepend(entry);
    if (log.children.length > entriesMax) log.lastElementChild.remove();
  }
}

const howToPublish = "Start the server with --demo, or with --publish own.";

function token() { return find("token").value.trim() || undefined; }

async function publish() {
  const answer = find("answer");
  const server = find("server").value.replace(/\/$/, "");
  try {
    const response = await fetch(`${server}/${encodeURIComponent(find("channel").value)}`, {
      method: "POST", body: pack("API", find("text").value), headers: token() ? { Authorization: `Bearer ${token()}` } : {}, signal: AbortSignal.timeout(10_000),
    });
    answer.classList.toggle("bad", !response.ok);
    if (response.ok) {
      const { connections, id } = await response.json();
      answer.textContent = `Published to ${connections} connection${connections === 1 ? "" : "s"}${id ? `, id ${id}` : ""}.`;
    } else {
      const sentence = (await response.text()).trim() || `The answer is ${response.status}.`;
      answer.textContent = response.status === 403 || response.status === 405 ? `${sentence} ${howToPublish}` : sentence;
    }
  } catch {
    answer.classList.add("bad");
    answer.textContent = `The server does not answer. Is one running at ${server}, and may pages of ${location.origin} ask it (--origin)?`;
  }
}

function shellQuote(text) { return `'${text.replaceAll("'", String.raw`'\''`)}'`; }

function explain() {
  const channel = find("channel").value;
  find("curl").textContent = `curl -d hello ${shellQuote(`${find("server").value.replace(/\/$/, "")}/${encodeURIComponent(channel)}`)}`;
  find("redis").textContent = `redis-cli PUBLISH ${shellQuote(channel)} hello`;
}

find("server").value = preset.get("a") ?? here;
find("channel").value = preset.get("channel") ?? "news";
const panes = [new Pane("A", "a"), new Pane("B", "b")];
for (const pane of panes) pane.connect();
explain();

find("channel").addEventListener("change", () => {
  explain();
  for (const pane of panes) pane.connect();
});
let tokenUsed;
function useToken() {
  if (token() === tokenUsed) return;
  tokenUsed = token();
  for (const pane of panes) pane.connect();
}
find("token").addEventListener("change", useToken);
find("server").addEventListener("input", explain);
find("api").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken();
  publish();
});
let timer;
find("often").addEventListener("change", () => {
  clearInterval(timer);
  if (find("often").checked) timer = setInterval(publish, 1000);
});

// A Plot draws one or two columns of the samples over the last ten minutes, as an
// SVG that takes its colours from look.css. It is read with the pointer or, when it
// has the focus, with the arrow keys.

const svgNS = "http://www.w3.org/2000/svg";
const windowSeconds = 600;
const margin = { left: 52, right: 8, top: 8, bottom: 18 };

function element(name, attributes = {}, text) {
  const e = document.createElementNS(svgNS, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

// A scale maps values to parts of the height, and names the lines to draw.
function linearScale(highest, binary) {
  const step = binary ? 2 ** Math.ceil(Math.log2((highest || 1) / 3)) : niceStep((highest || 1) / 3);
  const top = Math.max(step, Math.ceil(highest / step - 1e-9) * step);
  const ticks = [];
  for (let v = 0; v <= top + step / 2; v += step) ticks.push(v);
  return { part: (v) => v / top, ticks };
}

function niceStep(about) {
  const power = 10 ** Math.floor(Math.log10(about));
  for (const factor of [1, 2, 5, 10]) if (factor * power >= about) return factor * power;
}

function logScale(lowest, highest) {
  const from = Math.floor(Math.log10(lowest)), to = Math.max(from + 1, Math.ceil(Math.log10(highest)));
  const ticks = [];
  for (let e = from; e <= to; e++) ticks.push(10 ** e);
  return { part: (v) => (Math.log10(Math.max(v, 10 ** from)) - from) / (to - from), ticks };
}

export class Plot {
  // lines are [{column, label}]; format makes text of a value; log and binary are how
  // the height is divided.
  constructor(parent, { title, lines, format, log = false, binary = false }) {
    Object.assign(this, { title, lines, format, log, binary, samples: [], at: null });
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const name = document.createElement("strong");
    name.textContent = title;
    this.key = document.createElement("span");
    this.key.className = "key";
    this.keys = lines.map((_, i) => {
      const span = document.createElement("span");
      if (i > 0) span.className = "second";
      this.key.append(span);
      return span;
    });
    caption.append(name, this.key);
    this.svg = element("svg", { role: "img", tabindex: "0", "aria-label": title });
    this.figure.append(caption, this.svg);
    parent.append(this.figure);
    this.svg.addEventListener("pointermove", (e) => this.point(e.offsetX));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (e) => this.press(e));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  update(samples, columns) {
    this.samples = samples;
    this.columns = columns;
    this.draw();
  }

  press(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60, Home: -Infinity, End: Infinity }[event.key];
    if (!steps || !this.samples.length) return;
    event.preventDefault();
    const last = this.samples.length - 1;
    const from = this.at === null ? last : this.index();
    this.read(this.samples[Math.min(last, Math.max(0, from + steps))][0]);
    this.svg.setAttribute("aria-label", `${this.title}, ${this.words()}`);
  }

  point(x) {
    const span = this.width - margin.left - margin.right;
    if (this.samples.length) this.read(this.end - windowSeconds * (1 - (x - margin.left) / span));
  }

  // read shows the values at a time, or the newest with null.
  read(at) {
    this.at = at;
    if (at === null) this.svg.setAttribute("aria-label", this.title);
    this.draw();
  }

  // index is the sample that is nearest to the time that is read.
  index() {
    let best = 0;
    this.samples.forEach((s, i) => {
      if (Math.abs(s[0] - this.at) < Math.abs(this.samples[best][0] - this.at)) best = i;
    });
    return best;
  }

  words() {
    const sample = this.samples[this.at === null ? this.samples.length - 1 : this.index()];
    if (!sample) return "nothing yet";
    const values = this.lines.map((line) => `${line.label} ${this.format(sample[this.columns.indexOf(line.column)])}`);
    return (this.at === null ? "" : new Date(sample[0] * 1000).toLocaleTimeString() + ": ") + values.join(", ");
  }

  draw() {
    const { width, height } = this.svg.getBoundingClientRect();
    this.svg.replaceChildren();
    const last = this.samples.at(-1);
    if (!width || !last) return;
    this.width = width;
    this.end = last[0];
    const places = this.lines.map((line) => this.columns.indexOf(line.column));
    let highest = 0, lowest = Infinity;
    for (const s of this.samples) {
      for (const p of places) {
        if (s[p] === null) continue;
        highest = Math.max(highest, s[p]);
        if (s[p] > 0) lowest = Math.min(lowest, s[p]);
      }
    }
    const scale = this.log ? logScale(lowest < Infinity ? lowest : 0.001, highest || 0.01) : linearScale(highest, this.binary);
    const x = (time) => margin.left + (width - margin.left - margin.right) * (1 - (this.end - time) / windowSeconds);
    const y = (value) => height - margin.bottom - (height - margin.bottom - margin.top) * scale.part(value);
    this.drawGrid(scale.ticks, width, height, x, y);
    places.forEach((p, i) => this.drawCurve(p, i, x, y));
    const shown = this.at === null ? last : this.samples[this.index()];
    if (this.at !== null) {
      this.svg.append(element("line", { class: "cross", x1: x(shown[0]), x2: x(shown[0]), y1: margin.top, y2: height - margin.bottom }));
    }
    this.keys.forEach((key, i) => (key.textContent = `${this.lines[i].label} ${this.format(shown[places[i]])}`));
  }

  drawGrid(ticks, width, height, x, y) {
    for (const v of ticks) {
      this.svg.append(element("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(v), y2: y(v) }));
      this.svg.append(element("text", { x: margin.left - 6, y: y(v) + 4, "text-anchor": "end" }, this.format(v)));
    }
    for (const [ago, text, anchor] of [[600, "10 min ago", "start"], [300, "5 min", "middle"], [0, "now", "end"]]) {
      this.svg.append(element("text", { x: x(this.end - ago), y: height - 4, "text-anchor": anchor }, text));
    }
  }

  drawCurve(place, number, x, y) {
    let path = "", before = null;
    for (const s of this.samples) {
      const v = s[place];
      if (v !== null && s[0] >= this.end - windowSeconds) {
        // A second without a value, or a server that was frozen, leaves a gap. A
        // line of no length is a dot.
        const joined = before !== null && s[0] - before < 3;
        path += `${joined ? "L" : "M"}${x(s[0]).toFixed(1)} ${y(v).toFixed(1)}`;
        if (!joined) path += "h.1";
        before = s[0];
      } else {
        before = null;
      }
    }
    this.svg.append(element("path", { class: number > 0 ? "curve second" : "curve", d: path }));
  }
}

// A line chart on two canvases: one with the lines, redrawn when they change, and one above it with the cursor.
//
//   const chart = new Chart(host, { cursor(x), zoom([from, to] | null), label });
//   chart.show(lines, view)   lines: [{label, colour: "s0"…"s9", dash, line: as lines.js makes it}]
//                             view: {mode: "step"|"wall"|"relative", log, smooth: 0…0.99, zoom: [from, to] | null}
//   chart.point(x | null)     the cursor, also when it is over another chart
//   chart.destroy()
//
// Every line is the mean of its buckets, with their least and most as a band, so no extreme is lost. Where values are
// not finite the line has a gap, and a mark: × for NaN, ▲ and ▼ for the infinities. With smoothing, the line as it is
// stays visible behind its moving average. Mouse: drag to zoom, double click to see all. Keys: arrows move the cursor
// (with Shift by ten), Home and End, + and − zoom, 0 shows all, Escape puts the cursor away.

import { duration, el, number } from "./app.js";
import { extent, nearest, range, smoothed } from "./lines.js";
import { clockText, linearTicks, logTicks, tickText, timeTicks } from "./scale.js";

const TOP = 10;
const RIGHT = 12;
const BOTTOM = 24;
const FONT = "11px system-ui, sans-serif";
const LEAST_DRAG = 5;
const MOST_TOLD = 12;

let colours = null;
addEventListener("themechange", () => (colours = null));

/** What the style sheet's colours are at present, as the canvas takes them. */
export function palette() {
  if (colours) return colours;
  const probe = document.body.appendChild(el("span", { hidden: true }));
  colours = {};
  for (const name of ["text", "quiet", "line", "edge", "raised", "accent", ...Array.from({ length: 10 }, (_, i) => `s${i}`)]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

export class Chart {
  constructor(host, { cursor, zoom, label }) {
    this.told = { cursor, zoom };
    this.lines = [];
    this.view = { mode: "step", log: false, smooth: 0, zoom: null };
    this.at = null;
    this.pointed = 0;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.above = el("canvas", { tabindex: "0", role: "img", "aria-label": label });
    this.tip = el("div", { class: "tip", hidden: true });
    this.spoken = el("p", { class: "sr", "aria-live": "polite" });
    this.host = host;
    host.replaceChildren(this.canvas, this.above, this.tip, this.spoken);
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(host);
    this.listen();
  }

  destroy() {
    this.sized.disconnect();
    this.host.replaceChildren();
  }

  show(lines, view) {
    this.lines = lines.map((one) => ({ ...one, soft: view.smooth > 0 ? smoothed(one.line.y, view.smooth) : null }));
    this.view = view;
    this.draw();
  }

  // Places: x and y in data, px and py in CSS pixels.
  px(x) { return this.left + ((x - this.from) / (this.to - this.from)) * this.wide; }
  x(px) { return this.from + ((px - this.left) / this.wide) * (this.to - this.from); }
  py(y) {
    const [at, least, most] = this.view.log ? [Math.log10(y), Math.log10(this.least), Math.log10(this.most)] : [y, this.least, this.most];
    return TOP + this.high - ((at - least) / (most - least)) * this.high;
  }

  measure() {
    const spread = this.view.zoom ?? extent(this.lines) ?? [0, 1];
    const still = spread[1] > spread[0] ? 0 : this.view.mode === "step" ? 1 : 30;
    [this.from, this.to] = [spread[0] - still, spread[1] + still];
    const found = range(this.lines, this.from, this.to, this.view.log) ?? (this.view.log ? [1, 10] : [0, 1]);
    [this.least, this.most] = this.view.log ? roomLog(found) : room(found);
    this.high = this.host.clientHeight - TOP - BOTTOM;
    const many = Math.max(2, Math.floor(this.high / 36));
    this.yTicks = this.view.log ? logTicks(this.least, this.most, many) : linearTicks(this.least, this.most, many);
    const gap = this.yTicks.length > 1 ? this.yTicks[1] - this.yTicks[0] : 0;
    const most = Math.max(...this.yTicks.map(Math.abs));
    this.yTexts = this.yTicks.map((tick) => this.view.log ? tickText(tick, tick) : tickText(tick, gap, most));
  }

  draw() {
    const pen = fit(this.canvas, this.host);
    if (!pen) return;
    fit(this.above, this.host);
    this.measure();
    pen.font = FONT;
    this.left = Math.ceil(Math.max(18, ...this.yTexts.map((text) => pen.measureText(text).width))) + 12;
    this.wide = this.host.clientWidth - this.left - RIGHT;
    if (this.wide < 10 || this.high < 10) return;
    this.drawAxes(pen);
    pen.save();
    pen.beginPath();
    const rim = this.view.zoom ? 0 : 4;
    pen.rect(this.left - rim, TOP - 4, this.wide + 2 * rim, this.high + 8);
    pen.clip();
    for (const one of this.lines) this.drawBand(pen, one);
    for (const one of this.lines) {
      if (one.soft) this.stroke(pen, one, one.line.y, 0.28, 1);
      this.stroke(pen, one, one.soft ?? one.line.y, 1, 1.6);
    }
    pen.restore();
    for (const one of this.lines) this.drawMarks(pen, one);
    this.drawCursor();
  }

  drawAxes(pen) {
    const colour = palette();
    pen.lineWidth = 1;
    pen.strokeStyle = colour.line;
    pen.fillStyle = colour.quiet;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    this.yTicks.forEach((tick, i) => {
      const at = Math.round(this.py(tick)) + 0.5;
      rule(pen, this.left, at, this.left + this.wide, at);
      pen.fillText(this.yTexts[i], this.left - 8, at);
    });
    pen.textBaseline = "alphabetic";
    const many = Math.max(2, Math.floor(this.wide / 65));
    const ticks = this.xTicks(many);
    const gap = ticks.length > 1 ? ticks[1] - ticks[0] : this.to - this.from;
    for (const tick of ticks) {
      const at = Math.round(this.px(tick)) + 0.5;
      rule(pen, at, TOP + this.high, at, TOP + this.high + 4);
      const text = this.xText(tick, gap);
      const half = pen.measureText(text).width / 2;
      pen.textAlign = at + half > this.host.clientWidth - 2 ? "right" : at - half < 2 ? "left" : "center";
      pen.fillText(text, pen.textAlign === "right" ? this.host.clientWidth - 2 : pen.textAlign === "left" ? 2 : at, TOP + this.high + 18);
    }
    pen.strokeStyle = colour.edge;
    rule(pen, this.left, TOP + this.high + 0.5, this.left + this.wide, TOP + this.high + 0.5);
  }

  xTicks(many) {
    if (this.view.mode === "step") return linearTicks(this.from, this.to, many, true);
    const local = this.view.mode === "wall" ? new Date(this.from * 1000).getTimezoneOffset() * 60 : 0;
    return timeTicks(this.from, this.to, many, local);
  }

  xText(x, gap) {
    if (this.view.mode === "step") return tickText(x, gap);
    return this.view.mode === "wall" ? clockText(x, gap) : duration(x);
  }

  drawBand(pen, { line, colour }) {
    if (!line.x.length) return;
    pen.globalAlpha = this.view.smooth > 0 ? 0.09 : 0.16;
    pen.fillStyle = palette()[colour];
    this.runs(line, line.y, (begin, end) => {
      pen.beginPath();
      for (let i = begin; i < end; i++) pen.lineTo(this.px(line.x[i]), this.py(line.high[i]));
      for (let i = end - 1; i >= begin; i--) pen.lineTo(this.px(line.x[i]), this.py(this.view.log && line.low[i] <= 0 ? this.least : line.low[i]));
      pen.fill();
    });
    pen.globalAlpha = 1;
  }

  /** Calls `each(begin, end)` for every stretch without a gap. */
  runs(line, ys, each) {
    let begin = 0;
    const bad = (i) => this.view.log && !(ys[i] > 0);
    for (let i = 0; i <= line.x.length; i++) {
      if (i < line.x.length && !bad(i) && !(line.cut[i] && i > begin)) continue;
      if (i > begin) each(begin, i);
      begin = i < line.x.length && bad(i) ? i + 1 : i;
    }
  }

  stroke(pen, { line, colour, dash }, ys, alpha, width) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = pen.fillStyle = palette()[colour];
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.setLineDash(dash ?? []);
    this.runs(line, ys, (begin, end) => {
      pen.beginPath();
      if (end - begin === 1) pen.arc(this.px(line.x[begin]), this.py(ys[begin]), 2.2, 0, 7);
      else for (let i = begin; i < end; i++) pen.lineTo(this.px(line.x[i]), this.py(ys[i]));
      if (end - begin === 1) pen.fill();
      else pen.stroke();
    });
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  drawMarks(pen, { line, colour }) {
    pen.fillStyle = palette()[colour];
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const { x, name } of line.marks) {
      if (x < this.from || x > this.to) continue;
      const high = name === "Infinity";
      pen.fillText(name === "NaN" ? "✕" : high ? "▲" : "▼", this.px(x), high ? TOP + 2 : TOP + this.high - 7);
    }
    pen.textBaseline = "alphabetic";
  }

  point(x, own = false) {
    this.at = x;
    this.own = own;
    this.drawCursor();
  }

  drawCursor() {
    const pen = this.above.getContext("2d");
    pen.clearRect(0, 0, this.host.clientWidth, this.host.clientHeight);
    if (this.drag && Math.abs(this.drag.to - this.drag.from) >= LEAST_DRAG) {
      pen.fillStyle = palette().accent;
      pen.globalAlpha = 0.18;
      pen.fillRect(this.drag.from, TOP, this.drag.to - this.drag.from, this.high);
      pen.globalAlpha = 1;
    }
    const found = this.at === null || this.at < this.from || this.at > this.to ? [] : this.under(this.at);
    this.tip.hidden = !found.length || !this.own;
    if (this.at === null || this.at < this.from || this.at > this.to) return;
    const at = Math.round(this.px(this.at)) + 0.5;
    pen.strokeStyle = palette().edge;
    rule(pen, at, TOP, at, TOP + this.high);
    for (const { one, x, y } of found) {
      if (this.view.log && !(y > 0)) continue;
      pen.fillStyle = palette()[one.colour];
      pen.strokeStyle = palette().raised;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.arc(this.px(x), this.py(y), 3.5, 0, 7);
      pen.fill();
      pen.stroke();
    }
    if (this.own && found.length) this.tell(found, at);
  }

  /** The lines' points nearest to x, as far as they reach there. */
  under(x) {
    const near = (this.to - this.from) * 0.02;
    const found = [];
    for (const one of this.lines) {
      const i = nearest(one.line.x, x);
      if (i < 0 || (x < one.line.x[0] - near) || (x > one.line.x[one.line.x.length - 1] + near)) continue;
      found.push({ one, row: one.line.rows[i], x: one.line.x[i], raw: one.line.y[i], y: (one.soft ?? one.line.y)[i], low: one.line.low[i], high: one.line.high[i] });
    }
    return found;
  }

  tell(found, at) {
    const rows = found.slice(0, MOST_TOLD).map(({ one, raw, y, low, high }) =>
      el("li", {}, el("span", { class: `swatch ${one.colour}` }), el("span", { class: "who" }, one.label),
        el("b", {}, number(y, 5)), one.soft ? el("small", {}, ` raw ${number(raw, 4)}`)
          : low < high ? el("small", {}, ` ${number(low, 3)} … ${number(high, 3)}`) : null));
    if (found.length > MOST_TOLD) rows.push(el("li", {}, `and ${found.length - MOST_TOLD} more`));
    const [first, last] = found[0].row;
    const steps = first === last ? `step ${number(first, 16)}` : `steps ${number(first, 16)}–${number(last, 16)}`;
    const head = this.view.mode === "step" ? steps : `${this.xText(found[0].x, Infinity)} · ${steps}`;
    this.tip.replaceChildren(el("p", {}, head), el("ul", {}, ...rows));
    this.tip.hidden = false;
    const room = this.host.clientWidth;
    const left = at + 14 + this.tip.offsetWidth > room ? Math.max(0, at - 14 - this.tip.offsetWidth) : at + 14;
    const top = this.pointed < TOP + this.high / 2 ? Math.max(0, TOP + this.high - this.tip.offsetHeight - 6) : 0;
    this.tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  listen() {
    const on = (name, does) => this.above.addEventListener(name, does);
    on("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      this.drag = { from: event.offsetX, to: event.offsetX };
      this.above.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      if (this.wide === undefined) return;
      const px = Math.min(this.left + this.wide, Math.max(this.left, event.offsetX));
      if (this.drag) this.drag.to = px;
      this.pointed = event.offsetY;
      this.told.cursor(this.x(px), this);
    });
    on("pointerup", () => {
      const drag = this.drag;
      this.drag = null;
      if (!drag || Math.abs(drag.to - drag.from) < LEAST_DRAG) return;
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b).map((px) => this.x(Math.max(this.left, px)));
      this.told.zoom([from, to]);
    });
    on("pointercancel", () => (this.drag = null));
    on("pointerleave", () => this.drag || this.told.cursor(null, this));
    on("dblclick", () => this.told.zoom(null));
    on("blur", () => this.told.cursor(null, this));
    on("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const line = this.lines.find((one) => one.line.x.length)?.line;
    if (!line) return;
    const last = line.x.length - 1;
    const now = this.at === null ? -1 : nearest(line.x, this.at);
    const by = event.shiftKey ? 10 : 1;
    const moves = { ArrowRight: now + by, ArrowLeft: now < 0 ? last : now - by, Home: 0, End: last };
    if (event.key in moves) {
      this.told.cursor(line.x[Math.min(last, Math.max(0, moves[event.key]))], this);
      this.spoken.textContent = this.tip.hidden ? "" : this.tip.innerText;
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const factor = event.key === "-" ? 2 : 0.5;
      const middle = this.at ?? (this.from + this.to) / 2;
      this.told.zoom([middle - (middle - this.from) * factor, middle + (this.to - middle) * factor]);
    } else if (event.key === "0") this.told.zoom(null);
    else if (event.key === "Escape") this.told.cursor(null, this);
    else return;
    event.preventDefault();
  }
}

function fit(canvas, host) {
  const [wide, high, dense] = [host.clientWidth, host.clientHeight, devicePixelRatio || 1];
  if (!wide || !high) return null;
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.round(high * dense);
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  return pen;
}

function rule(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

function room([least, most]) {
  const spread = most - least || Math.abs(most) * 0.1 || 1;
  return [least - spread * 0.06, most + spread * 0.06];
}

function roomLog([least, most]) {
  return least < most ? [least / 1.15, most * 1.15] : [least / 3, most * 3];
}

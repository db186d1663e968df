// The page of charts, of one run or of several: what is near the view is drawn, all share one cursor, one zoom and the
// controls above, which the address bar keeps.
import { address, brief, getPage, nearView, number, param, setParams, settled, throttled } from "./app.js";
import { Chart } from "./chart.js";
import { Fetching } from "./fetching.js";
import { toLine } from "./lines.js";
import { follow, showHead } from "./live.js";

const MOST_BUCKETS = 1200;
const DASHES = [null, [6, 3], [2, 3], [8, 3, 2, 3]];
const root = document.getElementById("charts");
const { runs } = JSON.parse(root.dataset.page);
const byId = new Map(runs.map((run) => [run.id, run]));
const controls = document.getElementById("controls");
const fetching = new Fetching(runs);
const figures = new Map();

const view = {
  mode: ["wall", "relative"].includes(param("x")) ? param("x") : "step",
  log: param("log") === "1",
  smooth: Math.min(0.99, Math.max(0, Number(param("smooth")) || 0)),
  zoom: readZoom(),
};

function readZoom() {
  const ends = (param("zoom") ?? "").split("~").map(Number);
  return ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1] ? ends : null;
}

/** One figure of the page: its canvas while near the view, its data, and the table that says the same in words. */
class Figure {
  constructor(element) {
    this.element = element;
    this.key = JSON.parse(element.dataset.code);
    this.host = element.querySelector(".plot");
    this.chart = null;
    this.series = null;
    this.near = false;
    this.stale = true;
    this.told = new Map();
    element.querySelector(".larger").addEventListener("click", (event) => {
      const large = element.classList.toggle("large");
      event.currentTarget.setAttribute("aria-pressed", large);
      this.stale = true;
      this.load();
    });
  }

  come() {
    this.near = true;
    this.draw();
    this.load();
  }

  go() {
    this.near = false;
    this.chart?.destroy();
    this.chart = null;
  }

  /** Asks for what is shown, unless it is there already; what is drawn stays until the answer is here. */
  async load() {
    if (!this.near || !this.stale || this.element.hidden) return;
    this.stale = false;
    const [first, last] = this.steps();
    this.element.classList.toggle("loading", this.series === null);
    const asked = (this.asked = {});
    try {
      const found = await fetching.series(this.numbers(), this.buckets(), first, last);
      if (asked !== this.asked) return;
      this.series = found;
      if (first === null && last === null) this.whole = found;
      if (found.some((one) => one.buckets.length || one.nonfinite.length)) this.element.classList.remove("wordy");
      this.element.classList.remove("loading", "failed");
      this.draw();
    } catch (error) {
      this.stale = true;
      this.element.classList.remove("loading");
      this.element.classList.add("failed");
      this.element.querySelector(".trouble").textContent = `Could not load: ${error.message}`;
    }
  }

  numbers() {
    return [...this.element.querySelectorAll("[data-series]")].map((row) => row.dataset.series);
  }

  /** One bucket a pixel, in hundreds, so that charts of like width can be asked for together. */
  buckets() {
    return Math.min(MOST_BUCKETS, Math.max(200, Math.ceil(this.host.clientWidth / 100) * 100));
  }

  /** The steps to ask for: a little more than the zoom shows, so that lines reach the edges. */
  steps() {
    if (!view.zoom) return [null, null];
    const [from, to] = view.mode === "step" ? view.zoom : this.stepsBetween(...view.zoom);
    if (from === null) return [null, null];
    const more = Math.ceil((to - from) * 0.03) + 1;
    const within = (step) => Math.min(Number.MAX_SAFE_INTEGER, Math.max(-Number.MAX_SAFE_INTEGER, step));
    return [within(Math.floor(from) - more), within(Math.ceil(to) + more)];
  }

  stepsBetween(from, to) {
    let [least, most] = [null, null];
    for (const one of this.whole ?? []) {
      const { x } = toLine(one, view.mode, this.legend().get(one.id).began);
      one.buckets.forEach((row, i) => {
        if (x[i] < from || x[i] > to) return;
        least = least === null ? row[0] : Math.min(least, row[0]);
        most = most === null ? row[1] : Math.max(most, row[1]);
      });
    }
    return [least, most];
  }

  draw() {
    if (!this.near || this.element.classList.contains("wordy")) return;
    this.chart ??= new Chart(this.host, {
      label: `${this.key}. Arrow keys read values, plus and minus zoom; the values are in the table below.`,
      cursor: moveCursor,
      zoom: setZoom,
    });
    if (!this.series) return;
    const named = this.legend();
    this.chart.show(
      this.series.filter((one) => named.has(one.id)).map((one) => {
        const known = named.get(one.id);
        return { ...known, dash: DASHES[known.dash % DASHES.length], line: toLine(one, view.mode, known.began) };
      }),
      view,
    );
  }

  /** How the page names and colours each series: its rows in the table of values say so. */
  legend() {
    const rows = this.element.querySelectorAll("[data-series]");
    return new Map([...rows].map(({ dataset }) => [
      Number(dataset.series),
      { label: dataset.label, colour: dataset.colour, dash: Number(dataset.dash), began: byId.get(dataset.run).began },
    ]));
  }

  /** Takes what is told of its series; false when there is one that the page does not have yet. */
  changed(summaries) {
    for (const one of summaries) this.told.set(one.id, one);
    return this.showTold();
  }

  /** What was told goes before what a page said that was asked for earlier. */
  showTold() {
    let complete = true;
    for (const one of this.told.values()) {
      const row = this.element.querySelector(`[data-series="${one.id}"]`);
      complete &&= row !== null;
      if (!row || row.querySelector(".count").textContent === number(one.count, 15)) continue;
      show(row.querySelector(".last"), one.last_value, 6);
      row.querySelector(".step").textContent = number(one.last_step, 15);
      row.querySelector(".count").textContent = number(one.count, 15);
      if (this.numbers().length === 1) show(this.element.querySelector(".now"), one.last_value, 5);
      const words = this.element.querySelector(`[data-of="${one.id}"]`);
      if (words) words.textContent = brief(one.last_value);
      this.stale = true;
    }
    return complete;
  }
}

/** A value where it may be cut off; then the pointer tells the whole. */
function show(place, value, digits) {
  place.textContent = brief(value, digits);
  if (typeof value === "number") place.removeAttribute("title");
  else place.title = place.textContent;
}

const figureOf = (element) => figures.get(JSON.parse(element.dataset.code));
const each = (does) => figures.forEach(does);

let pending = null;
function moveCursor(x, from) {
  if (pending === null) requestAnimationFrame(() => {
    const { x: at, from: own } = pending;
    pending = null;
    each((figure) => figure.chart?.point(at, figure.chart === own));
  });
  pending = { x, from };
}

function setZoom(zoom) {
  view.zoom = zoom;
  const places = view.mode === "step" ? 1 : 3;
  setParams({ zoom: zoom && zoom.map((end) => Number(end.toFixed(places))).join("~") });
  document.getElementById("all").hidden = !zoom;
  each((figure) => {
    figure.stale = true;
    figure.draw();
    figure.load();
  });
  showDownloads();
}

function redraw() {
  setParams({ x: view.mode === "step" ? null : view.mode, log: view.log ? "1" : null, smooth: view.smooth || null });
  document.getElementById("smooth-now").textContent = view.smooth ? view.smooth.toFixed(2) : "off";
  each((figure) => figure.draw());
}

/** Hides the charts whose key the pattern does not fit; a pattern that is none yet is taken as plain text. */
function filter() {
  const text = controls.elements.match.value;
  let fits = (key) => key.toLowerCase().includes(text.toLowerCase());
  let bad = "";
  try {
    const pattern = new RegExp(text, "i");
    fits = (key) => pattern.test(key);
  } catch (error) {
    bad = error.message;
  }
  controls.elements.match.title = bad;
  let shown = 0;
  each((figure) => {
    figure.element.hidden = text !== "" && !fits(figure.key);
    shown += figure.element.hidden ? 0 : 1;
  });
  for (const section of root.querySelectorAll("section")) {
    section.hidden = !section.querySelector(".chart:not([hidden])");
  }
  document.getElementById("none-fit").hidden = shown > 0 || figures.size === 0;
  document.getElementById("shown").textContent = text === "" ? "" : `${shown} of ${figures.size}`;
  setParams({ match: text });
  each((figure) => figure.load());
  showDownloads();
}

/** What one sees, as files: the charts the filter leaves, cut to the zoom. */
function showDownloads() {
  const hidden = [...figures.values()].some((figure) => figure.element.hidden);
  const shown = hidden ? [...figures.values()].filter((figure) => !figure.element.hidden).flatMap((figure) => figure.numbers()) : [];
  const cut = cutOf();
  for (const link of document.querySelectorAll("a[data-format]")) {
    const one = link.closest(".chart");
    const series = one ? figureOf(one).numbers() : shown;
    link.href = address(`/download.${link.dataset.format}`, { run: runs.map((run) => run.id), series, ...cut });
  }
}

function cutOf() {
  if (!view.zoom) return {};
  const [from, to] = view.zoom;
  if (view.mode === "step") return { first: Math.ceil(from), last: Math.floor(to) };
  const shift = view.mode === "relative" ? runs[0].began : 0;
  return { since: Math.ceil((from + shift) * 1e6), until: Math.floor((to + shift) * 1e6) };
}

const watched = nearView((element) => figureOf(element).come(), (element) => figureOf(element).go());

function take(element) {
  const figure = new Figure(element);
  figures.set(figure.key, figure);
  watched.observe(element);
}

/** Charts and series that began since the page was made: their markup comes from the page as it is now. */
const takeNew = throttled(async () => {
  const page = await getPage().catch(() => null);
  if (!page) return;
  for (const section of page.querySelectorAll("#charts section")) {
    const here = root.querySelector(`section[data-group="${CSS.escape(section.dataset.group)}"]`);
    if (!here) {
      const next = [...root.querySelectorAll("section")].find((one) => order(one) > order(section));
      const adopted = document.adoptNode(section);
      next ? next.before(adopted) : root.append(adopted);
      adopted.querySelectorAll(".chart").forEach(take);
      continue;
    }
    for (const fresh of section.querySelectorAll(".chart")) {
      const old = figureOf(fresh);
      if (!old) {
        here.querySelector(".plots").append(document.adoptNode(fresh));
        take(fresh);
      } else {
        for (const part of [".values", ".legend", ".words"]) {
          const [place, made] = [old.element.querySelector(part), fresh.querySelector(part)];
          if (made && place) place.replaceWith(document.adoptNode(made));
          else if (made) old.element.querySelector(".values").before(document.adoptNode(made));
        }
        old.showTold();
        old.stale = true;
        old.load();
      }
    }
  }
  document.getElementById("no-charts")?.remove();
  filter();
}, 3000);

const order = (section) => `${section.dataset.group === "system" ? 1 : 0}${section.dataset.group}`;

function news(told) {
  for (const [key, summaries] of Object.entries(told.keys)) {
    const figure = figures.get(key);
    if (!figure || !figure.changed(summaries)) takeNew();
    figure?.load();
  }
  showHead(told, runs.length > 1);
}

controls.addEventListener("input", ({ target }) => {
  if (target.name === "smooth") view.smooth = Number(target.value);
  else if (target.name === "log") view.log = target.checked;
  else return;
  redraw();
});
controls.addEventListener("change", ({ target }) => {
  if (target.name !== "x") return;
  view.mode = target.value;
  setZoom(null);
  redraw();
});
controls.elements.match.addEventListener("input", settled(filter, 120));
controls.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("all").addEventListener("click", () => setZoom(null));
addEventListener("themechange", () => each((figure) => figure.draw()));

controls.elements.match.value = param("match") ?? "";
controls.elements.smooth.value = view.smooth;
controls.elements.log.checked = view.log;
for (const choice of controls.elements.x) choice.checked = choice.value === view.mode;
document.getElementById("all").hidden = !view.zoom;
document.getElementById("smooth-now").textContent = view.smooth ? view.smooth.toFixed(2) : "off";
root.querySelectorAll(".chart").forEach(take);
filter();
follow(address("/live", { run: runs.map((run) => run.id) }), news);

// Media of a run: one slider over the steps of all keys, everything of a key in a grid, and one large.
import { address, el, getJson, getPage, nearView, param, setParams, settled, throttled } from "./app.js";
import { follow, showHead } from "./live.js";

const AT_ONCE = 60;
const TINY = 160;
const root = document.getElementById("media");
if (root) start();
else follow(address("/live", { run: location.pathname.split("/")[2] }), (told) => (told.media ? location.reload() : showHead(told)));

function start() {
  const { run, steps } = JSON.parse(root.dataset.page);
  const controls = document.getElementById("controls");
  const slider = document.getElementById("step");
  const shelves = new Map();
  let view = param("view") === "grid" ? "grid" : "step";
  let step = null;

  /** One key: its whole index, loaded when it comes near the view, and what of it is shown. */
  class Shelf {
    constructor(element) {
      this.element = element;
      this.key = JSON.parse(element.dataset.code);
      this.stage = element.querySelector(".stage");
      this.items = null;
      this.shown = 0;
    }

    async come() {
      this.near = true;
      if (!this.items) await this.load();
      this.draw();
    }

    async load() {
      const found = [];
      let after = null;
      try {
        do {
          const answer = await getJson(`/v1/runs/${run}/media`, { key: this.key, limit: 1000, after });
          found.push(...answer.media);
          after = answer.next;
        } while (after !== null);
      } catch (error) {
        this.stage.replaceChildren(el("p", { class: "problem", role: "alert" }, `Could not load: ${error.message}`));
        return;
      }
      // The order of arrival stays within a step.
      this.items = found.sort((a, b) => (a.step ?? -Infinity) - (b.step ?? -Infinity));
      this.attempts = new Set(found.map((one) => one.attempt)).size > 1;
    }

    /** The step to show at the slider's: that one, or the last before it, or else the first. */
    stepAt(wanted) {
      let found = null;
      for (const { step: one } of this.items) {
        if (one === null) continue;
        if (found === null || one <= wanted) found = one;
        if (one > wanted) break;
      }
      return found;
    }

    draw() {
      if (!this.near || !this.items) return;
      const at = this.element.querySelector(".at");
      if (view === "grid") {
        this.shown = 0;
        at.textContent = "";
        this.stage.replaceChildren();
        this.more();
        return;
      }
      const exact = this.stepAt(step ?? Infinity);
      at.replaceChildren(exact === null ? "no step" : `step ${exact.toLocaleString("en")}`);
      if (exact !== null && step !== null && exact !== step) {
        at.append(el("small", {}, exact < step ? " (the last before)" : " (the first)"));
      }
      const items = this.items.filter((one) => one.step === exact);
      const here = items.length > 1 ? `${items.length} here, ` : "";
      this.element.querySelector(".many").textContent = `${here}${this.items.length.toLocaleString("en")} in all`;
      const same = items.map((one) => one.id).join();
      if (this.stage.dataset.ids === same) return;
      this.stage.dataset.ids = same;
      this.stage.replaceChildren(...items.map((one) => figure(one, this)));
      this.prefetch(exact);
    }

    /** The next step's pictures, so that an arrow key shows them at once. */
    prefetch(exact) {
      const next = this.items.find((one) => one.step > exact);
      for (const one of this.items.filter((each) => next && each.step === next.step && each.media_type === "image").slice(0, 8)) {
        new Image().src = address(one.url);
      }
    }

    more() {
      delete this.stage.dataset.ids;
      this.stage.querySelector(".rest")?.remove();
      const next = this.items.slice(this.shown, this.shown + AT_ONCE);
      this.shown += next.length;
      this.stage.append(...next.map((one) => figure(one, this)));
      if (this.shown < this.items.length) {
        const rest = el("p", { class: "rest" }, `${this.shown} of ${this.items.length} shown; the rest comes as you scroll`);
        this.stage.append(rest);
        const seen = nearView(() => {
          seen.disconnect();
          this.more();
        });
        seen.observe(rest);
      }
    }
  }

  function medium(one) {
    const named = one.caption || one.key;
    if (one.media_type === "image") {
      const image = el("img", { src: address(one.url), alt: named, loading: "lazy", decoding: "async" });
      image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth <= TINY));
      return image;
    }
    if (one.media_type === "video") return el("video", { src: address(one.url), controls: true, preload: "metadata", "aria-label": named });
    if (one.media_type === "audio") return el("audio", { src: address(one.url), controls: true, preload: "metadata", "aria-label": named });
    return el("a", { class: "button file", href: address(one.url), download: "" }, `Download ${one.media_type}`);
  }

  function figure(one, shelf) {
    const shown = one.media_type === "image"
      ? el("button", { type: "button", class: "open", "aria-label": `Large: ${one.caption || one.key}`, onclick: () => large.open(shelf, one) }, medium(one))
      : medium(one);
    const told = [view === "grid" && one.step !== null ? el("b", {}, `step ${one.step.toLocaleString("en")}`) : null,
      shelf.attempts ? `attempt ${one.attempt}` : null, one.caption].filter((part) => part);
    const caption = told.flatMap((part, at) => (at ? [" · ", part] : [part]));
    return el("figure", { class: "medium" }, shown, el("figcaption", {}, ...caption));
  }

  const large = {
    dialog: document.getElementById("large"),
    open(shelf, one) {
      this.items = shelf.items.filter((each) => each.media_type === "image" || each.media_type === "video");
      this.at = this.items.indexOf(one);
      this.show();
      if (!this.dialog.open) this.dialog.showModal();
    },
    move(by) {
      this.at = Math.min(this.items.length - 1, Math.max(0, this.at + by));
      this.show();
    },
    show() {
      const one = this.items[this.at];
      document.getElementById("large-title").textContent = one.key;
      document.getElementById("large-at").textContent =
        `${one.step === null ? "no step" : `step ${one.step.toLocaleString("en")}`} · ${this.at + 1} of ${this.items.length}`;
      document.getElementById("large-stage").replaceChildren(medium(one));
      document.getElementById("large-caption").textContent = one.caption ?? "";
      document.getElementById("large-before").disabled = this.at === 0;
      document.getElementById("large-after").disabled = this.at === this.items.length - 1;
    },
  };
  large.dialog.addEventListener("click", (event) => event.target === large.dialog && large.dialog.close());
  large.dialog.addEventListener("close", () => document.getElementById("large-stage").replaceChildren());
  document.getElementById("large-before").addEventListener("click", () => large.move(-1));
  document.getElementById("large-after").addEventListener("click", () => large.move(1));
  document.getElementById("large-close").addEventListener("click", () => large.dialog.close());

  function showStep() {
    slider.max = Math.max(0, steps.length - 1);
    const at = steps.indexOf(step);
    slider.value = at;
    document.getElementById("slider").hidden = view === "grid" || steps.length === 0;
    document.getElementById("step-now").textContent = step === null ? "" : `${step.toLocaleString("en")} (${at + 1} of ${steps.length})`;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    document.getElementById("before").disabled = at <= 0;
    document.getElementById("after").disabled = at >= steps.length - 1;
  }

  function goTo(index) {
    step = steps[Math.min(steps.length - 1, Math.max(0, index))] ?? null;
    setParams({ step: step === steps.at(-1) ? null : step });
    showStep();
    shelves.forEach((shelf) => shelf.draw());
  }

  function setView(wanted) {
    view = wanted;
    root.classList.toggle("all", view === "grid");
    setParams({ view: view === "grid" ? "grid" : null });
    showStep();
    shelves.forEach((shelf) => {
      delete shelf.stage.dataset.ids;
      shelf.draw();
    });
  }

  function filter() {
    const text = controls.elements.match.value;
    let fits = (key) => key.toLowerCase().includes(text.toLowerCase());
    try {
      const pattern = new RegExp(text, "i");
      fits = (key) => pattern.test(key);
    } catch {
      // No pattern yet: plain text.
    }
    shelves.forEach((shelf) => (shelf.element.hidden = !fits(shelf.key)));
    document.getElementById("none-fit").hidden = [...shelves.values()].some((shelf) => !shelf.element.hidden);
    setParams({ match: text });
  }

  slider.addEventListener("input", () => goTo(Number(slider.value)));
  document.getElementById("before").addEventListener("click", () => goTo(steps.indexOf(step) - 1));
  document.getElementById("after").addEventListener("click", () => goTo(steps.indexOf(step) + 1));
  controls.addEventListener("change", ({ target }) => target.name === "view" && setView(target.value));
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.elements.match.addEventListener("input", settled(filter, 120));
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    if (large.dialog.open) large.move(by);
    else if (view === "grid" || event.target.closest?.("input, textarea, select, video, audio")) return;
    else goTo(steps.indexOf(step) + by);
    event.preventDefault();
  });

  const watched = nearView((element) => shelves.get(JSON.parse(element.dataset.code)).come());
  function take(element) {
    const shelf = new Shelf(element);
    shelves.set(shelf.key, shelf);
    watched.observe(element);
  }

  /** Keys that began since the page was made: their markup comes from the page as it is now, and all steps with it. */
  async function takeNew() {
    const page = await getPage().catch(() => null);
    const fresh = page?.getElementById("media");
    if (!fresh) return [];
    let before = null;
    for (const element of fresh.querySelectorAll(".shelf")) {
      const known = shelves.get(JSON.parse(element.dataset.code));
      if (known) known.element.querySelector(".many").textContent = element.querySelector(".many").textContent;
      else {
        before ? before.after(document.adoptNode(element)) : root.prepend(document.adoptNode(element));
        take(element);
      }
      before = known?.element ?? element;
    }
    return JSON.parse(fresh.dataset.page).steps;
  }

  root.querySelectorAll(".shelf").forEach(take);
  const asked = Number(param("step"));
  step = param("step") !== null && steps.includes(asked) ? asked : (steps.at(-1) ?? null);
  controls.elements.match.value = param("match") ?? "";
  for (const choice of controls.elements.view) choice.checked = choice.value === view;
  setView(view);
  if (controls.elements.match.value) filter();

  let known = Number(document.querySelector('[data-count="media"]')?.textContent.replace(/\D/g, "") || 0);
  const more = throttled(async () => {
    const atEnd = step === steps.at(-1);
    const found = new Set([...steps, ...(await takeNew())]);
    for (const shelf of shelves.values()) {
      if (!shelf.near) continue;
      await shelf.load();
      for (const one of shelf.items ?? []) if (one.step !== null) found.add(one.step);
    }
    steps.splice(0, Infinity, ...[...found].sort((a, b) => a - b));
    if (atEnd) goTo(steps.length - 1);
    else showStep();
    if (controls.elements.match.value) filter();
    if (view === "grid") shelves.forEach((shelf) => shelf.draw());
  }, 2000);
  follow(address("/live", { run }), (told) => {
    if (told.media !== known) more();
    known = told.media;
    showHead(told);
  });
}

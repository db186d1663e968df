// Rollouts: another step, sample or comparison replaces only what changes; j and k walk through the samples. While the run
// goes on, what comes is shown: the newest step as long as none was chosen, else what changes in the one that was.
import { address, getPage, say } from "./app.js";
import { follow, showHead } from "./live.js";
import { toggleRaw } from "./raw.js";

const PARTS = ["#panes", "section.list", "section.spread", ".tabs"];
const LIVE_MS = 2000;
const shown = new Map(PARTS.map((part) => [part, document.querySelector(part)?.innerHTML]));
let asking = null;

/** Takes over what the house tells anew; what a person has unfolded in a part that is the same stays as it is. */
function adopt(page) {
  const frame = page.getElementById("rollouts");
  const place = document.getElementById("rollouts");
  if (frame && !place) {
    document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
    for (const part of PARTS) shown.set(part, document.querySelector(part)?.innerHTML);
    return;
  }
  for (const part of PARTS) {
    const here = document.querySelector(part);
    const there = page.querySelector(part);
    if (!here || !there || shown.get(part) === there.innerHTML) continue;
    const top = here.scrollTop;
    const focused = here.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    shown.set(part, there.innerHTML);
    here.replaceChildren(...[...there.childNodes].map((node) => document.adoptNode(node)));
    here.scrollTop = top;
    if (focused) here.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  if (frame) place.className = frame.className;
}

async function go(href, push, focus, quick = false) {
  asking?.abort();
  asking = new AbortController();
  try {
    const page = await getPage(quick ? `${href}${href.includes("?") ? "&" : "?"}quick=` : href, { signal: asking.signal });
    if (push) history.pushState(null, "", href);
    adopt(page);
    if (focus) document.querySelector(".samples .open .sample")?.focus();
    document.querySelector(".samples .open")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (error.name !== "AbortError") say(`Could not load: ${error.message}`);
  }
}

function step(by) {
  const all = [...document.querySelectorAll("a.sample")];
  const at = all.findIndex((one) => one.getAttribute("aria-current"));
  const next = all[at < 0 ? 0 : at + by];
  if (next) go(next.href, true, true, true);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#rollouts a, .spread a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.matches("[data-raw]")) {
    event.preventDefault();
    toggleRaw(link);
    return;
  }
  const href = link instanceof SVGElement ? link.href.baseVal : link.getAttribute("href");
  const url = href ? new URL(href, location.href) : null;
  if (!url || url.pathname !== location.pathname || url.origin !== location.origin) return;
  event.preventDefault();
  go(url.href, true, link.matches(".sample"), link.matches(".sample, .against, [data-close]"));
});
document.addEventListener("change", (event) => {
  if (event.target.matches(".steps input[name=step]") && event.target.value) event.target.form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
});
addEventListener("popstate", () => go(location.href, false, false));

let due = null;
let wait = LIVE_MS;
/** One look at a time, and the rarer the longer it takes: all rewards are walked through for their picture. */
function renew() {
  due ??= setTimeout(async () => {
    const began = performance.now();
    const href = location.href;
    const typing = document.activeElement?.matches(".steps input");
    try {
      const page = typing ? null : await getPage(href);
      if (page && href === location.href) adopt(page);
    } catch {
      // the house may be back later, and tells then
    }
    wait = Math.max(LIVE_MS, 5 * (performance.now() - began));
    due = null;
    if (typing) renew();
  }, wait);
}

let known = null;
follow(address("/live", { run: location.pathname.split("/")[2] }), (told) => {
  const now = `${told.rollouts} ${told.judged}`;
  const count = document.querySelector('[data-count="rollouts"]')?.textContent.replace(/\D/g, "") || "0";
  if (known !== null ? known !== now : count !== String(told.rollouts)) renew();
  known = now;
  showHead(told);
});

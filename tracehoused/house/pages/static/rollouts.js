// Rollouts: another step, sample or comparison replaces only what changes; j and k walk through the samples.
import { getPage, say } from "./app.js";
import { toggleRaw } from "./raw.js";

let asking = null;

function adopt(page) {
  for (const selector of ["#panes", "section.list", "section.spread", ".tabs"]) {
    const here = document.querySelector(selector);
    const there = page.querySelector(selector);
    if (!here || !there || here.innerHTML === there.innerHTML) continue;
    const top = here.scrollTop;
    here.replaceChildren(...[...there.childNodes].map((node) => document.adoptNode(node)));
    here.scrollTop = top;
  }
  const frame = page.getElementById("rollouts");
  if (frame) document.getElementById("rollouts").className = frame.className;
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

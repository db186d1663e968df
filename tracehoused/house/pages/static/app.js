// What every page has: the theme button, local times, copying, menus that close; and helpers for the other modules.

/** An element: el("a", {href: "/", class: "x", onclick}, "text", child). Text is never parsed as markup. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The address of a page or of data; `params` may hold arrays; null and undefined are left out. A share token stays. */
export function address(path, params = {}) {
  const made = new URL(path, location.href);
  const token = new URLSearchParams(location.search).get("t");
  for (const [name, value] of Object.entries(token === null ? params : { t: token, ...params })) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined) made.searchParams.append(name, one);
    }
  }
  return made.href;
}

/** A JSON answer of the house; throws Error with the house's own words, or when it cannot be reached. */
export async function getJson(path, params, options = {}) {
  const answer = await fetch(address(path, params), { headers: { accept: "application/json" }, ...options });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message ?? `the house answered ${answer.status}`);
  return body;
}

/** The same page as it is now, parsed: parts of it can be adopted with document.adoptNode. */
export async function getPage(url = location.href, options = {}) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`the house answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Query parameters in the address bar, changed without a load; null removes. */
export function setParams(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  history.replaceState(history.state, "", url);
}

export const param = (name) => new URLSearchParams(location.search).get(name);

/** Calls `wanted` at most every `ms`, the last call never lost. */
export function throttled(wanted, ms) {
  let timer = null;
  let last = -Infinity;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      wanted();
    }, Math.max(0, last + ms - performance.now()));
  };
}

/** Once the calls have paused for `ms`. */
export function settled(wanted, ms) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => wanted(...values), ms);
  };
}

/** A number as people read it: 6 significant digits, 1.2e-7, NaN. */
export function number(value, digits = 6) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (!Number.isFinite(value) || value === 0) return String(value);
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(3).replace(/\.?0+e/, "e");
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

/** Any value that was logged, on one line: a number as above, a text as it is, JSON of all else. */
export function brief(value, digits = 6) {
  if (value === null || typeof value !== "object") return number(value, digits);
  return value._type === "number" ? value.value : JSON.stringify(value);
}

/** Seconds as 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  const sign = seconds < 0 ? "−" : "";
  const s = Math.abs(seconds);
  if (s < 60) return `${sign}${s < 10 ? Math.round(s * 10) / 10 : Math.round(s)} s`;
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const [large, name, small, lesser] = units.find(([size]) => s >= size);
  const rest = Math.floor((s % large) / small);
  return `${sign}${Math.floor(s / large)} ${name}${rest ? ` ${rest} ${lesser}` : ""}`;
}

/** Tells screen readers, and everybody for a few seconds. */
export function say(text) {
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (place.textContent = ""), 5000);
}

/** Calls `seen(element)` when an element comes within a screen of the visible part, `gone` when it leaves. */
export function nearView(seen, gone = () => {}) {
  return new IntersectionObserver(
    (entries) => entries.forEach((entry) => (entry.isIntersecting ? seen : gone)(entry.target)),
    { rootMargin: "60% 0px" },
  );
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");

function toggleTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  dispatchEvent(new Event("themechange"));
}
dark.addEventListener("change", () => dispatchEvent(new Event("themechange")));

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  }
}

addEventListener("storage", (event) => {
  if (event.key === "theme" && event.newValue) {
    document.documentElement.dataset.theme = event.newValue;
    dispatchEvent(new Event("themechange"));
  }
});

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const copied = target?.closest("[data-copy]");
  if (target?.closest("[data-theme-toggle]")) toggleTheme();
  if (copied) navigator.clipboard.writeText(copied.dataset.copy).then(() => say("Copied"), () => say("Could not copy"));
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

localTimes(document);

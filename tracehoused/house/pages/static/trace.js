// A trace: JSON of a span in place, search as one types, new spans as they arrive.
import { getJson, getPage, say, setParams, settled } from "./app.js";
import { toggleRaw } from "./raw.js";

const FOLLOW_MS = 1500;
const IDLE_MS = 6000;
const place = document.getElementById("talk");
const id = location.pathname.split("/")[2];
const form = document.querySelector(".seek");
const unfold = document.getElementById("unfold");

function showFound() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("found");
  const word = place.dataset.word.toLowerCase();
  if (!word) return;
  const ranges = [];
  const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  while (texts.nextNode() && ranges.length < 2000) {
    const text = texts.currentNode.data.toLowerCase();
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
      const range = new Range();
      range.setStart(texts.currentNode, at);
      range.setEnd(texts.currentNode, Math.min(at + word.length, texts.currentNode.length));
      ranges.push(range);
      const folded = texts.currentNode.parentElement.closest("details:not([open])");
      if (folded) folded.open = true;
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

function setUnfold() {
  if (!unfold) return;
  const all = [...place.querySelectorAll("details")];
  unfold.hidden = all.length === 0;
  const open = all.length > 0 && all.every((one) => one.open);
  unfold.textContent = open ? "Fold all" : "Unfold all";
  unfold.setAttribute("aria-pressed", String(open));
}

/** Takes over what is new in a fresh page; turns that look the same stay as they are, open or folded. */
function adopt(page, anew) {
  const fresh = page.getElementById("talk");
  if (!fresh) return;
  const known = new Map(anew ? [] : [...place.children].filter((one) => one.id).map((one) => [one.id, one]));
  const next = [...fresh.children].map((one) => {
    const old = known.get(one.id);
    if (old && old.dataset.version === one.dataset.version) return old;
    const made = document.adoptNode(one);
    if (!anew && !old) made.classList.add("new");
    if (old) made.querySelectorAll("details").forEach((one, at) => (one.open = old.querySelectorAll("details")[at]?.open ?? false));
    return made;
  });
  const same = next.length === place.children.length && next.every((one, at) => one === place.children[at]);
  if (!same) place.replaceChildren(...next);
  Object.assign(place.dataset, fresh.dataset);
  for (const part of ["found", "facts"]) {
    const here = document.getElementById(part);
    const there = page.getElementById(part);
    if (here && there && here.innerHTML !== there.innerHTML) here.replaceChildren(...document.adoptNode(there).childNodes);
  }
  const title = page.querySelector("#head h1");
  if (title && title.innerHTML !== document.querySelector("#head h1").innerHTML) document.querySelector("#head h1").replaceWith(document.adoptNode(title));
  showFound();
  setUnfold();
}

let asking = null;
async function search() {
  asking?.abort();
  asking = new AbortController();
  setParams({ q: form.elements.q.value.trim(), after: null, at: null });
  try {
    adopt(await getPage(location.href, { signal: asking.signal }), true);
  } catch (error) {
    if (error.name !== "AbortError") say(`Could not search: ${error.message}`);
  }
}

let quiet = 0;
async function follow() {
  let wait = IDLE_MS;
  if (!document.hidden && place.dataset.follow) {
    try {
      const now = (await getJson(`/v1/traces/${id}`, { limit: 1 })).updated_at;
      if (now !== place.dataset.updated) {
        const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
        adopt(await getPage(location.href), false);
        if (atEnd) scrollTo({ top: document.documentElement.scrollHeight });
        quiet = 0;
      } else quiet += 1;
      wait = quiet < 40 ? FOLLOW_MS : IDLE_MS;
    } catch {
      wait = IDLE_MS; // the house may be back later
    }
  }
  setTimeout(follow, wait);
}

place.addEventListener("click", (event) => {
  const raw = event.target.closest("a[data-raw]");
  if (raw && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    toggleRaw(raw);
  }
  const anchor = event.target.closest("a[data-anchor]");
  if (anchor) navigator.clipboard?.writeText(anchor.href).then(() => say("Link copied"), () => {});
});
place.addEventListener("toggle", setUnfold, true);
form.addEventListener("input", settled(search, 200));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
unfold?.addEventListener("click", () => {
  const open = unfold.getAttribute("aria-pressed") !== "true";
  for (const one of place.querySelectorAll("details")) one.open = open;
});

showFound();
setUnfold();
follow();

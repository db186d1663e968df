// A table that keeps up by itself: the page is asked for again, and what is in #list adopted where it differs.
import { getPage, say, settled } from "./app.js";

const REFRESH_MS = 4000;

/** Keeps `list` up; `changed` is called after each change. Returns refresh(loud), which looks at once and, if loud, says what failed. */
export function keepUp(list, changed = () => {}) {
  let asking = null;

  function adopt(page) {
    const fresh = page.getElementById("list");
    if (!fresh || fresh.innerHTML === list.dataset.shown) return;
    const focused = document.activeElement?.closest("#list") ? document.activeElement : null;
    const scrolled = list.querySelector(".wide")?.scrollLeft ?? 0;
    list.dataset.shown = fresh.innerHTML;
    list.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
    const wide = list.querySelector(".wide");
    if (wide) wide.scrollLeft = scrolled;
    const total = page.getElementById("total");
    if (total) document.getElementById("total").textContent = total.textContent;
    changed();
    if (focused) sameAs(focused)?.focus({ preventScroll: true });
  }

  function sameAs(focused) {
    if (focused.matches(".wide")) return list.querySelector(".wide");
    const value = CSS.escape(focused.value ?? "");
    return list.querySelector(focused.matches("a[href]") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : `input[value="${value}"]`);
  }

  async function refresh(loud) {
    asking?.abort();
    asking = new AbortController();
    try {
      adopt(await getPage(location.href, { signal: asking.signal }));
    } catch (error) {
      if (error.name !== "AbortError" && loud) say(`Could not load: ${error.message}`);
    }
  }

  list.dataset.shown = list.innerHTML;
  setInterval(() => document.hidden || refresh(false), REFRESH_MS);
  return refresh;
}

/** Shows what fits as soon as one types or chooses in the form `filter`; `refresh` is keepUp's, `adjust(url)` may change the address. */
export function search(filter, refresh, adjust = () => {}) {
  function show() {
    const url = new URL(filter.action);
    for (const [name, value] of new FormData(filter)) if (value) url.searchParams.append(name, value);
    adjust(url);
    history.replaceState(null, "", url);
    refresh(true);
  }
  filter.addEventListener("input", settled(show, 150));
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
}

// What changes in runs while one looks: server-sent events, only while the page is visible, for browsers allow few
// connections to one house. `changed(news)`: {run, state, points, media, rollouts, judged, keys: {key: [summaries]}}.

/** Returns a function that ends it. It ends by itself once no run of `runs` goes on. */
export function follow(address, changed) {
  let source = null;
  let over = false;

  function open() {
    if (over || source || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("news", (event) => changed(JSON.parse(event.data)));
    source.addEventListener("over", end);
  }
  function close() {
    source?.close();
    source = null;
  }
  function end() {
    over = true;
    close();
  }
  function turned() {
    if (document.hidden) close();
    else open();
  }
  document.addEventListener("visibilitychange", turned);
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
  return end;
}

/** Brings the head and the tabs of a run's page up to date; of several runs, their list. */
export function showHead(told, several = false) {
  const own = several ? "" : ", #head .status";
  for (const place of document.querySelectorAll(`[data-run="${CSS.escape(told.run)}"] .status${own}`)) {
    place.className = `status ${told.state}`;
    place.textContent = told.state;
  }
  if (several) return;
  for (const name of ["points", "media", "rollouts"]) {
    for (const place of document.querySelectorAll(`[data-count="${name}"]`)) {
      place.textContent = told[name] || name === "points" ? told[name].toLocaleString("en") : "";
    }
  }
}

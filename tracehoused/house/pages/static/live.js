// What changes in runs while one looks: server-sent events, only while the page is visible, for browsers allow few
// connections to one house. `changed(news)`: {run, state, points, media, rollouts, keys: {key: [summaries]}}.

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

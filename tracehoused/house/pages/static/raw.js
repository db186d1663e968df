// The JSON of a span, shown in its turn when its link is pressed and taken away when it is pressed again.
import { getPage, say } from "./app.js";

export async function toggleRaw(link) {
  const turn = link.closest(".turn");
  const shown = turn.querySelector(`:scope > .json[data-of="${CSS.escape(link.pathname)}"]`);
  if (shown) shown.remove();
  else {
    try {
      const raw = document.adoptNode((await getPage(link.href)).getElementById("raw"));
      raw.removeAttribute("id");
      raw.classList.add("json");
      raw.dataset.of = link.pathname;
      raw.tabIndex = 0;
      turn.append(raw);
    } catch (error) {
      say(`Could not load: ${error.message}`);
      return;
    }
  }
  link.setAttribute("aria-expanded", String(!shown));
}

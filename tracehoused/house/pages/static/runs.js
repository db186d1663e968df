// The table of runs: search as one types, choice over several pages, and a table that keeps up by itself.
import { keepUp, search } from "./keep_up.js";

const STORE = "chosen-runs";
const list = document.getElementById("list");
const filter = document.getElementById("filter");
const bar = document.getElementById("chosen");
const count = document.getElementById("chosen-count");
const most = Number(bar.dataset.most);
let chosen = new Set(JSON.parse(sessionStorage.getItem(STORE) ?? "[]"));

function showChoice() {
  sessionStorage.setItem(STORE, JSON.stringify([...chosen]));
  const here = new Set();
  for (const box of list.querySelectorAll("tbody input[name=run]")) {
    box.checked = chosen.has(box.value);
    box.disabled = !box.checked && chosen.size >= most;
    here.add(box.value);
  }
  const form = document.getElementById("compare");
  if (form) {
    form.replaceChildren(
      ...[...chosen].filter((id) => !here.has(id)).map((id) => {
        const input = document.createElement("input");
        Object.assign(input, { type: "hidden", name: "run", value: id });
        return input;
      }),
    );
  }
  bar.classList.toggle("some", chosen.size > 0);
  count.textContent = chosen.size === 0 ? "Choose runs to compare them"
    : `${chosen.size} chosen${chosen.size >= most ? `, the most there can be` : ""}`;
  document.getElementById("go").disabled = chosen.size === 0;
  document.getElementById("clear").hidden = chosen.size === 0;
}

filter.addEventListener("change", (event) => {
  if (event.target.name === "metric") {
    for (const box of filter.querySelectorAll("[data-default]")) delete box.dataset.default;
  }
});
list.addEventListener("change", (event) => {
  if (event.target.name !== "run") return;
  if (event.target.checked) chosen.add(event.target.value);
  else chosen.delete(event.target.value);
  showChoice();
});
document.getElementById("clear").addEventListener("click", () => {
  chosen = new Set();
  showChoice();
});

search(filter, keepUp(list, showChoice), (url) => {
  if (filter.querySelector("[data-default]")) url.searchParams.delete("metric");
});
showChoice();

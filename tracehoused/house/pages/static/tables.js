// The tables that do nothing but keep up, and show what fits where they have a filter: traces, agents.
import { keepUp, search } from "./keep_up.js";

const refresh = keepUp(document.getElementById("list"));
const filter = document.getElementById("filter");
if (filter) search(filter, refresh);

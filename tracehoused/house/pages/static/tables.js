// The tables that do nothing but keep up: traces, agents.
import { keepUp } from "./keep_up.js";

keepUp(document.getElementById("list"));

/* Earlier runs of the store: search, star, listen again, compare two. */
import * as api from "./api.js";
import { $, button, debounced, el, show } from "./dom.js";
import { follow, showRuns } from "./jobs.js";
import { setError } from "./state.js";

const picked = new Set();
let asked = 0;

const line = (run) => {
  const done = run.state === "finished";
  const box = el("input", { type: "checkbox", checked: picked.has(run.id), disabled: !done, "aria-label": `Compare ${run.title}, ${run.created_at}`, onchange: () => {
    if (box.checked) picked.add(run.id); else picked.delete(run.id);
    $("history-compare").disabled = picked.size !== 2;
  } });
  return el("li", {}, box,
    el("div", { class: "grow" }, el("b", {}, run.title), el("div", { class: "small muted" }, `${run.created_at.slice(0, 16).replace("T", " ")} · ${run.method}${done ? "" : ` · ${run.state}`}`), el("div", { class: "small" }, run.verdict)),
    button(run.starred ? "★" : "☆", async (event) => {
      try {
        run.starred = (await api.star(run.id, !run.starred)).starred;
        event.target.textContent = run.starred ? "★" : "☆";
        event.target.setAttribute("aria-pressed", String(run.starred));
      } catch (error) { setError(error); }
    }, { class: "letter", "aria-pressed": String(run.starred), "aria-label": `Star ${run.title}`, "data-focus": `star ${run.id}` }),
    done || run.state === "running" ? null : button("Go on", async () => {
      try { follow(await api.resume(run.id)); $("history").close(); } catch (error) { $("history").close(); setError(error); }
    }, { "data-focus": `go on ${run.id}`, "aria-label": `Go on with ${run.title}` }),
    button("Listen", () => { $("history").close(); showRuns([run.id]); }, { disabled: !done, "data-focus": `listen ${run.id}`, "aria-label": `Listen to ${run.title}` }));
};

const load = async () => {
  const mine = ++asked;
  $("history-state").textContent = "Loading…";
  try {
    const { runs } = await api.history($("history-search").value, $("history-starred").checked);
    if (mine !== asked) return;
    $("history-state").textContent = runs.length ? "" : $("history-search").value || $("history-starred").checked ? "No run fits. Clear the search to see all." : "No runs yet. Make a sound: it is kept here.";
    show($("history-list"), runs.map(line));
  } catch (error) { if (mine === asked) $("history-state").textContent = error.message; }
};

export const setUpHistory = () => {
  $("open-history").addEventListener("click", () => {
    picked.clear();
    $("history-compare").disabled = true;
    $("history").showModal();
    load();
  });
  $("history-search").addEventListener("input", debounced(load, 200));
  $("history-starred").addEventListener("change", load);
  $("history-compare").addEventListener("click", () => { $("history").close(); showRuns([...picked]); });
};

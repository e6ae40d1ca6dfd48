/* The history: searches the runs of the store, stars them, shows one again or two side by side. */
import * as api from "./api.js";
import { $, button, debounced, el, show } from "./dom.js";
import { follow, showRuns } from "./jobs.js";
import { setError } from "./state.js";

const picked = new Set();
let newest = 0;

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
    done || run.state === "running" ? null : button("Resume", async () => {
      try { follow(await api.resume(run.id)); $("history").close(); } catch (error) { $("history").close(); setError(error); }
    }, { "data-focus": `resume ${run.id}`, "aria-label": `Resume ${run.title}` }),
    button("Listen", () => { $("history").close(); showRuns([run.id]); }, { disabled: !done, "data-focus": `listen ${run.id}`, "aria-label": `Listen to ${run.title}` }));
};

const load = async () => {
  const mine = ++newest;
  $("history-state").textContent = "Loading…";
  try {
    const { runs } = await api.history($("history-search").value, $("history-starred").checked);
    if (mine !== newest) return;
    $("history-state").textContent = runs.length ? "" : $("history-search").value || $("history-starred").checked ? "No matching runs. Clear the search and the filter to see all." : "No runs yet. Every sound that you generate is listed here.";
    show($("history-list"), runs.map(line));
  } catch (error) { if (mine === newest) $("history-state").textContent = error.message; }
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

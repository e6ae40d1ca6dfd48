/* The studio's page: loads its start data, draws the tabs, and follows a job that is running. */
import * as api from "./api.js";
import { isBatch } from "./batch.js";
import "./canvas.js";
import "./controls.js";
import { setUpDialogs } from "./dialogs.js";
import { $, button, el, show } from "./dom.js";
import { setUpHistory } from "./history.js";
import { follow, makeSound, planAgain, setAsYouChange, showRuns, stopJob } from "./jobs.js";
import { setUpKeys } from "./keys.js";
import "./lanes.js";
import "./objects.js";
import { BATCH, begin, emit, on, openTab, state } from "./state.js";
import "./strip.js";

const RETRY_MS = 2000;

/* -- tabs ---------------------------------------------------------------------------------------------------------- */

const drawTabs = () => {
  const tabs = [...state.start.tabs.map((one) => ({ method: one.method, label: one.label, summary: one.summary })), { method: BATCH, label: "Batch", summary: "Run many pictures from a table" }];
  const go = (place) => {
    openTab(tabs[(place + tabs.length) % tabs.length].method);
    $(`tab-${state.tab}`).focus();
  };
  show($("tabs"), tabs.map((one, place) => {
    const open = one.method === state.tab;
    return el("button", { type: "button", role: "tab", id: `tab-${one.method}`, "aria-selected": String(open), "aria-controls": one.method === BATCH ? "batch" : "panel", tabindex: open ? "0" : "-1", title: one.summary, "data-focus": `tab ${one.method}`,
      onclick: () => openTab(one.method),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { event.preventDefault(); event.stopPropagation(); go(place + step); }
      } }, one.label);
  }));
  $("panel").hidden = state.tab === BATCH;
  $("batch").hidden = state.tab !== BATCH;
  $(state.tab === BATCH ? "batch" : "panel").setAttribute("aria-labelledby", `tab-${state.tab}`);
};
on("tab", drawTabs);

/* -- status and errors --------------------------------------------------------------------------------------------- */

const drawStatus = () => {
  const job = state.job;
  const [name, text] = !state.connected ? ["off", "reconnecting…"]
    : job?.state === "running" ? ["busy", "generating"]
      : job?.state === "queued" ? ["busy", job.position ? `waiting, ${job.position} ahead of you` : "waiting"]
        : ["ready", ["ready", state.plan?.device ?? state.start?.device].filter(Boolean).join(" · ")];
  $("status").dataset.state = name;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
};
on("job connection tab plan", drawStatus);

/* Shows the errors of no field, and those of fields that are not on the page. */
const drawAlert = () => {
  const text = Object.entries(state.errors)
    .filter(([field]) => field === "" || ![...document.querySelectorAll("[data-error]")].some((one) => one.dataset.error === field))
    .map(([, one]) => one).join(" ");
  $("alert").hidden = !text;
  show($("alert"), el("span", {}, text), button("×", () => { state.errors = {}; emit("errors"); }, { class: "letter", "aria-label": "Dismiss" }));
};
on("errors", drawAlert);
on("tab", drawAlert);

let pinging = 0;
api.watchConnection((there) => {
  if (there === state.connected) return;
  state.connected = there;
  emit("connection");
  clearInterval(pinging);
  if (there) planAgain();
  else pinging = setInterval(() => api.start().catch(() => {}), RETRY_MS);
});

/* -- begin --------------------------------------------------------------------------------------------------------- */

const setUp = () => {
  document.documentElement.classList.add("scripted");
  setUpDialogs();
  setUpHistory();
  setUpKeys();
  $("make-sound").addEventListener("click", makeSound);
  $("stop").addEventListener("click", stopJob);
  $("as-you-change").addEventListener("change", (event) => setAsYouChange(event.target.checked));
};

const open = async () => {
  let start;
  try { start = await api.start(); }
  catch (error) {
    $("alert").hidden = false;
    $("alert").textContent = `${error.message} Is svdaudio studio still running? Retrying…`;
    setTimeout(open, RETRY_MS);
    return;
  }
  $("alert").hidden = true;
  begin(start);
  $("as-you-change").checked = state.asYouChange;
  openTab(state.tab);
  const jobs = start.jobs.filter((one) => !isBatch(one));
  if (jobs.length && ["queued", "running"].includes(jobs[0].state)) follow(jobs[0]);
  const heard = jobs.find((one) => one.state === "finished")?.run ?? start.example_run;
  if (heard) await showRuns([heard]);
  else emit("result");
};

setUp();
open();

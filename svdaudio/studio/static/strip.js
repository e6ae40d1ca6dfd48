/* The plan, the progress, and every stage as a cell: grey if cached, lit while it runs, with its seconds. */
import { $, el, seconds, show } from "./dom.js";
import { isBusy } from "./jobs.js";
import { isCurrent, on, state, work } from "./state.js";

const N_NAMED = 7;
const named = (stages) => (stages.length > N_NAMED ? [...stages.slice(0, N_NAMED - 1), "…", stages.at(-1)] : stages).join(" → ");

/* "will run: mix → remix → … about 9 s" */
const planText = () => {
  if (state.needs) return state.needs;
  if (isBusy() && isCurrent(state.job)) return "Generating this sound.";
  if (!state.plan) return Object.keys(state.errors).length ? "Nothing can run until the error is fixed." : "Planning…";
  const { will_run: due, stages, estimate_s: estimate } = state.plan;
  if (!due.length) return "Everything is in the store: the sound appears at once.";
  const known = stages.filter((one) => one.status !== "cached").reduce((sum, one) => sum + (one.estimate_s ?? 0), 0);
  const time = estimate !== null ? ` · about ${seconds(estimate)}` : known ? ` · ${seconds(known)} or more` : "";
  return `will run: ${named(due)}${time}`;
};

const cellState = (stage) => {
  const event = state.progress.get(stage.node);
  // The last job's event is outdated if the stage has to run again.
  if (!event || (!isBusy() && stage.status !== "cached")) return { name: stage.status === "cached" ? "cached" : stage.status === "run" ? "due" : "unknown", text: stage.status === "cached" ? "cached" : stage.estimate_s === null ? "" : `~${seconds(stage.estimate_s)}` };
  if (event.kind === "finished") return { name: event.status === "cached" ? "cached" : "computed", text: event.status === "cached" ? "cached" : seconds(event.seconds ?? 0) };
  if (event.kind === "failed") return { name: "failed", text: "failed" };
  return { name: "running", text: event.kind === "waiting" ? "waiting" : "running" };
};

let jobStages = null; // the stages of the running job, as planned at its start
const cells = () => {
  const stages = (isBusy() ? jobStages : null) ?? state.plan?.stages ?? jobStages ?? [];
  const groups = new Map();
  for (const stage of stages) groups.set(stage.group, [...(groups.get(stage.group) ?? []), stage]);
  show($("strip"), el("div", { class: "strip-groups-frame", tabindex: "0", role: "group", "aria-label": "Stages" }, el("ul", { class: "strip-groups" }, [...groups].map(([group, its]) => el("li", {},
    el("b", { class: "small muted" }, group || "all"),
    el("ul", { class: "cells" }, its.map((stage) => {
      const { name, text } = cellState(stage);
      return el("li", { class: `stage-cell ${name}`, "data-node": stage.node, "data-state": name, title: `${stage.node}: ${stage.summary}${stage.reason ? `. ${stage.reason}` : ""}` }, el("span", {}, stage.stage), el("span", { class: "when" }, text));
    })))))));
  const [cached, computed] = ["cached", "computed"].map((name) => stages.filter((one) => cellState(one).name === name).length);
  $("strip-summary").textContent = computed ? `${cached} of ${stages.length} cached, ${computed} computed just now` : stages.length ? `${cached} of ${stages.length} cached` : "";
};

const progress = () => {
  const job = state.job;
  $("stop").hidden = !isBusy();
  $("progress").hidden = job === null || (!isBusy() && job.state === "finished");
  if (job === null) return;
  const { n_done: done, n_total: total } = state.counts;
  $("progress-bar").max = total || 1;
  $("progress-bar").value = done;
  const running = [...state.progress.values()].filter((one) => one.kind === "started" || one.kind === "note").map((one) => one.node);
  const left = (jobStages ?? []).filter((one) => one.status !== "cached" && state.progress.get(one.node)?.kind !== "finished");
  const known = left.length && left.every((one) => one.estimate_s !== null) ? left.reduce((sum, one) => sum + one.estimate_s, 0) : null;
  let text = {
    queued: job.position ? `Waiting: ${job.position} ahead of you` : "Waiting",
    running: `${total ? `${done} of ${total}` : "Starting"}${running.length ? ` · ${running.at(-1)}` : ""}${known ? ` · about ${seconds(known)} left` : ""}`,
    stopped: "Stopped. Finished stages are kept; Generate sound continues from there.",
    failed: job.error?.error ?? "Failed. Finished stages are kept.",
    finished: "Done",
  }[job.state];
  if (isBusy() && job.stopping) text = "Stopping after this stage; finished stages are kept.";
  if ($("progress-text").textContent !== text) $("progress-text").textContent = text;
  $("progress-bar").hidden = !isBusy();
};

const drawPlan = () => {
  if (!work()) return;
  const text = planText();
  const remarks = state.plan?.remarks ?? [];
  show($("plan"), text, remarks.map((remark) => el("span", { class: "remark small muted" }, remark)));
  $("make-sound").disabled = Boolean(state.needs);
};

let followed = "";
on("job", () => {
  if (state.job && state.job.id !== followed) { followed = state.job.id; jobStages = state.plan?.stages ?? null; }
  progress();
  drawPlan();
  cells();
});
on("tab plan errors settings objects", () => { drawPlan(); cells(); if (!isBusy()) progress(); });

/* The batch tab: takes a CSV file, shows the progress of its rows, and offers the table for download. */
import * as api from "./api.js";
import { $, button, el, show } from "./dom.js";
import { BATCH, bundleOf, on, state } from "./state.js";

const pictures = new Set();
let file = null, job = null, fault = null, stopFollowing = () => {};
const rows = new Map();
const kept = { folder: "", method: "" };

/* Takes a table, and pictures that its rows name. */
const take = async (given) => {
  fault = null;
  try {
    for (const one of given) {
      if (/\.csv$/i.test(one.name)) file = { name: one.name, text: await one.text() };
      else pictures.add((await api.upload(one)).name);
      draw();
    }
  } catch (error) { fault = error; }
  draw();
};
const follow = () => {
  stopFollowing = api.follow(job.id, {
    onConnect: () => {},
    onGone: () => { job = { ...job, state: "failed", error: { error: "The studio was restarted. Start again; finished stages are kept." } }; draw(); },
    onEvent: (name, data) => {
      if (name === "row") rows.set(data.name, data);
      if (name === "job") job = data;
      draw();
    },
  });
};
export const isBatch = (one) => one.ask.batch !== undefined;
const begin = async () => {
  try {
    stopFollowing();
    rows.clear();
    fault = null;
    job = await api.batch({ name: file.name, csv: file.text, folder: kept.folder || null, method: kept.method || state.start.tabs[0].method, bundle: bundleOf(kept.method || state.start.tabs[0].method) });
    for (const row of job.rows) rows.set(row.name, row);
    follow();
  } catch (error) { fault = error; }
  draw();
};

const draw = () => {
  if (state.tab !== BATCH) return;
  // After a reload, the newest batch is followed again.
  const known = job === null ? state.start.jobs.find(isBatch) : undefined;
  if (known) { job = known; follow(); }
  const busy = job !== null && ["queued", "running"].includes(job.state);
  const input = el("input", { type: "file", accept: ".csv,text/csv,image/*", multiple: true, class: "visually-hidden", tabindex: "-1", "aria-label": "CSV file and pictures", onchange: () => take(input.files) });
  const drop = el("div", { class: "drop" }, el("p", {}, file ? file.name : "Drop a CSV file in the format of svdaudio batch here, together with the pictures that it names."),
    pictures.size ? el("p", { class: "small muted" }, `${pictures.size} ${pictures.size === 1 ? "picture" : "pictures"} uploaded`) : null, button("Choose files…", () => input.click(), { "data-focus": "csv" }), input);
  drop.addEventListener("dragover", (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  show($("batch"), el("section", { class: "card", "aria-label": "Batch" },
    el("h2", {}, "Batch"), drop,
    fault ? el("p", { class: "field-error", role: "alert" }, fault.message) : null,
    el("div", { class: "batch-fields" },
      el("label", {}, "Method ", el("select", { "data-focus": "method", onchange: (event) => { kept.method = event.target.value; } }, state.start.tabs.map((one) => el("option", { value: one.method, selected: one.method === kept.method }, one.label)))),
      el("label", { class: "grow" }, "Or a folder of pictures on the machine that runs the studio ", el("input", { type: "text", class: "wide", value: kept.folder, placeholder: "/data/pictures", "data-focus": "folder", onchange: (event) => { kept.folder = event.target.value.trim(); } })),
      busy ? button("Stop", async () => { try { job = await api.stop(job.id); } catch (error) { fault = error; } draw(); }, { "data-focus": "batch-stop" }) : null,
      button("Start", begin, { class: "primary", disabled: file === null || busy, "data-focus": "batch-start" })),
    job === null ? null : el("div", {},
      el("p", { role: "status" }, job.error ? job.error.error : `${job.state}: ${[...rows.values()].filter((row) => row.state === "finished").length} of ${rows.size} rows`, " ",
        busy ? null : el("a", { href: api.address.table(job.id), download: "table.csv" }, "Download the table")),
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Rows" }, el("table", {},
        el("thead", {}, el("tr", {}, ["row", "state", "note"].map((one) => el("th", { scope: "col" }, one)))),
        el("tbody", {}, [...rows.values()].map((row) => el("tr", {}, el("td", {}, row.name), el("td", {}, row.state), el("td", {}, row.error ?? "")))))))));
};
on("tab", draw);

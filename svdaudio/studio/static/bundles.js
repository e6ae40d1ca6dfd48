/* The dialog of bundles: which are complete, which models the others lack, and fetching them. */
import * as api from "./api.js";
import { $, bytes, button, el, seconds, show } from "./dom.js";
import { planAgain } from "./jobs.js";
import { bundleOf, emit, setBundle, state } from "./state.js";

let trusted = false, job = null, fault = null, unfollow = () => {};
const models = new Map(); // name → { state, error, of_model }
let total = null;         // the newest progress of the whole download

const isBusy = () => job !== null && ["queued", "running"].includes(job.state);

/* The state of a bundle, shown next to its name. */
const stateText = (bundle) => {
  if (bundle.ready) return bundle.bytes ? `complete · ${bytes(bundle.bytes)}` : "complete";
  const n = bundle.lacks.length;
  return n ? `${n} ${n === 1 ? "model" : "models"} missing` : bundle.missing.length ? `missing: ${bundle.missing.join(", ")}` : "damaged";
};

const meter = (label, done, total) => el("progress", { max: total || 1, value: total ? done : undefined, "aria-label": label });
const sizeOf = (one) => {
  const got = models.get(one.name)?.of_model;
  if (got) return got.n_total === null ? bytes(got.n_done) : `${bytes(got.n_done)} of ${bytes(got.n_total)}`;
  if (one.bytes === null) return "size not published";
  return one.bytes_here ? `${bytes(one.bytes_here)} of ${bytes(one.bytes)} fetched` : bytes(one.bytes);
};
const WORDS = { queued: "waiting", fetching: "fetching", fetched: "✓ fetched", failed: "! failed", stopped: "stopped" };

const missingModel = (one, mine) => {
  const now = mine ? models.get(one.name) : undefined;
  const got = now?.of_model;
  return el("li", {},
    el("div", { class: "lack-head" }, el("b", {}, one.title), el("span", { class: "small" }, [now ? WORDS[now.state] : null, sizeOf(one)].filter(Boolean).join(" · "))),
    el("div", { class: "small muted" }, `${one.purpose} · licence: ${one.licence} · `, el("a", { href: one.page, target: "_blank", rel: "noopener noreferrer", "aria-label": `Website of ${one.title}` }, "website")),
    now?.state === "fetching" ? meter(`Progress of ${one.title}`, got?.n_done ?? 0, got?.n_total ?? 0) : null,
    now?.error ? el("p", { class: "field-error" }, now.error) : null,
    one.by_hand ? el("p", { class: "small" }, el("b", {}, "Manual download: "), one.by_hand, ".") : null,
    one.needs_trust && !one.by_hand ? el("p", { class: "small" }, "No digest is published for this file.") : null);
};

/* "312 MB of 2.2 GB · 1 of 4 files · 11 MB/s · about 3 min left" */
const progressText = () => {
  if (job.state === "queued") return "Waiting for another download.";
  if (!total) return "Connecting…";
  const size = total.n_total === null ? bytes(total.n_done) : `${bytes(total.n_done)} of ${bytes(total.n_total)}`;
  return [size, `${total.n_files_done} of ${total.n_files} ${total.n_files === 1 ? "file" : "files"}`, total.bytes_per_s ? `${bytes(total.bytes_per_s)}/s` : "", total.left_s === null ? "" : `about ${seconds(total.left_s)} left`].filter(Boolean).join(" · ");
};

const fetchPart = (bundle, mine) => {
  const downloadable = bundle.lacks.filter((one) => !one.by_hand);
  const now = downloadable.filter((one) => trusted || !one.needs_trust);
  const unverified = downloadable.filter((one) => one.needs_trust).length;
  const left = now.every((one) => one.bytes !== null) ? now.reduce((sum, one) => sum + one.bytes - one.bytes_here, 0) : null;
  if (mine && isBusy()) return [
    el("div", { class: "fetching" }, meter("Progress of the download", total?.n_done ?? 0, total?.n_total ?? 0),
      button(job.stopping ? "Stopping…" : "Stop", stop, { disabled: job.stopping, "data-focus": "bundle-stop" })),
    el("p", { class: "small muted" }, progressText()),
  ];
  return [
    mine && job.state === "stopped" ? el("p", { class: "small", role: "status" }, "Stopped. Fetch continues where it left off.") : null,
    mine && job.state === "failed" ? el("p", { class: "field-error", role: "alert" }, job.error?.error ?? "The download failed.") : null,
    unverified ? el("label", { class: "trust" }, el("input", { type: "checkbox", checked: trusted, "data-focus": "bundle-trust", onchange: (event) => { trusted = event.target.checked; draw(); } }),
      ` Also fetch ${unverified === 1 ? "the model" : `the ${unverified} models`} without a published digest. The digest of each file is recorded, and any other file is refused later.`) : null,
    downloadable.length ? button(left === null ? "Fetch" : `Fetch ${bytes(left)}`, () => begin(bundle), { class: "primary", disabled: !now.length || isBusy(), "data-focus": `fetch ${bundle.name}` }) : null,
  ];
};

/* The models of a bundle, grouped by licence. */
const licences = (bundle) => {
  const groups = new Map();
  for (const one of bundle.models) groups.set(one.licence, [...(groups.get(one.licence) ?? []), one]);
  return el("dl", { class: "licences" }, [...groups].map(([licence, its]) => [
    el("dt", {}, its.map((one) => `${one.role.replaceAll("_", " ")} ${bytes(one.bytes)}`).join(", ")), el("dd", { class: "small muted" }, licence)]));
};

const section = (bundle) => {
  const chosen = bundle.name === bundleOf();
  const mine = job !== null && job.ask.bundle === bundle.name;
  const title = `bundle-${bundle.name}`;
  return el("section", { class: "bundle", "aria-labelledby": title, "data-bundle": bundle.name, "data-ready": String(bundle.ready) },
    el("div", { class: "bundle-head" }, el("h3", { id: title }, bundle.name), el("span", { class: "small muted grow" }, stateText(bundle)),
      chosen ? el("span", { class: "small chip" }, "in use") : button("Use", () => { setBundle(bundle.name); draw(); }, { disabled: !bundle.ready, "aria-label": `Use ${bundle.name}`, "data-focus": `use ${bundle.name}` })),
    bundle.title === bundle.name ? null : el("p", { class: "small muted" }, bundle.title),
    Object.values(bundle.faults).map((text) => el("p", { class: "field-error" }, text)),
    bundle.lacks.length ? el("ul", { class: "lacks" }, bundle.lacks.map((one) => missingModel(one, mine))) : null,
    bundle.lacks.length ? fetchPart(bundle, mine) : null,
    bundle.models.length ? el("details", { "data-focus": `models ${bundle.name}` }, el("summary", {}, `${bundle.models.length} roles and their licences`), licences(bundle)) : null);
};

const draw = () => {
  const unfolded = new Set([...$("bundle-list").querySelectorAll("details[open]")].map((one) => one.dataset.focus));
  show($("bundle-list"), state.start.bundles.map(section));
  for (const one of $("bundle-list").querySelectorAll("details")) one.open = unfolded.has(one.dataset.focus);
  const device = state.plan?.device ?? state.start.device;
  $("bundle-device").textContent = device ? `Models run on ${device}.` : "Models are loaded when the first sound is generated.";
  $("bundle-fault").textContent = fault?.message ?? "";
  $("bundle-fault").hidden = !fault;
};

/* Loads the list of bundles again, and follows a download that any user has started. */
const load = async () => {
  try {
    const found = await api.bundles();
    fault = null;
    state.start = { ...state.start, bundles: found.bundles };
    if (found.job && found.job.id !== job?.id && (["queued", "running"].includes(found.job.state))) follow(found.job);
  } catch (error) { fault = error; }
  draw();
  emit("bundles");
};
const follow = (given) => {
  unfollow();
  job = given;
  models.clear();
  total = null;
  unfollow = api.follow(job.id, {
    isKnown: async () => (await api.bundles()).job?.id === job.id,
    onConnect: () => models.clear(),
    onGone: () => { job = { ...job, state: "failed", error: { error: "The studio was restarted. Fetch continues where it left off." } }; draw(); },
    onEvent: (name, data) => {
      if (name === "model") models.set(data.name, { ...models.get(data.name), ...data });
      if (name === "bytes") { total = data; models.set(data.model, { ...models.get(data.model), of_model: data.of_model }); }
      if (name === "job") job = { ...data, stopping: job.stopping };
      if (name === "job" && !isBusy()) ended();
      else draw();
    },
  });
};
const ended = async () => {
  for (const [name, one] of models) models.set(name, { ...one, of_model: undefined });
  await load();
  if (job.ask.bundle === bundleOf()) { state.masks.clear(); emit("tab"); planAgain(); }
};
const begin = async (bundle) => {
  try { follow(await api.fetchBundle(bundle.name, trusted)); fault = null; }
  catch (error) { fault = error; }
  draw();
};
const stop = async () => {
  job = { ...job, stopping: true };
  draw();
  try { await api.stop(job.id); }
  catch (error) { fault = error; draw(); }
};

export const openBundles = () => {
  draw();
  $("bundles").showModal();
  load();
};

/* The parameters of a tab, in groups; a changed one is marked, and says its default and recommended range. */
import { $, button, el, number, show, svg } from "./dom.js";
import { defaultOf, isChanged, on, setBundle, setValue, state, tab, valueOf, work, emit, save } from "./state.js";

const COMMON = ["seed", "generate.duration_s"];
const GROUPS = [
  { title: "What is done to the picture", sections: ["svd", "align", "edit", "form", "rest", "margin", "geometry"] },
  { title: "Weights of the mix", sections: ["mix"] },
  { title: "Sound", sections: null }, // all others
];
/* Short labels of what is shown at once; the meaning is beside them. */
const LABELS = {
  "svd.alpha": "Suppress, α", "svd.beta": "Boost, β", "svd.k": "Singular values, K", "edit.form": "Form of the edit", form: "Form of the mix", rest: "The rest sounds",
  "mix.alpha": "Suppressed region", "mix.beta": "Boosted region", "mix.gamma": "Background", "mix.direct": "Edited picture",
  "generate.candidates": "Candidates", "finish.loudness_lufs": "Loudness",
};
const UNITS = { _s: "s", _lufs: "LUFS", _db: "dB", _hz: "Hz" };

const section = (parameter) => parameter.name.split(".")[0];
const groupOf = (parameter) => GROUPS.find((one) => one.sections?.includes(section(parameter))) ?? GROUPS.at(-1);
const plain = (value) => (value === null ? "none" : typeof value === "boolean" ? (value ? "on" : "off") : String(value).replace(/^-/, "−"));
const rangeText = (parameter) =>
  `default ${plain(defaultOf(parameter))}${parameter.low !== null && parameter.high !== null ? `, recommended ${plain(parameter.low)} to ${plain(parameter.high)}` : ""}`;
const unit = (name) => Object.entries(UNITS).find(([end]) => name.endsWith(end))?.[1] ?? "";
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/* What was typed, as a value of the parameter; undefined if it cannot be one. */
const read = (parameter, text) => {
  const trimmed = text.trim().replace("−", "-").replace(",", ".");
  if (parameter.kind === "integer" || parameter.kind === "number") {
    const value = Number(trimmed);
    return trimmed === "" || !Number.isFinite(value) || (parameter.kind === "integer" && !Number.isInteger(value)) ? undefined : value;
  }
  if (trimmed === "") return null;
  return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text.trim();
};

/* The elements that set a parameter. */
export const inputs = (parameter, label) => {
  const { name, kind } = parameter, value = valueOf(parameter);
  const common = { "data-focus": `set ${name}`, "data-parameter": name, "aria-label": label, "aria-describedby": `hint-${name}` };
  const reset = () => setValue(parameter, null);
  if (kind === "choice")
    return [el("select", { ...common, onchange: (event) => setValue(parameter, parameter.choices[event.target.selectedIndex]), ondblclick: reset },
      parameter.choices.map((one) => el("option", { selected: one === value }, plain(one))))];
  if (kind === "boolean") return [el("input", { ...common, type: "checkbox", checked: value, onchange: (event) => setValue(parameter, event.target.checked), ondblclick: reset })];
  const typed = el("input", { ...common, type: "text", class: "typed", inputmode: kind === "text" ? "text" : "decimal", value: value === null ? "" : plain(value), placeholder: value === null ? "none" : "" });
  typed.addEventListener("change", () => {
    const found = read(parameter, typed.value);
    if (found === undefined) {
      state.errors = { ...state.errors, [name]: `expected ${kind === "integer" ? "a whole number" : "a number"}${parameter.low === null ? "" : `, such as ${plain(parameter.low)} to ${plain(parameter.high)}`}` };
      emit("errors");
    } else setValue(parameter, found);
  });
  typed.addEventListener("dblclick", reset);
  if (parameter.low === null || parameter.high === null) return [typed];
  const step = kind === "integer" ? 1 : 10 ** Math.floor(Math.log10((parameter.high - parameter.low) / 20));
  const slide = el("input", { type: "range", min: parameter.low, max: parameter.high, step, "aria-label": `${label}, slider`, "data-focus": `slide ${name}`, "data-slider": name });
  slide.value = value;
  const rounded = () => Number(Number(slide.value).toPrecision(6));
  slide.addEventListener("input", () => { typed.value = plain(rounded()); setValue(parameter, rounded(), false); });
  slide.addEventListener("change", () => setValue(parameter, rounded()));
  slide.addEventListener("dblclick", reset);
  return [slide, typed];
};

const error = (name) => el("p", { class: "field-error", role: "alert", "data-error": name, hidden: !state.errors[name] }, state.errors[name] ?? "");

const row = (parameter) => {
  const label = LABELS[parameter.name] ?? capital(parameter.meaning);
  const changed = isChanged(parameter);
  return el("div", { class: `parameter${changed ? " changed" : ""}`, data: { row: parameter.name } },
    el("div", { class: "parameter-name" },
      el("span", { title: `${parameter.meaning} (${parameter.name})` }, changed ? el("span", { class: "dot", "aria-hidden": "true" }, "● ") : null, label),
      parameter.advanced ? el("code", { class: "muted" }, parameter.name) : null),
    el("div", { class: "parameter-inputs" }, inputs(parameter, label),
      el("span", { class: "unit small muted" }, unit(parameter.name)),
      changed ? button("↺", () => setValue(parameter, null), { class: "letter", "aria-label": `Reset ${label}`, title: `Reset: ${rangeText(parameter)}`, "data-focus": `reset ${parameter.name}` }) : null),
    el("p", { class: "hint small muted", id: `hint-${parameter.name}` }, LABELS[parameter.name] ? `${parameter.meaning}; ` : "", rangeText(parameter)),
    error(parameter.name));
};

/* The weights as shares of their sum: only their ratios count. */
const sum = (parameters) => {
  const values = parameters.map((one) => Number(valueOf(one)) || 0);
  const total = values.reduce((a, b) => a + b, 0);
  const bar = el("div", { class: "bar", "aria-hidden": "true" }, values.map((value, place) => {
    const part = el("span", { class: `w${place}` });
    part.style.width = `${total ? (100 * value) / total : 0}%`;
    return part;
  }));
  return el("div", { class: "sum", "data-sum": true }, bar, el("p", { class: "small" }, el("b", {}, `Sum ${number(total)}`),
    el("span", { class: "muted" }, Math.abs(total - 1) < 1e-6 ? "" : ": only the ratios count, each weight is divided by the sum")));
};

const draw = () => {
  if (!work()) return;
  const shown = tab().parameters.filter((one) => !COMMON.includes(one.name));
  const open = $("parameters").querySelector("details.advanced")?.open ?? false;
  const groups = GROUPS.map((group) => {
    const found = shown.filter((one) => !one.advanced && groupOf(one) === group);
    return found.length ? el("fieldset", {}, el("legend", {}, group.title), found.map(row), group.sections?.[0] === "mix" ? sum(found) : null) : null;
  });
  const advanced = GROUPS.map((group) => {
    const found = shown.filter((one) => one.advanced && groupOf(one) === group);
    return found.length ? [el("h4", { class: "muted" }, group.title), found.map(row)] : null;
  });
  const n = shown.filter((one) => one.advanced && isChanged(one)).length;
  show($("parameters"), groups, advanced.some(Boolean) ? el("details", { class: "advanced", open }, el("summary", {}, `Advanced${n ? `, ${n} changed` : ""}`), advanced.flat()) : null);
};

const lock = (closed) => svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": 1.5 },
  svg("rect", { x: 3, y: 7, width: 10, height: 7, rx: 1.5, fill: "currentColor" }), svg("path", { d: closed ? "M5 7V5a3 3 0 0 1 6 0v2" : "M5 7V4a3 3 0 0 1 5.8-1" }));

/* The bundle, the seed and the duration, above everything. */
const drawCommon = () => {
  if (!work()) { show($("common")); return; }
  const bundle = state.start.bundles.find((one) => one.name === state.bundle);
  const seed = tab().parameters.find((one) => one.name === "seed"), duration = tab().parameters.find((one) => one.name === "generate.duration_s");
  show($("common"),
    el("label", {}, "bundle ", el("select", { "data-focus": "bundle", onchange: (event) => setBundle(event.target.value) },
      state.start.bundles.map((one) => el("option", { value: one.name, selected: one.name === state.bundle }, one.missing.length ? `${one.name} (incomplete)` : one.name)))),
    seed ? el("span", { class: `group${isChanged(seed) ? " changed" : ""}` }, el("span", {}, "seed "), inputs(seed, "seed"), el("span", { id: "hint-seed", class: "visually-hidden" }, rangeText(seed)),
      button("⚄", () => setValue(seed, Math.floor(Math.random() * 2 ** 31)), { class: "letter", "aria-label": "Draw another seed", title: "Draw another seed", "data-focus": "dice" }),
      button(lock(state.locked), () => { state.locked = !state.locked; save(); drawCommon(); }, { class: "letter", "aria-pressed": String(state.locked), "aria-label": "Keep the seed", title: state.locked ? "The seed stays" : "Each sound draws another seed", "data-focus": "lock" }), error("seed")) : null,
    duration ? el("span", { class: `group${isChanged(duration) ? " changed" : ""}` }, el("span", {}, "duration "), inputs(duration, "duration in seconds"), el("span", { class: "small muted" }, "s"), el("span", { id: "hint-generate.duration_s", class: "visually-hidden" }, rangeText(duration)), error("generate.duration_s")) : null,
    bundle?.missing.length ? el("p", { class: "field-error" }, `The bundle ${bundle.name} lacks ${bundle.missing.join(", ")}. Fetch it: `, el("code", {}, "svdaudio checkpoints fetch")) : null);
};

on("tab settings", () => { draw(); drawCommon(); });
on("sliding", () => {
  const weights = $("parameters").querySelector("[data-sum]");
  weights?.replaceWith(sum(tab().parameters.filter((one) => !one.advanced && section(one) === "mix")));
});
on("errors", () => {
  for (const one of document.querySelectorAll("#parameters [data-error], #common [data-error]")) {
    one.textContent = state.errors[one.dataset.error] ?? "";
    one.hidden = !one.textContent;
  }
});

/* What a setting does to the embeddings, before there is a sound. */
on("tab feedback", () => {
  const found = state.feedback;
  $("feedback").hidden = !work() || !found;
  if ($("feedback").hidden) return;
  const reach = Object.entries(found.reach ?? {});
  const classes = Object.entries(found.classes ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 6);
  show($("feedback"),
    el("h3", {}, "What it does to the embedding"),
    found.why ? el("p", { class: "small muted" }, found.why) : null,
    reach.length ? el("p", { class: "reaches" }, reach.map(([name, degrees]) => el("span", {}, el("b", {}, `${number(degrees)}°`), ` ${name} region moved`))) : null,
    classes.length ? el("p", { class: "small muted" }, "Cosine of the wanted sound's embedding with each class:") : null,
    classes.length ? el("dl", { class: "likeness" }, classes.map(([name, cosine]) => {
      const bar = el("i");
      bar.style.width = `${Math.max(0, Math.min(1, cosine)) * 100}%`;
      return [el("dt", {}, name), el("dd", { class: "meter" }, bar), el("dd", {}, number(cosine))];
    })) : null);
});

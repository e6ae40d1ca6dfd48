/* The parameters of a tab, in groups, each with its default and recommended range; changed ones are marked. */
import { openBundles } from "./bundles.js";
import { $, button, el, number, show, svg } from "./dom.js";
import { bundleOf, defaultOf, isChanged, on, save, setBundle, setError, setValue, state, tab, valueOf, work } from "./state.js";

const COMMON = ["seed", "generate.duration_s"];
const GROUPS = [
  { title: "Method", sections: ["svd", "align", "edit", "form", "rest", "margin", "geometry"] },
  { title: "Mixing weights", sections: ["mix"] },
  { title: "Sound", sections: null }, // all others
];
/* Short labels of the basic parameters; the tooltip has the full meaning. */
const LABELS = {
  "svd.alpha": "Suppress, α", "svd.beta": "Boost, β", "svd.k": "Singular values, K", "edit.form": "Edit form", "edit.locals": "Detected objects", form: "Mix form", rest: "Sound of the rest",
  "mix.alpha": "Suppressed region", "mix.beta": "Boosted region", "mix.gamma": "Background", "mix.direct": "Edited picture",
  "generate.candidates": "Candidates", "finish.loudness_lufs": "Loudness",
};
const UNITS = { _s: "s", _lufs: "LUFS", _db: "dB", _hz: "Hz" };

const section = (parameter) => parameter.name.split(".")[0];
const groupOf = (parameter) => GROUPS.find((one) => one.sections?.includes(section(parameter))) ?? GROUPS.at(-1);
const plain = (value) => (value === null ? "none" : typeof value === "boolean" ? (value ? "on" : "off") : String(value).replace(/^-/, "−"));
const rangeText = (parameter) =>
  `default ${plain(defaultOf(parameter))}${parameter.low !== null && parameter.high !== null ? `, recommended ${plain(parameter.low)} to ${plain(parameter.high)}` : ""}`;
const unit = (name) => {
  const found = Object.entries(UNITS).find(([end]) => name.endsWith(end));
  return found ? ` ${found[1]}` : "";
};
/* The error message for a number outside the limits of a parameter; "" if it is within them. */
const limitFault = (parameter, value) => {
  const { ge = -Infinity, gt = -Infinity, le = Infinity, lt = Infinity } = parameter.limits;
  return typeof value !== "number" || (value >= ge && value > gt && value <= le && value < lt) ? "" : `invalid value ${plain(value)}: expected ${parameter.expected}`;
};
/* The positions of a slider over the recommended range, and their values. */
const recommended = ({ kind, low, high }) => ({ min: low, max: high, step: kind === "integer" ? 1 : 10 ** Math.floor(Math.log10((high - low) / 20)), value: (place) => Number(place.toPrecision(6)), place: (value) => value });
const N_PLACES = 100;
/* A logarithmic slider from the lowest recommended to the highest possible value. */
const possible = ({ low, limits }) => {
  const span = Math.log((limits.le ?? limits.lt) / low);
  return { min: 0, max: N_PLACES, step: 1, value: (place) => Number((low * Math.exp((span * place) / N_PLACES)).toPrecision(2)), place: (value) => (N_PLACES * Math.log(value / low)) / span };
};
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/* The typed text as a value of the parameter; undefined if it is invalid. */
const read = (parameter, text) => {
  const trimmed = text.trim().replace("−", "-").replace(",", ".");
  if (parameter.kind === "integer" || parameter.kind === "number") {
    const value = Number(trimmed);
    return trimmed === "" || !Number.isFinite(value) || (parameter.kind === "integer" && !Number.isInteger(value)) ? undefined : value;
  }
  if (trimmed === "") return null;
  return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text.trim();
};

/* The elements that set a parameter, and a function that updates them. They are never replaced: a slider must survive
   being dragged or double-clicked. */
const control = (parameter, label, places = recommended) => {
  const { name, kind } = parameter;
  const common = { "data-focus": `set ${name}`, "data-parameter": name, "aria-label": label, "aria-describedby": `hint-${name}`, ondblclick: () => setValue(parameter, null) };
  if (kind === "choice") {
    const select = el("select", { ...common, onchange: () => setValue(parameter, parameter.choices[select.selectedIndex]) }, parameter.choices.map((one) => el("option", {}, plain(one))));
    return { elements: [select], update: () => { select.selectedIndex = parameter.choices.indexOf(valueOf(parameter)); } };
  }
  if (kind === "boolean") {
    const box = el("input", { ...common, type: "checkbox", onchange: () => setValue(parameter, box.checked) });
    return { elements: [box], update: () => { box.checked = valueOf(parameter); } };
  }
  const typed = el("input", { ...common, type: "text", class: "typed", inputmode: kind === "text" ? "text" : "decimal", placeholder: "none" });
  typed.addEventListener("change", () => {
    const found = read(parameter, typed.value);
    const fault = found === undefined ? `expected ${kind === "integer" ? "a whole number" : "a number"}${parameter.low === null ? "" : `, such as ${plain(parameter.low)} to ${plain(parameter.high)}`}` : limitFault(parameter, found);
    if (fault) setError({ field: name, message: fault });
    else setValue(parameter, found);
  });
  const type = () => { typed.value = valueOf(parameter) === null ? "" : plain(valueOf(parameter)); };
  if (parameter.low === null || parameter.high === null) return { elements: [typed], update: type };
  const { min, max, step, value: valueAt, place } = places(parameter);
  const slide = el("input", { type: "range", min, max, step, "aria-label": `${label}, slider`, "data-focus": `slide ${name}`, "data-slider": name, ondblclick: () => setValue(parameter, null) });
  const value = () => valueAt(Number(slide.value));
  slide.addEventListener("input", () => setValue(parameter, value(), false));
  slide.addEventListener("change", () => setValue(parameter, value()));
  const move = () => {
    const now = valueOf(parameter);
    if (valueAt(Number(slide.value)) !== now) slide.value = place(now); // several positions may have one value
    slide.setAttribute("aria-valuetext", `${plain(now)}${unit(name)}`);
  };
  return { elements: [slide, typed], update: () => { type(); move(); } };
};

const error = (name) => el("p", { class: "field-error", role: "alert", "data-error": name, hidden: !state.errors[name] }, state.errors[name] ?? "");

let updates = [];
const row = (parameter) => {
  const label = LABELS[parameter.name] ?? capital(parameter.meaning);
  const { elements, update } = control(parameter, label);
  const dot = el("span", { class: "dot", "aria-hidden": "true" }, "● ");
  const reset = button("↺", () => { setValue(parameter, null); elements.at(-1).focus(); }, { class: "letter", "aria-label": `Reset ${label}` });
  const hint = el("span", { class: "hint small muted", id: `hint-${parameter.name}` });
  const box = el("div", { class: "parameter", data: { row: parameter.name } },
    el("div", { class: "parameter-name" },
      el("span", { title: `${parameter.meaning} (${parameter.name})` }, dot, label, el("span", { class: "small muted" }, unit(parameter.name))),
      parameter.advanced ? el("code", { class: "muted" }, parameter.name) : null),
    el("div", { class: "parameter-inputs" }, elements, reset),
    hint, error(parameter.name));
  updates.push(() => {
    update();
    const changed = isChanged(parameter);
    box.classList.toggle("changed", changed);
    reset.disabled = !changed;
    reset.title = `Reset: ${rangeText(parameter)}`;
    hint.textContent = rangeText(parameter);
  });
  return box;
};

/* The weights as shares of their sum: only their ratios matter. */
const sum = (parameters) => {
  const values = parameters.map((one) => Number(valueOf(one)) || 0);
  const total = values.reduce((a, b) => a + b, 0);
  const bar = el("div", { class: "bar", "aria-hidden": "true" }, values.map((value, place) => {
    const part = el("span", { class: `w${place}` });
    part.style.width = `${total ? (100 * value) / total : 0}%`;
    return part;
  }));
  return el("div", { class: "sum", "data-sum": true }, bar, el("p", { class: "small" }, el("b", {}, `Sum ${number(total)}`),
    el("span", { class: "muted" }, Math.abs(total - 1) < 1e-6 ? "" : ": only the ratios matter; each weight is divided by the sum")));
};

const draw = () => {
  if (!work()) return;
  updates = [];
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
  const summary = el("summary");
  updates.push(() => {
    const n = shown.filter((one) => one.advanced && isChanged(one)).length;
    summary.textContent = `Advanced${n ? `, ${n} changed` : ""}`;
  });
  show($("parameters"), groups, advanced.some(Boolean) ? el("details", { class: "advanced", open }, summary, advanced) : null);
};

const lock = (closed) => svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": 1.5 },
  svg("rect", { x: 3, y: 7, width: 10, height: 7, rx: 1.5, fill: "currentColor" }), svg("path", { d: closed ? "M5 7V5a3 3 0 0 1 6 0v2" : "M5 7V4a3 3 0 0 1 5.8-1" }));

/* One of the two parameters in the page's header. */
const common = (name, label, after, places = recommended) => {
  const parameter = tab().parameters.find((one) => one.name === name);
  if (!parameter) return null;
  const { elements, update } = control(parameter, label, places);
  const text = `${rangeText(parameter)}, limits: ${parameter.expected}`;
  const hint = el("span", { id: `hint-${name}`, class: "visually-hidden" }, text);
  const box = el("span", { class: "group" }, el("span", { title: text }, label), elements, hint, after(parameter), error(name));
  updates.push(() => { update(); box.classList.toggle("changed", isChanged(parameter)); });
  return box;
};
const drawCommon = () => {
  if (!work()) { show($("common")); return; }
  const bundle = state.start.bundles.find((one) => one.name === bundleOf());
  const keep = button("", () => { state.locked = !state.locked; save(); drawLock(); }, { class: "letter", "aria-label": "Lock the seed" });
  const drawLock = () => {
    keep.replaceChildren(lock(state.locked));
    keep.setAttribute("aria-pressed", String(state.locked));
    keep.title = state.locked ? "The seed is locked" : "Each sound uses a new seed";
  };
  drawLock();
  show($("common"),
    el("label", {}, "bundle ", el("select", { "data-focus": "bundle", onchange: (event) => setBundle(event.target.value) },
      state.start.bundles.map((one) => el("option", { value: one.name, selected: one.name === bundleOf() }, one.ready ? one.name : `${one.name} (incomplete)`)))),
    button("Models…", openBundles, { class: "small", "data-focus": "models", title: "Bundles and their models" }),
    common("seed", "seed", (seed) => [button("⚄", () => setValue(seed, Math.floor(Math.random() * 2 ** 31)), { class: "letter", "aria-label": "Draw a new seed", title: "Draw a new seed" }), keep]),
    common("generate.duration_s", "duration", () => el("span", { class: "small muted" }, "s"), possible),
    bundle?.ready ? null : el("p", { class: "field-error" }, `The bundle ${bundleOf()} is incomplete. `, button("Show missing models", openBundles, { class: "small", "data-focus": "lacks" })));
};

const update = () => {
  if (!work()) return;
  for (const act of updates) act();
  const weights = $("parameters").querySelector("[data-sum]");
  weights?.replaceWith(sum(tab().parameters.filter((one) => !one.advanced && section(one) === "mix")));
};
on("tab bundles", () => { draw(); drawCommon(); update(); });
on("settings sliding", update);
on("errors", () => {
  for (const one of document.querySelectorAll("#parameters [data-error], #common [data-error]")) {
    one.textContent = state.errors[one.dataset.error] ?? "";
    one.hidden = !one.textContent;
  }
});

/* The effect of the settings on the embeddings, shown before a sound is generated. */
on("tab feedback", () => {
  const found = state.feedback;
  $("feedback").hidden = !work() || !found;
  if ($("feedback").hidden) return;
  const reach = Object.entries(found.reach ?? {});
  const classes = Object.entries(found.classes ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 6);
  show($("feedback"),
    el("h3", {}, "Effect on the embedding"),
    found.why ? el("p", { class: "small muted" }, found.why) : null,
    reach.length ? el("p", { class: "reaches" }, reach.map(([name, degrees]) => el("span", {}, el("b", {}, `${number(degrees)}°`), ` shift of the ${name} region`))) : null,
    classes.length ? el("p", { class: "small muted" }, "Cosine of the resulting CLAP embedding with each class:") : null,
    classes.length ? el("dl", { class: "likeness" }, classes.map(([name, cosine]) => {
      const bar = el("i");
      bar.style.width = `${Math.max(0, Math.min(1, cosine)) * 100}%`;
      return [el("dt", {}, name), el("dd", { class: "meter" }, bar), el("dd", {}, number(cosine))];
    })) : null);
});

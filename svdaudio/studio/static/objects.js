/* The objects of a tab, with their names, masks and mask files, and in the mixer their faders. */
import * as api from "./api.js";
import { $, button, el, show } from "./dom.js";
import { maskText } from "./masks.js";
import { addObject, channels, choose, clearObject, effectiveGain, isEmpty, LOUDEST_DB, maskRequest, maskField, maskOf, objectsParameter, on, pictureOf, QUIETEST_DB, regionOf, regions, removeObject, rename, setGain, setMask, setUploadError, state, styleOf, tab, toggle, work } from "./state.js";

export const gainText = (gain) => (gain === "-inf" ? "silent" : `${gain > 0 ? "+" : gain < 0 ? "−" : ""}${Math.abs(gain)} dB`);
/* Parses a typed gain: "-6", "−6 dB", "-inf", "silent"; null if it is invalid. */
const readGain = (text) => {
  const plain = text.trim().toLowerCase().replace("−", "-").replace(/\s*db$/, "");
  if (["-inf", "-infinity", "-∞", "silent"].includes(plain)) return -Infinity;
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : null;
};

const maskLine = (one) => {
  if (isEmpty(one)) return `click it in the ${regionOf(one).picture} picture, or choose a mask file`;
  const mask = maskOf(one);
  return [one.mask?.name, mask ? maskText(mask) : maskRequest(one) ? "segmenting…" : ""].filter(Boolean).join(": ");
};

/* -- mask files ---------------------------------------------------------------------------------------------------- */

const takeMask = async (one, file) => {
  const picture = pictureOf(one), field = maskField(one);
  if (!picture) { setUploadError(field, `Choose the ${regionOf(one).picture} picture first.`); return; }
  const opened = state.tab;
  try {
    const mask = await api.uploadMask(file, picture.id);
    const now = state.tab === opened && work().objects.find((each) => each.id === one.id); // an undo may have replaced it
    if (now && pictureOf(now)?.id === picture.id) setMask(now, mask);
  } catch (error) { setUploadError(field, error.message); }
};
const maskButton = (one) => {
  const input = el("input", { type: "file", accept: "image/*", class: "visually-hidden", tabindex: "-1", "aria-label": `Mask file of ${one.name}`, onchange: () => { if (input.files.length) takeMask(one, input.files[0]); } });
  return [button("Mask file…", () => input.click(), { class: "small-button", "data-focus": `mask ${one.id}`, "aria-label": `Mask file of ${one.name}…`, title: "An image of the picture's size in which the object is white or opaque. You can also drop it here." }), input];
};
const dropping = (area, one) => {
  area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    if (event.dataTransfer.files.length) takeMask(one, event.dataTransfer.files[0]);
  });
  return area;
};

/* -- faders -------------------------------------------------------------------------------------------------------- */

/* Faders are updated, never replaced: one must survive being dragged or double-clicked. */
let updates = [];
const fader = (one, name, key) => {
  const typed = el("input", { type: "text", class: "typed", inputmode: "decimal", "aria-label": `Gain of ${name} in dB`, "data-focus": `typed ${key}` });
  const fault = el("p", { class: "field-error", hidden: true, role: "alert" });
  const slide = el("input", { type: "range", min: QUIETEST_DB, max: LOUDEST_DB, step: 0.5, "aria-label": `Fader of ${name}`, "data-focus": `fader ${key}` });
  updates.push(() => {
    typed.value = gainText(one.gain);
    slide.value = one.gain === "-inf" ? QUIETEST_DB : one.gain;
    slide.setAttribute("aria-valuetext", gainText(one.gain));
  });
  slide.addEventListener("input", () => setGain(one, Number(slide.value), false));
  slide.addEventListener("change", () => setGain(one, Number(slide.value)));
  for (const each of [slide, typed]) each.addEventListener("dblclick", () => setGain(one, one.usual));
  typed.addEventListener("change", () => {
    const gain = readGain(typed.value);
    const wrong = gain === null || (gain !== -Infinity && gain < QUIETEST_DB) || gain > LOUDEST_DB;
    fault.hidden = !wrong;
    fault.textContent = wrong ? `expected a gain from ${QUIETEST_DB} to ${LOUDEST_DB} dB, or -inf` : "";
    if (!wrong) setGain(one, gain);
  });
  const pressed = (what, letter, word) =>
    button(letter, () => toggle(one, what), { "aria-label": `${word} ${name}`, title: `${word} ${name}`, class: "letter", "data-focus": `${what} ${key}` });
  const buttons = [pressed("muted", "M", "Mute"), pressed("solo", "S", "Solo")];
  updates.push(() => {
    for (const [place, what] of ["muted", "solo"].entries()) buttons[place].setAttribute("aria-pressed", String(one[what]));
    slide.closest(".object").classList.toggle("silent", effectiveGain(one) === "-inf");
  });
  return [...buttons, slide, typed, fault];
};

/* -- rows ---------------------------------------------------------------------------------------------------------- */

const row = (one) => {
  const mixing = one.region === "";
  const fault = el("p", { class: "field-error", hidden: true, role: "alert" });
  const name = el("input", { type: "text", class: "object-name", value: one.name, "aria-label": `Name of ${one.name}`, maxlength: "40", spellcheck: "false", "data-focus": `name ${one.id}`,
    onchange: () => {
      const wrong = rename(one, name.value.trim());
      fault.textContent = wrong;
      fault.hidden = !wrong;
    } });
  const only = tab().regions?.some((region) => region.name === one.region) && work().objects.filter((each) => each.region === one.region).length === 1;
  const field = maskField(one);
  return dropping(el("li", { class: `object ${mixing ? "with-fader" : ""} style-${styleOf(one)}${one.id === work().active ? " active" : ""}`, data: { object: one.id } },
    button("", () => choose(one), { class: "chosen", "aria-pressed": String(one.id === work().active), "aria-label": `Select ${one.name}`, title: "Clicks apply to this object", "data-focus": `choose ${one.id}` }),
    name,
    mixing ? fader(one, one.name, one.id) : null,
    el("div", { class: "object-foot" }, el("span", { class: "mask-line small muted", "data-mask": one.id }, maskLine(one)), maskButton(one)),
    only ? button("Clear", () => clearObject(one), { class: "remove", disabled: isEmpty(one), "data-focus": `clear ${one.id}`, "aria-label": `Clear ${one.name}` })
      : button("×", () => removeObject(one), { class: "remove", "aria-label": `Remove ${one.name}`, title: `Remove ${one.name}`, "data-focus": `remove ${one.id}` }),
    fault,
    el("p", { class: "field-error", role: "alert", "data-error": field, hidden: !state.errors[field] }, state.errors[field] ?? "")), one);
};

const CHANNELS = { removed: ["removed objects", "in the original picture"], added: ["added objects", "in the edited picture"], rest: ["the rest", "everything outside the objects"] };
const channelRow = (one) => {
  const [name, where] = CHANNELS[one.id];
  return el("li", { class: "object with-fader", data: { object: one.id } }, el("span", { class: "chosen" }), el("span", { class: "object-name" }, name), fader(one, name, one.id), el("div", { class: "object-foot" }, el("span", { class: "mask-line small muted" }, where)));
};

const section = (region) => {
  const found = work().objects.filter((one) => one.region === region.name);
  const mixing = region.name === "";
  return el("section", { class: "objects-of" },
    el("h3", {}, mixing ? "Objects" : region.label.charAt(0).toUpperCase() + region.label.slice(1)),
    state.errors[mixing ? objectsParameter() : region.name] ? el("p", { class: "field-error", role: "alert" }, state.errors[mixing ? objectsParameter() : region.name]) : null,
    el("ul", { class: "object-list" }, found.map(row),
      mixing ? channels().map(channelRow) : null),
    button(mixing ? "Add an object" : "Another object", () => addObject(region), { class: "small", "data-focus": `add ${region.name}`, "aria-label": `Add an object: ${region.label}` }));
};

let shown = 0; // how many channels
const update = () => { for (const act of updates) act(); };
const draw = () => {
  if (!work()) return;
  updates = [];
  shown = channels().length;
  // Objects of a region are below its picture; faders are among the other controls.
  const mixing = objectsParameter() !== null;
  const place = mixing ? $("gains") : $("canvas-help");
  if ($("objects").nextElementSibling !== place) place.before($("objects"));
  $("objects").className = mixing ? "" : `shots of-${regions().length}`;
  show($("objects"), regions().map(section));
  show($("gains"), shown && !mixing ? [el("h3", {}, "Gains"), el("ul", { class: "object-list" }, channels().map(channelRow))] : null);
  update();
};
on("tab objects errors", draw);
on("levels", update);
on("settings", () => { if (work() && channels().length !== shown) draw(); });
on("masks", () => {
  for (const line of document.querySelectorAll("#objects [data-mask]")) {
    const one = work().objects.find((each) => each.id === line.dataset.mask);
    if (one) line.textContent = maskLine(one);
  }
});
/* The focused object, which M and S apply to. */
export const focusedObject = () => {
  const id = document.activeElement?.closest("#objects [data-object], #gains [data-object]")?.dataset.object;
  return work() ? [...channels(), ...work().objects.filter((one) => one.region === "")].find((one) => one.id === id) ?? null : null;
};

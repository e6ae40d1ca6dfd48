/* The pictures with their clicks, boxes and masks, by pointer or keyboard. */
import * as api from "./api.js";
import { $, announce, button, el, show, svg } from "./dom.js";
import { addPoint, canUndo, isEmpty, maskOf, on, openExample, regionOf, regions, setBox, setError, setPicture, setUploadError, state, styleOf, tab, undo, work } from "./state.js";

const DRAG_PX = 5;
const STEP = 0.01, LONG_STEP = 0.05;
const ZOOMS = [1, 1.5, 2, 3];
const zoom = new Map();   // picture → place in ZOOMS
const crosses = new Map(); // picture → [x, y] in shares
const lastPaths = new Map(); // id of an object → its last mask, shown until the next one arrives
let drag = null;

/* -- drawing ------------------------------------------------------------------------------------------------------- */

const overlay = (name, picture) => {
  const dot = Math.max(picture.width, picture.height) / 90;
  const drawn = work().objects.filter((one) => regionOf(one).picture === name).map((one) => {
    const mask = maskOf(one);
    if (mask && !mask.error) lastPaths.set(one.id, mask.path);
    const path = isEmpty(one) ? null : mask?.path ?? lastPaths.get(one.id);
    return svg("g", { class: `layer-mask style-${styleOf(one)}${mask ? "" : " stale"}${one.id === work().active ? " active" : ""}` },
      path && svg("path", { d: path, "data-object": one.name }),
      one.box && svg("rect", { x: one.box[0], y: one.box[1], width: one.box[2] - one.box[0], height: one.box[3] - one.box[1] }),
      one.points.map(([x, y, inside]) => svg("circle", { cx: x, cy: y, r: dot, class: inside ? null : "out" })));
  });
  const found = [...drawn];
  if (drag?.name === name && drag.box) {
    const [l, t, r, b] = drag.box;
    found.push(svg("rect", { class: "rubber", x: l, y: t, width: r - l, height: b - t }));
  }
  const cross = crosses.get(name);
  if (cross) {
    const x = cross[0] * picture.width, y = cross[1] * picture.height;
    found.push(svg("g", { class: "cross" }, svg("path", { d: `M${x} 0V${picture.height}M0 ${y}H${picture.width}` }), svg("circle", { cx: x, cy: y, r: dot })));
  }
  return found;
};

const redraw = () => {
  if (!work()) return;
  for (const layer of document.querySelectorAll("#shots svg[data-name]")) {
    const picture = work().files[layer.dataset.name];
    if (picture) layer.replaceChildren(...overlay(layer.dataset.name, picture));
  }
  for (const one of document.querySelectorAll("#canvas-bar [data-focus=undo]")) one.disabled = !canUndo();
};

const fieldError = (name) => el("p", { class: "field-error", "data-error": name, hidden: !state.errors[name] }, state.errors[name] ?? "");

/* -- pointing ------------------------------------------------------------------------------------------------------ */

const place = (event, stage, picture) => {
  const area = stage.getBoundingClientRect();
  const share = (at, from, length) => Math.min(1, Math.max(0, (at - from) / length));
  return [
    Math.min(picture.width - 1, Math.round(share(event.clientX, area.left, area.width) * picture.width)),
    Math.min(picture.height - 1, Math.round(share(event.clientY, area.top, area.height) * picture.height)),
  ];
};
const pointing = (stage, name, picture) => {
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 && event.button !== 2) return;
    drag = { name, from: place(event, stage, picture), at: [event.clientX, event.clientY], box: null, out: event.button === 2 || event.shiftKey };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (drag?.name !== name || drag.out) return;
    if (!drag.box && Math.hypot(event.clientX - drag.at[0], event.clientY - drag.at[1]) < DRAG_PX) return;
    const [x, y] = place(event, stage, picture), [fromX, fromY] = drag.from;
    drag.box = [Math.min(x, fromX), Math.min(y, fromY), Math.max(x, fromX), Math.max(y, fromY)];
    redraw();
  });
  stage.addEventListener("pointerup", () => {
    if (drag?.name !== name) return;
    const { box, from, out } = drag;
    drag = null;
    crosses.delete(name);
    if (box && box[0] < box[2] && box[1] < box[3]) setBox(name, box);
    else addPoint(name, from[0], from[1], out ? 0 : 1);
  });
  stage.addEventListener("pointercancel", () => { drag = null; redraw(); });
  stage.addEventListener("focus", () => {
    if (!stage.matches(":focus-visible")) return;
    if (!crosses.has(name)) crosses.set(name, [0.5, 0.5]);
    redraw();
  });
  stage.addEventListener("blur", () => { crosses.delete(name); redraw(); });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const at = crosses.get(name) ?? [0.5, 0.5];
    const x = Math.min(picture.width - 1, Math.round(at[0] * picture.width)), y = Math.min(picture.height - 1, Math.round(at[1] * picture.height));
    if (step) {
      const by = event.shiftKey ? LONG_STEP : STEP;
      crosses.set(name, at.map((one, axis) => Math.min(1, Math.max(0, one + step[axis] * by))));
      const [toX, toY] = crosses.get(name);
      announce(`${Math.round(toX * picture.width)}, ${Math.round(toY * picture.height)}`);
      redraw();
    } else if (event.key === "Enter") addPoint(name, x, y, event.shiftKey ? 0 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
};

/* -- files --------------------------------------------------------------------------------------------------------- */

const take = async (files, first) => {
  const names = tab().files, from = names.indexOf(first);
  for (const [number_, file] of [...files].slice(0, names.length - from).entries()) {
    const name = names[from + number_];
    try {
      setPicture(name, await api.upload(file));
    } catch (error) { setUploadError(name, error.message); }
  }
};
const dropping = (area, name) => {
  area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files, name);
  });
};

const shot = (name) => {
  const picture = work().files[name];
  const several = tab().files.length > 1;
  const input = el("input", { type: "file", accept: "image/*", multiple: several, class: "visually-hidden", "aria-label": `File of the ${name} picture`, tabindex: "-1", onchange: () => take(input.files, name) });
  const aim = regions().filter((one) => one.picture === name).map((one) => one.label).join("; ");
  const head = el("div", { class: "shot-head" }, el("h3", {}, name), el("span", { class: "small muted grow" }, picture ? picture.name : ""),
    picture && button("−", () => scale(name, -1), { "aria-label": `Zoom out of the ${name} picture`, "data-focus": `out ${name}`, disabled: !zoom.get(name) }),
    picture && button("+", () => scale(name, 1), { "aria-label": `Zoom into the ${name} picture`, "data-focus": `in ${name}`, disabled: zoom.get(name) === ZOOMS.length - 1 }),
    button(picture ? "Replace…" : "Choose a picture…", () => input.click(), { "data-focus": `file ${name}` }), input);
  if (!picture) {
    const empty = el("div", { class: "drop" }, el("p", {}, `Drop the ${name} picture here${several ? ", or both at once" : ""}.`), el("p", { class: "small muted" }, "Or choose a file, or the example above."));
    dropping(empty, name);
    return el("div", { class: "shot" }, head, empty, fieldError(name));
  }
  const image = el("img", { src: picture.url, alt: "", draggable: "false", onerror: () => setError({ field: name, message: "The studio no longer has this picture. Choose it again." }) });
  const layer = svg("svg", { viewBox: `0 0 ${picture.width} ${picture.height}`, preserveAspectRatio: "none", "aria-hidden": "true", "data-name": name });
  const stage = el("div", { class: "stage", tabindex: "0", role: "application", "data-picture": name, "data-focus": `stage ${name}`, "aria-label": `${name} picture, ${picture.name}. ${aim}`, "aria-describedby": "canvas-help" }, image, layer);
  stage.style.width = `${100 * ZOOMS[zoom.get(name) ?? 0]}%`;
  stage.style.aspectRatio = `${picture.width} / ${picture.height}`;
  pointing(stage, name, picture);
  const frame = el("div", { class: "frame" }, stage);
  frame.style.setProperty("--aspect", picture.width / picture.height);
  dropping(frame, name);
  return el("div", { class: "shot" }, head, frame, fieldError(name));
};
const scale = (name, by) => {
  zoom.set(name, Math.min(ZOOMS.length - 1, Math.max(0, (zoom.get(name) ?? 0) + by)));
  draw();
};

const draw = () => {
  if (!work()) return;
  const examples = state.start.examples;
  const chosen = examples.find((one) => work().files[tab().files[0]]?.id === (one.files[tab().files[0]] ?? one.files.original).id)?.name ?? "";
  show($("canvas-bar"),
    el("h2", {}, tab().files.length > 1 ? "Pictures" : "Picture"),
    examples.length ? el("label", {}, "example ", el("select", { "data-focus": "example", onchange: (event) => event.target.value && openExample(event.target.value) },
      el("option", { value: "" }, "none"), examples.map((one) => el("option", { value: one.name, selected: one.name === chosen }, one.name)))) : null,
    el("span", { class: "grow" }),
    button("Undo", undo, { "data-focus": "undo", disabled: !canUndo(), "aria-keyshortcuts": "z" }));
  $("shots").className = `shots of-${tab().files.length}`;
  show($("shots"), tab().files.map(shot));
  redraw();
};

on("tab", draw);
on("objects masks", redraw);
on("settings levels sliding", () => { for (const one of document.querySelectorAll("#canvas-bar [data-focus=undo]")) one.disabled = !canUndo(); });
on("errors", () => {
  for (const one of document.querySelectorAll("#shots [data-error]")) {
    one.textContent = state.errors[one.dataset.error] ?? "";
    one.hidden = !one.textContent;
  }
});

/* Helpers for elements. Text is always a text node: nothing from a file or a user is parsed as HTML. */

export const $ = (id) => document.getElementById(id);

const fill = (element, properties, children) => {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (["value", "checked", "indeterminate"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
};

/* el("button", { type: "button", onclick: act }, "Make sound") */
export const el = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

export const svg = (tag, properties = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);

export const button = (text, onclick, properties = {}) => el("button", { type: "button", onclick, ...properties }, text);

/* Replaces the children of an element; the focus moves to the new element with the same data-focus. */
export const show = (element, ...children) => {
  const at = element.contains(document.activeElement) ? document.activeElement.closest("[data-focus]")?.dataset.focus : null;
  element.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  if (at) [...element.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === at)?.focus({ preventScroll: true });
};

let announcing = 0;
/* Announces a text to screen readers, once the user pauses. */
export const announce = (text) => {
  clearTimeout(announcing);
  announcing = setTimeout(() => { $("spoken").textContent = text; }, 150);
};

export const number = (value, digits = 2) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
export const seconds = (value) => (value < 1 ? `${Math.max(0.1, value).toFixed(1)} s` : value < 10 ? `${value.toFixed(1)} s` : value < 100 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);
/* Formats a size in decimal units: 3.2 MB, 898 MB, 1.5 GB. */
export const bytes = (value) => {
  const [size, unit] = value < 1e6 ? [value / 1e3, "kB"] : value < 1e9 ? [value / 1e6, "MB"] : [value / 1e9, "GB"];
  return `${size < 100 ? size.toFixed(1) : Math.round(size)} ${unit}`;
};
export const debounced = (act, wait) => {
  let waiting = 0;
  return (...given) => { clearTimeout(waiting); waiting = setTimeout(() => act(...given), wait); };
};

/* Keyboard shortcuts, which work everywhere except in text fields. */
import { openKeys } from "./dialogs.js";
import { makeSound, stopJob } from "./jobs.js";
import { currentPlayer } from "./lanes.js";
import { focusedObject } from "./objects.js";
import { toggle, undo } from "./state.js";

const act = (event) => {
  if (document.querySelector("dialog[open]")) return false;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { document.activeElement?.blur(); makeSound(); return true; }
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const at = event.target;
  if (at.matches("input:not([type=checkbox], [type=range]), textarea, select")) return false;
  const ranged = at.matches("input[type=range]");
  if (event.key === "Escape") { stopJob(); return true; }
  if (event.key === "?") { openKeys(); return true; }
  if (event.key.toLowerCase() === "z") return undo();
  if (["m", "s"].includes(event.key.toLowerCase())) {
    const object = focusedObject();
    if (object) toggle(object, event.key.toLowerCase() === "m" ? "muted" : "solo");
    return Boolean(object);
  }
  if (event.key === "Enter" && !at.matches("button, a, summary, input, [role=tab]")) { makeSound(); return true; }
  if (ranged || at.matches("[role=tab]")) return false;
  return currentPlayer()?.key(event) ?? false;
};
export const setUpKeys = () => document.addEventListener("keydown", (event) => { if (act(event)) event.preventDefault(); });

/* The dialogs of keyboard shortcuts and of the command. The browser keeps the focus inside; Escape closes them. */
import { $, el, show } from "./dom.js";

const KEYS = [
  ["space", "play, pause"], ["1–9", "switch to a sound, at the same position"], ["← →", "back or forward by one second"], ["L", "loop"],
  ["Enter", "generate the sound (on a picture: include the point under the crosshair)"], ["Ctrl Enter", "generate the sound, from anywhere"],
  ["M, S", "mute or solo the focused object"], ["Z", "undo"], ["arrows", "on a picture: move the crosshair; Shift for larger steps"],
  ["Shift Enter", "on a picture: exclude the point under the crosshair"], ["double click", "on a control: reset it to its default"], ["Esc", "stop the job"], ["?", "this list"],
];

export const setUpDialogs = () => {
  show($("keys-list"), KEYS.flatMap(([key, meaning]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, meaning)]));
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
  $("open-keys").addEventListener("click", openKeys);
  $("command-copy").addEventListener("click", async () => {
    try { await navigator.clipboard.writeText($("command-text").textContent); $("command-copy").textContent = "Copied"; }
    catch { getSelection().selectAllChildren($("command-text")); $("command-copy").textContent = "Selected"; }
    setTimeout(() => { $("command-copy").textContent = "Copy"; }, 1500);
  });
};
export const openKeys = () => $("keys").showModal();
export const openCommand = (text) => {
  $("command-text").textContent = text;
  $("command").showModal();
};

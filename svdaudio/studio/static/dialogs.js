/* The dialogs: keys, and the command. The browser keeps the focus inside them, and Escape closes them. */
import { $, el, show } from "./dom.js";

const KEYS = [
  ["space", "play, pause"], ["1–9", "listen to a lane, at the same position"], ["← →", "one second back, ahead"], ["L", "loop"],
  ["Enter", "make sound (in a picture: include what is under the cross)"], ["Ctrl Enter", "make sound, from anywhere"],
  ["M, S", "mute, solo the object that has the focus"], ["Z", "undo"], ["arrows", "in a picture: move the cross; with shift by more"],
  ["Shift Enter", "in a picture: exclude what is under the cross"], ["double click", "on a control: back to its default"], ["Esc", "stop the job"], ["?", "this list"],
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

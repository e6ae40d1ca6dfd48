"use strict";
/* The pictures, stages and sounds of a report; player.js plays the sounds. */
(() => {
  document.documentElement.classList.add("scripted");
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  /* Pictures */
  for (const stage of all("[data-split]")) {
    const slider = stage.querySelector("input");
    if (slider) slider.addEventListener("input", () => stage.style.setProperty("--split", `${slider.value}%`));
  }
  for (const box of all("[data-layer]")) {
    const stage = box.closest(".card").querySelector(".stage");
    const show = () => stage.classList.toggle(`hide-${box.dataset.layer}`, !box.checked);
    box.addEventListener("change", show);
    show();
  }

  /* Stages: one cell of each workflow can have the focus; arrow keys move it, and a click shows the node's facts */
  for (const flow of all(".flow")) {
    const cells = all(".cell", flow);
    if (cells.length) cells[0].setAttribute("tabindex", "0");
    const choose = (cell) => {
      for (const one of cells) {
        const chosen = one === cell && one.getAttribute("aria-pressed") !== "true";
        one.setAttribute("aria-pressed", String(chosen));
        $(`node-${one.dataset.node}`).classList.toggle("hidden", !chosen);
      }
    };
    cells.forEach((cell, place) => {
      cell.addEventListener("click", () => choose(cell));
      cell.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Enter" || event.key === " ") choose(cell);
        else if (step) {
          const next = cells[Math.min(cells.length - 1, Math.max(0, place + step))];
          cell.setAttribute("tabindex", "-1");
          next.setAttribute("tabindex", "0");
          next.focus();
        } else return;
        event.preventDefault();
        event.stopPropagation();
      });
    });
  }

  for (const button of all(".copy"))
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre").textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(button.parentElement.querySelector("pre")); button.textContent = "Selected"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });

  /* Sounds */
  const data = JSON.parse($("lane-data").textContent);
  if (!data.length) return;
  const lanes = data.map((facts) => {
    const row = all("[data-lane]").find((one) => one.dataset.lane === facts.id);
    const button = row.querySelector(".name");
    return {
      ...facts, row, button, uri: row.querySelector("audio").src, head: row.querySelector(".head-line"),
      view: row.querySelector("[data-view]"), key: button.querySelector(".key"),
    };
  });
  lanes.sort((a, b) => (a.row.compareDocumentPosition(b.row) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  for (const lane of lanes) {
    const bytes = Uint8Array.from(atob(lane.uri.slice(lane.uri.indexOf(",") + 1)), (one) => one.charCodeAt(0));
    const type = lane.uri.slice(5, lane.uri.indexOf(";"));
    lane.row.querySelector(".download").href = URL.createObjectURL(new Blob([bytes], { type }));
  }
  const player = globalThis.svdaudioPlayer.createPlayer({
    lanes,
    controls: { play: $("play"), time: $("time"), loop: $("loop"), matched: $("matched"), linear: $("linear"), root: $("lanes") },
    chosen: Math.max(0, lanes.findIndex((lane) => lane.row.classList.contains("result"))),
    opened: (lane) => { const folded = lane.row.closest("details"); if (folded) folded.open = true; },
  });
  document.addEventListener("keydown", player.key);
})();

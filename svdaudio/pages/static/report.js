"use strict";
/* Players on one clock: every lane plays from the same moment, and switching lanes only moves a gain. */
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

  /* Stages: one cell of each workflow takes the focus, arrows move it, a click shows what it made */
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
    return { ...facts, row, audio: row.querySelector("audio"), button: row.querySelector(".name"), head: row.querySelector(".head-line"), buffer: null, source: null, gain: null };
  });
  lanes.sort((a, b) => (a.row.compareDocumentPosition(b.row) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  const longest = Math.max(...lanes.map((lane) => lane.duration));
  const quietest = Math.min(...lanes.filter((lane) => lane.lufs !== null).map((lane) => lane.lufs));
  const state = { context: null, playing: false, started: 0, position: 0, chosen: 0, loop: false, matched: true };

  const bytes = (uri) => Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (one) => one.charCodeAt(0));
  const kind = (uri) => uri.slice(5, uri.indexOf(";"));
  for (const lane of lanes) {
    const link = lane.row.querySelector(".download");
    link.href = URL.createObjectURL(new Blob([bytes(lane.audio.src)], { type: kind(lane.audio.src) }));
  }

  const now = () => {
    if (!state.playing) return state.position;
    const passed = state.position + state.context.currentTime - state.started;
    return state.loop ? passed % longest : Math.min(passed, longest);
  };
  const level = (lane) => {
    if (lane !== lanes[state.chosen]) return 0;
    return state.matched && lane.lufs !== null && Number.isFinite(quietest) ? 10 ** ((quietest - lane.lufs) / 20) : 1;
  };
  const balance = () => {
    for (const lane of lanes) if (lane.gain) lane.gain.gain.setTargetAtTime(level(lane), state.context.currentTime, 0.004);
  };

  const prepare = async () => {
    state.context ??= new AudioContext();
    await state.context.resume();
    await Promise.all(lanes.map(async (lane) => {
      if (lane.buffer || lane.failed) return;
      try { lane.buffer = await state.context.decodeAudioData(bytes(lane.audio.src).buffer); }
      catch { lane.failed = true; lane.button.disabled = true; lane.button.title = "this browser cannot decode it"; }
    }));
  };
  const stop = () => {
    for (const lane of lanes) { lane.source?.stop(); lane.source = null; }
  };
  const start = () => {
    const at = state.position >= longest - 0.02 ? 0 : state.position;
    state.position = at;
    for (const lane of lanes) {
      if (!lane.buffer) continue;
      lane.gain = state.context.createGain();
      lane.gain.gain.value = level(lane);
      lane.gain.connect(state.context.destination);
      lane.source = state.context.createBufferSource();
      lane.source.buffer = lane.buffer;
      lane.source.loop = state.loop;
      lane.source.connect(lane.gain);
      if (at < lane.buffer.duration) lane.source.start(0, at);
    }
    state.started = state.context.currentTime;
  };
  const play = async () => {
    await prepare();
    start();
    state.playing = true;
    draw();
  };
  const pause = () => { state.position = now(); state.playing = false; stop(); draw(); };
  const toggle = () => (state.playing ? pause() : play());
  const seek = (seconds) => {
    const at = Math.min(Math.max(0, seconds), longest);
    if (state.playing) { stop(); state.position = at; start(); } else state.position = at;
    draw();
  };
  const choose = (place) => {
    if (!lanes[place] || lanes[place].failed) return;
    const details = lanes[place].row.closest("details");
    if (details) details.open = true;
    state.chosen = place;
    if (state.playing) balance();
    draw();
  };

  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  let frame = 0;
  const draw = () => {
    cancelAnimationFrame(frame);
    const at = now();
    $("time").textContent = `${clock(at)} / ${clock(longest)}`;
    $("play").textContent = state.playing ? "❚❚ Pause" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(state.playing));
    lanes.forEach((lane, place) => {
      lane.button.setAttribute("aria-pressed", String(place === state.chosen));
      lane.row.classList.toggle("silenced", state.playing && place !== state.chosen);
      lane.head.hidden = at > lane.duration || (at === 0 && !state.playing);
      lane.head.style.left = `${(100 * at) / lane.duration}%`;
    });
    if (!state.playing) return;
    if (at >= longest && !state.loop) { state.position = longest; state.playing = false; stop(); draw(); return; }
    frame = requestAnimationFrame(draw);
  };

  lanes.forEach((lane, place) => {
    lane.button.addEventListener("click", () => choose(place));
    if (place < 9) lane.button.querySelector(".key").textContent = String(place + 1);
    const view = lane.row.querySelector("[data-view]");
    view.addEventListener("click", (event) => {
      const area = view.getBoundingClientRect();
      choose(place);
      seek(((event.clientX - area.left) / area.width) * lane.duration);
    });
  });
  $("play").addEventListener("click", toggle);
  $("loop").addEventListener("change", () => {
    const at = now();
    state.loop = $("loop").checked;
    if (state.playing) seek(at);
  });
  $("matched").addEventListener("change", () => { state.matched = $("matched").checked; if (state.playing) balance(); });
  $("linear").addEventListener("change", () => $("lanes").classList.toggle("linear", $("linear").checked));
  const result = lanes.findIndex((lane) => lane.row.classList.contains("result"));
  if (result >= 0) state.chosen = result;
  draw();

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    const typing = at.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (typing) return;
    const busy = at.matches("button, summary, a, input, [role=button]");
    if (event.key === " " && (!busy || at.matches("#play, .name"))) toggle();
    else if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
    else if (event.key === "l" || event.key === "L") $("loop").click();
    else if (event.key === "ArrowRight") seek(now() + 1);
    else if (event.key === "ArrowLeft") seek(now() - 1);
    else return;
    event.preventDefault();
  });
})();

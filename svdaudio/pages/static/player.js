"use strict";
/* A player for several sounds on one clock: all lanes play at once, and switching lanes only changes their gains.

   globalThis.svdaudioPlayer.createPlayer({ lanes, controls }) → { play, pause, toggle, seek, choose, key, snapshot, destroy }

   lanes:     [{ duration, lufs, uri, row, button, head, view, key }]: seconds; LUFS, or null for silence; URL or data
              URI of the sound; the lane's element, and within it the button that chooses the lane, the playhead, the
              area where clicks seek, and the element for the lane's number.
   controls:  { play, time, loop, matched, linear, root }: a button, a text, three checkboxes, and the element that gets
              the class "linear".
   chosen:    index of the lane that is chosen first.
   resume:    a snapshot of the player that this one replaces, to continue at the same position.
   opened:    called with a lane before it is chosen. */
(() => {
  let context = null;

  const bytesOf = async (uri) => {
    if (uri.startsWith("data:"))
      return Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (one) => one.charCodeAt(0)).buffer;
    const answer = await fetch(uri);
    if (!answer.ok) throw new Error(`sound not found: ${uri}`);
    return answer.arrayBuffer();
  };
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  const createPlayer = ({ lanes: given, controls, chosen = 0, resume = null, opened = () => {} }) => {
    const lanes = given.map((facts) => ({ ...facts, buffer: null, source: null, gain: null, failed: false }));
    const longest = Math.max(...lanes.map((lane) => lane.duration));
    const quietest = Math.min(...lanes.filter((lane) => lane.lufs !== null).map((lane) => lane.lufs));
    const state = { playing: false, started: 0, position: Math.min(resume?.position ?? 0, longest), chosen, loop: controls.loop.checked };
    const listening = new AbortController();
    const on = (element, type, act) => element.addEventListener(type, act, { signal: listening.signal });

    const now = () => {
      if (!state.playing) return state.position;
      const passed = state.position + context.currentTime - state.started;
      return state.loop ? passed % longest : Math.min(passed, longest);
    };
    const level = (lane) => {
      if (lane !== lanes[state.chosen]) return 0;
      const matched = controls.matched.checked && lane.lufs !== null && Number.isFinite(quietest);
      return matched ? 10 ** ((quietest - lane.lufs) / 20) : 1;
    };
    const balance = () => {
      for (const lane of lanes) if (lane.gain) lane.gain.gain.setTargetAtTime(level(lane), context.currentTime, 0.004);
    };

    const prepare = async () => {
      context ??= new AudioContext();
      await context.resume();
      await Promise.all(lanes.map(async (lane) => {
        if (lane.buffer || lane.failed) return;
        try { lane.buffer = await context.decodeAudioData(await bytesOf(lane.uri)); }
        catch { lane.failed = true; lane.button.disabled = true; lane.button.title = "this browser cannot decode the sound"; }
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
        lane.gain = context.createGain();
        lane.gain.gain.value = level(lane);
        lane.gain.connect(context.destination);
        lane.source = context.createBufferSource();
        lane.source.buffer = lane.buffer;
        lane.source.loop = state.loop;
        lane.source.connect(lane.gain);
        if (at < lane.buffer.duration) lane.source.start(0, at);
        else lane.source = null;
      }
      state.started = context.currentTime;
    };
    const play = async () => {
      await prepare();
      if (state.playing || listening.signal.aborted) return;
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
      opened(lanes[place]);
      state.chosen = place;
      if (state.playing) balance();
      draw();
    };

    let frame = 0;
    const draw = () => {
      cancelAnimationFrame(frame);
      const at = now();
      controls.time.textContent = `${clock(at)} / ${clock(longest)}`;
      controls.play.textContent = state.playing ? "❚❚ Pause" : "▶ Play";
      controls.play.setAttribute("aria-pressed", String(state.playing));
      lanes.forEach((lane, place) => {
        lane.button.setAttribute("aria-pressed", String(place === state.chosen));
        lane.row.classList.toggle("silenced", state.playing && place !== state.chosen);
        lane.head.hidden = at > lane.duration || (at === 0 && !state.playing);
        lane.head.style.left = `${(100 * at) / lane.duration}%`;
      });
      if (!state.playing) return;
      if (at >= longest && !state.loop) {
        state.position = longest;
        state.playing = false;
        stop();
        draw();
        return;
      }
      frame = requestAnimationFrame(draw);
    };

    lanes.forEach((lane, place) => {
      on(lane.button, "click", () => choose(place));
      if (place < 9) lane.key.textContent = String(place + 1);
      on(lane.view, "click", (event) => {
        const area = lane.view.getBoundingClientRect();
        choose(place);
        seek(((event.clientX - area.left) / area.width) * lane.duration);
      });
    });
    on(controls.play, "click", toggle);
    on(controls.loop, "change", () => {
      const at = now();
      state.loop = controls.loop.checked;
      if (state.playing) seek(at);
    });
    on(controls.matched, "change", () => { if (state.playing) balance(); });
    const show = () => controls.root.classList.toggle("linear", controls.linear.checked);
    on(controls.linear, "change", show);

    /* Handles a key, and returns whether it had an effect. */
    const key = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return false;
      const at = event.target;
      if (at.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")) return false;
      const busy = at.matches("button, summary, a, input, [role=button]");
      if (event.key === " " && (!busy || at === controls.play || lanes.some((lane) => lane.button === at))) toggle();
      else if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
      else if (event.key === "l" || event.key === "L") controls.loop.click();
      else if (event.key === "ArrowRight") seek(now() + 1);
      else if (event.key === "ArrowLeft") seek(now() - 1);
      else return false;
      event.preventDefault();
      return true;
    };
    const snapshot = () => ({ position: now(), playing: state.playing });
    const destroy = () => { listening.abort(); cancelAnimationFrame(frame); state.position = now(); state.playing = false; stop(); };

    show();
    draw();
    if (resume?.playing) play();
    return { play, pause, toggle, seek, choose, key, snapshot, destroy };
  };

  globalThis.svdaudioPlayer = { createPlayer };
})();

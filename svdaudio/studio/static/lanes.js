/* The sounds of one run, or of two side by side: verdict, lanes with the report's player, scores. */
import * as api from "./api.js";
import { $, button, el, number, show, svg } from "./dom.js";
import { openCommand } from "./dialogs.js";
import { pick } from "./jobs.js";
import { emit, on, setError, state } from "./state.js";

const FORMATS = ["wav", "flac", "ogg", "mp3"];
const WAVE = { width: 480, height: 100 };
const LEAST_SCORE = 0.05;
let player = null;
export const currentPlayer = () => player;

/* -- verdict ------------------------------------------------------------------------------------------------------- */

const MARKS = { true: ["✓", "as intended", "wanted"], false: ["!", "not as intended", "unwanted"], null: ["·", "unknown", "unknown"] };
const chip = (ok, ...content) => {
  const [mark, meaning, style] = MARKS[String(ok ?? null)];
  return el("li", { class: style }, el("span", { class: "mark", role: "img", "aria-label": meaning }, mark), " ", ...content);
};
const closer = ({ closer, edited, original, space }) => chip(closer, { true: "closer to the edited sound", false: "closer to the original sound" }[closer] ?? "as close to both sounds",
  el("span", { class: "small muted" }, ` cosine ${edited.toFixed(2)} with the edited, ${original.toFixed(2)} with the original sound: ${space}`));
const verdict = (run) => el("ul", { class: "verdict", "aria-label": "Verdict" },
  run.findings.map((finding) => chip(finding.ok, finding.text)), run.closer ? closer(run.closer) : null);

/* -- lanes --------------------------------------------------------------------------------------------------------- */

const wave = (path) => {
  const drawing = svg("svg", { viewBox: `0 0 ${WAVE.width} ${WAVE.height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  drawing.append(svg("path", { d: path }));
  return drawing;
};
const N_TICKS = 7;
const STEPS_S = [0.5, 1, 2, 5, 10, 20, 30, 60, 120];
const ticks = (duration) => {
  const step = STEPS_S.find((one) => duration / one <= N_TICKS) ?? STEPS_S.at(-1);
  const marks = [];
  for (let at = 0; at <= duration + 0.05; at += step) {
    const mark = el("span", {}, at + step > duration + 0.05 ? `${at} s` : `${at}`);
    mark.style.left = `${(100 * at) / duration}%`;
    marks.push(mark);
  }
  return el("div", { class: "ticks", "aria-hidden": "true" }, marks);
};
const meter = (score) => {
  const bar = el("i");
  bar.style.width = `${100 * score}%`;
  return el("dd", { class: "meter" }, bar);
};
const downloads = (run, lane) =>
  lane.kind === "candidate" ? el("a", { href: lane.uri, download: lane.file }, "download", el("span", { class: "visually-hidden" }, ` ${lane.name}`))
    : FORMATS.map((format, place) => [place ? " " : "", el("a", { href: api.address.sound(run.id, lane.name, format), download: `${lane.name}.${format}`, "aria-label": `Download ${lane.name} as ${format}` }, format)]).flat();

const row = (run, lane, several) => {
  const key = el("span", { class: "key" }), head = el("span", { class: "head-line", hidden: true });
  const name = button(lane.name, () => {}, { class: "name", "aria-pressed": "false", "data-focus": `lane ${run.id} ${lane.id}` });
  name.append(several ? el("span", { class: "muted small" }, run.id.slice(-6)) : "", key);
  const view = el("div", { class: "view" }, wave(lane.wave),
    el("img", { class: "of-mel", src: lane.mel, alt: `Spectrogram of ${lane.name}` }), el("img", { class: "of-linear", src: lane.linear, alt: `Spectrogram of ${lane.name}, linear frequencies` }),
    axes(run), head, ticks(lane.duration_s));
  // A candidate of the result, such as "manipulated 2", can replace the result.
  const candidate = lane.kind === "candidate" && lane.name.startsWith(`${run.result} `) ? Number(lane.name.slice(run.result.length + 1)) : null;
  const box = el("div", { class: `lane ${lane.style}`, data: { lane: lane.name } },
    el("div", {}, name,
      Object.keys(lane.scores).length ? el("dl", {}, Object.entries(lane.scores).map(([one, score]) => [el("dt", {}, one), meter(score), el("dd", {}, number(score))])) : null,
      el("div", { class: "foot" }, lane.remark ? [lane.remark, el("br")] : null,
        `${lane.loudness_lufs === null ? "silent" : `${number(lane.loudness_lufs, 1)} LUFS`} · ${number(lane.duration_s, 1)} s`, el("br"), downloads(run, lane),
        candidate ? [el("br"), button("Keep this candidate", () => pick(run.id, candidate), { class: "small-button", "aria-label": `Keep candidate ${candidate}`, title: "Make a new run with this candidate of each sound" })] : null)),
    view);
  return { box, facts: { row: box, button: name, key, head, view, uri: lane.uri, duration: lane.duration_s, lufs: lane.loudness_lufs, style: lane.style } };
};
const axes = (run) => Object.entries(run.marks).map(([scale, marks]) => el("div", { class: `axis of-${scale}`, "aria-hidden": "true" }, marks.map(([khz, share], place) => {
  const mark = el("span", {}, place === marks.length - 1 ? `${khz} kHz` : khz);
  mark.style.bottom = `${100 * share}%`;
  return mark;
})));

const sounds = (runs) => {
  const several = runs.length > 1, made = [];
  const rows = (run, kind) => run.lanes.filter((lane) => lane.kind === kind).map((lane) => {
    const one = row(run, lane, several);
    made.push(one.facts);
    return one.box;
  });
  const controls = {
    play: button("▶ Play", () => {}, { class: "play", "aria-pressed": "false", "data-focus": "play", id: "play" }), time: el("span", { class: "time", role: "timer", "aria-label": "Position", id: "time" }),
    loop: el("input", { type: "checkbox", id: "loop", checked: kept.loop, onchange: (event) => { kept.loop = event.target.checked; } }),
    matched: el("input", { type: "checkbox", id: "matched", checked: kept.matched, onchange: (event) => { kept.matched = event.target.checked; } }),
    linear: el("input", { type: "checkbox", id: "linear", checked: kept.linear, onchange: (event) => { kept.linear = event.target.checked; } }),
  };
  const lists = runs.map((run) => {
    const found = [several ? el("h3", { class: "muted" }, `${run.title} `, el("span", { class: "mono" }, run.id)) : null, rows(run, "sound")];
    const stems = rows(run, "stem"), candidates = rows(run, "candidate");
    if (stems.length) found.push(el("h3", {}, "Stems"), stems);
    if (candidates.length) found.push(el("details", {}, el("summary", {}, "Other candidates"), candidates));
    return found;
  });
  const card = el("section", { class: "card", id: "lanes", "aria-label": "Sounds" },
    el("div", { class: "transport", role: "toolbar", "aria-label": "Player" }, controls.play, controls.time,
      el("label", {}, controls.loop, " loop"), el("label", {}, controls.matched, " matched loudness"), el("label", {}, controls.linear, " linear frequencies"),
      el("span", { class: "muted small keys" }, "Space plays, 1–9 switch sounds at the same position, ← → seek, L loops")),
    el("h2", {}, "Sounds"), lists.flat(2));
  controls.root = card;
  return { card, lanes: made, controls };
};
const kept = { loop: false, matched: true, linear: false };

/* -- scores -------------------------------------------------------------------------------------------------------- */

const scoreRows = (run) => {
  const names = Object.keys(run.scores);
  if (!names.length) return null;
  const first = names[0], last = run.result in run.scores ? run.result : names.at(-1);
  const wanted = new Map(run.findings.filter((one) => one.class_name).map((one) => [one.class_name, one.wanted]));
  const loudest = (one) => Math.max(...names.map((name) => run.scores[name][one] ?? 0));
  const classes = [...[...wanted.keys()].filter((one) => one in run.scores[last]),
    ...Object.keys(run.scores[last]).filter((one) => !wanted.has(one) && loudest(one) >= LEAST_SCORE).sort((a, b) => loudest(b) - loudest(a))];
  return { first, last, rows: classes.map((one) => ({ name: one, wanted: wanted.get(one) ?? "", before: run.scores[first][one] ?? 0, after: run.scores[last][one] ?? 0 })) };
};
const dot = (style, share) => {
  const one = el("i", { class: style });
  one.style.left = `${100 * share}%`;
  return one;
};
const dumbbells = (run, several) => {
  const found = scoreRows(run);
  if (!found?.rows.length) return null;
  const body = found.rows.map(({ name, wanted, before, after }) => {
    const link = dot("link", Math.min(before, after));
    link.style.width = `${100 * Math.abs(after - before)}%`;
    return [el("div", { class: "class" }, el("b", {}, name), wanted ? el("span", { class: "chip" }, wanted) : null),
      el("div", { class: "track", role: "img", "aria-label": `${name}: from ${number(before)} to ${number(after)}` }, link, dot("dot swatch original", before), dot("dot after swatch result", after)),
      el("div", {}, `${number(before)} → ${number(after)}`)];
  });
  return el("section", { class: "card", "aria-label": "Scores" }, el("h2", {}, "Scores", several ? el("span", { class: "muted small mono" }, ` ${run.id}`) : null),
    el("p", { class: "small muted" }, el("span", { class: "swatch original" }), ` ${found.first} → `, el("span", { class: "swatch result" }), ` ${found.last}, 0 to 1`),
    el("div", { class: "scores" }, body.flat()));
};

/* -- the result ---------------------------------------------------------------------------------------------------- */

const actions = (run) => el("div", { class: "actions" },
  button(run.starred ? "★ Starred" : "☆ Star", async () => {
    try { run.starred = (await api.star(run.id, !run.starred)).starred; draw(); }
    catch (error) { setError(error); }
  }, { "aria-pressed": String(run.starred), "data-focus": `star ${run.id}` }),
  el("a", { class: "button", href: api.address.report(run.id), target: "_blank", rel: "noopener", "data-focus": `report ${run.id}` }, "Open report"),
  button("Command", () => openCommand(run.command), { "data-focus": `command ${run.id}` }),
  el("a", { class: "button", href: api.address.config(run.id), download: "config.toml", "data-focus": `config ${run.id}` }, "config.toml"));

const labelOf = (run) => state.start.tabs.find((one) => one.method === run.method)?.label ?? run.method;
const heading = (run) => el("div", { class: "result-head", data: { run: run.id } },
  el("div", {}, el("h2", {}, run.title), el("p", { class: "small muted" }, `${labelOf(run)} · ${run.created_at.slice(0, 16).replace("T", " ")} UTC · bundle ${run.bundle ?? ""} · `, el("span", { class: "mono" }, run.id))), actions(run));

let drawn = [];
const draw = () => {
  if (state.loading) {
    $("result").setAttribute("aria-busy", "true");
    if (!state.shown.length) show($("result"), el("p", { class: "empty muted", role: "status" }, state.loading));
    return;
  }
  $("result").removeAttribute("aria-busy");
  const runs = state.shown;
  if (!runs.length) {
    show($("result"), el("section", { class: "empty card" }, el("h2", {}, "No sound yet"), el("p", { class: "muted" }, "Generate one from the pictures and settings above, or open an earlier one from the history.")));
    return;
  }
  const resume = player?.snapshot() ?? null;
  player?.destroy();
  const made = sounds(runs);
  show($("result"), runs.map((run) => [heading(run), verdict(run), run.notes.length ? el("ul", { class: "notes", "aria-label": "Notes" }, run.notes.map((note) => el("li", {}, note))) : null]).flat(),
    made.card, el("div", { class: "cards" }, runs.map((run) => dumbbells(run, runs.length > 1))));
  const same = drawn.length && drawn[0].method === runs[0].method;
  player = globalThis.svdaudioPlayer.createPlayer({
    lanes: made.lanes, controls: made.controls, resume: same ? resume : resume && { ...resume, position: 0 },
    chosen: Math.max(0, made.lanes.findIndex((lane) => lane.style === "result")),
    opened: (lane) => { const folded = lane.row.closest("details"); if (folded) folded.open = true; },
  });
  drawn = runs;
  lastShown.set(runs[0].method, runs);
};
on("result", draw);

/* Each tab shows its own sounds again when it is opened. */
const lastShown = new Map(); // method → facts of the runs that were shown last
let tabBefore = "";
on("tab", () => {
  const heard = lastShown.get(state.tab);
  if (state.tab !== tabBefore && heard && heard !== state.shown && !state.loading) {
    state.shown = heard;
    emit("result");
  }
  tabBefore = state.tab;
});

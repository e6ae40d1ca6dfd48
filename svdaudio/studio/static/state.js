/* The state of the page, and all functions that change it. Modules that draw subscribe to topics:
   "tab" (another tab, or everything in it), "objects" (points, boxes, mask files, names, gains), "settings", "masks", "plan",
   "feedback", "job", "result", "errors", "connection", "bundles". */

const KEY = "svdaudio-studio";
const topics = new Map();
export const on = (names, act) => {
  for (const name of names.split(" ")) topics.set(name, [...(topics.get(name) ?? []), act]);
};
export const emit = (...names) => {
  for (const act of new Set(names.flatMap((name) => topics.get(name) ?? []))) act();
};

export const BATCH = "batch";
export const QUIETEST_DB = -60;
export const LOUDEST_DB = 24;
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,39}$/;
const N_UNDO = 100;

export const state = {
  start: null,
  tab: "",
  works: {},           // method → { files, objects, settings, active, channels, bundle }
  past: {},            // method → earlier works, for undo
  masks: new Map(),    // key of a prompt → { path, score, share } or { error }
  plan: null,
  needs: "",           // what the user has to do before a plan is possible
  feedback: null,
  job: null,
  progress: new Map(), // node → { kind, status, seconds, text }
  counts: { n_done: 0, n_total: 0 },
  shown: [],           // the runs on the page
  loading: "",
  errors: {},          // field → message; "" for errors of no field
  connected: true,
  locked: true,        // the seed
  asYouChange: false,
};

export const tab = () => state.start.tabs.find((one) => one.method === state.tab);
export const work = () => state.works[state.tab];
/* The bundle of a tab: the chosen one, else its method's own, else the studio's. */
export const bundleOf = (method = state.tab) => state.works[method]?.bundle ?? state.start.tabs.find((one) => one.method === method)?.bundle ?? state.start.bundle;
export const objectsParameter = (one = tab()) => (one.objects === true ? "objects" : one.objects || null);

/* -- regions and objects ------------------------------------------------------------------------------------------ */

/* The regions of a tab, in which objects can be: [{ name, label, picture, style }] */
export const regions = (one = tab()) => {
  const styles = { remove: "removed", add: "added" };
  const found = (one.regions ?? []).map((region, place) => ({ ...region, style: styles[region.name] ?? `object-${place + 1}` }));
  return objectsParameter(one) ? [...found, { name: "", label: "objects", picture: one.files[0], style: "" }] : found;
};
export const regionOf = (object, one = tab()) => regions(one).find((region) => region.name === object.region);
export const styleOf = (object) => {
  const region = regionOf(object);
  if (region.style) return region.style;
  return `object-${(work().objects.filter((one) => one.region === "").indexOf(object) % 7) + 1}`;
};
/* Whether an object has neither clicks nor a box nor a mask file. */
export const isEmpty = (object) => !object.points.length && !object.box && !object.mask;
const EMPTY = { points: [], box: null, mask: null };
export const pictureOf = (object) => work().files[regionOf(object).picture] ?? null;
export const active = (picture = null) => {
  const fits = (one) => picture === null || regionOf(one).picture === picture;
  return work().objects.find((one) => one.id === work().active && fits(one)) ?? work().objects.find(fits) ?? null;
};

/* The channels: what has a gain in addition to objects. */
const CHANNELS = [{ id: "removed", gain: "-inf", usual: "-inf" }, { id: "added", gain: 0, usual: 0 }, { id: "rest", gain: 0, usual: 0 }];
const FORM = "edit.form", FORM_WITHOUT_GAINS = "svd";
/* The channels of the tab: the rest if it has objects; all three in the forms of the edit that have gains. */
export const channels = () => {
  if (objectsParameter()) return work().channels.filter((one) => one.id === "rest");
  const form = tab().parameters.find((one) => one.name === FORM);
  return form && valueOf(form) !== FORM_WITHOUT_GAINS ? work().channels : [];
};

let made = 0;
const object = (region, name, points = []) => ({ id: `o${Date.now().toString(36)}${++made}`, region, name, points, box: null, mask: null, gain: 0, usual: 0, muted: false, solo: false });
const freeName = (base, objects) => {
  const taken = new Set(objects.map((one) => one.name));
  for (let place = 1; ; place++) if (!taken.has(`${base}${place}`)) return `${base}${place}`;
};

const emptyWork = (one) => {
  const fresh = { files: Object.fromEntries(one.files.map((name) => [name, null])), objects: [], settings: {}, active: null, channels: CHANNELS.map((channel) => ({ ...channel, muted: false, solo: false })) };
  for (const region of one.regions ?? []) fresh.objects.push(object(region.name, region.name));
  return fresh;
};

/* The work of a tab, with the pictures and clicks of an example. */
const exampleWork = (one, example) => {
  const fresh = emptyWork(one);
  for (const name of one.files) fresh.files[name] = example.files[name] ?? example.files.original;
  for (const each of fresh.objects) each.points = (example.regions[each.region] ?? []).map((point) => [...point]);
  if (objectsParameter(one)) {
    const named = Object.entries(example.objects ?? {});
    const given = named.length ? named : [["object1", example.regions.remove ?? []]];
    for (const [name, points] of given) fresh.objects.push(object("", name, points.map((point) => [...point])));
  }
  fresh.active = fresh.objects[0]?.id ?? null;
  return fresh;
};

/* -- changes ------------------------------------------------------------------------------------------------------ */

let lastTag = "", lastAt = 0;
/* Saves the work for undo. Changes with the same tag in quick succession, such as those of a slider, count as one. */
const remember = (tag = "") => {
  forgetUploadErrors();
  const quick = tag !== "" && tag === lastTag && Date.now() - lastAt < 800;
  [lastTag, lastAt] = [tag, Date.now()];
  if (quick) return;
  const past = (state.past[state.tab] ??= []);
  past.push(structuredClone(work()));
  if (past.length > N_UNDO) past.shift();
};
let changed = () => {};
/* Calls act(settled) after each change of the request; settled is false while a slider still moves. */
export const onChange = (act) => { changed = act; };
const after = (settled, ...names) => { save(); emit(...names); changed(settled); };

export const undo = () => {
  const before = state.past[state.tab]?.pop();
  lastTag = "";
  if (!before) return false;
  forgetUploadErrors();
  state.works[state.tab] = before;
  after(true, "tab");
  return true;
};
export const canUndo = () => Boolean(state.past[state.tab]?.length);

export const openTab = (method) => {
  state.tab = method;
  state.errors = {};
  uploadErrors.clear();
  if (method !== BATCH) after(true, "tab");
  else { save(); emit("tab"); }
};
export const openExample = (name) => {
  remember();
  state.works[state.tab] = { ...exampleWork(tab(), state.start.examples.find((one) => one.name === name)), settings: work().settings };
  after(true, "tab");
};
export const setPicture = (name, picture) => {
  remember();
  work().files[name] = picture;
  for (const one of work().objects) if (regionOf(one).picture === name) Object.assign(one, structuredClone(EMPTY));
  after(true, "tab");
};

export const addPoint = (picture, x, y, label) => {
  remember();
  const at = active(picture) ?? newObject(picture);
  at.points.push([x, y, label]);
  at.mask = null;
  work().active = at.id;
  after(true, "objects");
};
export const setBox = (picture, box) => {
  remember();
  const at = active(picture) ?? newObject(picture);
  at.box = box;
  at.mask = null;
  work().active = at.id;
  after(true, "objects");
};
/* Replaces an object's clicks and box by a mask file. */
export const setMask = (one, { id, name }) => {
  remember();
  Object.assign(one, structuredClone(EMPTY), { mask: { id, name } });
  work().active = one.id;
  after(true, "objects");
};
/* The field of errors about an object's mask file. */
export const maskField = (one) => `mask ${one.id}`;
const newObject = (picture) => {
  const region = regions().find((one) => one.picture === picture);
  const fresh = object(region.name, freeName(region.name || "object", work().objects));
  work().objects.push(fresh);
  return fresh;
};
export const addObject = (region) => {
  remember();
  const fresh = object(region.name, freeName(region.name || "object", work().objects));
  work().objects.push(fresh);
  work().active = fresh.id;
  after(true, "objects");
};
export const clearObject = (one) => {
  remember();
  Object.assign(one, structuredClone(EMPTY));
  after(true, "objects");
};
export const removeObject = (one) => {
  remember();
  work().objects = work().objects.filter((each) => each !== one);
  if (work().active === one.id) work().active = work().objects[0]?.id ?? null;
  after(true, "objects");
};
export const choose = (one) => { work().active = one.id; save(); emit("objects"); };
/* Renames an object; returns the error message, or "". */
export const rename = (one, name) => {
  if (name === one.name) return "";
  if (!NAME.test(name)) return "a name starts with a letter, followed by letters, digits, - or _";
  if (name === "rest" || work().objects.some((each) => each !== one && each.name === name)) return `the name '${name}' is taken`;
  remember();
  one.name = name;
  after(true, "objects");
  return "";
};
/* Sets the gain of an object or of a channel. */
export const setGain = (one, gain, settled = true) => {
  remember(`gain ${one.id}`);
  one.gain = gain === "-inf" || gain <= QUIETEST_DB ? "-inf" : Math.min(LOUDEST_DB, gain);
  one.muted = false;
  after(settled, "levels");
};
export const toggle = (one, what) => {
  remember();
  one[what] = !one[what];
  after(true, "levels");
};
/* The effective gain: silence if muted, or if only others are solo. */
export const effectiveGain = (one) => {
  const all = [...work().objects, ...channels()];
  const silent = one.muted || (all.some((each) => each.solo) && !one.solo);
  return silent ? "-inf" : one.gain;
};

export const defaultOf = (parameter) => {
  const bundle = state.start.bundles.find((one) => one.name === bundleOf());
  return bundle?.settings?.[parameter.name] ?? parameter.default;
};
export const valueOf = (parameter) => work().settings[parameter.name] ?? defaultOf(parameter);
export const isChanged = (parameter) => parameter.name in work().settings;
export const setValue = (parameter, value, settled = true) => {
  remember(`set ${parameter.name}`);
  if (value === null || value === defaultOf(parameter)) delete work().settings[parameter.name];
  else work().settings[parameter.name] = value;
  delete state.errors[parameter.name];
  after(settled, settled ? "settings" : "sliding");
};
export const setBundle = (name) => { work().bundle = name; state.masks.clear(); after(true, "tab"); };

export const setError = (error) => {
  state.errors = { ...state.errors, [error.field ?? ""]: error.message };
  emit("errors");
};
/* The error of a refused upload. It stays until the next change: a plan that succeeds does not resolve it. */
const uploadErrors = new Set(); // fields
export const setUploadError = (field, message) => {
  uploadErrors.add(field);
  setError({ field, message });
};
const keepErrors = (kept) => {
  const found = Object.entries(state.errors).filter(([field]) => kept(field));
  if (found.length === Object.keys(state.errors).length) return;
  state.errors = Object.fromEntries(found);
  emit("errors");
};
export const clearErrors = () => keepErrors((field) => uploadErrors.has(field));
const forgetUploadErrors = () => {
  keepErrors((field) => !uploadErrors.has(field));
  uploadErrors.clear();
};

/* -- requests to the server --------------------------------------------------------------------------------------- */

const prompt = (one) => (one.mask ? { mask: one.mask.id } : { ...(one.points.length ? { points: one.points } : {}), ...(one.box ? { box: one.box } : {}) });
/* The request for the mask of an object, or null if it is empty. */
export const maskRequest = (one) => {
  const picture = pictureOf(one);
  return picture === null || isEmpty(one) ? null : { picture: picture.id, bundle: bundleOf(), prompt: prompt(one) };
};
export const maskOf = (one) => {
  const wanted = maskRequest(one);
  return wanted && (state.masks.get(JSON.stringify(wanted)) ?? null);
};

/* A single object that is named like its region is given by its clicks alone. */
const regionSetting = (found, region) =>
  found.length === 1 && !found[0].box && !found[0].mask && found[0].name === region ? found[0].points : Object.fromEntries(found.map((one) => [one.name, prompt(one)]));
export const currentRequest = () => {
  const settings = { ...work().settings };
  const pointed = work().objects.filter((one) => !isEmpty(one));
  for (const region of tab().regions ?? []) {
    const found = pointed.filter((one) => one.region === region.name);
    if (found.length) settings[region.name] = regionSetting(found, region.name);
  }
  const parameter = objectsParameter();
  if (parameter) {
    const found = pointed.filter((one) => one.region === "");
    settings[parameter] = Object.fromEntries(found.map((one) => [one.name, prompt(one)]));
    settings.gains = Object.fromEntries(found.map((one) => [one.name, effectiveGain(one)]));
  }
  for (const one of channels()) settings.gains = { ...settings.gains, [one.id]: effectiveGain(one) };
  const files = Object.fromEntries(Object.entries(work().files).map(([name, picture]) => [name, picture?.id]));
  return { method: state.tab, bundle: bundleOf(), files, settings };
};
/* Whether a job computes the current request. */
export const isCurrent = (job) => work() !== undefined && JSON.stringify(sorted(job.ask)) === JSON.stringify(sorted(currentRequest()));
const sorted = (value) =>
  Array.isArray(value) ? value.map(sorted)
    : value !== null && typeof value === "object" ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])])) : value;
/* What the user has to do before a plan is possible; "" if nothing. */
export const missing = () => {
  for (const [name, picture] of Object.entries(work().files))
    if (!picture) return `Drop the ${name} picture, or choose the example.`;
  if (!tab().regions_optional && work().objects.every(isEmpty)) return "Click an object in the picture, or choose a mask file.";
  return "";
};

/* -- across reloads ----------------------------------------------------------------------------------------------- */

export const save = () => {
  const { tab: open, works, locked, asYouChange } = state;
  try { sessionStorage.setItem(KEY, JSON.stringify({ tab: open, works, locked, asYouChange })); }
  catch { /* without storage, a reload starts with the example */ }
};
/* Restores the state of this browser tab on top of the start data. */
export const begin = (start) => {
  let kept = {};
  try { kept = JSON.parse(sessionStorage.getItem(KEY)) ?? {}; } catch { /* start with the example */ }
  state.start = start;
  state.locked = kept.locked ?? true;
  state.asYouChange = kept.asYouChange ?? false;
  for (const one of start.tabs)
    state.works[one.method] = kept.works?.[one.method] ?? (start.examples.length ? exampleWork(one, start.examples[0]) : emptyWork(one));
  for (const one of Object.values(state.works))
    if (!start.bundles.some((bundle) => bundle.name === one.bundle)) delete one.bundle;
  const tabs = [...start.tabs.map((one) => one.method), BATCH];
  state.tab = tabs.includes(kept.tab) ? kept.tab : tabs[0];
};

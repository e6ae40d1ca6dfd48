/* From a change to a sound: the plan, the feedback on embeddings, the job and its progress. */
import * as api from "./api.js";
import { debounced } from "./dom.js";
import { masksAreThere } from "./masks.js";
import { clearErrors, currentRequest, emit, missing, onChange, save, setError, setValue, state, tab, work } from "./state.js";

let planned = 0;
const plan = async () => {
  if (!work()) return;
  const number = ++planned;
  state.needs = missing();
  if (state.needs) { state.plan = null; emit("plan"); return; }
  try {
    const found = await api.plan(currentRequest());
    if (number !== planned) return;
    state.plan = found;
    clearErrors();
  } catch (error) {
    if (number !== planned) return;
    state.plan = null;
    if (error.status !== 0) setError(error);
  }
  emit("plan");
};
const planSoon = debounced(plan, 150);

/* One request at a time; a newer one starts when the current one has ended. */
let updating = false, updateAgain = false;
const updateFeedback = async () => {
  if (!work() || missing()) { state.feedback = null; emit("feedback"); return; }
  if (updating) { updateAgain = true; return; }
  updating = true;
  const opened = state.tab;
  try {
    await masksAreThere();
    const found = await api.feedback(currentRequest());
    if (opened === state.tab) { state.feedback = found; emit("feedback"); }
  } catch (error) {
    if (opened === state.tab) { state.feedback = error.status === 0 ? state.feedback : null; emit("feedback"); } // the plan reports the error
  } finally {
    updating = false;
    if (updateAgain) { updateAgain = false; updateFeedback(); }
  }
};

export const isBusy = () => state.job !== null && ["queued", "running"].includes(state.job.state);

const startSoon = debounced(() => { if (work() && !missing()) makeSound(); }, 350);
/* While a slider moves, the feedback is updated at once. After it settles, the plan comes first: it would otherwise
   omit the stages that the feedback has just computed. */
onChange((settled) => {
  if (settled) planAgain();
  else { planSoon(); updateFeedback(); }
  if (settled && state.asYouChange) startSoon();
});
export const planAgain = async () => {
  await plan();
  await updateFeedback();
};
export const setAsYouChange = (on) => {
  state.asYouChange = on;
  save();
  if (on && state.plan?.will_run.length) startSoon();
};

let unfollow = () => {};
/* Follows a job that the server runs for this browser. */
export const follow = (job) => {
  unfollow();
  state.job = job;
  state.progress = new Map();
  state.counts = { n_done: 0, n_total: 0 };
  emit("job");
  unfollow = api.follow(job.id, {
    onConnect: () => { state.progress = new Map(); },
    onGone: () => {
      state.job = { ...state.job, state: "failed", error: { error: "The studio was restarted. Generate the sound again; finished stages are kept.", field: null } };
      emit("job");
    },
    onEvent: (name, data) => {
      if (name === "stage") {
        state.progress.set(data.node, data);
        state.counts = { n_done: data.n_done, n_total: data.n_total };
      } else if (name === "job") {
        const before = state.job;
        state.job = { ...data, stopping: before.stopping };
        if (before.state !== data.state && data.state === "finished") finished(data);
        if (data.state === "failed" && data.error) setError({ field: data.error.field, message: data.error.error });
      }
      emit("job");
    },
  });
};

const finished = async (job) => {
  await showRuns([job.run]);
  planAgain();
};

/* Shows the sounds of one run, or of two side by side. */
let newest = 0;
export const showRuns = async (ids) => {
  const mine = ++newest;
  state.loading = "Loading the sounds…";
  emit("result");
  try {
    const found = await Promise.all(ids.map(api.run));
    if (mine === newest) state.shown = found;
  } catch (error) { setError(error); }
  if (mine !== newest) return;
  state.loading = "";
  emit("result");
};

export const makeSound = async () => {
  if (!work()) return;
  state.needs = missing();
  if (state.needs) { emit("plan"); setError({ field: null, message: state.needs }); return; }
  const seed = tab().parameters.find((one) => one.name === "seed");
  if (!state.locked && seed && !state.asYouChange) setValue(seed, Math.floor(Math.random() * 2 ** 31), false), emit("settings");
  try {
    const job = await api.submit({ ...currentRequest(), replaces: isBusy() ? state.job.id : null });
    clearErrors();
    follow(job);
  } catch (error) { setError(error); }
};
export const stopJob = async () => {
  if (!isBusy()) return;
  try {
    const stopped = await api.stop(state.job.id);
    if (stopped.id !== state.job.id) return;
    state.job = { ...stopped, stopping: true };
    emit("job");
  } catch (error) { setError(error); }
};
export const pick = async (run, candidate) => {
  try { follow(await api.pick(run, candidate)); }
  catch (error) { setError(error); }
};

/* The server. Every refusal is an ApiError with one line for people and the field that it is about. */

export class ApiError extends Error {
  constructor(text, field, status) { super(text); this.field = field; this.status = status; }
}

let onConnection = () => {};
/* act(true) when the server answers again, act(false) when it does not. */
export const watchConnection = (act) => { onConnection = act; };

const ask = async (path, options = {}) => {
  let answer;
  try { answer = await fetch(path, { credentials: "same-origin", ...options }); }
  catch (error) {
    if (error.name === "AbortError") throw error;
    onConnection(false);
    throw new ApiError("The studio does not answer.", null, 0);
  }
  onConnection(true);
  if (answer.status === 401) { location.assign("/login"); throw new ApiError("Sign in.", null, 401); }
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  const text = typeof said.error === "string" ? said.error : `The studio refused this (${answer.status}).`;
  throw new ApiError(text, said.field ?? null, answer.status);
};
const post = (path, body, options = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

let maxBytes = Infinity;
export const start = async () => {
  const found = await ask("/api/start");
  maxBytes = found.max_upload_bytes;
  return found;
};
/* A file that is too large is refused here: a server that answers before it has read all of it would cut the line. */
const send = (path, file) => {
  if (file.size > maxBytes) throw new ApiError(`${file.name} is too large: expected at most ${Math.floor(maxBytes / 2 ** 20)} MB, got ${Math.ceil(file.size / 2 ** 20)} MB.`, null, 413);
  return ask(path, { method: "POST", headers: { "X-Name": encodeURIComponent(file.name) }, body: file });
};
export const upload = async (file) => send("/api/pictures", file);
/* A mask for an object of a picture. */
export const uploadMask = async (file, picture) => send(`/api/masks?${new URLSearchParams({ picture })}`, file);
export const mask = (body) => post("/api/mask", body);
export const plan = (body) => post("/api/plan", body);
export const feedback = (body) => post("/api/feedback", body);
export const submit = (body) => post("/api/jobs", body);
export const stop = (job) => post(`/api/jobs/${encodeURIComponent(job)}/stop`, {});
export const run = (id) => ask(`/api/runs/${encodeURIComponent(id)}`);
export const star = (id, starred) => post(`/api/runs/${encodeURIComponent(id)}/star`, { starred });
export const resume = (id) => post(`/api/runs/${encodeURIComponent(id)}/resume`, {});
export const pick = (id, candidate) => post(`/api/runs/${encodeURIComponent(id)}/pick`, { candidate });
export const history = (search, starred) =>
  ask(`/api/history?${new URLSearchParams({ search, ...(starred ? { starred: "1" } : {}), limit: "50" })}`);
export const bundles = () => ask("/api/bundles");
export const fetchBundle = (name, trust) => post(`/api/bundles/${encodeURIComponent(name)}/fetch`, { trust });
export const batch = (body) => post("/api/batch", body);
export const address = {
  report: (id) => `/api/runs/${encodeURIComponent(id)}/report`,
  config: (id) => `/api/runs/${encodeURIComponent(id)}/config.toml`,
  sound: (id, name, suffix) => `/api/runs/${encodeURIComponent(id)}/sounds/${encodeURIComponent(name)}.${suffix}`,
  table: (job) => `/api/jobs/${encodeURIComponent(job)}/table.csv`,
};

/* Follow a job from its beginning, through lost connections, until it is over.
   began() is called at each connection, since events come from the beginning then; gone() if the server no longer
   knows the job, which known() asks. Returns a function that stops following. */
const isMine = async (job) => (await start()).jobs.some((one) => one.id === job);
export const follow = (job, { began, event, gone, known = () => isMine(job) }) => {
  let source = null, waiting = 0, over = false;
  const connect = () => {
    source = new EventSource(`/api/jobs/${encodeURIComponent(job)}/events`);
    source.onopen = () => { onConnection(true); began(); };
    for (const name of ["job", "stage", "row", "model", "bytes"])
      source.addEventListener(name, (message) => {
        const data = JSON.parse(message.data);
        if (name === "job" && ["finished", "failed", "stopped"].includes(data.state)) end();
        event(name, data);
      });
    source.onerror = async () => {
      if (over) return;
      const refused = source.readyState === EventSource.CLOSED;
      if (!refused) { onConnection(false); return; } // the browser connects again by itself
      source.close();
      try { if (!(await known())) { end(); gone(); return; } }
      catch { /* not there either: try again below */ }
      waiting = setTimeout(connect, 1000);
    };
  };
  const end = () => { over = true; clearTimeout(waiting); source.close(); };
  connect();
  return end;
};

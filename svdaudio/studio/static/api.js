/* Requests to the server. A refused one throws an ApiError with a one-line message and the field that it concerns. */

export class ApiError extends Error {
  constructor(text, field, status) { super(text); this.field = field; this.status = status; }
}

let onConnection = () => {};
/* Calls act(true) when the server responds again, and act(false) when it does not respond. */
export const watchConnection = (act) => { onConnection = act; };

const request = async (path, options = {}) => {
  let answer;
  try { answer = await fetch(path, { credentials: "same-origin", ...options }); }
  catch (error) {
    if (error.name === "AbortError") throw error;
    onConnection(false);
    throw new ApiError("The studio is not responding.", null, 0);
  }
  onConnection(true);
  if (answer.status === 401) { location.assign("/login"); throw new ApiError("Sign in.", null, 401); }
  if (answer.ok) return answer.json();
  const refusal = await answer.json().catch(() => ({}));
  const text = typeof refusal.error === "string" ? refusal.error : `The studio refused the request (${answer.status}).`;
  throw new ApiError(text, refusal.field ?? null, answer.status);
};
const post = (path, body, options = {}) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

let maxBytes = Infinity;
export const start = async () => {
  const found = await request("/api/start");
  maxBytes = found.max_upload_bytes;
  return found;
};
/* A file that is too large is refused here: the server would close the connection before it had read all of it. */
const send = (path, file) => {
  if (file.size > maxBytes) throw new ApiError(`${file.name} is too large: expected at most ${Math.floor(maxBytes / 2 ** 20)} MB, got ${Math.ceil(file.size / 2 ** 20)} MB.`, null, 413);
  return request(path, { method: "POST", headers: { "X-Name": encodeURIComponent(file.name) }, body: file });
};
export const upload = async (file) => send("/api/pictures", file);
/* Uploads a mask for an object of a picture. */
export const uploadMask = async (file, picture) => send(`/api/masks?${new URLSearchParams({ picture })}`, file);
export const mask = (body) => post("/api/mask", body);
export const plan = (body) => post("/api/plan", body);
export const feedback = (body) => post("/api/feedback", body);
export const submit = (body) => post("/api/jobs", body);
export const stop = (job) => post(`/api/jobs/${encodeURIComponent(job)}/stop`, {});
export const run = (id) => request(`/api/runs/${encodeURIComponent(id)}`);
export const star = (id, starred) => post(`/api/runs/${encodeURIComponent(id)}/star`, { starred });
export const resume = (id) => post(`/api/runs/${encodeURIComponent(id)}/resume`, {});
export const pick = (id, candidate) => post(`/api/runs/${encodeURIComponent(id)}/pick`, { candidate });
export const history = (search, starred) =>
  request(`/api/history?${new URLSearchParams({ search, ...(starred ? { starred: "1" } : {}), limit: "50" })}`);
export const bundles = () => request("/api/bundles");
export const fetchBundle = (name, trust) => post(`/api/bundles/${encodeURIComponent(name)}/fetch`, { trust });
export const batch = (body) => post("/api/batch", body);
export const address = {
  report: (id) => `/api/runs/${encodeURIComponent(id)}/report`,
  config: (id) => `/api/runs/${encodeURIComponent(id)}/config.toml`,
  sound: (id, name, suffix) => `/api/runs/${encodeURIComponent(id)}/sounds/${encodeURIComponent(name)}.${suffix}`,
  table: (job) => `/api/jobs/${encodeURIComponent(job)}/table.csv`,
};

/* Follows a job from its first event, through lost connections, until it ends.
   onConnect() is called at each connection, which repeats all events; onGone() if the server no longer knows the job,
   which isKnown() checks. Returns a function that stops following. */
const isMine = async (job) => (await start()).jobs.some((one) => one.id === job);
export const follow = (job, { onConnect, onEvent, onGone, isKnown = () => isMine(job) }) => {
  let source = null, waiting = 0, over = false;
  const connect = () => {
    source = new EventSource(`/api/jobs/${encodeURIComponent(job)}/events`);
    source.onopen = () => { onConnection(true); onConnect(); };
    for (const name of ["job", "stage", "row", "model", "bytes"])
      source.addEventListener(name, (message) => {
        const data = JSON.parse(message.data);
        if (name === "job" && ["finished", "failed", "stopped"].includes(data.state)) end();
        onEvent(name, data);
      });
    source.onerror = async () => {
      if (over) return;
      const refused = source.readyState === EventSource.CLOSED;
      if (!refused) { onConnection(false); return; } // the browser reconnects by itself
      source.close();
      try { if (!(await isKnown())) { end(); onGone(); return; } }
      catch { /* still no response: retried below */ }
      waiting = setTimeout(connect, 1000);
    };
  };
  const end = () => { over = true; clearTimeout(waiting); source.close(); };
  connect();
  return end;
};

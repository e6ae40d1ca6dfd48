/* The masks of objects: the newest prompt of each, one request at a time. */
import * as api from "./api.js";
import { number, say } from "./dom.js";
import { emit, maskAsk, maskOf, on, setError, state, work } from "./state.js";

let asking = null;
const fetchAll = async () => {
  for (let due; (due = work()?.objects.find((one) => maskAsk(one) && !maskOf(one))); ) {
    const wanted = maskAsk(due), key = JSON.stringify(wanted), name = due.name;
    try {
      state.masks.set(key, await api.mask(wanted));
      say(`${name}: ${maskText(state.masks.get(key))}`);
    } catch (error) {
      if (error.status === 0) return; // asked again when the studio answers
      state.masks.set(key, { error: error.message });
      setError(error);
    }
    emit("masks");
  }
};
const fetchMasks = () => { asking ??= fetchAll().finally(() => { asking = null; }); };
/* Resolves when no mask is being asked for: what takes longer waits for that. */
export const masksAreThere = async () => { while (asking) await asking; };

export const maskText = (mask) =>
  mask.error ? "no mask" : `${mask.score === null ? "" : `score ${number(mask.score)}, `}${number(100 * mask.share, 1)} % of the picture`;

on("tab objects connection", fetchMasks);

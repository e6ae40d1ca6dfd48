/* Requests the mask of each object's newest prompt, one at a time. */
import * as api from "./api.js";
import { announce, number } from "./dom.js";
import { emit, maskOf, maskRequest, on, setError, state, work } from "./state.js";

let fetching = null;
const fetchAll = async () => {
  for (let due; (due = work()?.objects.find((one) => maskRequest(one) && !maskOf(one))); ) {
    const wanted = maskRequest(due), key = JSON.stringify(wanted), name = due.name;
    try {
      state.masks.set(key, await api.mask(wanted));
      announce(`${name}: ${maskText(state.masks.get(key))}`);
    } catch (error) {
      if (error.status === 0) return; // requested again when the studio responds
      state.masks.set(key, { error: error.message });
      setError(error);
    }
    emit("masks");
  }
};
const fetchMasks = () => { fetching ??= fetchAll().finally(() => { fetching = null; }); };
/* Resolves when no mask is being requested: slower requests wait for that. */
export const masksAreThere = async () => { while (fetching) await fetching; };

export const maskText = (mask) =>
  mask.error ? "no mask" : `${mask.score === null ? "" : `score ${number(mask.score)}, `}${number(100 * mask.share, 1)} % of the picture`;

on("tab objects connection", fetchMasks);

// Asks the API, and learns on the way which attributes a catalogue can count.

import * as api from "/js/api.js";
import { facetsOf, sampleOf } from "/js/catalogue.js";
import { formOf } from "/js/query.js";

const INFERRED = "inferred.";
const names = new Map();
let running = null;

/** The facets that a catalogue can answer, as far as its sample shows. */
async function facetNames(catalog) {
  if (!names.has(catalog)) {
    const sample = await sampleOf(catalog);
    if (!names.has(catalog)) names.set(catalog, facetsOf(sample));
  }
  return names.get(catalog);
}

/** After the refusal of `facets[i]`: asks for the inferred label instead, or not at all. True when it helped. */
function refused(catalog, field) {
  const place = Number(/^facets\[(\d+)\]/.exec(field)?.[1] ?? -1);
  const own = names.get(catalog);
  if (!(place in own)) return false;
  const name = own[place];
  const canBeSeen = !name.startsWith(INFERRED) && name !== "price" && name !== "pattern";
  own.splice(place, 1, ...(canBeSeen ? [`${INFERRED}${name}`] : []));
  return true;
}

/** Gives up the search that is under way: another one has taken its place. */
export const giveUp = () => running?.abort();

/**
 * The answer to a state, or its next page; `tookMs` is added to it.
 *
 * A search before it is given up, which raises AbortError there. Raises api.Problem.
 */
export async function search(state, { profile, pageToken = "" } = {}) {
  giveUp();
  const own = new AbortController();
  running = own;
  const start = performance.now();
  for (;;) {
    const facets = await facetNames(state.catalog);
    own.signal.throwIfAborted();
    try {
      const form = formOf(state, { facets, profile, pageToken });
      const response = await api.search(state.catalog, form, own.signal);
      return { ...response, tookMs: performance.now() - start };
    } catch (error) {
      // A catalogue need not have every attribute that the page knows of.
      if (error.reason !== "INVALID_ARGUMENT" || !refused(state.catalog, error.field)) throw error;
    }
  }
}

// What is searched for: kept in the address, except a photo, which is kept in memory.

export const FILTERED = ["gender", "category", "colour"];

const photos = new Map();
let photoCount = 0;

export function emptyState(catalog = "") {
  return { catalog, words: "", product: "", photo: null, profile: "", min: "", max: "", chosen: {} };
}

export const isEmpty = (state) => !state.words && !state.product && !state.photo;

/** How many filters are set. */
export function filterCount(state) {
  const values = Object.values(state.chosen).reduce((sum, list) => sum + list.length, 0);
  return values + (state.min !== "" || state.max !== "" ? 1 : 0);
}

export function read() {
  const address = new URLSearchParams(location.search);
  const state = emptyState(address.get("catalog") ?? "");
  state.words = address.get("q") ?? "";
  state.product = address.get("product") ?? "";
  state.profile = address.get("profile") ?? "";
  [state.min, state.max] = readRange(address);
  state.photo = photos.get(history.state?.photo) ?? null;
  for (const name of FILTERED) {
    for (const attribute of [name, `inferred.${name}`]) {
      const values = address.getAll(attribute);
      if (values.length) state.chosen[attribute] = values;
    }
  }
  return state;
}

/** Whether a price range is the wrong way round, so that nothing could pass it. */
export const isReversed = (min, max) => min !== "" && max !== "" && Number(min) > Number(max);

function readRange(address) {
  const [min, max] = ["min", "max"].map((name) => {
    const typed = address.get(name) ?? "";
    return Number.isFinite(Number(typed)) ? typed.trim() : "";
  });
  return isReversed(min, max) ? [max, min] : [min, max];
}

/** Puts the state into the address, as a new entry of the history or in place of the present one. */
export function write(state, { replace = false } = {}) {
  const address = new URLSearchParams();
  const plain = { catalog: state.catalog, q: state.words, product: state.product, profile: state.profile, min: state.min, max: state.max };
  for (const [name, value] of Object.entries(plain)) if (value) address.set(name, value);
  for (const [attribute, values] of Object.entries(state.chosen)) values.forEach((value) => address.append(attribute, value));
  const entry = state.photo ? { photo: keep(state.photo) } : null;
  const url = address.size ? `/?${address}` : "/";
  history[replace ? "replaceState" : "pushState"](entry, "", url);
}

function keep(photo) {
  for (const [key, kept] of photos) if (kept === photo) return key;
  photoCount += 1;
  photos.set(photoCount, photo);
  // Going back finds the last few photos; older ones would only fill the memory.
  if (photos.size > 10) photos.delete(photos.keys().next().value);
  return photoCount;
}

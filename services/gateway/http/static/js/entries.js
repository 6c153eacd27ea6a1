// The entries of the browser's history: which photo each searched with, and where the visitor was in it.

import { held, hold } from "/js/kept.js";

const KEPT = 100;
const PLACES = "places";
// How far down the visitor was, in pixels, by entry. An entry that was left cannot be written to any more.
const places = new Map(JSON.parse(held(PLACES) ?? "[]"));
let present = "";

const newId = () => `${Date.now()}.${Math.random()}`;

function leave() {
  places.delete(present);
  places.set(present, scrollY);
  if (places.size > KEPT) places.delete(places.keys().next().value);
}

/** Takes scrolling over from the browser, which knows nothing of hits that come late. */
export function begin({ isProduct }) {
  history.scrollRestoration = "manual";
  // Whoever came by a link to a product has seen no hits before.
  const fresh = { id: newId(), photo: null, steps: isProduct ? null : 0 };
  if (!history.state?.id) history.replaceState({ ...fresh, ...history.state }, "");
  present = history.state.id;
  addEventListener("pagehide", () => {
    leave();
    hold(PLACES, JSON.stringify([...places]));
  });
}

/** Makes an address a new entry, or the present one; `photo` is the id of the query's photo. */
export function enter(address, { photo = null, isProduct = false, replace = false } = {}) {
  if (!replace) leave();
  const before = history.state?.steps ?? null;
  const deeper = before === null ? null : before + 1;
  const steps = isProduct && replace ? before : deeper;
  const entry = { id: replace ? present : newId(), photo, steps: isProduct ? steps : 0 };
  history[replace ? "replaceState" : "pushState"](entry, "", address);
  present = entry.id;
}

/** To be called when the browser has gone to another entry: how far down the visitor was in it, in pixels. */
export function arrive() {
  leave();
  present = history.state?.id ?? newId();
  return place();
}

/** How far down the visitor was in the present entry when it was left, in pixels. */
export const place = () => places.get(present) ?? 0;

/** The id of the photo that the present entry searched with, or null. */
export const photoId = () => history.state?.photo ?? null;

/** How many entries ago hits were shown; 0 when they are now, null when they never were. */
export const stepsFromHits = () => history.state?.steps ?? null;

// The pairs that the visitor has decided to keep, which are shown no more. They are known in this browser alone.

import { nameOf } from "/js/console/duplicates/groups.js";
import { remember, remembered } from "/js/kept.js";

const MOST = 2_000;

const place = (catalog) => `duplicates.${catalog}`;
const known = (catalog) => JSON.parse(remembered(place(catalog)) ?? "[]");

/** Pairs that are to be decided, and those that are kept. */
export function sorted(catalog, pairs) {
  const kept = new Set(known(catalog));
  const isKept = (pair) => kept.has(nameOf(pair));
  return { open: pairs.filter((pair) => !isKept(pair)), kept: pairs.filter(isKept) };
}

/** Keeps both products of each pair. Of very many decisions the oldest are forgotten. */
export function keepBoth(catalog, pairs) {
  const names = new Set([...known(catalog), ...pairs.map(nameOf)]);
  remember(place(catalog), JSON.stringify([...names].slice(-MOST)));
}

/** Takes decisions back. */
export function reconsider(catalog, pairs) {
  const undone = new Set(pairs.map(nameOf));
  const left = known(catalog).filter((name) => !undone.has(name));
  remember(place(catalog), left.length ? JSON.stringify(left) : "");
}

// What is searched for and looked at: kept in the address, but for a photo, which js/photos.js keeps.

import * as entries from "/js/entries.js";
import * as photos from "/js/photos.js";

// The filters in the order of the page, as far as a catalogue has them: what halves the choice at once comes first.
const ORDER = ["gender", "price", "category", "colour", "pattern"];

/** The attributes to filter by with values; price is a range. */
export const FILTERED = ORDER.filter((name) => name !== "price");

/** The place of an attribute, or of what models saw of it, among the filters; what the page does not know comes last. */
export function placeOf(attribute) {
  const place = ORDER.indexOf(attribute.replace("inferred.", ""));
  return place < 0 ? ORDER.length : place;
}

/** The share of words beside a photo or products, in percent, when nothing else is said. */
export const EVEN_MIX = 50;
const ALL_WORDS = 100;

const EDGES = ["left", "top", "right", "bottom"];
// A price in the address.
const PRICE = /^\d+(?:\.\d+)?$/;

// In the address it stands for the photo, which only the browser has.
const PHOTO = "photo";

/**
 * Nothing asked yet.
 *
 * `photo` is {id, blob, name}, where one that came in a link has no name, and `box` the part of it to look at, as
 * fractions {left, top, right, bottom}; `mix` is the share of the words in percent. `like` and `unlike` are ids of
 * products. `chosen` has the filters' values by attribute, `min` and `max` are prices as typed. `item` is the product that
 * is looked at, beside the search.
 */
export function emptyState(catalog = "") {
  return {
    catalog, words: "", photo: null, box: null, mix: EVEN_MIX, like: [], unlike: [], profile: "",
    chosen: {}, min: "", max: "", item: "",
  };
}

/** Whether nothing positive is asked for. */
export const isEmpty = (state) => !state.words && !state.photo && !state.like.length;

/** Whether the query has pictures: a photo, or products that are liked. */
export const hasPictures = ({ photo, like }) => Boolean(photo || like.length);

/** Whether words count: not where the visitor gives all weight to pictures. */
export const usesWords = (state) => Boolean(state.words) && (state.mix > 0 || !hasPictures(state));

/** Whether pictures count: not where the visitor gives all weight to words. */
export const usesPictures = (state) => hasPictures(state) && (state.mix < ALL_WORDS || !state.words);

/** How many parts the query has; the API takes 8. */
export const MAX_PARTS = 8;
export const partCount = (state) => Number(Boolean(state.words)) + Number(Boolean(state.photo)) + state.like.length + state.unlike.length;

/** How many filters are set. */
export function filterCount(state) {
  const values = Object.values(state.chosen).reduce((sum, list) => sum + list.length, 0);
  return values + (state.min !== "" || state.max !== "" ? 1 : 0);
}

/** What changes when a product goes into one list of wishes and out of the other, or is taken back. */
export function toggled(state, id, list, other) {
  const without = (ids) => ids.filter((one) => one !== id);
  const isIn = state[list].includes(id);
  return { [list]: isIn ? without(state[list]) : [...state[list], id], [other]: without(state[other]) };
}

/** What the answer depends on, as a text: states with the same one have the same hits. */
export const questionOf = ({ item, photo, ...rest }) => JSON.stringify({ ...rest, photo: photo?.id });

/** Whether a price range is the wrong way round, so that nothing could pass it. */
export const isReversed = (min, max) => min !== "" && max !== "" && Number(min) > Number(max);

/** The state that the address and the entry of the history tell. */
export function read() {
  const address = new URLSearchParams(location.search);
  const state = emptyState(address.get("catalog") ?? "");
  state.words = address.get("q") ?? "";
  state.profile = address.get("profile") ?? "";
  state.item = address.get("item") ?? "";
  for (const name of ["like", "unlike"]) state[name] = [...new Set(address.getAll(name))].slice(0, MAX_PARTS);
  state.mix = readMix(address.get("mix"));
  state.photo = photos.find(entries.photoId());
  if (state.photo) state.box = readBox(address.get("box"));
  // Whoever writes an address by hand may want more than a query has room for.
  state.like.splice(MAX_PARTS - partCount({ ...state, like: [], unlike: [] }));
  state.unlike.splice(MAX_PARTS - partCount({ ...state, unlike: [] }));
  [state.min, state.max] = readRange(address);
  for (const name of FILTERED) {
    for (const attribute of [name, `inferred.${name}`]) {
      const values = address.getAll(attribute);
      if (values.length) state.chosen[attribute] = values;
    }
  }
  return state;
}

function readMix(text) {
  const mix = Number(text ?? EVEN_MIX);
  return Number.isInteger(mix) && mix >= 0 && mix <= ALL_WORDS ? mix : EVEN_MIX;
}

function readBox(text) {
  const edges = (text ?? "").split(",").map(Number);
  if (edges.length !== EDGES.length || !edges.every((edge) => edge >= 0 && edge <= 1)) return null;
  const box = roundedBox(Object.fromEntries(EDGES.map((edge, place) => [edge, edges[place]])));
  return box.left < box.right && box.top < box.bottom ? box : null;
}

/** A box as precise as the address has it, so that a query is the same on the way back. */
export const roundedBox = (box) => Object.fromEntries(EDGES.map((edge) => [edge, Number(box[edge].toFixed(3))]));

function readRange(address) {
  const [min, max] = ["min", "max"].map((name) => {
    const typed = address.get(name) ?? "";
    return PRICE.test(typed) ? typed : "";
  });
  return isReversed(min, max) ? [max, min] : [min, max];
}

/** The address of a state: of its photo it tells only that there is one. */
export function addressOf(state) {
  const address = new URLSearchParams();
  const plain = { catalog: state.catalog, q: state.words, profile: state.profile, min: state.min, max: state.max, item: state.item };
  for (const [name, value] of Object.entries(plain)) if (value) address.set(name, value);
  for (const name of ["like", "unlike"]) state[name].forEach((id) => address.append(name, id));
  if (state.mix !== EVEN_MIX) address.set("mix", state.mix);
  if (state.photo) address.set(PHOTO, "1");
  if (state.photo && state.box) {
    address.set("box", EDGES.map((edge) => state.box[edge].toFixed(3)).join(","));
  }
  for (const [attribute, values] of Object.entries(state.chosen)) values.forEach((value) => address.append(attribute, value));
  return address.size ? `/?${address}` : "/";
}

/** Puts the state into the address, as a new entry of the history or in place of the present one. */
export function write(state, { replace = false } = {}) {
  entries.enter(addressOf(state), { photo: state.photo?.id ?? null, isProduct: Boolean(state.item), replace });
}

/** Whether the present entry searched with a photo that the browser does not have, or not any more. */
export const isPhotoGone = (state) => !state.photo && (isPhotoElsewhere() || Boolean(entries.photoId()));

/** Whether the present entry's photo is in another browser: its address was passed on, where the page's own link has one. */
export const isPhotoElsewhere = () => !entries.photoId() && new URLSearchParams(location.search).has(PHOTO);

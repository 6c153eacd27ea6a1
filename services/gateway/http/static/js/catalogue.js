// What a catalogue has, seen in its first products.

import * as api from "/js/api.js";
import { valuesOf } from "/js/products.js";
import { FILTERED, usesPictures } from "/js/state.js";
import { categoryOf, grouped, inTurns } from "/js/variety.js";

const SAMPLE = 96;
const EXAMPLES = 4;
const LONGEST_WORD = 24;
// Values that name nothing a shopper would look for.
const VAGUE = new Set(["unknown", "undefined", "none", "na", "n/a", "not sure", "other", "others", "items", "misc", "multi"]);

/** The last part of a catalogue's name. */
export const idOfCatalog = (catalog) => catalog.name.split("/").pop();

/** The catalogues that the visitor may see: at least the one of that id, where only some are theirs. */
export async function visibleCatalogs(id) {
  try {
    return await api.listCatalogs();
  } catch (error) {
    if (error.status !== 403 || !id) throw error;
    return [await api.getCatalog(id)];
  }
}

/** The ids of catalogues, those with most products first, since they have something to show. */
export function catalogIds(catalogs) {
  return [...catalogs].sort((one, other) => Number(other.product_count) - Number(one.product_count)).map(idOfCatalog);
}

/** The profiles that a query can be compared by: words alone have no place in a space of pictures. */
export function profilesFor(catalog, state) {
  const { profiles = [], spaces = [] } = catalog?.active_generation ?? {};
  const read = spaces.filter((space) => space.accepts_text).map((space) => `visual.${space.space}`);
  return profiles.filter(({ weights }) => usesPictures(state) || read.some((term) => term in weights)).map(({ name }) => name);
}

const samples = new Map();

/** Some products of a catalogue, asked for once; none when it cannot be read. */
export function sampleOf(catalog) {
  if (!samples.has(catalog)) samples.set(catalog, readSample(catalog));
  return samples.get(catalog);
}

async function readSample(catalog) {
  let products = [];
  try {
    products = (await api.listProducts(catalog, { page_size: SAMPLE })).products;
  } catch (error) {
    // What the sample is for is an offer; without it the page still searches.
    if (!(error instanceof api.Problem)) throw error;
  }
  // A catalogue that is being filled has products the next time.
  if (!products.length) samples.delete(catalog);
  return products;
}

/** The attributes to count: where the shop does not state one, what models saw stands in. */
export function facetsOf(products) {
  if (!products.length) return [...FILTERED, "price"];
  return [...FILTERED, "price"].flatMap((name) => {
    if (products.some((product) => valuesOf(product, name).length)) return [name];
    return products.some((product) => product.labels?.some((label) => label.name === name)) ? [`inferred.${name}`] : [];
  });
}

/** Words to search with, such as "red shoes": common things of all categories in turns, each in another colour. */
export function examplesOf(products) {
  const thingOf = (product) => wordOf(product, "type") ?? wordOf(product, "category");
  const things = grouped(products.filter(thingOf), thingOf);
  const used = new Set();
  return inTurns(grouped(things, ([first]) => categoryOf(first))).slice(0, EXAMPLES).map((alike) => {
    const thing = thingOf(alike[0]);
    const known = alike.map((product) => wordOf(product, "colour")).filter(Boolean);
    const colour = known.find((one) => !used.has(one)) ?? known[0];
    used.add(colour);
    return colour ? `${colour} ${thing}` : thing;
  });
}

/** A product's value of an attribute as a word; of a path such as "Men/Tops/Tanks" the last part. */
function wordOf(product, attribute) {
  const [value] = valuesOf(product, attribute);
  if (typeof value !== "string") return null;
  const word = value.split(/[/>]/).at(-1).trim().toLowerCase();
  return /\p{L}/u.test(word) && word.length <= LONGEST_WORD && !VAGUE.has(word) ? word : null;
}

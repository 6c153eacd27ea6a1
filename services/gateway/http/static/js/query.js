// A state as the form of a search.

import { usesPictures, usesWords } from "/js/state.js";

const PAGE_SIZE = 24;
// A form's file needs a name.
const UNNAMED = "photo";

const picturesOf = ({ photo, box, like }) => [
  ...(photo ? [{ image: box ? { box } : {} }] : []),
  ...like.map((product) => ({ product })),
];

/** The parts of the query; the photo's content is a file of the form. */
function partsOf(state) {
  // What is to count for nothing is left out: the kind and the colour that words name would count at any weight.
  const pictures = usesPictures(state) ? picturesOf(state) : [];
  const words = usesWords(state) ? [{ text: state.words }] : [];
  const isMixed = pictures.length > 0 && words.length > 0;
  // Beside pictures, words have the share that the visitor gives them.
  const share = isMixed ? state.mix / 100 : Number(!pictures.length);
  const each = (1 - share) / pictures.length;
  const unliked = unlikedWeight(pictures.length ? 1 - share : share, state.unlike.length);
  return [
    ...pictures.map((part) => ({ ...part, weight: each })),
    ...words.map((part) => ({ ...part, weight: share })),
    ...state.unlike.map((product) => ({ product, weight: -unliked })),
  ];
}

/**
 * How much each of `count` products that are not wanted counts against what is wanted, which has `weight` in all: half
 * as much, and all of them together less than that, or their opposite would be searched for.
 */
const unlikedWeight = (weight, count) => weight * Math.min(0.5, 0.8 / count);

/** The filter of a request, or null when none is set. */
export function filterOf(state) {
  const clauses = Object.entries(state.chosen)
    .filter(([, values]) => values.length)
    .map(([attribute, values]) => ({ any_of: [{ attribute, in: { values: values.map((text) => ({ text })) } }] }));
  const range = {};
  if (state.min !== "") range.min = Number(state.min);
  if (state.max !== "") range.max = Number(state.max);
  if (Object.keys(range).length) clauses.push({ any_of: [{ attribute: "price", range }] });
  return clauses.length ? { all_of: clauses } : null;
}

/** The form of a search; `facets` are attributes to count, `pageToken` is of the page before. */
export function formOf(state, { facets = [], profile = "", pageToken = "", k = PAGE_SIZE } = {}) {
  const form = new FormData();
  if (state.photo && usesPictures(state)) form.append("image", state.photo.blob, state.photo.name || UNNAMED);
  form.append("parts", JSON.stringify(partsOf(state)));
  const filter = filterOf(state);
  if (filter) form.append("filter", JSON.stringify(filter));
  facets.forEach((facet) => form.append("facets", facet));
  form.append("disjunctive_facets", "true");
  form.append("explain", "true");
  form.append("k", k);
  if (profile) form.append("profile", profile);
  if (pageToken) form.append("page_token", pageToken);
  return form;
}

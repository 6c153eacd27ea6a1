// A state as the form of a search.

const PAGE_SIZE = 24;

/** The parts of the query; the photo's content is a file of the form. */
function partsOf(state) {
  const pictures = [
    ...(state.photo ? [{ image: state.box ? { box: state.box } : {} }] : []),
    ...state.like.map((product) => ({ product })),
  ];
  const words = state.words ? [{ text: state.words }] : [];
  // Beside pictures, words have the share that the visitor gives them; either way something must be left of both.
  const share = Math.min(0.99, Math.max(0.01, state.mix / 100));
  const weighted = (parts, weight) => parts.map((part) => ({ ...part, weight }));
  const wanted = pictures.length && words.length ? [...weighted(pictures, 1 - share), ...weighted(words, share)] : [...pictures, ...words];
  const least = Math.min(...wanted.map((part) => part.weight ?? 1));
  return [...wanted, ...state.unlike.map((product) => ({ product, weight: -UNLIKE * least }))];
}

// How much a product that is not wanted counts against one that is.
const UNLIKE = 0.5;

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
  if (state.photo) form.append("image", state.photo.blob, state.photo.name);
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

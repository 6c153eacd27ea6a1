// The page: from what the visitor does to a search, and from its answer to the screen.

import * as api from "/api.js";
import { examplesOf, sampleOf } from "/catalogue.js";
import { byId, element } from "/dom.js";
import { Facets, FilterPanel, filterOf } from "/filters.js";
import { CLEAR_FILTERS, OTHER_PHOTO, RETRY } from "/problems.js";
import { idOf, picture, titleOf } from "/products.js";
import { clearHits, showHits, showLoading, showProblem } from "/results.js";
import * as address from "/state.js";
import { prepareWhy } from "/why.js";

const PAGE_SIZE = 24;
const SHELF_SIZE = 8;
const CATALOGS_OFFERED = 12;
const MAX_PHOTO_BYTES = 20 * 1024 * 1024;

let catalogs = [];
// From the start: words may be sent before the catalogues are known, and must not lose theirs.
let state = address.read();
let pageToken = "";
let running = null;
let preview = null;
const facets = new Facets();
const panel = new FilterPanel((change) => go({ ...state, ...change }));

const catalogId = (catalog) => catalog.name.split("/").pop();
/** The catalogue that is searched; nothing where the address names one that is not there. */
const current = () => catalogs.find((one) => catalogId(one) === state.catalog);

const ANOTHER_PHOTO = [["Choose another photo", () => byId("photo").click()]];
const RELOAD = { [RETRY]: [["Try again", () => location.reload()]] };

/** The ids of catalogues, those with most products first, since they have something to show. */
function fullest() {
  return [...catalogs].sort((one, other) => Number(other.product_count) - Number(one.product_count)).map(catalogId);
}

/** The profiles that the query can be compared by: words alone have no place in a space of pictures. */
function profiles() {
  const { profiles: all = [], spaces = [] } = current()?.active_generation ?? {};
  const wordless = Boolean(state.photo || state.product);
  const read = spaces.filter((space) => space.accepts_text).map((space) => `visual.${space.space}`);
  return all.filter(({ weights }) => wordless || read.some((term) => term in weights)).map(({ name }) => name);
}

/** Makes `next` the state, in the address and on the screen. */
function go(next, options) {
  state = next;
  address.write(state, options);
  return show();
}

/** A new query: filters of the one before would only surprise. */
function ask(change) {
  panel.reset();
  clearHits();
  return go({ ...address.emptyState(state.catalog), profile: state.profile, ...change });
}

/** The same query in another catalogue. */
function choose(catalog) {
  panel.reset();
  clearHits();
  return go({ ...address.emptyState(catalog), words: state.words, photo: state.photo });
}

async function show() {
  byId("words").value = state.words;
  byId("catalog").value = state.catalog;
  byId("welcome").hidden = !address.isEmpty(state);
  byId("columns").hidden = address.isEmpty(state);
  document.title = state.words ? `${state.words} · Vitrine` : "Vitrine";
  running?.abort();
  if (catalogs.length && !current()) return showUnknownCatalog();
  // An address without a catalogue waits until it is known which there are.
  if (!state.catalog) return;
  showChips();
  await (address.isEmpty(state) ? showShelf() : search({ append: false }));
}

function showUnknownCatalog() {
  byId("welcome").hidden = true;
  byId("columns").hidden = false;
  byId("chips").hidden = true;
  clearHits();
  const offers = fullest().slice(0, CATALOGS_OFFERED).map((id) => [id, () => choose(id)]);
  showProblem({ title: `There is no catalogue “${state.catalog}”`, detail: "Choose one of those there are:" }, { [RETRY]: offers });
}

async function search({ append }) {
  running?.abort();
  const own = new AbortController();
  running = own;
  if (append) {
    byId("more").disabled = true;
    byId("status").textContent = "Searching…";
  } else showLoading();
  const start = performance.now();
  try {
    const response = await answer(append, own.signal);
    pageToken = response.next_page_token;
    const filtered = filterOf(state) !== null;
    showHits(response, { append, tookMs: performance.now() - start, filtered, onMore: moreLike });
    if (!append) panel.draw(state, response, profiles());
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.Problem)) throw error;
    showProblem(error, {
      [RETRY]: [["Try again", () => search({ append })]],
      [OTHER_PHOTO]: ANOTHER_PHOTO,
      [CLEAR_FILTERS]: [["Clear all filters", () => go({ ...state, chosen: {}, min: "", max: "" })]],
    });
  } finally {
    if (running === own) byId("more").disabled = false;
  }
}

async function answer(append, signal) {
  const filter = filterOf(state);
  for (;;) {
    const options = { k: PAGE_SIZE, explain: true, facets: await facets.of(state.catalog) };
    if (filter) options.filter = filter;
    // The one in the address may be of another catalogue or kind of query.
    const profile = !catalogs.length || profiles().includes(state.profile) ? state.profile : "";
    if (profile) options.profile = profile;
    if (append) options.page_token = pageToken;
    try {
      return await api.search(state.catalog, state, options, signal);
    } catch (error) {
      // A catalogue need not have every attribute that the page knows of.
      if (error.reason !== "INVALID_ARGUMENT" || !facets.refused(state.catalog, error.field)) throw error;
    }
  }
}

function moreLike(product) {
  ask({ product: idOf(product) });
  scrollTo({ top: 0 });
  byId("results").focus({ preventScroll: true });
}

async function usePhoto(file) {
  if (!file) return;
  // What is chosen before the catalogues are known waits for them: they would wipe the answer away.
  await started;
  if (!file.type.startsWith("image/")) return refusePhoto(`${file.name} is not a picture.`);
  if (file.size > MAX_PHOTO_BYTES) return refusePhoto(`${file.name} is larger than 20 MB.`);
  ask({ photo: file, words: byId("words").value.trim() });
}

function refusePhoto(detail) {
  byId("welcome").hidden = true;
  byId("columns").hidden = false;
  clearHits();
  showProblem({ title: "This photo cannot be used", detail }, { [RETRY]: ANOTHER_PHOTO });
}

/** What the query consists of besides words. */
async function showChips() {
  if (preview) URL.revokeObjectURL(preview);
  preview = state.photo ? URL.createObjectURL(state.photo) : null;
  const chips = [];
  if (state.photo) {
    chips.push(chip(element("img", { src: preview, alt: "Your photo" }), state.photo.name || "Your photo", { photo: null }));
  }
  if (state.product) chips.push(chip(null, `Like ${state.product}`, { product: "" }));
  byId("chips").replaceChildren(...chips);
  byId("chips").hidden = !chips.length;
  if (state.product) await showProductChip(state.catalog, state.product, chips.at(-1));
}

function chip(image, name, removal) {
  const remove = element("button", { type: "button", "aria-label": `Remove ${name}` }, "×");
  remove.addEventListener("click", () => {
    ask({ words: state.words, photo: state.photo, product: state.product, ...removal });
    byId("words").focus();
  });
  // A file that is no picture has no broken one either.
  image?.addEventListener("error", () => image.remove());
  return element("div", { className: "chip" }, image, element("span", {}, name), remove);
}

async function showProductChip(catalog, id, place) {
  try {
    const product = await api.getProduct(catalog, id);
    const path = product.photos[0]?.media_path;
    const image = path ? element("img", { src: path, alt: "" }) : null;
    place.replaceWith(chip(image, `Like ${titleOf(product)}`, { product: "" }));
  } catch (error) {
    // The search itself says what is wrong; the chip has the id meanwhile.
    if (!(error instanceof api.Problem)) throw error;
  }
}

async function showShelf() {
  const { catalog } = state;
  const sample = await sampleOf(catalog);
  if (catalog !== state.catalog) return;
  showExamples(examplesOf(sample));
  // Neighbours in the list are often the same thing in another size or colour.
  const step = Math.max(1, Math.floor(sample.length / SHELF_SIZE));
  const products = sample.filter((_, place) => place % step === 0).slice(0, SHELF_SIZE);
  byId("shelf").replaceChildren(
    ...products.map((product) => {
      const button = element("button", { type: "button", title: titleOf(product), "aria-label": `More like ${titleOf(product)}` }, picture(product));
      button.addEventListener("click", () => moreLike(product));
      return element("li", {}, button);
    }),
  );
  byId("shelf-section").hidden = !products.length;
}

function showExamples(examples) {
  byId("examples").replaceChildren(
    ...examples.map((words) => {
      const button = element("button", { type: "button", className: "chip-example" }, words);
      button.addEventListener("click", () => ask({ words }));
      return element("li", {}, button);
    }),
  );
}

function listen() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ words: byId("words").value.trim(), photo: state.photo, product: state.product });
  });
  byId("photo").addEventListener("change", (event) => {
    usePhoto(event.target.files[0]);
    // The same file may be chosen again.
    event.target.value = "";
  });
  byId("more").addEventListener("click", () => search({ append: true }));
  byId("catalog").addEventListener("change", (event) => choose(event.target.value));
  byId("home").addEventListener("click", (event) => {
    event.preventDefault();
    if (!current()) [state.catalog] = fullest();
    ask({});
  });
  addEventListener("popstate", () => {
    state = { ...address.read(), catalog: address.read().catalog || state.catalog };
    panel.reset();
    show();
  });
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      usePhoto(file);
    }
  });
  listenForDrops();
}

function listenForDrops() {
  // Entering and leaving are counted, since both are told for every element on the way.
  let depth = 0;
  const over = (change) => {
    depth = Math.max(0, depth + change);
    byId("drop").hidden = depth === 0;
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && over(1));
  addEventListener("dragleave", (event) => hasFiles(event) && over(-1));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over(-depth);
    usePhoto(event.dataTransfer.files[0]);
  });
}

async function start() {
  try {
    catalogs = await api.listCatalogs();
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    byId("columns").hidden = false;
    showProblem(error, RELOAD);
    return;
  }
  if (!catalogs.length) {
    byId("columns").hidden = false;
    showProblem({ title: "There is no catalogue yet", detail: "Index one with: vitrine index FOLDER" }, RELOAD);
    return;
  }
  state = address.read();
  state.catalog ||= fullest()[0];
  byId("catalog").replaceChildren(
    ...catalogs.map((one) => {
      const id = catalogId(one);
      return element("option", { value: id }, `${id} (${Number(one.product_count).toLocaleString()})`);
    }),
  );
  byId("catalog-picker").hidden = catalogs.length < 2;
  const typed = byId("words").value;
  const shown = show();
  // Words typed before the catalogues were known wait for their Enter.
  if (!state.words) byId("words").value = typed;
  await shown;
}

prepareWhy();
listen();
const started = start();
await started;

// The shop's page: from what the visitor does to a state, from the state to a search, and from its answer to the screen.

import * as api from "/js/api.js";
import { catalogIds, idOfCatalog, profilesFor } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { prepareHeader } from "/js/header.js";
import { load, number, t, translate } from "/js/messages.js";
import { keep } from "/js/photos.js";
import { ProductPage } from "/js/product/page.js";
import { CLEAR_FILTERS, OTHER_PHOTO, RETRY } from "/js/problems.js";
import { Filters } from "/js/results/filters.js";
import { Results } from "/js/results/results.js";
import { prepared, Unusable } from "/js/search/photo.js";
import { SearchForm } from "/js/search/form.js";
import { sharedPhoto } from "/js/search/share.js";
import { Welcome } from "/js/search/welcome.js";
import { giveUp, search } from "/js/searching.js";
import * as address from "/js/state.js";

const CATALOGS_OFFERED = 12;

let catalogs = [];
// From the start: words may be sent before the catalogues are known, and must not lose theirs.
let state = address.read();
// What is on the screen: the question that was answered, and its last answer.
let answered = "";
let response = null;

/** What the parts of the page can have done; see docs/architecture.md. */
const actions = {
  /** A new query: filters of the one before would only surprise. */
  ask(change) {
    filters.reset();
    results.clear();
    return go({ ...address.emptyState(state.catalog), profile: state.profile, ...change });
  },
  /** The same query, changed in part; `replace` leaves no entry in the history, as for a slider on its way. */
  refine: (change, options) => go({ ...state, item: "", ...change }, options),
  /** Looks at a product; `seen` is its hit, with the answer it was in. */
  open: (id, seen = null) => go({ ...state, item: id }, { seen }),
  /** Back from a product to the hits. */
  close: () => (history.state?.within ? history.back() : go({ ...state, item: "" })),
  /** More, or less, like a product; once more takes it back. */
  more: (id) => actions.refine(toggled("like", "unlike", id)),
  less: (id) => actions.refine(toggled("unlike", "like", id)),
  /** Searches with a picture beside the words that are typed. */
  async usePhoto(file) {
    // What is chosen before the catalogues are known waits for them: they would wipe the answer away.
    await started;
    try {
      const { blob, name } = await prepared(file);
      const photo = await keep(blob, name);
      return actions.ask({ photo, words: form.typed() });
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      showOnly("columns");
      results.fail({ title: t("photo.unusable"), detail: error.message }, { [RETRY]: [[t("photo.other"), choosePhoto]] });
    }
  },
  nextPage: () => (response?.next_page_token ? ask({ append: true }) : undefined),
  state: () => state,
  /** The names of the profiles that the query can be compared by, the usual one first. */
  profiles: () => profilesFor(current(), state),
};

const choosePhoto = () => form.choosePhoto();
const form = new SearchForm(byId("search-section"), actions);
const welcome = new Welcome(byId("welcome"), actions);
const results = new Results(byId("results"), actions);
const filters = new Filters(byId("filters"), actions);
const product = new ProductPage(byId("product"), actions);

function toggled(list, other, id) {
  const without = (ids) => ids.filter((one) => one !== id);
  const isIn = state[list].includes(id);
  return { [list]: isIn ? without(state[list]) : [...state[list], id], [other]: without(state[other]) };
}

/** The catalogue that is searched; nothing where the address names one that is not there. */
const current = () => catalogs.find((one) => idOfCatalog(one) === state.catalog);

/** Makes `next` the state, in the address and on the screen. */
function go(next, { replace = false, seen = null } = {}) {
  const isWithin = Boolean(next.item);
  state = next;
  address.write(state, { replace });
  if (isWithin && !replace) history.replaceState({ ...history.state, within: true }, "");
  return show({ seen });
}

/** Shows one of the page's views and hides the others. */
function showOnly(id) {
  for (const view of ["welcome", "product", "columns"]) byId(view).hidden = view !== id;
}

/** Brings the screen to the state; `scroll` is where the visitor was in it before. */
async function show({ seen = null, scroll = 0 } = {}) {
  form.show(state);
  byId("catalog").value = state.catalog;
  document.title = titleOf(state);
  if (catalogs.length && !current()) return showUnknownCatalog();
  // An address without a catalogue waits until it is known which there are.
  if (!state.catalog) return;
  if (state.item) {
    showOnly("product");
    scrollTo({ top: 0 });
    return product.show(state, seen);
  }
  product.hide();
  if (address.isEmpty(state)) {
    giveUp();
    answered = "";
    showOnly("welcome");
    return welcome.show(state);
  }
  showOnly("columns");
  if (address.questionOf(state) !== answered) await ask();
  else scrollTo({ top: scroll });
}

function titleOf({ words }) {
  return words ? `${words} · Vitrine` : "Vitrine";
}

function showUnknownCatalog() {
  giveUp();
  answered = "";
  showOnly("columns");
  results.clear();
  const offers = catalogIds(catalogs).slice(0, CATALOGS_OFFERED).map((id) => [id, () => choose(id)]);
  results.fail({ title: t("catalogue.unknown", { name: state.catalog }), detail: t("catalogue.choose") }, { [RETRY]: offers });
}

/** The same query in another catalogue. */
function choose(catalog) {
  filters.reset();
  results.clear();
  return go({ ...address.emptyState(catalog), words: state.words, photo: state.photo });
}

async function ask({ append = false } = {}) {
  const asked = state;
  const question = address.questionOf(asked);
  answered = "";
  results.loading({ append });
  try {
    // The profile in the address may be of another catalogue or kind of query.
    const isKnown = !catalogs.length || actions.profiles().includes(asked.profile);
    response = await search(asked, { profile: isKnown ? asked.profile : "", pageToken: append ? response.next_page_token : "" });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.Problem)) throw error;
    results.fail(error, {
      [RETRY]: [[t("problem.retry"), () => ask({ append })]],
      [OTHER_PHOTO]: [[t("photo.other"), choosePhoto]],
      [CLEAR_FILTERS]: [[t("filters.clear"), () => actions.refine({ chosen: {}, min: "", max: "" })]],
    });
    return;
  }
  answered = question;
  results.show(response, asked, { append });
  if (!append) filters.draw(asked, response);
}

function listen() {
  byId("catalog").addEventListener("change", (event) => choose(event.target.value));
  byId("home").addEventListener("click", (event) => {
    event.preventDefault();
    if (!current()) [state.catalog] = catalogIds(catalogs);
    actions.ask({});
  });
  history.scrollRestoration = "manual";
  addEventListener("popstate", (event) => {
    const next = address.read();
    const isSame = address.questionOf(next) === address.questionOf(state);
    state = { ...next, catalog: next.catalog || state.catalog };
    if (!isSame) filters.reset();
    show({ scroll: event.state?.scroll ?? 0 });
  });
}

function offerCatalogs() {
  byId("catalog").replaceChildren(
    ...catalogs.map((one) => {
      const id = idOfCatalog(one);
      return element("option", { value: id }, t("header.products", { name: id, count: Number(one.product_count) }));
    }),
  );
  byId("catalog-picker").hidden = catalogs.length < 2;
}

/** The catalogues that the visitor may see: at least the one in the address, where only some are theirs. */
async function readCatalogs() {
  try {
    return await api.listCatalogs();
  } catch (error) {
    if (error.status !== 403 || !state.catalog) throw error;
    return [await api.getCatalog(state.catalog)];
  }
}

async function start() {
  const reload = { [RETRY]: [[t("problem.retry"), () => location.reload()]] };
  try {
    catalogs = await readCatalogs();
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    showOnly("columns");
    results.fail(error, reload);
    return;
  }
  if (!catalogs.length) {
    showOnly("columns");
    results.fail({ title: t("catalogue.none"), detail: t("catalogue.index") }, reload);
    return;
  }
  const typed = form.typed();
  state = address.read();
  state.catalog ||= catalogIds(catalogs)[0];
  const shared = await sharedPhoto();
  if (shared) {
    state = { ...state, photo: await keep(shared, t("photo.shared")) };
    address.write(state, { replace: true });
  }
  offerCatalogs();
  const shown = show();
  // Words typed before the catalogues were known wait for their Enter.
  if (!state.words) form.type(typed);
  await shown;
}

await load("common", "shop");
translate();
prepareHeader();
form.draw();
listen();
const started = start();
await started;

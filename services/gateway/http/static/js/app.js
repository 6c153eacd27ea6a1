// The shop's page: from what the visitor does to a state, from the state to a search, and from its answer to the screen.

import * as api from "/js/api.js";
import { keepPage, pagesOf, seenIn } from "/js/answers.js";
import { arrived, leaveBehind } from "/js/arrival.js";
import { catalogIds, idOfCatalog, profilesFor, visibleCatalogs } from "/js/catalogue.js";
import { byId } from "/js/dom.js";
import * as entries from "/js/entries.js";
import { offerCatalogs, prepareHeader, showCatalog } from "/js/header.js";
import * as hindrances from "/js/hindrances.js";
import { follow } from "/js/links.js";
import { load, t, translate } from "/js/messages.js";
import { keep } from "/js/photos.js";
import { ProductPage } from "/js/product/page.js";
import { CLEAR_FILTERS, OTHER_PHOTO, RETRY } from "/js/problems.js";
import { Filters } from "/js/results/filters.js";
import { Results } from "/js/results/results.js";
import { SearchForm } from "/js/search/form.js";
import { Unusable } from "/js/search/photo.js";
import { fits } from "/js/search/room.js";
import { hasSharedPhoto, sharedPhoto } from "/js/search/share.js";
import { Welcome } from "/js/search/welcome.js";
import { giveUp, search } from "/js/searching.js";
import * as address from "/js/state.js";
import { forgetFocus, giveFocusBack, isShown, leaveFocus, showOnly } from "/js/views.js";

let catalogs = [];
// From the start: words may be sent before the catalogues are known, and must not lose theirs.
let state = address.read();
// What is on the screen: the question that was answered, and its last answer.
let answered = "";
let response = null;
// Why there is nothing to search, as long as that is so; see js/hindrances.js.
let hindrance = null;

/** What the parts of the page can have done; see docs/page.md. */
const actions = {
  /** A new query: filters of the one before would only surprise. */
  ask(change) {
    const next = { ...address.emptyState(state.catalog), profile: state.profile, ...change };
    if (!fits(next)) return undefined;
    forget();
    return go(next);
  },
  /** The same query, changed in part; `replace` leaves no entry in the history, as for a slider on its way. */
  refine(change, options) {
    const next = { ...state, item: "", ...change };
    return fits(next) ? go(next, options) : undefined;
  },
  /** Looks at a product; `seen` is its hit, with the answer it was in. */
  open(id, seen = null) {
    if (!state.item) leaveFocus();
    return go({ ...state, item: id }, { seen });
  },
  /** Back from a product to the hits. */
  close() {
    const steps = entries.stepsFromHits();
    if (!steps) return go({ ...state, item: "" });
    return history.go(-steps);
  },
  /** More, or less, like a product; once more takes it back. */
  more: (id) => actions.refine(address.toggled(state, id, "like", "unlike")),
  less: (id) => actions.refine(address.toggled(state, id, "unlike", "like")),
  /** Searches with a picture beside the words that are typed. */
  async usePhoto(file) {
    try {
      // What is chosen before the catalogues are known waits for them: they would wipe the answer away.
      const photo = await arrived(file, started);
      if (photo) actions.ask({ photo, words: form.typed() });
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      hinder(hindrances.unusablePhoto(error.message, choosePhoto));
    }
  },
  nextPage: () => (answered === address.questionOf(state) && response.next_page_token ? ask({ append: true }) : undefined),
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

/** The catalogue that is searched; nothing where the address names one that is not there. */
const current = () => catalogs.find((one) => idOfCatalog(one) === state.catalog);

/** Takes away what the screen has of the query before. */
function forget() {
  filters.reset();
  results.clear();
  answered = "";
}

/** Makes `next` the state, in the address and on the screen. */
function go(next, { replace = false, seen = null } = {}) {
  leaveBehind();
  // The same question once more is no step in the history, as a link to the page that it is on is none.
  const isSame = address.questionOf(next) === address.questionOf(state) && next.item === state.item;
  state = next;
  address.write(state, { replace: replace || isSame });
  return show({ seen });
}

/** Brings the screen to the state; `isBack` says that it was there before, and `scroll` how far down the visitor was. */
async function show({ seen = null, isBack = false, scroll = 0 } = {}) {
  const wasProduct = isShown("product");
  const question = address.questionOf(state);
  form.show(state);
  showCatalog(state.catalog);
  document.title = state.words ? `${state.words} · Vitrine` : "Vitrine";
  if (catalogs.length && !current()) return hinder(hindrances.unknownCatalog(state.catalog, catalogs, choose));
  // An address without a catalogue waits until it is known which there are.
  if (!state.catalog) return hindrance ? hinder(hindrance) : undefined;
  if (state.item) {
    showOnly("product");
    const shown = product.show(state, seen ?? seenIn(question, state.item));
    scrollTo({ top: scroll });
    return shown;
  }
  product.hide();
  if (address.isPhotoGone(state)) return hinder(hindrances.photoGone(choosePhoto, address.isEmpty(state) ? null : () => actions.refine({})));
  if (address.isEmpty(state)) {
    giveUp();
    answered = "";
    showOnly("welcome");
    const shown = welcome.show(state);
    if (wasProduct) giveFocusBack(byId("main"));
    scrollTo({ top: scroll });
    return shown;
  }
  showOnly("columns");
  if (question !== answered) forgetFocus();
  if (wasProduct) giveFocusBack(byId("results"));
  if (question !== answered) await (isBack && pagesOf(question).length ? showAgain(question) : ask());
  // The visitor may have gone on while the answer was under way.
  if (isBack && address.questionOf(state) === question && !state.item) scrollTo({ top: scroll });
}

/** Shows the hits of a question that was answered before, all the pages that the visitor had seen. */
function showAgain(question) {
  giveUp();
  const pages = pagesOf(question);
  pages.forEach((page, place) => results.show(page, state, { append: place > 0 }));
  filters.draw(state, pages[0]);
  response = pages.at(-1);
  answered = question;
}

/** Shows a hindrance in place of hits. */
function hinder([problem, remedies]) {
  giveUp();
  answered = "";
  showOnly("columns");
  results.clear();
  results.fail(problem, remedies);
}

/** The same query in another catalogue. */
function choose(catalog) {
  forget();
  return go({ ...address.emptyState(catalog), words: state.words, photo: state.photo });
}

async function ask({ append = false } = {}) {
  const asked = state;
  const question = address.questionOf(asked);
  if (!append) answered = "";
  results.loading({ append });
  try {
    // The profile in the address may be of another catalogue or kind of query.
    const isKnown = !catalogs.length || actions.profiles().includes(asked.profile);
    response = await search(asked, { profile: isKnown ? asked.profile : "", pageToken: append ? response.next_page_token : "" });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.Problem)) throw error;
    // What is refused is the way to a further page: it begins with the first one of today.
    const again = { append: append && error.field !== "page_token" };
    results.fail(error, {
      [RETRY]: [[t("problem.retry"), () => ask(again)]],
      [OTHER_PHOTO]: [[t("photo.other"), choosePhoto]],
      [CLEAR_FILTERS]: [[t("filters.clear"), () => actions.refine({ chosen: {}, min: "", max: "" })]],
    });
    return;
  }
  answered = question;
  keepPage(question, response, { append });
  results.show(response, asked, { append });
  if (!append) filters.draw(asked, response);
}

function listen() {
  byId("catalog").addEventListener("change", (event) => choose(event.target.value));
  follow(byId("home"), () => {
    if (!current()) [state.catalog] = catalogIds(catalogs);
    actions.ask({});
  });
  // A link with a photo may be followed where its search is open already.
  addEventListener("hashchange", () => hasSharedPhoto() && location.reload());
  entries.begin({ isProduct: Boolean(state.item) });
  addEventListener("popstate", () => {
    leaveBehind();
    const scroll = entries.arrive();
    const next = address.read();
    next.catalog ||= catalogIds(catalogs)[0] ?? "";
    if (address.questionOf(next) !== address.questionOf(state)) filters.reset();
    state = next;
    show({ isBack: true, scroll });
  });
}

async function start() {
  try {
    catalogs = await visibleCatalogs(state.catalog);
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    hindrance = hindrances.unreadCatalogs(error);
    return hinder(hindrance);
  }
  if (!catalogs.length) {
    hindrance = hindrances.noCatalogs();
    return hinder(hindrance);
  }
  const typed = form.typed();
  state = address.read();
  // Words that were sent before the catalogues were known have none in their address yet.
  const isIncomplete = !state.catalog && !address.isEmpty(state);
  state.catalog ||= catalogIds(catalogs)[0];
  const shared = await sharedPhoto();
  if (shared) state = { ...state, photo: await keep(shared, "") };
  if (shared || isIncomplete) address.write(state, { replace: true });
  offerCatalogs(catalogs);
  const shown = show({ isBack: entries.place() > 0, scroll: entries.place() });
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

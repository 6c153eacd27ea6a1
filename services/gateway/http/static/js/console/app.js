// The console: one view at a time, named by the address's fragment, of the catalogue that is chosen.

import * as api from "/js/api.js";
import { catalogIds, visibleCatalogs } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { prepareHeader, showCatalog } from "/js/header.js";
import { currentKey, forgetKey } from "/js/key.js";
import { load, t, translate } from "/js/messages.js";
import { Duplicates } from "/js/console/duplicates.js";
import { Import } from "/js/console/import.js";
import { Models } from "/js/console/models.js";
import { Overview } from "/js/console/overview.js";
import { problemWords } from "/js/console/problems.js";
import { Queries } from "/js/console/queries.js";

/**
 * Each is made with its place on the page and the actions, among them `tell`, which shows a problem above it, or none. It
 * has `show(catalog)`, which may raise api.Problem, and `hide()`; `catalog` is "" while there is none.
 */
const VIEWS = { overview: Overview, queries: Queries, import: Import, duplicates: Duplicates, models: Models };

const actions = {
  /** Offers the catalogues anew, after one was made, and chooses that of this id; the view stays as it is. */
  reload: (id) => guarded(async () => {
    await offerCatalogs(id);
    writeAddress();
  }),
};

let view = null;

const wanted = () => (Object.hasOwn(VIEWS, location.hash.slice(1)) ? location.hash.slice(1) : "overview");
const catalog = () => byId("catalog").value;
const chosenCatalog = () => byId("catalog").value || new URLSearchParams(location.search).get("catalog");

const writeAddress = () => history.replaceState(null, "", `?catalog=${encodeURIComponent(catalog())}${location.hash}`);

function showProblem(problem) {
  const place = byId("problem");
  place.hidden = !problem;
  if (!problem) return;
  const { title, sentence, said } = problemWords(problem);
  const again = element("button", { type: "button", className: "plain short" }, t("problem.retry"));
  again.addEventListener("click", () => start());
  const other = element("button", { type: "button", className: "plain short" }, t("console.problem.other_key"));
  other.addEventListener("click", () => {
    forgetKey();
    start();
  });
  place.replaceChildren(
    element("h2", {}, title),
    element("p", {}, sentence),
    said ? element("details", {}, element("summary", {}, t("console.problem.said")), element("p", {}, said)) : "",
    element("div", { className: "remedies" }, again, problem.status === 403 && currentKey() ? other : null),
  );
}

function showTabs(name) {
  byId("tabs").replaceChildren(
    ...Object.keys(VIEWS).map((one) => {
      const link = element("a", { href: `#${one}` }, t(`console.view.${one}`));
      if (one === name) link.setAttribute("aria-current", "page");
      return link;
    }),
  );
  document.title = `${t(`console.view.${name}`)} · ${t("console.title")} · Vitrine`;
}

async function show() {
  view?.hide();
  showProblem(null);
  const name = wanted();
  showTabs(name);
  // Each has a place of its own: what comes late for a view that was left is seen by nobody.
  const place = element("div");
  byId("view").replaceChildren(place);
  const isShown = () => place.isConnected;
  const shown = new VIEWS[name](place, { ...actions, tell: (problem) => isShown() && showProblem(problem) });
  view = shown;
  await guarded(() => shown.show(catalog()), isShown);
}

/** Tells a problem of the API that an action raises, as long as it concerns anybody. */
async function guarded(act, concerns = () => true) {
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    if (concerns()) showProblem(error);
    return false;
  }
}

async function start(chosen = chosenCatalog()) {
  showTabs(wanted());
  if (await guarded(() => offerCatalogs(chosen))) await show();
}

/** Fills the choice of catalogues. A key for some of them may not list all: it gets the one that the address names. */
async function offerCatalogs(chosen) {
  const ids = catalogIds(await visibleCatalogs(chosen));
  byId("catalog").replaceChildren(...ids.map((id) => element("option", { value: id }, id)));
  byId("catalog-picker").hidden = ids.length < 1;
  showCatalog(ids.includes(chosen) ? chosen : (ids[0] ?? ""));
}

await load("common", "console");
translate();
prepareHeader();
addEventListener("hashchange", async () => {
  // Another view begins at its top, however far down the one before was left.
  scrollTo(0, 0);
  await show();
  byId("view").focus({ preventScroll: true });
});
byId("catalog").addEventListener("change", () => {
  writeAddress();
  showCatalog(catalog());
  show();
});
await start();

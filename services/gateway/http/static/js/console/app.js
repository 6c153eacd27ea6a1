// The console: one view at a time, named by the address's fragment, of the catalogue that is chosen.

import * as api from "/js/api.js";
import { catalogIds, idOfCatalog } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { prepareHeader } from "/js/header.js";
import { load, t, translate } from "/js/messages.js";
import { explained } from "/js/problems.js";
import { Duplicates } from "/js/console/duplicates.js";
import { Import } from "/js/console/import.js";
import { Models } from "/js/console/models.js";
import { Overview } from "/js/console/overview.js";
import { Queries } from "/js/console/queries.js";

/** Each has `show(catalog)`, which may raise api.Problem, and `hide()`; `catalog` is "" while there is none. */
const VIEWS = { overview: Overview, queries: Queries, import: Import, duplicates: Duplicates, models: Models };

const actions = {
  /** Reads the catalogues anew, after one was made, and shows that of this id. */
  reload: (catalog) => start(catalog),
  /** Shows a problem above the view, or none. */
  tell: (problem) => showProblem(problem),
};

let view = null;

const wanted = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "overview");
const catalog = () => byId("catalog").value;

function showProblem(problem) {
  const place = byId("problem");
  place.hidden = !problem;
  if (!problem) return;
  const { title, sentence } = explained(problem);
  place.replaceChildren(element("h2", {}, title), element("p", {}, sentence));
}

async function show() {
  view?.hide();
  showProblem(null);
  const name = wanted();
  byId("tabs").replaceChildren(
    ...Object.keys(VIEWS).map((one) => {
      const link = element("a", { href: `#${one}` }, t(`console.view.${one}`));
      if (one === name) link.setAttribute("aria-current", "page");
      return link;
    }),
  );
  document.title = `${t(`console.view.${name}`)} · Vitrine`;
  byId("view").replaceChildren();
  const shown = new VIEWS[name](byId("view"), actions);
  view = shown;
  try {
    await shown.show(catalog());
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    if (view === shown) showProblem(error);
  }
}

async function start(chosen = new URLSearchParams(location.search).get("catalog")) {
  try {
    const catalogs = await api.listCatalogs();
    const ids = catalogIds(catalogs);
    byId("catalog").replaceChildren(
      ...catalogs.map((one) => {
        const id = idOfCatalog(one);
        return element("option", { value: id, selected: id === chosen }, id);
      }),
    );
    if (!ids.includes(chosen)) [byId("catalog").value] = ids;
    byId("catalog-picker").hidden = catalogs.length < 1;
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    showProblem(error);
    return;
  }
  await show();
}

await load("common", "console");
translate();
prepareHeader();
addEventListener("hashchange", async () => {
  await show();
  byId("view").focus({ preventScroll: true });
});
byId("catalog").addEventListener("change", () => {
  history.replaceState(null, "", `?catalog=${encodeURIComponent(catalog())}${location.hash}`);
  show();
});
await start();

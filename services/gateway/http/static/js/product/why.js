// The panel that says why a product was found.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { factList, statedSection, suggested, understood } from "/js/product/facts.js";
import { numbers } from "/js/product/numbers.js";
import { pair } from "/js/product/pair.js";
import { closeButton, openPanel } from "/js/product/panel.js";
import { reasons } from "/js/product/reasons.js";
import { wishButtons } from "/js/product/wishes.js";
import { bandOf, idOf, priceOf, titleOf } from "/js/products.js";

// In order; the style sheet has where each begins.
const BANDS = ["low", "medium", "high"];
const TITLE = "why-title";

/** Where the similarity lies between 0 and 100, with the bands drawn to scale. */
function scale(hit) {
  const similarity = Math.round(hit.similarity);
  const band = bandOf(hit);
  const marker = element("span", { className: `marker ${band}` });
  marker.style.insetInlineStart = `${Math.min(100, Math.max(0, hit.similarity))}%`;
  return element(
    "section",
    { className: "similarity" },
    element("h3", {}, t("why.similarity.title")),
    element("p", {}, t(`why.similarity.${band}`, { similarity })),
    element(
      "div",
      { className: "scale", "aria-hidden": "true" },
      BANDS.map((name) => element("span", { className: `band ${name}` }, t(`why.band.${name}`))),
      marker,
    ),
  );
}

/** What stays in sight however far the panel is scrolled. */
function head(hit) {
  const title = titleOf(hit.product);
  return element(
    "header",
    { className: "why-head" },
    element("div", {}, element("p", { className: "quiet" }, t("why.title")), element("h2", { id: TITLE, title }, title)),
    closeButton(),
  );
}

function found(hit, state, buttons) {
  const price = priceOf(hit.product);
  return element(
    "section",
    { className: "why-found" },
    pair(hit, state),
    element("div", { className: "row" }, price === null ? null : element("p", { className: "price" }, price), buttons),
  );
}

function leftOut(dropped) {
  return dropped.length ? element("p", { className: "quiet left-out" }, t("why.dropped", { count: dropped.length })) : null;
}

/** Opens the panel for a hit of a response. */
export function showWhy(hit, response, actions) {
  let panel = null;
  const buttons = wishButtons(idOf(hit.product), actions, { onPress: () => panel.close() });
  panel = openPanel(
    { className: "why", titleId: TITLE },
    head(hit),
    element(
      "div",
      { className: "why-body" },
      found(hit, actions.state(), buttons),
      scale(hit),
      element("section", {}, element("h3", {}, t("why.score.title")), reasons(hit), numbers(hit)),
      factList(t("why.understood"), understood(response.query_labels ?? []), "h3"),
      statedSection(hit.product, "h3"),
      factList(t("facts.suggested"), suggested(hit.product), "h3"),
      leftOut(response.dropped ?? []),
    ),
  );
}

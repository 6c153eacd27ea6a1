// The numbers behind a hit's place, for those who want to know exactly: closed at first.

import { element } from "/js/dom.js";
import { fixed, t } from "/js/messages.js";
import { rounded } from "/js/product/shares.js";
import { strongestFirst, termBasis, termTitle } from "/js/product/terms.js";

const DIGITS = 2;
const written = (value) => fixed(value, DIGITS);

const head = (key) => element("th", { scope: "col" }, t(`why.numbers.${key}`));

function row(term, contribution) {
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, termTitle(term), element("span", { className: "quiet" }, termBasis(term))),
    [term.value, term.weight, contribution].map((value) => element("td", {}, written(value))),
  );
}

/** The terms with value, weight and contribution, which add up to the score; null where the server told none. */
export function numbers({ terms, similarity }) {
  if (!terms?.length) return null;
  const ordered = strongestFirst(terms);
  const contributions = rounded(ordered.map(({ contribution }) => contribution), DIGITS);
  const score = written(contributions.reduce((sum, one) => sum + one, 0));
  return element(
    "details",
    { className: "numbers" },
    element("summary", {}, t("why.numbers.title")),
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ["reason", "value", "weight", "contribution"].map(head))),
      element("tbody", {}, ordered.map((term, place) => row(term, contributions[place]))),
      element("tfoot", {}, element("tr", {}, element("th", { scope: "row", colSpan: 3 }, t("why.numbers.score")), element("td", {}, score))),
    ),
    element("p", { className: "quiet" }, t("why.numbers.scale", { score, similarity: Math.round(similarity) })),
  );
}

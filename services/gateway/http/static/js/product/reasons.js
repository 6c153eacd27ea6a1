// What made a hit come up: each reason in words, with its share of the score.

import { element } from "/js/dom.js";
import { percent, t } from "/js/messages.js";
import { rounded } from "/js/product/shares.js";
import { strongestFirst, termTitle } from "/js/product/terms.js";

// What counts less is no reason to anybody.
const LEAST_SHARE = 0.02;

function reason(term, share, said) {
  const isAgainst = term.contribution < 0;
  const fill = element("div", { className: ["fill", isAgainst && "against", term.absent && "absent"].filter(Boolean).join(" ") });
  fill.style.inlineSize = `${100 * Math.min(1, share)}%`;
  return element(
    "li",
    { className: "reason" },
    element("span", {}, termTitle(term)),
    element("span", { className: isAgainst ? "share quiet" : "share" }, said),
    element("div", { className: "track", "aria-hidden": "true" }, fill),
    term.absent ? element("p", { className: "quiet" }, t("why.reason.absent")) : null,
  );
}

/** The reasons, the strongest first, whose percentages add up to 100; a sentence where the server told no terms. */
export function reasons({ terms }) {
  if (!terms?.length) return element("p", { className: "quiet" }, t("why.score.none"));
  const ordered = strongestFirst(terms);
  const inFavour = ordered.filter(({ contribution }) => contribution > 0);
  const whole = inFavour.reduce((sum, { contribution }) => sum + contribution, 0);
  const shareOf = ({ contribution }) => (whole ? Math.abs(contribution) / whole : 1);
  const told = inFavour.filter((term) => shareOf(term) >= LEAST_SHARE);
  const others = inFavour.slice(told.length).reduce((sum, term) => sum + shareOf(term), 0);
  const shares = rounded([...told.map(shareOf), others], 2);
  const against = ordered.filter((term) => term.contribution < 0 && shareOf(term) >= LEAST_SHARE).reverse();
  return element(
    "div",
    {},
    element(
      "ul",
      { className: "reasons" },
      told.map((term, place) => reason(term, shares[place], percent(shares[place]))),
      against.map((term) => reason(term, shareOf(term), t("why.reason.against"))),
    ),
    shares.at(-1) ? element("p", { className: "quiet" }, t("why.reason.others", { share: percent(shares.at(-1)) })) : null,
  );
}

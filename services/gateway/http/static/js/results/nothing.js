// What to do when nothing was found.

import { examplesOf, sampleOf } from "/js/catalogue.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { chosenFilters } from "/js/results/chosen.js";
import { buttons } from "/js/results/trouble.js";

/**
 * Filters to take away where there are some, other words where there are none.
 *
 * `remove` gets one of chosenFilters, `ask` gets words.
 */
export function nothing(state, { remove, ask }) {
  const filters = chosenFilters(state);
  const ways = filters.map((one) => [t("filters.without", { name: one.name }), () => remove(one)]);
  if (filters.length > 1) ways.push([t("filters.clear"), () => remove({ without: () => ({ chosen: {}, min: "", max: "" }) })]);
  const offers = element("div", { className: "remedies" }, buttons(ways));
  const place = element("div", { className: "no-hits" }, element("p", {}, t(filters.length ? "empty.takeAway" : "empty.advice")), offers);
  if (!filters.length) offerExamples(state, ask, offers);
  return place;
}

/** Words that this catalogue has something for. */
async function offerExamples({ catalog, words }, ask, offers) {
  const examples = examplesOf(await sampleOf(catalog)).filter((one) => one !== words);
  offers.replaceChildren(...buttons(examples.map((one) => [one, () => ask(one)])));
}

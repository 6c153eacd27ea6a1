// What a hit's score is made of: its terms in plain words, with bars, in three groups.

import { element } from "/js/dom.js";
import { fixed, has, percent, t } from "/js/messages.js";

const GROUPS = {
  looks: (name) => name.startsWith("visual."),
  meaning: (name) => !name.startsWith("visual.") && !name.startsWith("text."),
  words: (name) => name.startsWith("text."),
};

/** The key of a term's messages; a server may have terms that the page does not know. */
function keyOf(name) {
  if (has(`term.${name}.title`)) return `term.${name}`;
  return name.startsWith("visual.") ? "term.visual.other" : "term.other";
}

const written = (value) => fixed(value, 2);

function termRow({ name, value, weight, contribution, absent }, largest) {
  const key = keyOf(name);
  const fill = element("div", { className: absent ? "fill absent" : "fill" });
  fill.style.inlineSize = percentOf(Math.abs(contribution), largest);
  if (contribution < 0) fill.classList.add("against");
  const basis = t(`${key}.basis`, { name: name.replace("visual.", "") });
  const measure = t(absent ? "term.absent" : "term.measure", { basis, value: written(value), weight: written(weight) });
  return element(
    "div",
    { className: "term" },
    element("dt", {}, t(`${key}.title`)),
    element("dd", {}, written(contribution)),
    element("dd", { className: "track", "aria-hidden": "true" }, fill),
    element("dd", { className: "detail quiet" }, measure),
  );
}

const percentOf = (part, whole) => `${whole ? (100 * part) / whole : 0}%`;

const sumOf = (terms) => terms.reduce((sum, one) => sum + one.contribution, 0);

function group(name, terms, { largest, score }) {
  const share = score > 0 && sumOf(terms) >= 0 ? percent(sumOf(terms) / score) : null;
  return element(
    "section",
    { className: "term-group" },
    element("h4", {}, element("span", {}, t(`term.group.${name}`)), share && element("span", { className: "quiet" }, t("term.group.share", { share }))),
    element("dl", { className: "terms" }, terms.map((one) => termRow(one, largest))),
  );
}

/** The breakdown of a hit's score; a sentence where the server sent none. */
export function breakdown(hit) {
  const terms = [...(hit.terms ?? [])].sort((one, other) => other.contribution - one.contribution);
  if (!terms.length) return element("p", { className: "quiet" }, t("why.score.none"));
  const largest = Math.max(...terms.map((one) => Math.abs(one.contribution)));
  const groups = Object.entries(GROUPS).map(([name, holds]) => [name, terms.filter((one) => holds(one.name))]);
  return element(
    "div",
    {},
    groups.filter(([, own]) => own.length).map(([name, own]) => group(name, own, { largest, score: hit.score })),
    element("p", { className: "total" }, element("span", {}, t("why.score")), element("span", {}, written(hit.score))),
    element("p", { className: "quiet" }, t("why.score.note")),
  );
}

// The terms of a hit's score, in words.

import { has, t } from "/js/messages.js";

/** The key of a term's messages; a server may have terms that the page does not know. */
function keyOf({ name }) {
  if (has(`term.${name}.title`)) return `term.${name}`;
  return name.startsWith("visual.") ? "term.visual.other" : "term.other";
}

/** Terms in the order of what they contribute. */
export const strongestFirst = (terms) => [...terms].sort((one, other) => other.contribution - one.contribution);

/** A term for shoppers, such as "Similar cut and details". */
export const termTitle = (term) => t(`${keyOf(term)}.title`);

/** What a term is computed from, for those who want to know exactly. */
export function termBasis(term) {
  const basis = t(`${keyOf(term)}.basis`, { name: term.name.replace("visual.", "") });
  return term.absent ? t("term.absent", { basis }) : basis;
}

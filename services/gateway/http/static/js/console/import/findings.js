// What was found when an import was looked through: sentences with a few examples each.

import { problemText } from "/js/console/import/problems.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

/** A list of findings, or a word that all is well. `problems` are those of a preview, `furtherRows` rows of products before. */
export function findings({ problems, furtherRows, undecided }) {
  const items = problems.map(finding);
  if (undecided) items.unshift(element("li", { className: "serious" }, t("import.found.undecided")));
  if (furtherRows) items.push(element("li", {}, t("import.found.further", { count: furtherRows })));
  return items.length ? element("ul", { className: "import-found" }, items) : element("p", { className: "import-well" }, t("import.found.nothing"));
}

function finding({ key, count, examples }) {
  const lines = examples.map((one) => element("li", {}, t("import.found.row", { row: String(one.row), text: problemText(one) })));
  const rest = count - examples.length;
  if (rest) lines.push(element("li", {}, t("import.found.rest", { count: rest })));
  return element("li", {}, element("details", {}, element("summary", {}, t(`${key}.count`, { count })), element("ul", {}, lines)));
}

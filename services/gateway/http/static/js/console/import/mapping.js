// What each column of the table is taken for, to be changed by the visitor.

import { textsIn } from "/js/console/import/cells.js";
import { ATTRIBUTE, ROLES } from "/js/console/import/columns.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

const LOOKED_AT = 50;

/** The first value of each column, as an example; empty where the first rows have none. */
export function examplesOf(table) {
  const examples = table.headers.map(() => "");
  let left = LOOKED_AT;
  for (const row of table.rows()) {
    if (!left || examples.every(Boolean)) break;
    left -= 1;
    if (!Array.isArray(row)) continue;
    row[1].forEach((cell, index) => {
      examples[index] ||= textsIn(cell).join(" · ");
    });
  }
  return examples;
}

/** The table of columns; `roles` one a header, `columns` by name as `assign` has them, `change(index, role)` a choice. */
export function mapping({ headers, examples, roles, columns, change }) {
  const names = new Map([...columns].map(([name, index]) => [index, name]));
  const rows = headers.map((header, index) => {
    const select = element(
      "select",
      { id: `import-role-${index}`, "aria-label": t("import.columns.role_of", { column: header }) },
      ROLES.map((role) => element("option", { value: role, selected: role === roles[index] }, t(`import.role.${role}`))),
    );
    select.addEventListener("change", () => change(index, select.value));
    const becomes = roles[index] === ATTRIBUTE ? element("code", {}, names.get(index)) : null;
    return element(
      "tr",
      { className: roles[index] },
      element("th", { scope: "row" }, header || t("import.columns.nameless", { count: index + 1 })),
      element("td", { className: "example" }, element("span", {}, examples[index] || "–")),
      element("td", {}, select),
      element("td", { className: "becomes" }, becomes),
    );
  });
  const heads = ["column", "example", "role", "attribute"].map((name) => element("th", { scope: "col" }, t(`import.columns.${name}`)));
  const body = element("tbody", {}, rows);
  return element(
    "div",
    { className: "import-scroll", tabIndex: 0, role: "region", "aria-label": t("import.columns.title") },
    element("table", { className: "import-columns" }, element("thead", {}, element("tr", {}, heads)), body),
  );
}

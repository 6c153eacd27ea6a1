// What the console's views are put together from: panels, figures, tables, bars and states.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";

/** A part of a view with a heading; `extra` stands beside the heading. */
export function panel(id, title, { extra = null, className = "" } = {}, ...children) {
  return element(
    "section",
    { className: `panel ${className}`.trim(), "aria-labelledby": id, "data-key": id },
    element("div", { className: "panel-head" }, element("h2", { id, tabIndex: -1 }, title), extra),
    ...children,
  );
}

/** Names with values; each is [name, value, remark], of which the remark may be left out. */
export function figures(list) {
  return element(
    "dl",
    { className: "figures" },
    list.map(([name, value, remark]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value, remark ? element("span", { className: "quiet" }, remark) : null)),
    ),
  );
}

/** What stands in a cell that has nothing to say; a card on a phone leaves it out. */
export const NOTHING = "–";

/**
 * A table, which scrolls by itself where it is wider than its panel, or becomes cards on a phone.
 *
 * A column is {title, cell, kind}: `cell` makes a row's content, and `kind` is `number`, `head` for what names the row, or
 * `bar`. `keyOf` names rows that come and go.
 */
export function table({ caption, columns, rows, keyOf = null, asCards = false }) {
  const head = columns.map(({ title, kind }) => element(title ? "th" : "td", { className: kind ?? "", ...(title ? { scope: "col" } : {}) }, title));
  const body = rows.map((row) => {
    const cells = columns.map(({ title, cell, kind }) => {
      const content = cell(row);
      if (kind === "head") return element("th", { scope: "row", className: kind }, content);
      return element("td", { className: [kind, content === NOTHING ? "none" : null].filter(Boolean).join(" "), "data-title": title }, content);
    });
    return element("tr", keyOf ? { "data-key": keyOf(row) } : {}, cells);
  });
  const made = element(
    "table",
    { className: asCards ? "data cards" : "data" },
    element("caption", { className: "visually-hidden" }, caption),
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, body),
  );
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, made);
}

/** A bar as long as a share, 0 to 1, of its place. It is for the eye: the number stands beside it. */
export function bar(share, className = "") {
  const drawn = element("span", { className: `bar ${className}`.trim() });
  drawn.style.setProperty("--share", share.toFixed(4));
  return drawn;
}

/** Bars on one track, the longest first, so that the shorter ones lie on top. */
export const bars = (...drawn) => element("span", { className: "track", "aria-hidden": "true" }, drawn);

const ICONS = { good: "check", warning: "warning", bad: "warning", busy: "clock", other: "swap" };

/** How something is, as an icon and a word; `kind` is one of ICONS. */
export const state = (kind, word) => element("span", { className: `state ${kind}` }, icon(ICONS[kind]), element("span", {}, word));

/** What is said where there is nothing to show. */
export const empty = (title, sentence, ...more) =>
  element("div", { className: "empty" }, element("p", { className: "empty-title" }, title), element("p", {}, sentence), ...more);

/** What the gateway itself said, without the marks of code in it. */
export const said = (text) => element("span", { className: "said" }, text.replaceAll("`", ""));

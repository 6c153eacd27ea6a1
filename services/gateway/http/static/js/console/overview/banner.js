// The first lines of the overview: whether all is well, and when this was read.

import { said } from "/js/console/parts.js";
import { problemWords } from "/js/console/problems.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { clock, t } from "/js/messages.js";

/** The answer in words; `found` are findings, null while nothing is known: because of a problem, or not yet. */
export function banner(found, problem) {
  const level = found ? found[0]?.level ?? "good" : problem ? "unknown" : "reading";
  const title = found?.length ? t("health.attention", { count: found.length }) : t(`health.${level}`);
  return element(
    "div",
    { className: `health ${level}`, role: "status", "data-key": "health" },
    icon({ good: "check", reading: "clock" }[level] ?? "warning"),
    element("div", {}, element("h2", {}, title), found?.length ? element("ul", {}, found.map(line)) : element("p", {}, t(`health.${level}.sentence`))),
  );
}

function line({ level, text, cause, view }) {
  const more = view ? element("a", { href: `#${view}` }, t(`health.see.${view}`)) : null;
  return element("li", { className: level }, element("span", {}, text, more ? [" ", more] : null), cause ? said(cause) : null);
}

/** When the numbers were read, and why there are no newer ones. */
export function reading(readAt, problem) {
  if (!readAt) return element("p", { className: "read quiet", "data-key": "read" }, "\u00A0");
  const time = clock(readAt);
  const text = problem ? t("overview.stale", { time, problem: problemWords(problem).title }) : t("overview.read", { time });
  return element("p", { className: problem ? "read stale" : "read quiet", "data-key": "read" }, text);
}

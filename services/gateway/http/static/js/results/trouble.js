// What went wrong, with what can be done about it.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { explained } from "/js/problems.js";

/** Buttons of [label, what it does]. */
export function buttons(ways) {
  return ways.map(([label, act]) => {
    const button = element("button", { type: "button", className: "plain" }, label);
    button.addEventListener("click", act);
    return button;
  });
}

/** A problem in words; `remedies` has the ways out for each remedy of js/problems.js: [[label, what it does], ...]. */
export function trouble(problem, remedies) {
  const { title, sentence, remedy } = explained(problem);
  return element(
    "div",
    { className: "problem", role: "alert" },
    element("h2", {}, title),
    element("p", {}, sentence),
    element("div", { className: "remedies" }, buttons(remedies[remedy] ?? [])),
    problem.status ? technical(problem) : null,
  );
}

function technical({ status, reason, field, detail, traceId }) {
  return element(
    "details",
    {},
    element("summary", {}, t("problem.technical")),
    element("p", {}, [status, reason].filter(Boolean).join(" ")),
    element("p", {}, field ? `${field}: ${detail}` : detail),
    traceId ? element("p", {}, t("problem.trace", { trace: traceId })) : null,
  );
}

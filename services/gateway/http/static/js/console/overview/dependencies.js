// The services that the gateway stands on.

import { element } from "/js/dom.js";
import { has, span, t } from "/js/messages.js";
import { NOTHING, panel, said, state, table } from "/js/console/parts.js";

const worded = (key, otherwise) => (has(key) ? t(key) : otherwise);

function nameOf({ name }) {
  return [worded(`service.${name}`, name), element("span", { className: "quiet under" }, worded(`service.${name}.does`, ""))];
}

const stateOf = ({ available, problem }) => [
  available ? state("good", t("service.answers")) : state("bad", t("service.away")),
  problem ? said(problem) : null,
];

export function dependencies({ dependencies: all }) {
  const columns = [
    { title: t("service.name"), kind: "head", cell: nameOf },
    { title: t("service.state"), cell: stateOf },
    { title: t("service.latency"), kind: "number", cell: ({ available, latency_ms: ms }) => (available ? span(ms) : NOTHING) },
  ];
  return panel("services", t("service.title"), {}, table({ caption: t("service.caption"), columns, rows: all, keyOf: ({ name }) => name, asCards: true }));
}

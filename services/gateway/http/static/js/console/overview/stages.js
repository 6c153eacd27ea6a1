// How long the stages of searches and writes take.

import { element } from "/js/dom.js";
import { has, number, span, t } from "/js/messages.js";
import { bar, bars, empty, panel, table } from "/js/console/parts.js";

const PERCENTILES = [["p50", "p50_ms"], ["p95", "p95_ms"], ["p99", "p99_ms"]];

const key = () =>
  element("p", { className: "key-line quiet", "aria-hidden": "true" }, PERCENTILES.map(([name]) => element("span", { className: `swatch ${name}` }, name)));

export function stages({ stages: all }) {
  const title = t("stages.title");
  if (!all.length) return panel("stages", title, {}, empty(t("stages.none.title"), t("stages.none")));
  const longest = Math.max(...all.map(({ p99_ms: ms }) => ms), Number.MIN_VALUE);
  const columns = [
    { title: t("stages.stage"), kind: "head", cell: ({ stage }) => (has(`stages.${stage}`) ? t(`stages.${stage}`) : stage) },
    { title: "", kind: "bar", cell: (row) => bars(...PERCENTILES.toReversed().map(([name, field]) => bar(row[field] / longest, name))) },
    ...PERCENTILES.map(([name, field]) => ({ title: name, kind: "number", cell: (row) => span(row[field]) })),
    { title: t("stages.count"), kind: "number", cell: ({ count }) => number(Number(count)) },
  ];
  const told = element("p", { className: "quiet" }, t("stages.why"));
  return panel("stages", title, { extra: key() }, told, table({ caption: t("stages.caption"), columns, rows: all, keyOf: ({ stage }) => stage }));
}

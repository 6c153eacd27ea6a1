// A sum over the queries of a time.

import { NOTHING, bar, bars, figures, panel, table } from "/js/console/parts.js";
import { searchLink } from "/js/console/queries/links.js";
import { element } from "/js/dom.js";
import { fixed, number, percent, span, t } from "/js/messages.js";

/** The figures of a QueryStatsResponse of at least one query. */
export function sum(stats) {
  const count = Number(stats.query_count);
  const share = (field) => percent(Number(stats[field]) / count);
  const rank = stats.mean_reciprocal_rank;
  return panel("sum", t("queries.sum"), {}, figures([
    [t("queries.count"), number(count)],
    [t("queries.zero"), share("zero_result_count")],
    [t("queries.cached"), share("cached_count")],
    [t("queries.degraded"), share("degraded_count"), t("queries.degraded.what")],
    [t("queries.engaged"), share("engaged_count"), t("queries.engaged.what")],
    [t("queries.p50"), span(stats.latency_p50_ms)],
    [t("queries.p95"), span(stats.latency_p95_ms)],
    [t("queries.p99"), span(stats.latency_p99_ms)],
    // Without anything chosen there is no rank to tell.
    [t("queries.mrr"), rank ? fixed(rank, 2) : NOTHING, t("queries.mrr.what")],
  ]));
}

/** The words that were searched most, of one kind: `top` or `missing`. */
export function texts(catalog, kind, counted) {
  const title = t(`queries.${kind}`);
  if (!counted.length) return panel(kind, title, { className: "half" }, element("p", { className: "quiet" }, t(`queries.${kind}.none`)));
  const most = Math.max(...counted.map(({ count }) => Number(count)));
  const columns = [
    { title: t("queries.text"), kind: "head", cell: ({ text }) => searchLink(catalog, { words: text }, text) },
    { title: "", kind: "bar", cell: ({ count }) => bars(bar(Number(count) / most)) },
    { title: t("queries.times"), kind: "number", cell: ({ count }) => number(Number(count)) },
  ];
  return panel(kind, title, { className: "half" }, table({ caption: title, columns, rows: counted, keyOf: ({ text }) => text }));
}

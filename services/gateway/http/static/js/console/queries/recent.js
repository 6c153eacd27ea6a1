// Recent queries as a table.

import { NOTHING, said, table } from "/js/console/parts.js";
import { searchLink } from "/js/console/queries/links.js";
import { element } from "/js/dom.js";
import { ago, has, number, span, t, time } from "/js/messages.js";

/** A table of LoggedQuery messages, as they come. */
export function recent(catalog, queries) {
  const columns = [
    { title: t("queries.what"), kind: "head", cell: (query) => asked(catalog, query) },
    { title: t("queries.when"), cell: ({ time: at }) => element("time", { dateTime: at, title: time(at) }, ago(at)) },
    { title: t("queries.hits"), kind: "number", cell: ({ hit_count: count }) => element("span", { className: count ? "" : "nothing" }, number(count)) },
    { title: t("queries.best"), kind: "number", cell: ({ hit_count: count, best_similarity: best }) => (count ? number(best) : NOTHING) },
    { title: t("queries.took"), kind: "number", cell: ({ latency_ms: ms }) => span(ms) },
    { title: t("queries.answer"), cell: answer },
    { title: t("queries.feedback"), cell: feedback },
  ];
  return table({ caption: t("queries.recent.caption"), columns, rows: queries, keyOf: ({ query_id: id }) => id, asCards: true });
}

function asked(catalog, query) {
  const { texts, products, image_count: photos, vector_count: vectors } = query;
  const parts = [
    ...texts.map((text) => searchLink(catalog, { words: text }, text)),
    ...products.map((id) => searchLink(catalog, { like: [id] }, t("queries.product", { id }))),
    photos ? t("queries.photo", { count: photos }) : null,
    vectors ? t("queries.vector", { count: vectors }) : null,
  ].filter(Boolean);
  const remarks = [query.profile, query.filtered ? t("queries.filtered") : "", query.page ? t("queries.page") : ""].filter(Boolean);
  return [parts.map((part) => element("span", { className: "asked" }, part)), element("span", { className: "quiet under" }, remarks.join(" · "))];
}

function answer({ cache, degraded }) {
  const key = `queries.cache.${cache.replace("CACHE_OUTCOME_", "").toLowerCase()}`;
  return [
    has(key) ? t(key) : NOTHING,
    degraded.length ? said(t("queries.incomplete", { reasons: degraded.join(", ") })) : null,
  ];
}

/** What people made of the hits, each kind once with its number. */
function feedback({ feedback: given }) {
  const kinds = Map.groupBy(given, ({ kind }) => `queries.feedback.${kind.replace("FEEDBACK_KIND_", "").toLowerCase()}`);
  return [...kinds].filter(([key]) => has(key)).map(([key, its]) => t(key, { count: its.length })).join(", ") || NOTHING;
}

// What became of searches, and what the cache saves.

import { element } from "/js/dom.js";
import { bytes, has, number, percent, span, t } from "/js/messages.js";
import { NOTHING, bar, bars, empty, panel, table } from "/js/console/parts.js";

const OUTCOMES = ["hit", "shared", "miss", "bypass"];

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const share = (part, all) => (all ? part / all : 0);
const percentOf = (part, all) => (all ? percent(part / all) : NOTHING);

export function searches({ searches: counts }) {
  const rows = OUTCOMES.map((outcome) => ({ outcome, count: Number(counts?.[outcome] ?? 0) }));
  const all = sum(rows.map(({ count }) => count));
  const title = t("outcomes.title");
  if (!all) return panel("outcomes", title, {}, empty(t("outcomes.none.title"), t("outcomes.none")));
  const saved = Number(counts.hit) + Number(counts.shared);
  const columns = [
    { title: t("outcomes.outcome"), kind: "head", cell: ({ outcome }) => t(`outcomes.${outcome}`) },
    { title: "", kind: "bar", cell: ({ count }) => bars(bar(share(count, all))) },
    { title: t("outcomes.share"), kind: "number", cell: ({ count }) => percent(share(count, all)) },
    { title: t("outcomes.count"), kind: "number", cell: ({ count }) => number(count) },
  ];
  const told = element("p", { className: "quiet" }, t("outcomes.saved", { share: percent(share(saved, all)), count: all }));
  return panel("outcomes", title, {}, told, table({ caption: t("outcomes.caption"), columns, rows }));
}

export function lookups({ cache_lookups: all, cache_bytes: size }) {
  const title = t("cache.title");
  const held = element("p", { className: "quiet" }, t("cache.bytes", { size: bytes(Number(size)) }));
  if (!all.length) return panel("cache", title, {}, empty(t("cache.none.title"), t("cache.none")));
  const count = (field) => ({ title: t(`cache.${field}`), kind: "number", cell: (row) => number(Number(row[field])) });
  const word = (key) => (has(`cache.${key}`) ? t(`cache.${key}`) : key);
  const columns = [
    { title: t("cache.what"), kind: "head", cell: ({ layer, kind }) => t("cache.in", { kind: word(`kind.${kind}`), layer: word(`layer.${layer}`) }) },
    { title: t("cache.rate"), kind: "number", cell: ({ hit, miss }) => percentOf(Number(hit), Number(hit) + Number(miss)) },
    ...["hit", "miss", "failed", "skipped"].map(count),
    { title: t("cache.saved"), kind: "number", cell: ({ saved_s: seconds }) => span(seconds * 1000) },
  ];
  const keyOf = ({ layer, kind }) => `${layer} ${kind}`;
  return panel("cache", title, {}, held, table({ caption: t("cache.caption"), columns, rows: all, keyOf }));
}

// What is said above the hits: how many there are, how long it took, and what the answer lacks.

import { element } from "/js/dom.js";
import { fixed, has, t } from "/js/messages.js";

const SHARD = "shard:";

/** How many hits are shown, in words: after further pages it is said that this is no total. */
export function counted(count, { hasMore, isFurther }) {
  if (!hasMore) return t("results.all", { count });
  return t(isFurther ? "results.sofar" : "results.ranked", { count });
}

/** What is missing from an answer, a sentence for each reason. */
export function lacking({ degraded, shards_ok: ok, shards_total: total }) {
  const reasons = degraded.filter((reason) => !reason.startsWith(SHARD));
  const sentences = reasons.map((reason) => t(has(`degraded.${reason}`) ? `degraded.${reason}` : "degraded.other"));
  if (ok < total) sentences.push(t("degraded.shards", { ok, total }));
  return [...new Set(sentences)];
}

const row = (name, durationMs) => [element("dt", {}, name), element("dd", {}, t("results.milliseconds", { count: durationMs }))];

/** How long the answer took, which opens into its stages. */
export function timing({ stages, cache, tookMs }) {
  const isCached = cache === "CACHE_OUTCOME_HIT";
  const known = stages.map(({ stage, duration_ms: ms }) => [has(`stage.${stage}`) ? t(`stage.${stage}`) : stage, Math.round(ms)]);
  const rest = Math.round(tookMs) - known.reduce((sum, [, ms]) => sum + ms, 0);
  return element(
    "details",
    { className: "timing quiet" },
    element("summary", { title: t("results.timing") }, t("results.took", { seconds: fixed(tookMs / 1000, 2) })),
    element(
      "div",
      { className: "stages" },
      element("dl", {}, known.map(([name, ms]) => row(name, ms)), rest > 0 ? row(t("results.rest"), rest) : null),
      isCached ? element("p", {}, t("results.cached")) : null,
    ),
  );
}

// Whether all is well, and what needs attention: the answer that an operator comes for.

import { has, percent, t } from "/js/messages.js";

/** Behind by fewer changes than these is how a shard is that takes in what was just written. */
const LAG_WORTH_TELLING = 100;
/** Shares of searches say little before there were so many. */
const MIN_SEARCHES = 20;
const SHARE_WORTH_TELLING = 0.1;

/** Without these, searches are slower or plainer; without others they fail. */
const DISPENSABLE = new Set(["ranker", "redis"]);

/**
 * What needs attention, the worst first: each {level, text, cause, view}.
 *
 * `level` is `bad` where searches are incomplete or fail, else `warning`. `cause` is what the gateway itself says of it,
 * and `view` the console's view that shows more; both may be empty. What is null among `status`, `catalog`, `stats` and
 * `models` is not known, and nothing is said of it.
 */
export function findings({ status, catalog, stats, models }) {
  const found = [
    ...(status ? [...ofDependencies(status), ...ofShards(status)] : []),
    ...(catalog ? ofGenerations(catalog) : []),
    ...(catalog && models ? ofModels(catalog, models) : []),
    ...(stats ? ofSearches(stats) : []),
  ];
  return [...found.filter(({ level }) => level === "bad"), ...found.filter(({ level }) => level !== "bad")];
}

const finding = (level, text, { cause = "", view = "" } = {}) => ({ level, text, cause, view });

function ofDependencies({ dependencies }) {
  return dependencies
    .filter(({ available }) => !available)
    .map(({ name, problem }) => {
      const text = has(`health.away.${name}`) ? t(`health.away.${name}`) : t("health.away", { name });
      return finding(DISPENSABLE.has(name) ? "warning" : "bad", text, { cause: problem });
    });
}

/** The replicas of each shard of each set. */
export function shardsOf(replicas) {
  const sets = Map.groupBy(replicas, ({ set }) => set);
  return [...sets.values()].flatMap((ofSet) => {
    const shards = [...Map.groupBy(ofSet, ({ shard }) => shard).values()];
    return shards.map((its) => ({ shard: its[0].shard + 1, shards: shards.length, inUse: its[0].in_use, replicas: its }));
  });
}

const answers = ({ state }) => state === "REPLICA_STATE_CATCHING_UP" || state === "REPLICA_STATE_CAUGHT_UP";

function ofShards({ replicas }) {
  return shardsOf(replicas).flatMap(({ shard, shards, inUse, replicas: its }) => {
    if (inUse && !its.some(answers)) return [finding("bad", t("health.shard.away", { shard, shards }))];
    return its.map((replica) => ofReplica(replica, { shard, shards, target: replica.target, count: Number(replica.lag) })).filter(Boolean);
  });
}

function ofReplica({ state, in_use: inUse }, values) {
  if (state === "REPLICA_STATE_UNSPECIFIED") return finding("warning", t("health.replica.away", values));
  if (state === "REPLICA_STATE_MISPLACED") return finding("warning", t("health.replica.misplaced", values));
  // A set that is being filled for later is behind by nature.
  if (!inUse) return null;
  if (state === "REPLICA_STATE_CATCHING_UP") return finding("warning", t("health.replica.catching", values));
  return values.count >= LAG_WORTH_TELLING ? finding("warning", t("health.replica.behind", values)) : null;
}

function ofGenerations({ generations }) {
  return generations
    .filter(({ problem }) => problem)
    .map(({ generation, problem }) => finding("warning", t("health.stuck", { id: generation.id }), { cause: problem }));
}

function ofModels({ active_generation: active }, models) {
  return (active?.spaces ?? []).flatMap(({ space, model_digest: digest }) => {
    const its = models.filter(({ spec }) => spec.space === space);
    if (its.some(({ spec, unavailable_reason: reason }) => !reason && spec.model_digest === digest)) return [];
    const reason = its.find(({ unavailable_reason: one }) => one)?.unavailable_reason ?? "";
    const served = its.some(({ unavailable_reason: one }) => !one);
    return [finding("bad", t(served ? "health.model.other" : "health.model.away", { space }), { cause: reason, view: "models" })];
  });
}

function ofSearches(stats) {
  const count = Number(stats.query_count);
  if (count < MIN_SEARCHES) return [];
  const shares = { nothing: Number(stats.zero_result_count) / count, degraded: Number(stats.degraded_count) / count };
  return Object.entries(shares)
    .filter(([, share]) => share >= SHARE_WORTH_TELLING)
    .map(([name, share]) => finding("warning", t(`health.${name}`, { share: percent(share) }), { view: "queries" }));
}

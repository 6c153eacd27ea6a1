// The shards and their replicas.

import { element } from "/js/dom.js";
import { bytes, number, t } from "/js/messages.js";
import { NOTHING, empty, panel, state, table } from "/js/console/parts.js";

const KINDS = {
  REPLICA_STATE_CAUGHT_UP: ["good", "caught"],
  REPLICA_STATE_CATCHING_UP: ["busy", "catching"],
  REPLICA_STATE_MISPLACED: ["other", "misplaced"],
  REPLICA_STATE_UNSPECIFIED: ["bad", "away"],
};

function stateOf(replica) {
  const [kind, word] = KINDS[replica.state] ?? KINDS.REPLICA_STATE_UNSPECIFIED;
  return state(kind, t(`shards.state.${word}`));
}

const numeric = (title, value) => ({ title, kind: "number", cell: (row) => value(row) });

export function replicas({ replicas: all }) {
  const title = t("shards.title");
  if (!all.length) return panel("shards", title, {}, empty(t("shards.none.title"), t("shards.none")));
  const columns = [
    { title: t("shards.target"), kind: "head", cell: ({ target }) => target },
    { title: t("shards.set"), cell: ({ in_use: inUse }) => t(inUse ? "shards.set.used" : "shards.set.next") },
    numeric(t("shards.shard"), ({ shard, set }) => {
      const count = new Set(all.filter((one) => one.set === set).map((one) => one.shard)).size;
      return t("shards.of", { shard: shard + 1, count });
    }),
    { title: t("shards.state"), cell: stateOf },
    numeric(t("shards.behind"), ({ lag }) => t("shards.changes", { count: Number(lag) })),
    numeric(t("shards.hand"), ({ in_hand: count }) => number(count)),
    numeric(t("shards.products"), ({ products }) => number(Number(products))),
    numeric(t("shards.photos"), ({ rows }) => number(Number(rows))),
    numeric(t("shards.memory"), ({ memory_bytes: size }) => bytes(Number(size))),
    { title: t("shards.index"), cell: ({ index_kinds: kinds }) => kinds.join(", ") || NOTHING },
  ];
  const keyOf = ({ set, shard, target }) => `${set} ${shard} ${target}`;
  return panel("shards", title, {}, element("p", { className: "quiet" }, t("shards.why")), table({ caption: t("shards.caption"), columns, rows: all, keyOf, asCards: true }));
}

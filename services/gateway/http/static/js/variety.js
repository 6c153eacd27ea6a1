// A few products that stand for many: of different categories, and not the same thing in another size.

import { valuesOf } from "/js/products.js";

/** What kind of product it is, as the shop states it or, where it does not, as its photo suggests; "" when unknown. */
export const categoryOf = (product) =>
  valuesOf(product, "category")[0] ?? product.labels?.find((label) => label.name === "category")?.value ?? "";

/** Lists of those that have the same `kindOf`, the longest first. */
export function grouped(list, kindOf) {
  const groups = new Map();
  for (const one of list) groups.set(kindOf(one), [...(groups.get(kindOf(one)) ?? []), one]);
  return [...groups.values()].sort((one, other) => other.length - one.length);
}

/** All of several lists: the first of each, then the second of each, and so on. */
export function inTurns(lists) {
  const rounds = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: rounds }, (_, round) => lists.flatMap((list) => list.slice(round, round + 1))).flat();
}

/** A list in another order, so that its first `count` are from all over it. */
function scattered(list, count) {
  const step = Math.max(1, Math.floor(list.length / count));
  return list.map((one, place) => [one, place % step]).sort(([, one], [, other]) => one - other).map(([one]) => one);
}

/** `count` products, of all categories in turns; neighbours in a category are often the same in another size or colour. */
export function assorted(products, count) {
  const alike = grouped(products, categoryOf);
  const each = Math.ceil(count / alike.length);
  return inTurns(alike.map((list) => scattered(list, each))).slice(0, count);
}

// Near duplicates as groups: products that name each other, or that another names together.

import { idOf } from "/js/products.js";

/** A pair of products that look alike: {ids, photos, cosine}; its photos are by product. */
function pairOf(product, { product: name, photo_id: photo, other_photo_id: other, cosine }) {
  const ids = [idOf(product), name.split("/").pop()];
  return { ids, photos: new Map([[ids[0], photo], [ids[1], other]]), cosine };
}

/** The name of a pair, whichever way round. */
export const nameOf = ({ ids }) => [...ids].sort().join(" ");

const hasPhoto = (product, id) => (product?.photos ?? []).some((photo) => photo.id === id);

/** The pairs that `products`, by id, name; what is not there any more, product or photo, is like nothing. */
export function pairsOf(products) {
  const pairs = new Map();
  for (const product of products.values()) {
    for (const near of product.near_duplicates ?? []) {
      const pair = pairOf(product, near);
      const isThere = pair.ids.every((id) => hasPhoto(products.get(id), pair.photos.get(id)));
      const known = pairs.get(nameOf(pair));
      if (isThere && !(known?.cosine >= pair.cosine)) pairs.set(nameOf(pair), pair);
    }
  }
  return [...pairs.values()];
}

/**
 * Pairs put together to groups, those most alike first: {ids, photos, cosine, pairs}. So much, and more, is each product
 * of a group like another of it. A product's photo is that of its own nearest pair.
 */
export function grouped(pairs) {
  const nearestFirst = [...pairs].sort((one, other) => other.cosine - one.cosine || (nameOf(one) < nameOf(other) ? -1 : 1));
  const groupOf = new Map();
  for (const pair of nearestFirst) {
    const [one, other] = pair.ids.map((id) => groupOf.get(id) ?? { ids: [id], photos: new Map(), pairs: [] });
    const group = one === other ? one : merged(one, other);
    group.pairs.push(pair);
    for (const id of group.ids) groupOf.set(id, group);
    for (const [id, photo] of pair.photos) if (!group.photos.has(id)) group.photos.set(id, photo);
  }
  const groups = [...new Set(groupOf.values())];
  for (const group of groups) {
    group.ids.sort();
    group.cosine = Math.min(...group.ids.map((id) => nearest(id, group.pairs)));
  }
  return groups.sort((one, other) => other.cosine - one.cosine || (one.ids[0] < other.ids[0] ? -1 : 1));
}

const nearest = (id, pairs) => Math.max(...pairs.filter(({ ids }) => ids.includes(id)).map(({ cosine }) => cosine));

function merged(one, other) {
  return { ids: [...one.ids, ...other.ids], photos: new Map([...one.photos, ...other.photos]), pairs: [...one.pairs, ...other.pairs] };
}

// Ids of products, and names of files that stand in for them.

import { sha256 } from "/js/console/import/sha256.js";

const PRODUCT_ID = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;

/** A text as a product's id: itself, or the usable parts of it with a digest behind, the same in every import. */
export function productId(text) {
  if (PRODUCT_ID.test(text)) return text;
  const parts = text.replace(/[^A-Za-z0-9._~]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 100);
  return `${parts}-${sha256(text).slice(0, 12)}`.replace(/^-+/, "");
}

/** A file's name without its suffix. */
export function stem(name) {
  const point = name.lastIndexOf(".");
  return point > 0 && point < name.length - 1 ? name.slice(0, point) : name;
}

// What the page shows of products.

import { element } from "/js/dom.js";

export const idOf = (product) => product.name.split("/").pop();

export const titleOf = (product) => product.title || idOf(product);

/** A value of an attribute: its text, number or flag. */
export const plain = (value) => value.text ?? value.number ?? value.flag;

export function valuesOf(product, attribute) {
  return (product.attributes?.[attribute]?.values ?? []).map(plain);
}

export function priceOf(product) {
  const [price] = valuesOf(product, "price");
  return typeof price === "number" ? price.toLocaleString(undefined, { minimumFractionDigits: Number.isInteger(price) ? 0 : 2, maximumFractionDigits: 2 }) : null;
}

/** `master_category` as "Master category". */
export function spoken(attribute) {
  const words = attribute.replace(/^inferred\./, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The frame with a product's photo; `photoId` picks one of several. */
export function picture(product, photoId = "", ...children) {
  const photos = product.photos ?? [];
  const photo = photos.find((one) => one.id === photoId) ?? photos[0];
  const none = element("span", { className: "none" }, "No picture");
  const image = photo?.media_path ? element("img", { src: photo.media_path, alt: "", loading: "lazy", decoding: "async" }) : null;
  image?.addEventListener("error", () => image.replaceWith(none));
  return element("div", { className: "picture" }, image ?? none, ...children);
}

const BANDS = { BAND_HIGH: "high", BAND_MEDIUM: "medium", BAND_LOW: "low" };

export function badge(hit) {
  const band = BANDS[hit.band] ?? "low";
  const similarity = Math.round(hit.similarity);
  const label = `Similarity ${similarity} of 100, ${band}`;
  return element("span", { className: `badge ${band}`, role: "img", "aria-label": label, title: label }, `${similarity} ${band}`);
}

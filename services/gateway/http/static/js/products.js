// What the page shows of products.

import { element } from "/js/dom.js";
import { has, price, t } from "/js/messages.js";

export const idOf = (product) => product.name.split("/").pop();

export const titleOf = (product) => product.title || idOf(product);

/** A value of an attribute: its text, number or flag. */
export const plain = (value) => value.text ?? value.number ?? value.flag;

export function valuesOf(product, attribute) {
  return (product.attributes?.[attribute]?.values ?? []).map(plain);
}

/** The price as the visitor's language writes it, or null. */
export function priceOf(product) {
  const [amount] = valuesOf(product, "price");
  return typeof amount === "number" ? price(amount) : null;
}

/** The name of an attribute for people; one that the page does not know as it is: `sole_kind` as "Sole kind". */
export function spoken(attribute) {
  const name = attribute.replace(/^inferred\./, "");
  if (has(`attribute.${name}`)) return t(`attribute.${name}`);
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// Widths by heights of photos that fill a frame of 4 by 5 when a little of their edges is cut off.
const FILLING = { least: 0.65, most: 0.95 };
const fills = ({ width, height }) => Boolean(width && height) && width / height >= FILLING.least && width / height <= FILLING.most;

/** The frame with a product's photo; `photoId` picks one of several. */
export function picture(product, photoId = "", ...children) {
  const photos = product.photos ?? [];
  const photo = photos.find((one) => one.id === photoId) ?? photos[0];
  const none = element("span", { className: "none" }, t("product.none"));
  const image = photo?.media_path ? element("img", { src: photo.media_path, alt: "", loading: "lazy", decoding: "async", ...sizeOf(photo) }) : null;
  image?.addEventListener("error", () => image.replaceWith(none));
  return element("div", { className: image && fills(photo) ? "picture filled" : "picture" }, image ?? none, ...children);
}

const sizeOf = ({ width, height }) => (width && height ? { width, height } : {});

const BANDS = { BAND_HIGH: "high", BAND_MEDIUM: "medium", BAND_LOW: "low" };

/** The band of a hit's similarity: `high`, `medium` or `low`. */
export const bandOf = (hit) => BANDS[hit.band] ?? "low";

/** How similar a hit is, told by number, word, colour and shape; `to` says to what: `search` or `product`. */
export function badge(hit, to = "search") {
  const band = bandOf(hit);
  const similarity = Math.round(hit.similarity);
  const label = t(`badge.${band}.${to}`, { similarity });
  return element("span", { className: `badge ${band}`, role: "img", "aria-label": label, title: label }, t(`badge.${band}`, { similarity }));
}

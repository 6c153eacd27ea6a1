// Links that bring a friend to the same search or product.
//
// A photo travels in the link's fragment, as a small copy: browsers keep that part of an address to themselves.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { openPanel } from "/js/product/panel.js";
import { dimensionsOf } from "/js/search/dimensions.js";
import { decoded, draw } from "/js/search/drawing.js";
import { addressOf, emptyState } from "/js/state.js";
import { tell } from "/js/toast.js";

const MARK = "#photo=";
// Models look at 224 pixels and more; below that, a friend would see other results.
const LONGEST_SIDE_PX = 320;
const AIM_BYTES = 16_384;
const QUALITIES = [0.75, 0.6, 0.45];
const MAX_FRAGMENT = 65536;
// More than any copy has: a small file may hold a picture that fills the memory.
const MAX_SIDE_PX = 1024;

/**
 * The link to a state: {link, hasPhoto}. A product's has nothing of the search that it was found with, and a photo is cut
 * to its box.
 */
export async function linkOf(state) {
  if (state.item) return { link: `${location.origin}${addressOf({ ...emptyState(state.catalog), item: state.item })}`, hasPhoto: false };
  const link = `${location.origin}${addressOf({ ...state, photo: null })}`;
  const copy = state.photo ? await smallCopy(state.photo.blob, state.box) : null;
  return copy ? { link: link + MARK + (await written(copy)), hasPhoto: true } : { link, hasPhoto: false };
}

async function smallCopy(blob, box) {
  const bitmap = await decoded(blob);
  if (!bitmap) return null;
  const canvas = draw(new OffscreenCanvas(1, 1), bitmap, { box, longest: LONGEST_SIDE_PX });
  bitmap.close();
  for (const quality of QUALITIES) {
    const copy = await encoded(canvas, quality);
    if (copy.size <= AIM_BYTES || quality === QUALITIES.at(-1)) return copy;
  }
}

/** As WebP, or as JPEG where the browser answers with a type that is not wanted. */
async function encoded(canvas, quality) {
  const copy = await canvas.convertToBlob({ type: "image/webp", quality });
  return copy.type === "image/webp" ? copy : canvas.convertToBlob({ type: "image/jpeg", quality });
}

/** A blob in base64url. */
async function written(blob) {
  const letters = Array.from(new Uint8Array(await blob.arrayBuffer()), (byte) => String.fromCharCode(byte));
  return btoa(letters.join("")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Whether the address has a photo in it. */
export const hasSharedPhoto = () => location.hash.startsWith(MARK);

/** The photo in the address, which goes from there; null when there is none that can be used. */
export async function sharedPhoto() {
  if (!hasSharedPhoto()) return null;
  const text = location.hash.slice(MARK.length);
  history.replaceState(history.state, "", location.pathname + location.search);
  const content = text.length <= MAX_FRAGMENT ? contentOf(text) : null;
  const blob = content && isSmall(content) ? new Blob([content], { type: content[0] === 0xff ? "image/jpeg" : "image/webp" }) : null;
  const bitmap = blob && (await decoded(blob));
  bitmap?.close();
  if (!bitmap) tell(t("share.broken"));
  return bitmap ? blob : null;
}

function isSmall(content) {
  const size = dimensionsOf(content);
  return size !== null && Math.max(size.width, size.height) <= MAX_SIDE_PX;
}

/** The bytes that a text in base64url has; null where it is none. */
function contentOf(text) {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Sends the link to a state on: as the phone offers it, else by way of the clipboard. */
export async function share(state) {
  const { link, hasPhoto } = await linkOf(state);
  const withoutPhoto = state.photo && !hasPhoto && !state.item;
  const said = (key) => (hasPhoto ? `${key}_with_photo` : withoutPhoto ? `${key}_without_photo` : key);
  if (navigator.share && matchMedia("(pointer: coarse)").matches) {
    try {
      await navigator.share({ title: document.title, url: link });
      if (hasPhoto || withoutPhoto) tell(t(said("share.sent")));
    } catch (error) {
      // Whoever sends it nowhere has changed their mind.
      if (error.name !== "AbortError") showLink(link);
    }
    return;
  }
  try {
    await navigator.clipboard.writeText(link);
    tell(t(said("share.copied")));
  } catch {
    // Browsers keep the clipboard from pages that come without encryption.
    showLink(link);
  }
}

/** Shows a link for the visitor to copy. */
function showLink(link) {
  const field = element("input", { id: "link", type: "url", readOnly: true, value: link });
  openPanel(
    { className: "link", titleId: "link-title" },
    element(
      "form",
      { method: "dialog", className: "sheet" },
      element("h2", { id: "link-title" }, t("share.title")),
      element("label", { htmlFor: "link" }, t("share.copy")),
      field,
      element("div", { className: "row end" }, element("button", { type: "submit", className: "primary" }, t("share.done"))),
    ),
  );
  field.select();
}

// What was searched with beside what was found.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { idOf, picture } from "/js/products.js";
import { decoded, draw } from "/js/search/drawing.js";
import { usesPictures } from "/js/state.js";

const LONGEST_SIDE_PX = 480;

const figure = (frame, caption) => element("figure", {}, frame, element("figcaption", { className: "quiet" }, caption));

/** The photo that was searched with, or the part of it. */
function ownPhoto({ photo, box }) {
  const canvas = element("canvas");
  const place = figure(element("div", { className: "picture" }, canvas), t("photo.yours"));
  show();
  return place;

  async function show() {
    const bitmap = await decoded(photo.blob);
    // What the browser cannot show is left out; the server may well have read it.
    if (bitmap) draw(canvas, bitmap, { box, longest: LONGEST_SIDE_PX });
    else place.remove();
    bitmap?.close();
  }
}

/** The photo of a product that was searched with. */
function likedPhoto({ catalog }, id) {
  const frame = element("div", { className: "picture" });
  const place = figure(frame, t("why.pair.liked"));
  show();
  return place;

  async function show() {
    try {
      frame.replaceWith(picture(await api.getProduct(catalog, id)));
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      place.remove();
    }
  }
}

/** The photo of the query, or of a product that is liked; null where there are words alone. */
function wanted(state, found) {
  if (!usesPictures(state)) return null;
  if (state.photo) return ownPhoto(state);
  const id = state.like.find((one) => one !== found);
  return id ? likedPhoto(state, id) : null;
}

/** The photo of a hit, beside the photo that it was found with where there is one. */
export function pair(hit, state) {
  const frame = picture(hit.product, hit.photo_id);
  const own = wanted(state, idOf(hit.product));
  return element("div", { className: "pair" }, own, own ? figure(frame, t("why.pair.found")) : frame);
}

// What the query consists of besides words: the photo, and products that are liked or not. Each can be taken away.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { remember, remembered } from "/js/kept.js";
import { t } from "/js/messages.js";
import { titleOf } from "/js/products.js";
import { choosePart } from "/js/search/crop.js";
import { decoded, draw } from "/js/search/drawing.js";
import { isEmpty } from "/js/state.js";

const THUMB_PX = 112;
const KNOWN = "crop.known";
const products = new Map();

/** A product by its id, asked for once; null while it cannot be had. */
function productOf(catalog, id) {
  const key = `${catalog}/${id}`;
  if (!products.has(key)) {
    products.set(
      key,
      api.getProduct(catalog, id).catch((error) => {
        // The search itself says what is wrong; the chip has the id meanwhile.
        if (!(error instanceof api.Problem)) throw error;
        products.delete(key);
        return null;
      }),
    );
  }
  return products.get(key);
}

export class Chips {
  /** `onRemoved` is called when one is gone, to say where the visitor is then. */
  constructor(actions, onRemoved) {
    Object.assign(this, { actions, onRemoved });
    this.list = element("ul", { className: "chips", "aria-label": t("chips.region") });
    this.hint = element("p", { className: "hint quiet", hidden: true }, t("crop.hint"));
    this.node = element("div", { className: "parts" }, this.list, this.hint);
    this.made = new Map();
  }

  show(state) {
    const { catalog, photo, like, unlike } = state;
    const wanted = new Map([
      ...(photo ? [[`photo/${photo.id}`, () => this.photoChip(photo)]] : []),
      ...like.map((id) => [`like/${catalog}/${id}`, () => this.productChip("like", catalog, id)]),
      ...unlike.map((id) => [`unlike/${catalog}/${id}`, () => this.productChip("unlike", catalog, id)]),
    ]);
    // Those that stay are left alone, and with them the focus.
    for (const [key, chip] of this.made) {
      if (wanted.has(key)) continue;
      chip.remove();
      this.made.delete(key);
    }
    for (const [key, make] of wanted) if (!this.made.has(key)) this.made.set(key, make());
    const chips = [...wanted.keys()].map((key) => this.made.get(key));
    if (chips.some((chip, place) => this.list.children[place] !== chip)) this.list.replaceChildren(...chips);
    this.list.hidden = !chips.length;
    if (photo) this.drawThumb(photo, state.box);
    this.hint.hidden = !photo || remembered(KNOWN) !== null;
  }

  photoChip(photo) {
    this.thumb = element("canvas", { width: THUMB_PX, height: THUMB_PX });
    this.part = element("button", { type: "button", className: "part", disabled: true }, icon("crop"), element("span", {}, t("crop.open")));
    this.part.addEventListener("click", () => this.crop(photo));
    this.drawn = undefined;
    return this.chip(this.thumb, photo.name, { photo: null, box: null }, this.part);
  }

  /** Shows the part of the photo that is searched with. */
  async drawThumb(photo, box) {
    const wanted = JSON.stringify(box);
    if (this.drawn === wanted) return;
    this.drawn = wanted;
    const { thumb, part } = this;
    const bitmap = await decoded(photo.blob);
    // What the browser cannot show it cannot cut either; the server may well read it.
    part.hidden = !bitmap;
    part.disabled = !bitmap;
    if (!bitmap) thumb.remove();
    else if (this.drawn === wanted) draw(thumb, bitmap, { box, longest: THUMB_PX });
    bitmap?.close();
  }

  async crop(photo) {
    remember(KNOWN, "yes");
    this.hint.hidden = true;
    const box = await choosePart(photo, this.actions.state().box);
    if (box !== undefined) this.actions.refine({ box });
    this.part.focus();
  }

  productChip(list, catalog, id) {
    const image = element("img", { alt: "", width: THUMB_PX, height: THUMB_PX });
    const without = () => ({ [list]: this.actions.state()[list].filter((one) => one !== id) });
    const chip = this.chip(image, t(`chips.${list}`, { title: id }), without);
    chip.classList.add(list);
    this.name(chip, image, list, catalog, id);
    return chip;
  }

  async name(chip, image, list, catalog, id) {
    const product = await productOf(catalog, id);
    if (!product) return;
    const name = t(`chips.${list}`, { title: titleOf(product) });
    chip.querySelector(".name").textContent = name;
    chip.querySelector(".name").title = name;
    chip.querySelector(".remove").setAttribute("aria-label", t("chips.remove", { name }));
    const path = product.photos?.[0]?.media_path;
    if (path) image.src = path;
  }

  /** `removal` is what is changed when it goes, or a function that tells it then. */
  chip(picture, name, removal, ...buttons) {
    const remove = element("button", { type: "button", className: "remove", "aria-label": t("chips.remove", { name }) }, icon("close"));
    remove.addEventListener("click", () => this.remove(typeof removal === "function" ? removal() : removal));
    return element(
      "li",
      { className: "chip" },
      element("span", { className: "thumb" }, picture),
      element("span", { className: "name", title: name }, name),
      buttons,
      remove,
    );
  }

  remove(change) {
    const rest = { ...this.actions.state(), ...change };
    // With nothing left to look for, filters have nothing to filter.
    if (isEmpty(rest)) this.actions.ask({});
    else this.actions.refine(change);
    this.onRemoved();
  }
}

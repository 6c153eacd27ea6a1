// What the query consists of besides words: the photo, and products that are liked or not. Each can be taken away.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { remember, remembered } from "/js/kept.js";
import { t } from "/js/messages.js";
import { titleOf } from "/js/products.js";
import { choosePart } from "/js/search/crop.js";
import { Thumb } from "/js/search/thumb.js";
import { isEmpty, roundedBox } from "/js/state.js";

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
    if (photo) this.showPart(photo, state.box);
    this.hint.hidden = !photo || remembered(KNOWN) !== null;
  }

  photoChip(photo) {
    this.thumb = new Thumb();
    this.part = element("button", { type: "button", className: "part", disabled: true }, icon("crop"), element("span", {}, t("crop.open")));
    this.part.addEventListener("click", () => this.crop(photo));
    const chip = this.chip(this.thumb.node, t(photo.name ? "photo.yours" : "photo.shared"), { photo: null, box: null }, this.part);
    chip.querySelector(".name").title = photo.name;
    return chip;
  }

  /** Shows the part of the photo that is searched with. */
  async showPart(photo, box) {
    const { thumb, part } = this;
    const isShown = await thumb.show(photo, box);
    // What the browser cannot show it cannot cut either; the server may well read it.
    part.hidden = !isShown;
    part.disabled = !isShown;
  }

  async crop(photo) {
    remember(KNOWN, "yes");
    this.hint.hidden = true;
    const box = await choosePart(photo, this.actions.state().box);
    // The browser's back button may have led to another query meanwhile.
    if (this.actions.state().photo?.id !== photo.id) return;
    if (box !== undefined) this.actions.refine({ box: box && roundedBox(box) });
    this.part.focus();
  }

  productChip(list, catalog, id) {
    const image = element("img", { alt: "", width: THUMB_PX, height: THUMB_PX });
    const without = () => ({ [list]: this.actions.state()[list].filter((one) => one !== id) });
    const chip = this.chip(element("span", { className: "thumb" }, image), t(`chips.${list}`, { title: id }), without);
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
  chip(thumb, name, removal, ...buttons) {
    const remove = element("button", { type: "button", className: "remove", "aria-label": t("chips.remove", { name }) }, icon("close"));
    remove.addEventListener("click", () => this.remove(typeof removal === "function" ? removal() : removal));
    return element(
      "li",
      { className: "chip" },
      thumb,
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

// A product's own page.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { titleOf } from "/js/products.js";

export class ProductPage {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show(state) {
    const product = await api.getProduct(state.catalog, state.item);
    this.place.replaceChildren(element("h1", {}, titleOf(product)));
  }

  hide() {}
}

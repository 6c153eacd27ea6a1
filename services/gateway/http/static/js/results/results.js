// The hits.

import { element } from "/js/dom.js";
import { idOf, titleOf } from "/js/products.js";

export class Results {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  loading() {}

  show(response, state, { append }) {
    const cards = response.hits.map((hit) => {
      const name = element("button", { type: "button", className: "title" }, titleOf(hit.product));
      name.addEventListener("click", () => this.actions.open(idOf(hit.product), { hit, response }));
      return element("li", { className: "hit" }, element("h3", {}, name));
    });
    if (append) this.place.querySelector("ul").append(...cards);
    else this.place.replaceChildren(element("ul", { className: "grid", id: "grid" }, cards));
  }

  fail(problem) {
    this.place.replaceChildren(element("div", { role: "alert" }, problem.title || problem.detail));
  }

  clear() {
    this.place.replaceChildren();
  }
}

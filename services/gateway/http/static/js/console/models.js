// The models that the embedder serves, each with its card.

import * as api from "/js/api.js";
import { card } from "/js/console/models/card.js";
import { empty } from "/js/console/parts.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

export class Models {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show(catalog) {
    const [models, its] = await Promise.all([api.getModels(), catalog ? api.getCatalog(catalog) : null]);
    const active = its?.active_generation ?? null;
    const cards = models.map((model, place) => card(model, active, `model-${place}`));
    this.place.append(cards.length ? element("div", { className: "models" }, cards) : empty(t("models.none.title"), t("models.none")));
  }

  /** Nothing goes on while it is out of sight. */
  hide() {}
}

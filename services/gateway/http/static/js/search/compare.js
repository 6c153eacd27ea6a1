// What the products are compared by: a profile of the catalogue.

import { element } from "/js/dom.js";
import { has, t } from "/js/messages.js";
import { spoken } from "/js/products.js";

const said = (profile) => (has(`compare.${profile}`) ? t(`compare.${profile}`) : spoken(profile));

/** The choice; it is only there when there is one. */
export class Compare {
  constructor(actions) {
    this.actions = actions;
    this.select = element("select", { id: "compare" });
    this.select.addEventListener("change", () => actions.refine({ profile: this.select.value }));
    this.node = element("label", { className: "compare", htmlFor: "compare" }, element("span", {}, t("compare.label")), this.select);
  }

  show({ profile }) {
    const names = this.actions.profiles();
    this.node.hidden = names.length < 2;
    // The usual one has no name in the address.
    const values = names.map((name, place) => (place ? name : ""));
    const offered = [...this.select.options].map((option) => option.value);
    if (String(values) !== String(offered) || this.usual !== names[0]) {
      this.usual = names[0];
      this.select.replaceChildren(...names.map((name, place) => element("option", { value: values[place] }, said(name))));
    }
    this.select.value = values.includes(profile) ? profile : "";
  }
}

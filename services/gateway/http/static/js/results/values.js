// One filter by the values of an attribute, each with the number of products that have it.

import { element } from "/js/dom.js";
import { number, t } from "/js/messages.js";
import { spoken } from "/js/products.js";
import { swatch } from "/js/results/swatches.js";

// Values that are shown before one asks for all.
const SHOWN = 8;
// More than these are looked for by typing.
const MANY = 15;
const INFERRED = "inferred.";
const COLOUR = "colour";

/** A fieldset that is kept while its counts change, so that focus and what is typed stay; `toggle` gets value and whether on. */
export class ValueFilter {
  constructor(attribute, toggle) {
    const name = spoken(attribute);
    Object.assign(this, { attribute, toggle, name, isExpanded: false, rows: new Map(), counts: new Map(), chosen: [] });
    const guessed = attribute.startsWith(INFERRED) ? element("span", { className: "guessed" }, t("filters.guessed")) : null;
    const find = t("filters.find", { name });
    this.find = element("input", { type: "text", className: "find", hidden: true, autocomplete: "off", "aria-label": find, placeholder: find });
    this.list = element("ul", { className: "options" });
    this.none = element("p", { className: "quiet", "aria-live": "polite" });
    this.all = element("button", { type: "button", className: "all", hidden: true });
    this.place = element("fieldset", {}, element("legend", {}, name, " ", guessed), this.find, this.list, this.none, this.all);
    this.find.addEventListener("input", () => this.draw());
    this.all.addEventListener("click", () => {
      this.isExpanded = !this.isExpanded;
      this.draw();
    });
  }

  /** Takes over the counts of an answer and what is chosen; whether there is anything to choose from. */
  update(values, chosen) {
    const texts = values.filter(({ value }) => typeof value.text === "string");
    this.counts = new Map(texts.map(({ value, count }) => [value.text, Number(count)]));
    // What is chosen can be taken back, also where no product has it any more.
    for (const value of chosen) if (!this.counts.has(value)) this.counts.set(value, 0);
    this.chosen = chosen;
    this.draw();
    return this.counts.size > 0;
  }

  draw() {
    const values = [...this.counts.keys()];
    const typed = this.find.value.trim().toLowerCase();
    this.find.hidden = values.length <= MANY;
    const shown = values.filter((value, place) =>
      typed ? value.toLowerCase().includes(typed) : this.isExpanded || place < SHOWN || this.chosen.includes(value),
    );
    this.show(shown.map((value) => this.row(value)));
    this.none.textContent = shown.length ? "" : t("filters.findNone");
    this.all.hidden = Boolean(typed) || values.length <= SHOWN || (!this.isExpanded && shown.length === values.length);
    this.all.textContent = this.isExpanded ? t("filters.fewer") : t("filters.all", { count: values.length });
    this.all.setAttribute("aria-expanded", this.isExpanded);
    this.all.setAttribute("aria-label", `${this.all.textContent}: ${this.name}`);
  }

  show(rows) {
    const isSame = rows.length === this.list.childElementCount && rows.every((row, place) => row === this.list.children[place]);
    if (isSame) return;
    // Whatever is moved loses the focus.
    const focused = document.activeElement;
    this.list.replaceChildren(...rows);
    if (this.list.contains(focused)) focused.focus({ preventScroll: true });
  }

  row(value) {
    if (!this.rows.has(value)) this.rows.set(value, this.newRow(value));
    const { place, box, count } = this.rows.get(value);
    const products = this.counts.get(value);
    box.checked = this.chosen.includes(value);
    count.textContent = number(products);
    place.classList.toggle("none-left", products === 0);
    return place;
  }

  newRow(value) {
    const box = element("input", { type: "checkbox", name: this.attribute, value });
    box.addEventListener("change", () => this.toggle(value, box.checked));
    const count = element("span", { className: "count" });
    const dot = this.attribute.replace(INFERRED, "") === COLOUR ? swatch(value) : null;
    const place = element("li", {}, element("label", { className: "option" }, box, dot, element("span", { className: "value" }, value), count));
    return { place, box, count };
  }
}

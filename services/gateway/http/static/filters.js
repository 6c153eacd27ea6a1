// The filters beside the results: values with counts, a price range, and what to compare by.

import { facetsOf, sampleOf } from "/catalogue.js";
import { byId, element } from "/dom.js";
import { plain, spoken } from "/products.js";
import { filterCount, isReversed } from "/state.js";

const SHOWN = 8;
const COMPARED = {
  similar: "Everything that shows",
  same_style: "Style, in any colour",
  resnet50: "Looks in general (ResNet50)",
  triplet: "Looks to a fashion eye (triplet)",
  colour: "Colour alone",
  clip: "Kind of thing (CLIP)",
};
const INFERRED = "inferred.";

/** The filter of a request, or null when none is set. */
export function filterOf(state) {
  const clauses = Object.entries(state.chosen)
    .filter(([, values]) => values.length)
    .map(([attribute, values]) => ({
      any_of: [{ attribute, in: { values: values.map((text) => ({ text })) } }],
    }));
  const range = {};
  if (state.min !== "") range.min = Number(state.min);
  if (state.max !== "") range.max = Number(state.max);
  if (Object.keys(range).length) clauses.push({ any_of: [{ attribute: "price", range }] });
  return clauses.length ? { all_of: clauses } : null;
}

/** Facets a catalogue can answer, as far as its sample shows. */
export class Facets {
  constructor() {
    this.names = new Map();
  }

  async of(catalog) {
    const sample = this.names.has(catalog) ? [] : await sampleOf(catalog);
    if (!this.names.has(catalog)) this.names.set(catalog, facetsOf(sample));
    return this.names.get(catalog);
  }

  /** After the refusal of `facets[i]`: asks for the inferred label instead, or not at all. True when it helped. */
  refused(catalog, field) {
    const place = Number(/^facets\[(\d+)\]/.exec(field)?.[1] ?? -1);
    const names = this.names.get(catalog);
    if (!(place in names)) return false;
    const name = names[place];
    const stands = !name.startsWith(INFERRED) && name !== "colour" ? [`${INFERRED}${name}`] : [];
    names.splice(place, 1, ...stands);
    return true;
  }
}

/** Draws the filters. `onChange` gets what changes of the state. */
export class FilterPanel {
  constructor(onChange) {
    this.onChange = onChange;
    this.seen = new Map();
    this.expanded = new Set();
    this.hasPrice = false;
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters-details").open = matchMedia("(min-width: 801px)").matches;
  }

  /** Forgets the values of the query before. */
  reset() {
    this.seen.clear();
    this.hasPrice = false;
  }

  draw(state, response, profiles) {
    const form = byId("filters");
    const focused = document.activeElement?.dataset?.key;
    this.hasPrice ||= response.hits.some((hit) => hit.product.attributes?.price);
    this.state = state;
    form.replaceChildren(
      ...response.facets.map((facet) => this.facet(facet)).filter(Boolean),
      ...(this.hasPrice || state.min || state.max ? [this.price()] : []),
      ...(profiles.length > 1 ? [this.profile(profiles)] : []),
      ...(filterCount(state) ? [this.clear()] : []),
    );
    byId("filters-count").textContent = filterCount(state) ? `${filterCount(state)} set` : "";
    if (focused) form.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  facet({ attribute, values }) {
    const chosen = this.state.chosen[attribute] ?? [];
    const counts = new Map(values.map((one) => [String(plain(one.value)), one.count]));
    // Once a value is chosen the others are not counted any more, but stay to be chosen as well.
    if (!chosen.length) this.seen.set(attribute, [...counts.keys()]);
    const all = [...new Set([...chosen, ...(this.seen.get(attribute) ?? []), ...counts.keys()])];
    if (!all.length) return null;
    const ordered = chosen.length ? all : [...counts.keys()];
    const shown = this.expanded.has(attribute) ? ordered : ordered.slice(0, Math.max(SHOWN, chosen.length));
    const guessed = attribute.startsWith(INFERRED) ? element("span", { className: "guessed" }, "guessed from photos") : null;
    const set = element("fieldset", {}, element("legend", {}, spoken(attribute), " ", guessed));
    for (const value of shown) {
      const box = element("input", { type: "checkbox", checked: chosen.includes(value), name: attribute, value });
      box.dataset.key = `${attribute}=${value}`;
      box.addEventListener("change", () => this.toggle(attribute, value, box.checked));
      const count = counts.has(value) ? element("span", { className: "count" }, counts.get(value)) : null;
      set.append(element("label", { className: "option" }, box, element("span", {}, value), count));
    }
    if (ordered.length > shown.length) {
      const more = element("button", { type: "button", className: "all" }, `All ${ordered.length}`);
      more.addEventListener("click", () => {
        this.expanded.add(attribute);
        set.replaceWith(this.facet({ attribute, values }));
        byId("filters").querySelector(`input[name="${CSS.escape(attribute)}"]`)?.focus();
      });
      set.append(more);
    }
    return set;
  }

  toggle(attribute, value, on) {
    const before = this.state.chosen[attribute] ?? [];
    const values = on ? [...before, value] : before.filter((one) => one !== value);
    const chosen = { ...this.state.chosen, [attribute]: values };
    if (!values.length) delete chosen[attribute];
    this.onChange({ chosen });
  }

  price() {
    const wrong = element("p", { id: "price-wrong", className: "wrong", role: "alert", hidden: true }, "“From” is more than “to”.");
    const input = (name, label) => {
      const field = element("input", {
        type: "number", min: "0", step: "any", inputMode: "decimal",
        value: this.state[name], placeholder: label, "aria-label": `Price ${label}`, "aria-describedby": wrong.id,
      });
      field.dataset.key = `price.${name}`;
      field.addEventListener("change", check);
      return field;
    };
    const check = () => {
      const reversed = isReversed(min.value, max.value);
      wrong.hidden = !reversed;
      for (const field of [min, max]) field.setAttribute("aria-invalid", reversed);
      if (!reversed) this.onChange({ min: min.value, max: max.value });
    };
    const [min, max] = [input("min", "from"), input("max", "to")];
    return element(
      "fieldset",
      {},
      element("legend", {}, "Price"),
      element("div", { className: "range" }, min, element("span", { "aria-hidden": "true" }, "–"), max),
      wrong,
    );
  }

  profile(profiles) {
    const select = element(
      "select",
      { "aria-label": "Compare by" },
      profiles.map((name, place) => element("option", { value: place ? name : "", selected: name === this.state.profile }, COMPARED[name] ?? spoken(name))),
    );
    select.dataset.key = "profile";
    select.addEventListener("change", () => this.onChange({ profile: select.value }));
    return element("fieldset", {}, element("legend", {}, "Compare by"), select);
  }

  clear() {
    const button = element("button", { type: "button", className: "plain clear" }, "Clear all filters");
    button.addEventListener("click", () => this.onChange({ chosen: {}, min: "", max: "" }));
    return button;
  }
}

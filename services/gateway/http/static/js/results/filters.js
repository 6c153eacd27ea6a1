// The filters beside the hits; on a narrow screen they are a sheet that a button opens.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { number, t } from "/js/messages.js";
import { withValue } from "/js/results/chosen.js";
import { PriceFilter } from "/js/results/price.js";
import { ValueFilter } from "/js/results/values.js";
import { filterCount, placeOf } from "/js/state.js";

const NARROW = matchMedia("(max-width: 800px)");
const PRICE = "price";

export class Filters {
  constructor(place, actions) {
    Object.assign(this, { place, actions, form: null, filters: new Map() });
  }

  /** Builds the frame; not before there is an answer, since until then the texts may not be there. */
  build() {
    this.heading = element("h2", { tabIndex: -1 }, t("filters.title"));
    this.clear = element("button", { type: "button", className: "all" }, t("filters.clear"));
    this.clear.addEventListener("click", () => this.refine({ chosen: {}, min: "", max: "" }));
    this.groups = element("div", { className: "groups" });
    this.form = element(
      "form",
      { className: "filter-form" },
      element("div", { className: "filter-head" }, this.heading, this.clear),
      element("p", { className: "quiet" }, t("filters.whole")),
      this.groups,
    );
    this.form.addEventListener("submit", (event) => event.preventDefault());

    this.set = element("span", { className: "set-count", "aria-hidden": "true" });
    this.open = element(
      "button",
      { type: "button", className: "open-filters", "aria-haspopup": "dialog" },
      icon("filter"), element("span", { "aria-hidden": "true" }, t("filters.title")), this.set,
    );
    this.open.addEventListener("click", () => this.sheet.showModal());
    this.done = element("button", { type: "button", className: "primary" });
    const close = element("button", { type: "button", className: "icon sheet-close", "aria-label": t("filters.close") }, icon("close"));
    this.foot = element("div", { className: "sheet-foot" }, this.done);
    this.sheet = element("dialog", { className: "filter-sheet", "aria-label": t("filters.title") }, close, this.foot);
    for (const way of [this.done, close]) way.addEventListener("click", () => this.sheet.close());
    this.sheet.addEventListener("click", (event) => event.target === this.sheet && this.sheet.close());
    // The sheet belongs to what the browser's back button leaves.
    addEventListener("popstate", () => this.sheet.close());
    this.place.append(this.open, this.sheet);
    NARROW.addEventListener("change", () => this.settle());
    this.settle();
  }

  /** Puts the form where the screen has room for it. */
  settle() {
    if (this.sheet.open && !NARROW.matches) this.sheet.close();
    if (NARROW.matches) this.foot.before(this.form);
    else this.place.append(this.form);
  }

  /** Forgets what was typed and unfolded for the query before. */
  reset() {
    this.filters.get(PRICE)?.settle();
    this.filters.clear();
  }

  draw(state, response) {
    if (!this.form) this.build();
    const focused = this.form.contains(document.activeElement) ? document.activeElement : null;
    const shown = this.facets(state, response).filter((filter) => filter.hasAny);
    const places = shown.map(({ filter }) => filter.place);
    const isSame = places.length === this.groups.childElementCount && places.every((place, index) => place === this.groups.children[index]);
    // Whatever is moved loses the focus.
    if (!isSame) this.groups.replaceChildren(...places);
    if (!isSame && this.groups.contains(focused)) focused.focus({ preventScroll: true });
    this.tell(filterCount(state), response);
    this.place.classList.toggle("ready", shown.length > 0);
    if (focused && !(this.form.contains(focused) && focused.checkVisibility())) this.heading.focus();
  }

  /** The filters in their order, up to date; some are set without being counted. */
  facets({ chosen, min, max }, { facets }) {
    const counted = facets.filter(({ attribute }) => attribute !== PRICE);
    const uncounted = Object.keys(chosen).filter((attribute) => !counted.some((facet) => facet.attribute === attribute));
    const values = [...counted, ...uncounted.map((attribute) => ({ attribute, values: [] }))].map((facet) => {
      const filter = this.filter(facet.attribute, () => new ValueFilter(facet.attribute, (value, isOn) => this.toggle(facet.attribute, value, isOn)));
      return { filter, hasAny: filter.update(facet.values, chosen[facet.attribute] ?? []), place: placeOf(facet.attribute) };
    });
    const price = this.filter(PRICE, () => new PriceFilter((range) => this.limit(range)));
    const ranges = facets.find(({ attribute }) => attribute === PRICE)?.ranges ?? [];
    const all = [...values, { filter: price, hasAny: price.update(ranges, { min, max }), place: placeOf(PRICE) }];
    return all.sort((one, other) => one.place - other.place);
  }

  filter(attribute, make) {
    if (!this.filters.has(attribute)) this.filters.set(attribute, make());
    return this.filters.get(attribute);
  }

  refine(change) {
    // How many products pass is not known before the answer.
    this.done.textContent = t("filters.showAny");
    this.actions.refine(change);
  }

  limit(range) {
    const { min, max } = this.actions.state();
    // What was sent while it was typed is sent once more when the field is left.
    if (range.min !== min || range.max !== max) this.refine(range);
  }

  toggle(attribute, value, isOn) {
    // Of the state as it is now: the answer to the click before may still be on its way.
    this.refine({ chosen: withValue(this.actions.state().chosen, attribute, value, isOn) });
  }

  /** Says how many filters are set, and how many products pass. */
  tell(count, { hits, next_page_token: hasMore }) {
    this.clear.hidden = !count;
    this.set.textContent = count ? number(count) : "";
    this.set.hidden = !count;
    this.open.setAttribute("aria-label", count ? t("filters.button", { count }) : t("filters.title"));
    const show = hasMore ? "filters.showMany" : "filters.show";
    this.done.textContent = hits.length ? t(show, { count: hits.length }) : t("filters.showNone");
  }
}

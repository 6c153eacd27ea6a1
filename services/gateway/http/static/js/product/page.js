// A product's own page: its photos, all that is known of it, and others like it.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";
import { factList, statedSection, suggested } from "/js/product/facts.js";
import { Gallery } from "/js/product/gallery.js";
import { showSimilar } from "/js/product/similar.js";
import { showWhy } from "/js/product/why.js";
import { wishButtons } from "/js/product/wishes.js";
import { explained } from "/js/problems.js";
import { badge, idOf, priceOf, titleOf, valuesOf } from "/js/products.js";
import { share } from "/js/search/share.js";
import { isEmpty } from "/js/state.js";

const KEPT = 24;
// Of the filters that are set, those which a cheaper product is to pass as well.
const FIRM = ["gender", "category"];

/** The highest price below a product's, in hundredths, as a filter has it; null where there is none. */
function belowPrice(product) {
  const [price] = valuesOf(product, "price");
  const below = typeof price === "number" ? (Math.round(100 * price) - 1) / 100 : 0;
  return below > 0 ? String(below) : null;
}

const firmOf = (chosen) => Object.fromEntries(Object.entries(chosen).filter(([name]) => FIRM.includes(name.replace("inferred.", ""))));

/** A button with an icon before its name. */
function button(text, drawing, act, className = "plain") {
  const made = element("button", { type: "button", className }, drawing && icon(drawing), text);
  made.addEventListener("click", act);
  return made;
}

/** What of a product is drawn, as a text. */
const drawnOf = ({ title, description, photos, attributes, labels }) => JSON.stringify([title, description, photos, attributes, labels]);

export class ProductPage {
  constructor(place, actions) {
    Object.assign(this, { place, actions, running: null, known: new Map() });
  }

  /**
   * Shows the product that `state.item` names.
   *
   * `seen` is {hit, response, place} where it was among the hits of the search, else null. What is known of the product
   * is shown at once, and read anew; failures are told on the page.
   */
  async show(state, seen) {
    this.hide();
    this.running = new AbortController();
    const { signal } = this.running;
    Object.assign(this, { state, seen });
    this.article = element("article", { className: "about" });
    const list = element("ul", { className: "similar" });
    const title = element("h2", { id: "similar-title" }, t("similar.title"));
    // Not there before what is above it has its height: it would jump.
    this.similar = element("section", { "aria-labelledby": "similar-title", hidden: true }, title, list);
    this.place.replaceChildren(this.back(), this.article, this.similar);
    const first = seen?.hit.product ?? this.known.get(this.nameOf(state));
    this.place.focus({ preventScroll: true });
    if (first) this.draw(first);
    else this.article.append(...skeletons());
    await Promise.all([this.read(first, signal), showSimilar(list, state, this.actions, signal)]);
  }

  hide() {
    this.running?.abort();
    this.place.replaceChildren();
  }

  nameOf({ catalog, item }) {
    return `${catalog}/${item}`;
  }

  back() {
    return element("nav", { "aria-label": t("product.where") }, button(t(isEmpty(this.state) ? "product.start" : "product.back"), "back", () => this.actions.close(), "plain short way-back"));
  }

  /** Reads the product, and draws it where it differs from what was `drawn`. */
  async read(drawn, signal) {
    let product = null;
    try {
      product = await api.getProduct(this.state.catalog, this.state.item, { signal });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof api.Problem)) throw error;
      // What was seen of it a moment ago is better than nothing, unless it is gone.
      if (!drawn || error.status === 404) this.fail(error);
      return;
    }
    if (signal.aborted) return;
    this.keep(product);
    if (!drawn || drawnOf(drawn) !== drawnOf(product)) this.draw(product);
  }

  keep(product) {
    this.known.set(this.nameOf(this.state), product);
    if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
  }

  draw(product) {
    const title = element("h1", { tabIndex: -1 }, titleOf(product));
    const hasFocus = this.article.contains(document.activeElement) || document.activeElement === this.place;
    document.title = `${titleOf(product)} · Vitrine`;
    const gallery = new Gallery(product, this.seen?.hit.photo_id);
    const price = priceOf(product);
    this.article.replaceChildren(
      gallery.place,
      element(
        "div",
        { className: "known" },
        title,
        price === null ? null : element("p", { className: "price" }, price),
        this.seen && badge(this.seen.hit),
        product.description ? element("p", { className: "description" }, product.description) : null,
        this.buttons(product),
        statedSection(product),
        factList(t("facts.suggested"), suggested(product)),
      ),
    );
    this.similar.hidden = false;
    if (hasFocus) title.focus({ preventScroll: true });
  }

  buttons(product) {
    const id = idOf(product);
    const { seen, state, actions } = this;
    const max = belowPrice(product);
    const group = (...ways) => element("div", { className: "way-group" }, ways);
    return element(
      "div",
      { className: "ways" },
      group(
        button(t("product.find"), "search", () => actions.ask({ like: [id] }), "primary"),
        max && button(t("product.cheaper"), "cheaper", () => actions.ask({ like: [id], max, chosen: firmOf(state.chosen) })),
      ),
      isEmpty(state) ? null : group(wishButtons(id, actions)),
      group(
        seen && button(t("product.why"), "info", () => showWhy(seen.hit, seen.response, actions)),
        button(t("product.share"), "share", () => share(state)),
      ),
    );
  }

  /** Says what went wrong in place of all. */
  fail(problem) {
    this.running.abort();
    const { title, sentence } = explained(problem);
    const retry = problem.status === 404 ? null : button(t("problem.retry"), null, () => this.show(this.state, this.seen));
    const way = this.back();
    this.place.replaceChildren(
      element("div", { className: "problem", role: "alert" }, element("h2", {}, title), element("p", {}, sentence), element("div", { className: "remedies" }, retry, way)),
    );
  }
}

/** As much room as a product takes. */
function skeletons() {
  const bar = (className) => element("div", { className: `bar ${className}` });
  return [
    element("div", { className: "gallery skeleton", "aria-hidden": "true" }, element("div", { className: "big" }, element("div", { className: "picture" }))),
    element("div", { className: "known skeleton", "aria-hidden": "true" }, bar("headline"), bar("short"), bar("wide"), bar("wide"), bar("wide")),
  ];
}

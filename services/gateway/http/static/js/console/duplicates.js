// Products that show the same picture, or nearly so, to be reviewed group by group.

import * as api from "/js/api.js";
import { confirmed } from "/js/console/confirm.js";
import { comparison } from "/js/console/duplicates/comparison.js";
import { keepBoth, reconsider, sorted } from "/js/console/duplicates/decisions.js";
import { grouped, pairsOf } from "/js/console/duplicates/groups.js";
import { Reading } from "/js/console/duplicates/reading.js";
import { element } from "/js/dom.js";
import { percent, t } from "/js/messages.js";
import { idOf, titleOf } from "/js/products.js";

const ABORTED = 409;
const NOT_FOUND = 404;
const SAME = 1;

export class Duplicates {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
    this.showsKept = false;
  }

  async show(catalog) {
    this.place.replaceChildren(element("p", { className: "quiet", role: "status" }, catalog ? t("duplicates.reading") : t("duplicates.no_catalogue")));
    if (!catalog) return;
    this.catalog = catalog;
    this.reading = new Reading(catalog);
    this.status = element("p", { className: "visually-hidden", role: "status" });
    this.list = element("div", { className: "alike-groups" });
    this.summary = element("p", { className: "quiet" });
    this.toggle = element("input", { type: "checkbox", id: "alike-kept", checked: this.showsKept });
    this.toggled = element("p", { className: "alike-kept" }, this.toggle, element("label", { htmlFor: "alike-kept" }));
    this.further = element("button", { type: "button", className: "plain short alike-more" }, t("duplicates.more"));
    this.toggle.addEventListener("change", () => {
      this.showsKept = this.toggle.checked;
      this.#draw();
    });
    this.further.addEventListener("click", () => this.#more());
    await this.reading.more();
    this.place.replaceChildren(
      element("h2", { className: "alike-heading", tabIndex: -1 }, t("duplicates.title")),
      element("p", { className: "alike-intro" }, t("duplicates.intro")),
      element("div", { className: "alike-bar" }, this.summary, this.toggled),
      this.status,
      this.list,
      this.further,
    );
    this.#draw();
  }

  hide() {}

  async #more() {
    const before = new Set(this.shownGroups.map(({ ids }) => ids.join(" ")));
    this.further.disabled = true;
    try {
      await this.reading.more();
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      this.actions.tell(error);
      return;
    } finally {
      this.further.disabled = false;
    }
    this.#draw();
    const place = this.shownGroups.findIndex(({ ids }) => !before.has(ids.join(" ")));
    this.#focusGroup(place < 0 ? this.shownGroups.length - 1 : place);
    this.#say(place < 0 ? t("duplicates.more.none") : this.summary.textContent);
  }

  #draw() {
    const { open, kept } = sorted(this.catalog, pairsOf(this.reading.products));
    const groups = grouped(open).map((group) => ({ ...group, isKept: false }));
    const decided = grouped(kept).map((group) => ({ ...group, isKept: true }));
    this.shownGroups = this.showsKept ? [...groups, ...decided] : groups;
    this.list.replaceChildren(...(this.shownGroups.length ? this.shownGroups.map((group) => this.#group(group)) : [this.#nothing(decided.length)]));
    this.summary.textContent = groups.length ? t("duplicates.count", { count: groups.length }) : "";
    this.toggled.hidden = !decided.length;
    this.toggled.lastChild.textContent = t("duplicates.kept", { count: decided.length });
    this.further.hidden = !this.reading.hasMore;
  }

  #nothing(keptCount) {
    const name = this.reading.hasMore ? "further" : keptCount ? "decided" : "none";
    return element(
      "div",
      { className: "alike-nothing" },
      element("p", { className: "alike-lead" }, t(`duplicates.nothing.${name}`)),
      element("p", { className: "quiet" }, t("duplicates.nothing.why")),
    );
  }

  #group(group) {
    const products = group.ids.map((id) => this.reading.products.get(id));
    const isSame = group.cosine >= SAME;
    // Rounded down: only what is the same is 100%.
    const likeness = isSame ? t("duplicates.same") : t("duplicates.alike", { percent: percent(Math.floor(group.cosine * 100) / 100) });
    const caption = t("duplicates.group", { titles: products.map(titleOf).join(", ") });
    const decide = element("button", { type: "button", className: "plain short decide" }, this.#decision(group));
    decide.addEventListener("click", () => this.#decide(group));
    return element(
      "section",
      { className: group.isKept ? "alike kept" : "alike", "aria-label": caption },
      element("div", { className: "alike-head" }, element("h3", { tabIndex: -1 }, element("span", { className: isSame ? "badge same" : "badge medium" }, likeness), " ", t("duplicates.products", { count: products.length })), decide),
      comparison({ products, photos: group.photos, catalog: this.catalog, caption, remove: (product) => this.#remove(product, group) }),
    );
  }

  #decision({ isKept, ids }) {
    if (isKept) return t("duplicates.reconsider");
    return ids.length === 2 ? t("duplicates.keep.both") : t("duplicates.keep.all");
  }

  #decide(group) {
    const place = this.shownGroups.indexOf(group);
    (group.isKept ? reconsider : keepBoth)(this.catalog, group.pairs);
    this.#draw();
    this.#focusGroup(place);
    this.#say(t(group.isKept ? "duplicates.reconsidered" : "duplicates.keep.done"));
  }

  async #remove(product, group) {
    const place = this.shownGroups.indexOf(group);
    const id = idOf(product);
    const title = titleOf(product);
    const isDone = await confirmed({
      title: t("duplicates.confirm.title", { title }),
      sentences: [t("duplicates.confirm.which", { id }), t("duplicates.confirm.final")],
      label: t("duplicates.delete"),
      isFinal: true,
      act: () => this.#delete(product),
    });
    if (isDone) {
      this.reading.forget(id);
      this.#say(t("duplicates.deleted", { title }));
    } else if (this.isStale) {
      await this.#readAgain(group);
    }
    this.isStale = false;
    this.#draw();
    this.#focusProduct(isDone ? group.ids.find((one) => one !== id) : id, place);
  }

  /** What is gone already counts as deleted; what somebody else has changed is to be looked at again. */
  async #delete(product) {
    try {
      await api.deleteProduct(this.catalog, idOf(product), product.etag);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      if (error.status === NOT_FOUND) return;
      this.isStale ||= error.status === ABORTED;
      throw error;
    }
  }

  async #readAgain(group) {
    try {
      await this.reading.again(group.ids);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      this.actions.tell(error);
    }
  }

  #say(text) {
    this.status.textContent = text;
  }

  /** The button of a product, if it is still shown; else the group that has taken the place of its. */
  #focusProduct(id, place) {
    const button = this.list.querySelector(`[data-product="${CSS.escape(id)}"]`);
    if (button) button.focus();
    else this.#focusGroup(place);
  }

  #focusGroup(place) {
    const heads = this.list.querySelectorAll("h3");
    (heads[Math.min(place, heads.length - 1)] ?? this.place.querySelector("h2")).focus();
  }
}

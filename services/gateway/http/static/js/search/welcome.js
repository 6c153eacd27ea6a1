// Before the first search: what the page can do, and things to start from.

import * as api from "/js/api.js";
import { examplesOf, sampleOf } from "/js/catalogue.js";
import { byId, element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { t } from "/js/messages.js";
import { idOf, picture, titleOf } from "/js/products.js";
import { assorted } from "/js/variety.js";

const SHELF_SIZE = 12;
const FAN_SIZE = 3;
const EXAMPLES = 4;

const bare = (count, tag, className) => Array.from({ length: count }, () => element(tag, { className }));

export class Welcome {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
    this.shown = "";
  }

  /** Shows what the state's catalogue has to start from; it stands in its place before it is known. */
  async show({ catalog }) {
    if (this.shown === catalog) return;
    this.shown = catalog;
    this.draw();
    const sample = await sampleOf(catalog);
    if (this.shown !== catalog) return;
    if (!sample.length) {
      await this.showNone(catalog);
      return;
    }
    this.fill(sample);
  }

  draw() {
    this.fan = element("span", { className: "fan", "aria-hidden": "true" }, bare(FAN_SIZE, "span", "picture"));
    this.examples = element("ul", { id: "examples", className: "examples", "aria-label": t("welcome.examples") }, bare(EXAMPLES, "li", "example waiting"));
    this.shelf = element("ul", { id: "shelf", className: "shelf" }, bare(SHELF_SIZE, "li", "picture waiting"));
    const target = element(
      "button",
      { type: "button", className: "target" },
      this.fan,
      element("strong", { className: "by-mouse" }, t("welcome.drop")),
      element("span", { className: "by-mouse quiet" }, t("welcome.drop_or")),
      element("strong", { className: "by-touch" }, t("welcome.touch")),
      element("span", { className: "by-touch quiet" }, t("welcome.touch_or")),
    );
    target.addEventListener("click", () => byId("photo").click());
    this.start = element("section", { className: "start", "aria-labelledby": "shelf-title" }, element("h2", { id: "shelf-title" }, t("welcome.shelf")), this.shelf);
    this.place.replaceChildren(
      element(
        "div",
        { className: "hero" },
        element("div", { className: "pitch" }, element("h1", {}, t("welcome.title")), element("p", {}, t("welcome.sentence")), this.examples),
        target,
      ),
      this.start,
    );
  }

  fill(sample) {
    this.examples.replaceChildren(
      ...examplesOf(sample).map((words) => {
        const button = element("button", { type: "button", className: "example" }, icon("search"), words);
        button.addEventListener("click", () => this.actions.ask({ words }));
        return element("li", {}, button);
      }),
    );
    this.shelf.replaceChildren(
      ...assorted(sample, SHELF_SIZE).map((product) => {
        const button = element("button", { type: "button" }, picture(product), element("span", {}, titleOf(product)));
        button.addEventListener("click", () => this.actions.open(idOf(product)));
        return element("li", {}, button);
      }),
    );
    // From the sample's other end, so that the fan and the shelf do not show the same.
    this.fan.replaceChildren(...assorted([...sample].reverse(), FAN_SIZE).map((product) => picture(product)));
  }

  /** Nothing to start from: because there is nothing, or because products may be searched but not listed. */
  async showNone(catalog) {
    this.examples.replaceChildren();
    this.start.hidden = true;
    // Another time there may be something.
    this.shown = "";
    try {
      const { product_count: count } = await api.getCatalog(catalog);
      if (Number(count) > 0) return;
    } catch (error) {
      // The search says what is wrong.
      if (!(error instanceof api.Problem)) throw error;
      return;
    }
    const link = element("a", { href: `/console/?catalog=${encodeURIComponent(catalog)}#import` }, t("welcome.import"));
    const note = element("div", { className: "nothing", role: "note" }, element("h2", {}, t("welcome.nothing")), element("p", {}, t("welcome.nothing_why")), link);
    this.start.replaceWith(note);
    this.start = note;
  }
}

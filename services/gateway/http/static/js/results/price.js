// The filter by price: two fields, and how the prices are spread.

import { element } from "/js/dom.js";
import { fixed, price as written, t } from "/js/messages.js";
import { spoken } from "/js/products.js";
import { isReversed } from "/js/state.js";

// Whoever types no further for so long has typed the price.
const PAUSE_MS = 600;
// What stands before the cents in the visitor's language.
const MARK = fixed(0.5, 1)[1];
const PRICE = /^\d+(?:[.,]\d*)?$/;

/** The price in a field, as the address has it, with a point; null where what is typed is none. */
function read({ value }) {
  const text = value.trim();
  return text && !PRICE.test(text) ? null : text.replace(",", ".").replace(/\.$/, "");
}

/** The last price before a range's upper end, which does not belong to it, as a filter's does: prices have cents. */
const lastOf = ({ min, max }) => Math.max(min, Number((max - 0.01).toFixed(2)));

/** A fieldset that is kept while its counts change; `change` gets {min, max} as typed. */
export class PriceFilter {
  constructor(change) {
    Object.assign(this, { change, pause: 0 });
    this.wrong = element("p", { id: "price-wrong", className: "wrong", role: "alert" });
    this.hint = element("p", { id: "price-ends", className: "quiet" });
    this.bars = element("div", { className: "bars", "aria-hidden": "true" });
    this.min = this.field("from");
    this.max = this.field("to");
    this.place = element(
      "fieldset",
      {},
      element("legend", {}, spoken("price")),
      this.bars,
      element("div", { className: "range" }, this.min, element("span", { "aria-hidden": "true" }, "–"), this.max),
      this.hint,
      this.wrong,
    );
  }

  field(name) {
    const field = element("input", {
      type: "text", inputMode: "decimal", autocomplete: "off",
      placeholder: t(`price.${name}`), "aria-label": t(`price.${name}Label`), "aria-describedby": "price-ends price-wrong",
    });
    field.addEventListener("change", () => this.take());
    field.addEventListener("input", () => {
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.take(), PAUSE_MS);
    });
    return field;
  }

  take() {
    this.settle();
    if (!this.check()) this.change({ min: read(this.min), max: read(this.max) });
  }

  /** Ends the wait for more to be typed. */
  settle() {
    clearTimeout(this.pause);
    this.pause = 0;
  }

  /** Tells, and returns, whether a field has no price in it or the range is the wrong way round. */
  check() {
    const [min, max] = [this.min, this.max].map(read);
    const isUnread = min === null || max === null;
    const isWrong = !isUnread && isReversed(min, max);
    this.wrong.textContent = isUnread ? t("price.unread", { example: fixed(49.5, 2) }) : isWrong ? t("price.wrong") : "";
    for (const [field, end] of [[this.min, min], [this.max, max]]) field.setAttribute("aria-invalid", isWrong || end === null);
    return isUnread || isWrong;
  }

  /** Takes over the spread of an answer and the range that is set; whether there is anything to choose from. */
  update(ranges, { min, max }) {
    // What is being typed is the visitor's until it is sent.
    for (const [field, value] of [[this.min, min], [this.max, max]]) if (field !== document.activeElement) field.value = value.replace(".", MARK);
    if (!this.pause) this.check();
    this.bars.replaceChildren(...bars(ranges).map((bar) => this.bar(bar, { min, max })));
    this.bars.hidden = ranges.length < 2;
    if (ranges.length) this.hint.textContent = t("price.ends", { min: written(ranges[0].min), max: written(ranges.at(-1).max) });
    this.hint.hidden = !ranges.length;
    return ranges.length > 0 || min !== "" || max !== "";
  }

  bar({ min, max, count, height }, chosen) {
    const last = lastOf({ min, max });
    const isWithin = (chosen.min === "" || min >= Number(chosen.min)) && (chosen.max === "" || last <= Number(chosen.max));
    const bar = element(
      "div",
      { className: isWithin ? "bar-slot within" : "bar-slot", title: t("price.bar", { min: written(min), max: written(max), count }) },
      element("div", { className: "bar-fill" }),
    );
    bar.firstChild.style.height = `${height}%`;
    bar.addEventListener("click", () => {
      const isAlone = chosen.min === String(min) && chosen.max === String(last);
      this.change(isAlone ? { min: "", max: "" } : { min: String(min), max: String(last) });
    });
    return bar;
  }
}

/** The ranges with their heights in percent; where no product is, a gap. */
function bars(ranges) {
  const known = ranges.map(({ min, max, count }) => ({ min, max, count: Number(count) }));
  const most = Math.max(...known.map(({ count }) => count));
  return known.flatMap((range, place) => {
    const before = known[place - 1];
    const gap = before && before.max < range.min ? [{ min: before.max, max: range.min, count: 0, height: 0 }] : [];
    return [...gap, { ...range, height: (100 * range.count) / most }];
  });
}

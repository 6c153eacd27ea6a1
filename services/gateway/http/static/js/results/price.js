// The filter by price: two fields, and how the prices are spread.

import { element } from "/js/dom.js";
import { price as written, t } from "/js/messages.js";
import { spoken } from "/js/products.js";
import { isReversed } from "/js/state.js";

/** A fieldset that is kept while its counts change; `change` gets {min, max} as typed. */
export class PriceFilter {
  constructor(change) {
    this.change = change;
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
      type: "number", min: "0", step: "any", inputMode: "decimal",
      placeholder: t(`price.${name}`), "aria-label": t(`price.${name}Label`), "aria-describedby": "price-ends price-wrong",
    });
    field.addEventListener("change", () => this.take());
    return field;
  }

  take() {
    const [min, max] = [this.min.value, this.max.value];
    if (!this.check()) this.change({ min, max });
  }

  /** Tells, and returns, whether the range is the wrong way round. */
  check() {
    const isWrong = isReversed(this.min.value, this.max.value);
    this.wrong.textContent = isWrong ? t("price.wrong") : "";
    for (const field of [this.min, this.max]) field.setAttribute("aria-invalid", isWrong);
    return isWrong;
  }

  /** Takes over the spread of an answer and the range that is set; whether there is anything to choose from. */
  update(ranges, { min, max }) {
    // What is being typed is the visitor's until it is sent.
    for (const [field, value] of [[this.min, min], [this.max, max]]) if (field !== document.activeElement) field.value = value;
    this.check();
    this.bars.replaceChildren(...bars(ranges).map((bar) => this.bar(bar, { min, max })));
    this.bars.hidden = ranges.length < 2;
    if (ranges.length) this.hint.textContent = t("price.ends", { min: written(ranges[0].min), max: written(ranges.at(-1).max) });
    this.hint.hidden = !ranges.length;
    return ranges.length > 0 || min !== "" || max !== "";
  }

  bar({ min, max, count, height }, chosen) {
    const isWithin = (chosen.min === "" || min >= Number(chosen.min)) && (chosen.max === "" || max <= Number(chosen.max));
    const bar = element(
      "div",
      { className: isWithin ? "bar-slot within" : "bar-slot", title: t("price.bar", { min: written(min), max: written(max), count }) },
      element("div", { className: "bar-fill" }),
    );
    bar.firstChild.style.height = `${height}%`;
    bar.addEventListener("click", () => {
      const isAlone = chosen.min === String(min) && chosen.max === String(max);
      this.change(isAlone ? { min: "", max: "" } : { min: String(min), max: String(max) });
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

// The filters that are set, one by one: what each is called, and what is left without it.

import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { price, t } from "/js/messages.js";
import { placeOf } from "/js/state.js";

/** The chosen values, with or without one of an attribute. */
export function withValue(chosen, attribute, value, isOn) {
  const others = (chosen[attribute] ?? []).filter((one) => one !== value);
  const values = isOn ? [...others, value] : others;
  const { [attribute]: _, ...rest } = chosen;
  const entries = Object.entries(values.length ? { ...rest, [attribute]: values } : rest);
  // The order is that of the filters, as it is when the address is read: other clicks make no other question.
  return Object.fromEntries(entries.sort(([one], [other]) => placeOf(one) - placeOf(other)));
}

function rangeName(min, max) {
  const [least, most] = [min, max].map((end) => (end === "" ? null : price(Number(end))));
  if (least === null) return t("price.most", { max: most });
  return most === null ? t("price.least", { min: least }) : t("price.between", { min: least, max: most });
}

/**
 * The filters of a state as [{name, place, without}], in their order; `without` has what changes of a state that loses the filter.
 *
 * It is asked of the state at the time of the click, which may be another one by then.
 */
export function chosenFilters({ chosen, min, max }) {
  const values = Object.entries(chosen).flatMap(([attribute, list]) =>
    list.map((name) => ({ name, place: placeOf(attribute), without: (state) => ({ chosen: withValue(state.chosen, attribute, name, false) }) })),
  );
  const range = min === "" && max === "" ? [] : [{ name: rangeName(min, max), place: placeOf("price"), without: () => ({ min: "", max: "" }) }];
  return [...values, ...range].sort((one, other) => one.place - other.place);
}

/** The filters of a state as chips that can be taken away; `remove` gets one of chosenFilters. */
export function chosenChips(state, remove) {
  return chosenFilters(state).map((one) => {
    const label = t("filters.remove", { name: one.name });
    const chip = element("button", { type: "button", className: "chosen-chip", "aria-label": label, title: label }, one.name, icon("close"));
    chip.addEventListener("click", () => remove(one));
    return element("li", {}, chip);
  });
}

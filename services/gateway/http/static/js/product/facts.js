// What is known of a product or of a query, as lists of names and values.

import { element } from "/js/dom.js";
import { alternatives, measure, percent, t } from "/js/messages.js";
import { plain, spoken } from "/js/products.js";

// What is hardly believed is no understanding.
const LEAST_BELIEVED = 0.05;
// Shown elsewhere.
const APART = new Set(["price"]);
// What shoppers look for first, in this order, and the way to the shop; all else is there for who asks.
const WELL_KNOWN = ["brand", "category", "type", "colour", "pattern", "gender", "material", "season", "usage", "occasion", "size", "url"];

const capitalised = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A heading with a list of [name, value] below it; null where there is nothing to list. */
export function factList(title, entries, level = "h2") {
  return entries.length ? section(title, level, list(entries)) : null;
}

const section = (title, level, ...content) => element("section", { className: "facts-section" }, element(level, {}, title), ...content);

const list = (entries) =>
  element("dl", { className: "facts-list" }, entries.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

/** What the shop states of a product: what is well known at once, the rest unfolds; null where it states nothing. */
export function statedSection(product, level = "h2") {
  const names = Object.keys(product.attributes ?? {}).filter((name) => !APART.has(name) && product.attributes[name].values?.length);
  const entry = (name) => [spoken(name), separated(product.attributes[name].values.map(written))];
  const known = WELL_KNOWN.filter((name) => names.includes(name)).map(entry);
  const others = names.filter((name) => !WELL_KNOWN.includes(name)).map(entry).sort(([one], [other]) => one.localeCompare(other));
  if (!known.length) return factList(t("facts.stated"), others, level);
  const more = others.length ? element("details", {}, element("summary", {}, t("facts.more")), list(others)) : null;
  return section(t("facts.stated"), level, list(known), more);
}

/** A value as text, or as a link where it is an address of the web. */
function written(value) {
  const told = plain(value);
  if (typeof told === "number") return measure(told);
  if (typeof told === "boolean") return t(told ? "facts.yes" : "facts.no");
  return linked(told) ?? told;
}

function linked(text) {
  const address = /^https?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : null;
  return address && element("a", { href: address.href, rel: "noopener noreferrer", target: "_blank" }, address.hostname);
}

const separated = (values) => values.flatMap((value, place) => (place ? [", ", value] : [value]));

/** What models saw in a product's photos, with how sure they are. */
export const suggested = (product) =>
  (product.labels ?? []).map(({ name, value, probability }) => [spoken(name), guess(value, probability)]);

const guess = (value, probability) => t("facts.guess", { value: capitalised(value), share: percent(probability) });

/** What a query was taken for, a property a row: "Dresses or skirts" where words say so, "White (45%)" where it is a guess. */
export function understood(labels) {
  const rows = new Map();
  for (const { name, value, probability } of labels) {
    if (probability >= LEAST_BELIEVED) rows.set(name, [...(rows.get(name) ?? []), { value, probability }]);
  }
  return [...rows].map(([name, values]) => {
    const [{ value, probability }] = values;
    if (values.length === 1 && probability < 1) return [spoken(name), guess(value, probability)];
    return [spoken(name), capitalised(alternatives(values.map((one) => one.value)))];
  });
}

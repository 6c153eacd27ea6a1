// The panel that says why a product was found.

import { byId, element } from "/dom.js";
import { badge, picture, plain, priceOf, spoken, titleOf } from "/products.js";

const MEANINGS = {
  "visual.resnet50": ["Looks alike", "Shape, texture and colour (ResNet50)"],
  "visual.clip": ["Shows the same kind of thing", "Meaning of picture and words (CLIP)"],
  "visual.triplet": ["Looks alike to a fashion eye", "Learned from fashion photos (triplet)"],
  "visual.colour": ["Has the same colours", "Colours of the thing itself (colour)"],
  "semantic.gender": ["Made for the same people", "Gender, told by the photo"],
  "semantic.category": ["Same kind of product", "Category, told by the photo"],
  "semantic.type": ["Same type", "Type, told by the photo"],
  "semantic.colour": ["Of the same colour", "Colour, told by the photo"],
  "known.gender": ["Made for the people you want", "Gender, known of your query"],
  "known.category": ["The kind of product you want", "Category, known of your query"],
  "known.type": ["The type you want", "Type, known of your query"],
  "said.colour": ["Of the colour you asked for", "Colour, in your words"],
  "known.colour": ["The colour you want", "Colour, known of your query"],
  "text.match": ["Has the words you typed", "Words among its properties"],
};

// What is hardly believed is no understanding.
const LEAST_BELIEVED = 0.05;

const number = (value) => value.toFixed(2);

function term(one, largest) {
  const [name, basis] = MEANINGS[one.name] ?? [spoken(one.name.replaceAll(".", " ")), one.name];
  const fill = element("div", { className: one.absent ? "fill absent" : "fill" });
  fill.style.width = `${largest ? Math.max(0, (100 * one.contribution) / largest) : 0}%`;
  const measure = one.absent
    ? `${basis}: nothing known, a neutral ${number(one.value)} × weight ${number(one.weight)}`
    : `${basis}: ${number(one.value)} × weight ${number(one.weight)}`;
  return element(
    "div",
    { className: "term" },
    element("dt", {}, name),
    element("dd", {}, number(one.contribution)),
    element("dd", { className: "track", "aria-hidden": "true" }, fill),
    element("dd", { className: "detail quiet" }, measure),
  );
}

function facts(entries) {
  return element(
    "dl",
    { className: "facts-list" },
    entries.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

const percent = (probability) => `${Math.round(100 * probability)}%`;

const capitalised = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** A property a row: "Dresses or skirts" where words say so, "White (45%)" where it is a guess. */
function understandings(labels) {
  const rows = new Map();
  for (const { name, value, probability } of labels) {
    if (probability < LEAST_BELIEVED) continue;
    rows.set(name, [...(rows.get(name) ?? []), { value, probability }]);
  }
  return [...rows].map(([name, values]) => {
    const words = values.map((one) => one.value).join(" or ");
    const isGuess = values.length === 1 && values[0].probability < 1;
    return [spoken(name), capitalised(isGuess ? `${words} (${percent(values[0].probability)})` : words)];
  });
}

function section(title, ...children) {
  return [element("h3", {}, title), ...children];
}

/** Opens the panel for a hit of a response: the product, and why it was found. */
export function showWhy(hit, response, onMore) {
  const dialog = byId("why");
  const terms = [...(hit.terms ?? [])].sort((a, b) => b.contribution - a.contribution);
  const largest = Math.max(0, ...terms.map((one) => one.contribution));
  const stated = Object.entries(hit.product.attributes ?? {})
    .filter(([name]) => name !== "url" && name !== "price")
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, list]) => [spoken(name), list.values.map((value) => String(plain(value))).join(", ")]);
  const inferred = (hit.product.labels ?? []).map((one) => [spoken(one.name), capitalised(`${one.value} (${percent(one.probability)})`)]);
  const understood = understandings(response.query_labels ?? []);
  const close = element("button", { type: "button", className: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => dialog.close());
  const more = element("button", { type: "button", className: "plain" }, "More like this");
  more.addEventListener("click", () => {
    dialog.close();
    onMore(hit.product);
  });
  const price = priceOf(hit.product);
  dialog.replaceChildren(
    element(
      "div",
      { className: "why-head" },
      picture(hit.product, hit.photo_id),
      element(
        "div",
        {},
        element("h2", { id: "why-title" }, titleOf(hit.product)),
        price === null ? null : element("p", { className: "price" }, price),
        badge(hit),
        hit.product.description ? element("p", { className: "quiet" }, hit.product.description) : null,
        more,
      ),
      close,
    ),
    element(
      "div",
      { className: "why-body" },
      terms.length
        ? section(
            "Why it was found",
            element("dl", { className: "terms" }, terms.map((one) => term(one, largest))),
            element("p", { className: "total" }, element("span", {}, "Score"), element("span", {}, number(hit.score))),
          )
        : section("Why it was found", element("p", { className: "quiet" }, "The server sent no score terms.")),
      understood.length ? section("What your query was taken for", facts(understood)) : null,
      stated.length ? section("What the shop says", facts(stated)) : null,
      inferred.length ? section("What the photo suggests", facts(inferred)) : null,
    ),
  );
  dialog.showModal();
}

/** Lets a click beside the panel close it. */
export function prepareWhy() {
  const dialog = byId("why");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

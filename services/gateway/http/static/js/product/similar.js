// Products that look like another one, each with a link to its own page.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { follow } from "/js/links.js";
import { t } from "/js/messages.js";
import { badge, idOf, picture, priceOf, titleOf } from "/js/products.js";
import { formOf } from "/js/query.js";
import { addressOf, emptyState } from "/js/state.js";

const COUNT = 12;
const KEPT = 24;
// What was found for the products that were looked at, for the way back.
const found = new Map();

/** Hits like a product, without itself; raises api.Problem, and AbortError when `signal` says so. */
async function search(catalog, id, signal) {
  const name = `${catalog}/${id}`;
  if (!found.has(name)) {
    // A product is the most similar to itself.
    const form = formOf({ ...emptyState(catalog), like: [id] }, { k: COUNT + 1 });
    const { hits } = await api.search(catalog, form, signal);
    found.set(name, hits.filter((hit) => idOf(hit.product) !== id).slice(0, COUNT));
    if (found.size > KEPT) found.delete(found.keys().next().value);
  }
  return found.get(name);
}

function card(hit, state, actions) {
  const id = idOf(hit.product);
  const price = priceOf(hit.product);
  const link = element(
    "a",
    { href: addressOf({ ...state, item: id }) },
    picture(hit.product, hit.photo_id),
    badge(hit, "product"),
    element("span", { className: "name" }, titleOf(hit.product)),
    element("span", { className: "price" }, price),
  );
  follow(link, () => actions.open(id));
  return element("li", {}, link);
}

const skeleton = () =>
  element("li", { className: "skeleton", "aria-hidden": "true" }, element("div", { className: "picture" }), element("div", { className: "bar mark" }), element("div", { className: "bar" }), element("div", { className: "bar" }));

/** Fills `list` with products like that of the state; whatever fails is said in its place. */
export async function showSimilar(list, state, actions, signal) {
  if (!found.has(`${state.catalog}/${state.item}`)) list.replaceChildren(...Array.from({ length: COUNT }, skeleton));
  try {
    const hits = await search(state.catalog, state.item, signal);
    list.replaceChildren(...(hits.length ? hits.map((hit) => card(hit, state, actions)) : [sentence(t("similar.none"))]));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.Problem)) throw error;
    const retry = element("button", { type: "button", className: "plain short" }, t("problem.retry"));
    retry.addEventListener("click", () => showSimilar(list, state, actions, signal));
    list.replaceChildren(sentence(t("similar.failed"), retry));
  }
}

const sentence = (text, ...more) => element("li", { className: "quiet sentence" }, element("p", {}, text), ...more);

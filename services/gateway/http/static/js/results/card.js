// A hit as a card of the grid, and the place of one that is on its way.

import * as api from "/js/api.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { follow } from "/js/links.js";
import { t } from "/js/messages.js";
import { showWhy } from "/js/product/why.js";
import { badge, idOf, picture, priceOf, titleOf, valuesOf } from "/js/products.js";
import { addressOf, MAX_PARTS, partCount } from "/js/state.js";

const FACTS = ["gender", "colour"];

/**
 * A card for a hit of `response`, the answer to `state`.
 *
 * `place` is its place among all hits, from 1.
 */
export function hitCard(hit, { response, state, place, isEager, actions }) {
  const { product } = hit;
  const id = idOf(product);
  const title = titleOf(product);
  const tell = (kind) => api.recordFeedback(state.catalog, response.query_id, id, `FEEDBACK_KIND_${kind}`, place);

  const link = element("a", { className: "title", href: addressOf({ ...state, item: id }), title }, element("span", {}, title));
  follow(link, () => {
    tell("CLICK");
    actions.open(id, { hit, response, place });
  });

  const why = element("button", { type: "button", className: "plain", "aria-label": t("hit.whyLabel", { title }) }, t("hit.why"));
  why.addEventListener("click", () => showWhy(hit, response, actions));

  const isFull = partCount(state) >= MAX_PARTS && !state.like.includes(id) && !state.unlike.includes(id);
  const refusal = t("wish.full", { count: MAX_PARTS });
  const wishButton = (name, list, kind) => {
    const isPressed = state[list].includes(id);
    const label = t(`hit.${name}`, { title });
    const button = element(
      "button",
      { type: "button", className: "icon wish", "aria-label": label, "aria-pressed": isPressed, title: isFull ? refusal : label },
      icon(name),
    );
    // A button that is disabled outright could not tell why.
    if (isFull) Object.assign(button, { ariaDisabled: "true", ariaDescription: refusal });
    button.addEventListener("click", () => {
      if (isFull) return;
      if (!isPressed) tell(kind);
      actions[name](id);
    });
    return button;
  };

  const price = priceOf(product);
  const facts = FACTS.flatMap((name) => valuesOf(product, name).slice(0, 1).map(String));
  return element(
    "li",
    { className: "hit" },
    frame(hit, isEager),
    badge(hit),
    element("h3", {}, link),
    element(
      "p",
      { className: "facts" },
      price === null ? null : element("span", { className: "price" }, price),
      facts.map((fact) => element("span", {}, fact)),
    ),
    element("div", { className: "actions" }, why, wishButton("more", "like", "LIKE"), wishButton("less", "unlike", "DISLIKE")),
  );
}

/** The photo; one that is seen at once is not loaded lazily. */
function frame(hit, isEager) {
  const place = picture(hit.product, hit.photo_id);
  const image = place.querySelector("img");
  if (image && isEager) Object.assign(image, { loading: "eager", fetchPriority: "high" });
  return place;
}

/** As much room as a card takes. */
export function skeleton() {
  return element(
    "li",
    { className: "skeleton", "aria-hidden": "true" },
    element("div", { className: "picture" }),
    element("div", { className: "bar mark" }),
    element("div", { className: "bar" }),
    element("div", { className: "bar short" }),
    element("div", { className: "bar buttons" }),
  );
}

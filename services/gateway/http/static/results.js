// The grid of hits and what is said above it.

import { byId, element } from "/dom.js";
import { explained } from "/problems.js";
import { badge, picture, priceOf, titleOf, valuesOf } from "/products.js";
import { showWhy } from "/why.js";

const grid = () => byId("grid");

const REASONS = {
  ranker: "The ranker is away: these are in visual order only.",
  metadata: "The catalogue could not be read: titles and photos are missing for now.",
  semantics: "Gender and category are not known here, so only looks count.",
  diversity: "Variety could not be had: these are by score.",
};

function hitCard(hit, response, onMore) {
  const { product } = hit;
  const title = titleOf(product);
  const facts = ["gender", "colour"].flatMap((name) => valuesOf(product, name).slice(0, 1).map(String));
  const why = element("button", { type: "button", className: "plain short", "aria-label": `Why ${title}?` }, "Why?");
  const name = element("button", { type: "button", className: "title", title }, element("span", {}, title));
  const frame = picture(product, hit.photo_id, badge(hit));
  // The picture is for the pointer; the keyboard has the title, which does the same.
  for (const way of [why, name, frame]) way.addEventListener("click", () => showWhy(hit, response, onMore));
  const more = element("button", { type: "button", className: "plain", "aria-label": `More like ${title}` }, "More like this");
  more.addEventListener("click", () => onMore(product));
  const price = priceOf(product);
  return element(
    "li",
    { className: "hit" },
    frame,
    element("h3", {}, name),
    element(
      "p",
      { className: "facts" },
      price === null ? null : element("span", { className: "price" }, price),
      facts.map((fact) => element("span", {}, fact)),
    ),
    element("div", { className: "actions" }, why, more),
  );
}

export function showLoading() {
  byId("status").textContent = "Searching…";
  byId("timing").textContent = "";
  byId("problem").hidden = true;
  byId("degraded").hidden = true;
  byId("more").hidden = true;
  // Hits of the query before stay, faded, so that the page does not jump while a filter is applied.
  if (grid().querySelector(".hit:not(.skeleton)")) {
    grid().classList.add("stale");
    return;
  }
  const card = () =>
    element("li", { className: "hit skeleton", "aria-hidden": "true" },
      element("div", { className: "picture" }), element("div", { className: "bar" }), element("div", { className: "bar" }));
  grid().replaceChildren(...Array.from({ length: 12 }, card));
}

/** Shows the first page of hits, or adds a further one. */
export function showHits(response, { append, tookMs, filtered, onMore }) {
  grid().classList.remove("stale");
  const cards = response.hits.map((hit) => hitCard(hit, response, onMore));
  if (append) grid().append(...cards);
  else grid().replaceChildren(...cards);
  const count = grid().childElementCount;
  byId("status").textContent = count ? counted(count, response.next_page_token) : nothing(filtered);
  byId("timing").textContent = timing(response, tookMs);
  byId("more").hidden = !response.next_page_token;
  byId("problem").hidden = true;
  showDegraded(response);
  if (append) cards[0]?.querySelector("button")?.focus();
}

function counted(count, hasMore) {
  if (count === 1) return "One product";
  return hasMore ? `The ${count} most similar products` : `${count} products, the most similar first`;
}

function nothing(filtered) {
  return filtered ? "Nothing passes these filters. Take one away?" : "Nothing was found. Try other words or a photo.";
}

function timing(response, tookMs) {
  const stages = response.stages.map((one) => `${one.stage} ${Math.round(one.duration_ms)}`).join(", ");
  const cached = response.cache === "CACHE_OUTCOME_HIT" ? ", from the cache" : "";
  return `${Math.round(tookMs)} ms${stages ? ` (${stages})` : ""}${cached}`;
}

function showDegraded(response) {
  const sentences = response.degraded.filter((reason) => reason in REASONS).map((reason) => REASONS[reason]);
  if (response.shards_ok < response.shards_total) {
    sentences.push(`Only ${response.shards_ok} of ${response.shards_total} parts of the catalogue answered.`);
  }
  byId("degraded").textContent = sentences.join(" ");
  byId("degraded").hidden = !sentences.length;
}

/** Says what went wrong; `actions` has for each remedy its buttons: [name, what it does]. */
export function showProblem(problem, actions) {
  const { title, sentence, remedy } = explained(problem);
  const buttons = (actions[remedy] ?? []).map(([name, act]) => {
    const button = element("button", { type: "button", className: "plain" }, name);
    button.addEventListener("click", act);
    return button;
  });
  byId("problem").replaceChildren(
    element("h2", {}, title),
    element("p", {}, sentence),
    ...(problem.status ? [technical(problem)] : []),
    element("div", { className: "remedies" }, buttons),
  );
  byId("problem").hidden = false;
  byId("status").textContent = "";
  byId("timing").textContent = "";
  byId("more").hidden = true;
  grid().classList.remove("stale");
  grid().querySelectorAll(".skeleton").forEach((card) => card.remove());
}

function technical({ status, reason, field, detail, traceId }) {
  const what = field ? `${field}: ${detail}` : detail;
  return element(
    "details",
    {},
    element("summary", {}, "Technical details"),
    element("p", {}, [status, reason].filter(Boolean).join(" ")),
    element("p", {}, what),
    traceId ? element("p", {}, `Trace ${traceId}`) : null,
  );
}

export function clearHits() {
  grid().replaceChildren();
}

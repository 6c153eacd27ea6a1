// A model: what it is good for, whether it is there and in use, its figures, and what its makers say of it.

import { rendered } from "/js/console/markdown.js";
import { figures, said, state } from "/js/console/parts.js";
import { element } from "/js/dom.js";
import { icon } from "/js/icons.js";
import { bytes, number, t } from "/js/messages.js";

/** Digits of a digest that people compare. */
const SHORT = 12;
/** The level of a model's heading: those of its card are below. */
const LEVEL = 2;

/** A ModelInfo as an article; `active` is the generation in use, or null where there is none. */
export function card(model, active, id) {
  const { spec, unavailable_reason: reason, card: text } = model;
  const prose = rendered(text, LEVEL);
  // A card begins with what the model is good for, in one paragraph: it stands above the figures.
  const lede = prose.find(({ tagName }) => tagName === "P") ?? null;
  lede?.classList.add("lede");
  const rest = prose.filter((node) => node !== lede);
  const availability = reason ? state("bad", t("models.away")) : state("good", t("models.available"));
  return element(
    "article",
    { className: "panel model", "aria-labelledby": id },
    element("div", { className: "panel-head" }, element("h2", { id }, spec.space), availability),
    lede,
    reason ? element("p", { className: "note" }, said(reason)) : null,
    active ? element("p", { className: "use" }, useOf(spec, active)) : null,
    figures(facts(model)),
    element(
      "details",
      { className: "card" },
      element("summary", {}, t("models.card")),
      element("div", { className: "prose" }, rest.length ? rest : element("p", { className: "quiet" }, t("models.card.none"))),
    ),
  );
}

function useOf({ space, model_digest: digest }, { id, spaces = [] }) {
  const used = spaces.find((one) => one.space === space);
  if (!used) return t("models.unused", { id });
  return !digest || used.model_digest === digest ? t("models.used", { id }) : t("models.other", { id });
}

function facts({ spec, device, dtype, memory_bytes: memory, preprocessing }) {
  const list = [[t("models.name"), spec.model]];
  if (spec.model_digest) list.push([t("models.digest"), digestOf(spec), t("models.digest.what")]);
  list.push([t("models.dimension"), number(spec.dimension)]);
  list.push([t("models.takes"), t(spec.accepts_text ? "models.takes.both" : "models.takes.photos")]);
  if (device) list.push([t("models.device"), dtype ? t("models.device.as", { device, dtype }) : device]);
  if (Number(memory)) list.push([t("models.memory"), bytes(Number(memory))]);
  if (preprocessing) list.push(input(preprocessing));
  return list;
}

function input({ image_size: size, mean, std }) {
  const written = (numbers) => numbers.map((one) => number(one, 2)).join(" / ");
  const square = t("models.input.square", { size: String(size) });
  return [t("models.input"), square, mean.length ? t("models.input.mean", { mean: written(mean), std: written(std) }) : ""];
}

function digestOf({ space, model_digest: digest }) {
  const outcome = element("span", { className: "quiet", role: "status" });
  const name = t("models.copy", { space });
  const copy = element("button", { type: "button", className: "icon small", "aria-label": name, title: name }, icon("copy"));
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(digest);
      outcome.textContent = t("models.copied");
    } catch {
      // A browser may refuse it, and has no clipboard at all where the page came without TLS.
      outcome.textContent = t("models.uncopied");
    }
  });
  return element("span", { className: "digest" }, element("code", { title: digest }, digest.slice(0, SHORT)), copy, outcome);
}

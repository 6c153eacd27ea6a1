// The generations of a catalogue, and what can be done with them.

import * as api from "/js/api.js";
import { confirmed } from "/js/console/confirm.js";
import { panel, said, state } from "/js/console/parts.js";
import { element } from "/js/dom.js";
import { number, percent, t } from "/js/messages.js";

/** The gateway keeps no more of a catalogue. */
const MOST = 3;

const BUILDING = "GENERATION_STATE_BUILDING";
const STATES = {
  [BUILDING]: ["busy", "building"],
  GENERATION_STATE_READY: ["other", "ready"],
  GENERATION_STATE_ACTIVE: ["good", "active"],
};

const stateWord = ({ state: one }) => STATES[one] ?? STATES[BUILDING];

/** A button that `act` below answers to: it is found by its data, since the view is drawn anew all the time. */
const button = (act, id, label, properties = {}) =>
  element("button", { type: "button", className: "plain short", "data-act": act, "data-generation": id, ...properties }, label);

export function generations(catalog) {
  const isBuilding = catalog.generations.some(({ state: one }) => one === BUILDING);
  const reason = isBuilding ? "generations.busy" : catalog.generations.length >= MOST ? "generations.full" : null;
  const build = button("build", "", t("generations.build"), { disabled: Boolean(reason) });
  const told = element("p", { className: "quiet" }, t(reason ?? "generations.why"));
  const list = element("ul", { className: "generations" }, catalog.generations.map((one) => card(one, Number(catalog.product_count))));
  return panel("generations", t("generations.title"), { extra: build }, told, list);
}

function card(status, productCount) {
  const { id, spaces = [], profiles = [] } = status.generation;
  const [kind, word] = stateWord(status);
  const isActive = word === "active";
  return element(
    "li",
    { "data-key": id, className: `generation ${word}` },
    element("div", { className: "generation-head" }, element("h3", {}, t("generations.name", { id })), state(kind, t(`generations.state.${word}`))),
    word === "building" ? progress(Number(status.product_count), productCount) : null,
    status.problem ? element("p", { className: "note" }, t("generations.stuck"), " ", said(status.problem)) : null,
    element("p", { className: "quiet" }, t("generations.spaces", { names: spaces.map(({ space }) => space).join(", ") })),
    element("p", { className: "quiet" }, t("generations.profiles", { names: profiles.map(({ name }) => name).join(", ") })),
    isActive ? null : element("div", { className: "row" }, word === "ready" ? button("activate", id, t("generations.activate")) : null,
      button("delete", id, t(word === "building" ? "generations.stop" : "generations.delete"))),
  );
}

function progress(done, all) {
  const share = all ? Math.min(1, done / all) : 0;
  return element(
    "div",
    { className: "building-bar" },
    element("progress", { max: Math.max(1, all), value: Math.min(done, all), "aria-label": t("generations.progress") }),
    element("p", { className: "quiet" }, t("generations.embedded", { done: number(done), count: all, share: percent(share) })),
  );
}

/** What a button of a generation does, after asking; whether it was done. */
export function act(name, catalogId, catalog, id) {
  const active = catalog.active_generation.id;
  const status = catalog.generations.find(({ generation }) => generation.id === id);
  const asked = {
    build: () => ({ key: "build", limit: t("generations.build.limit"), act: () => api.createGeneration(catalogId) }),
    activate: () => ({ key: "activate", act: () => api.activateGeneration(catalogId, id) }),
    delete: () => ({ key: status?.state === BUILDING ? "stop" : "delete", act: () => api.deleteGeneration(catalogId, id), isFinal: true }),
  }[name]();
  const values = { id, active, count: Number(catalog.product_count) };
  return confirmed({
    title: t(`generations.${asked.key}.title`, values),
    sentences: [t(`generations.${asked.key}.what`, values), t(`generations.${asked.key}.shoppers`, values), asked.limit].filter(Boolean),
    label: t(`generations.${asked.key}.do`, values),
    act: asked.act,
    isFinal: asked.isFinal,
  });
}

// How the mesh and the catalogue are, read again every few seconds.

import * as api from "/js/api.js";
import { morph } from "/js/console/morph.js";
import { banner, reading } from "/js/console/overview/banner.js";
import { lookups, searches } from "/js/console/overview/cache.js";
import { dependencies } from "/js/console/overview/dependencies.js";
import { act, generations } from "/js/console/overview/generations.js";
import { findings } from "/js/console/overview/health.js";
import { replicas } from "/js/console/overview/replicas.js";
import { stages } from "/js/console/overview/stages.js";
import { empty, figures } from "/js/console/parts.js";
import { isRefusal } from "/js/console/problems.js";
import { Refreshing } from "/js/console/refreshing.js";
import { byId, element } from "/js/dom.js";
import { ago, number, t, time } from "/js/messages.js";

const PERIOD_MS = 5000;
/** What changes slowly or costs more is read less often. */
const SLOW_PERIOD_MS = 60_000;
const HOUR_MS = 3_600_000;

export class Overview {
  constructor(place, actions) {
    Object.assign(this, { place, actions, known: {}, problem: null, told: null, readAt: null, slowlyReadAt: -Infinity, isHidden: false });
    this.refreshing = new Refreshing(() => this.read(), PERIOD_MS);
  }

  async show(catalog) {
    this.catalog = catalog;
    this.root = element("div", { className: "overview" });
    this.root.addEventListener("click", (event) => this.pressed(event.target.closest("[data-act]")));
    this.place.append(this.root);
    this.draw();
    this.refreshing.start();
    await this.refreshing.now();
  }

  hide() {
    this.isHidden = true;
    this.refreshing.stop();
  }

  /** Reads all there is to know; what cannot be read now stays as it was. */
  async read() {
    const asked = { status: api.getStatus(), catalog: this.catalog ? api.getCatalog(this.catalog) : null, ...this.slow() };
    const names = Object.keys(asked);
    const answers = await Promise.allSettled(Object.values(asked));
    if (this.isHidden) return;
    const problems = {};
    answers.forEach(({ status, value, reason }, place) => {
      if (status === "fulfilled") this.known[names[place]] = value;
      else if (reason instanceof api.Problem) problems[names[place]] = reason;
      else throw reason;
    });
    if (problems.models || problems.stats) this.slowlyReadAt = -Infinity;
    // Why there are no models or sums is told by the services' own state.
    this.problem = problems.status ?? problems.catalog ?? null;
    if (!this.problem) this.readAt = new Date();
    this.tell();
    this.draw();
  }

  /** What is read once a minute. */
  slow() {
    if (performance.now() - this.slowlyReadAt < SLOW_PERIOD_MS) return {};
    this.slowlyReadAt = performance.now();
    const since = new Date(Date.now() - HOUR_MS).toISOString();
    return { models: api.getModels(), stats: this.catalog ? api.queryStats(this.catalog, { start_time: since }) : null };
  }

  /** A problem stands above the view when there are no numbers to keep, or when asking again would not help. */
  tell() {
    const isRefused = this.problem && isRefusal(this.problem);
    if (isRefused) this.refreshing.stop();
    const told = isRefused || !this.readAt ? this.problem : null;
    // Told once, so that the focus can stay on what is offered there.
    if (told?.status !== this.told?.status || told?.reason !== this.told?.reason) this.actions.tell(told);
    this.told = told;
  }

  async pressed(button) {
    if (!button) return;
    const { act: name, generation } = button.dataset;
    if (!(await act(name, this.catalog, this.known.catalog, generation))) return;
    this.slowlyReadAt = -Infinity;
    await this.refreshing.now();
    // The button may have gone with what it was for.
    if (!button.isConnected || button.disabled) byId("generations")?.focus();
  }

  draw() {
    const { status = null, catalog = null, stats = null, models = null } = this.known;
    const found = status ? findings({ status, catalog, stats, models }) : null;
    const sections = [
      banner(found, this.problem),
      reading(this.readAt, this.problem),
      this.facts(status, catalog),
      this.invitation(catalog),
      catalog ? generations(catalog) : null,
      status ? [replicas(status), dependencies(status), searches(status), stages(status), lookups(status)] : null,
    ];
    morph(this.root, element("div", { className: "overview" }, sections));
  }

  /** The way to products, where there are none. */
  invitation(catalog) {
    const name = !this.catalog ? "empty" : Number(catalog?.product_count ?? 1) ? null : "bare";
    const link = element("p", {}, element("a", { href: "#import" }, t("overview.import")));
    return name && empty(t(`overview.${name}.title`), t(`overview.${name}`), link);
  }

  facts(status, catalog) {
    const list = [];
    if (catalog) {
      list.push([t("overview.products"), number(Number(catalog.product_count))]);
      list.push([t("overview.photos"), number(Number(catalog.photo_count))]);
      list.push([t("overview.revision"), number(Number(catalog.revision)), t("overview.revision.what")]);
      list.push([t("overview.created"), time(catalog.create_time)]);
    }
    if (status) list.push([t("overview.started"), ago(status.start_time), t("overview.version", { version: status.version })]);
    return list.length ? figures(list) : null;
  }
}

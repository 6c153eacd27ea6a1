// What was searched for, and what came of it.

import * as api from "/js/api.js";
import { morph } from "/js/console/morph.js";
import { empty, panel } from "/js/console/parts.js";
import { recent } from "/js/console/queries/recent.js";
import { sum, texts } from "/js/console/queries/sum.js";
import { byId, element } from "/js/dom.js";
import { t } from "/js/messages.js";

const HOUR_MS = 3_600_000;
const PERIODS_MS = { hour: HOUR_MS, day: 24 * HOUR_MS, week: 7 * 24 * HOUR_MS };
const PAGE_SIZE = 50;

export class Queries {
  constructor(place, actions) {
    Object.assign(this, { place, actions, period: "day", zeroOnly: false, turn: 0 });
  }

  async show(catalog) {
    this.catalog = catalog;
    if (!catalog) {
      this.place.append(empty(t("overview.empty.title"), t("overview.empty")));
      return;
    }
    this.figures = element("div", { className: "queries-sum" });
    this.list = element("div", { "aria-live": "off" });
    this.shown = element("p", { className: "quiet", role: "status" });
    this.more = element("button", { type: "button", className: "plain short", hidden: true }, t("queries.older"));
    this.more.addEventListener("click", () => this.guarded(() => this.older()));
    const foot = element("div", { className: "row foot" }, this.shown, this.more);
    this.recent = panel("recent", t("queries.recent"), { extra: this.zeroChoice() }, this.list, foot);
    this.place.append(this.periodChoice(), this.figures, this.recent);
    await this.load();
  }

  hide() {
    this.turn += 1;
  }

  periodChoice() {
    const choices = Object.keys(PERIODS_MS).map((name) => {
      const input = element("input", { type: "radio", name: "period", value: name, checked: name === this.period });
      input.addEventListener("change", () => {
        this.period = name;
        this.guarded(() => this.load());
      });
      return element("label", {}, input, element("span", {}, t(`queries.period.${name}`)));
    });
    return element("fieldset", { className: "segments" }, element("legend", { className: "visually-hidden" }, t("queries.period")), choices);
  }

  zeroChoice() {
    const input = element("input", { type: "checkbox", checked: this.zeroOnly });
    input.addEventListener("change", () => {
      this.zeroOnly = input.checked;
      this.guarded(() => this.load());
    });
    return element("label", { className: "tick" }, input, element("span", {}, t("queries.zero_only")));
  }

  /** Does what the visitor asked for, and tells when it fails. */
  async guarded(act) {
    this.actions.tell(null);
    try {
      await act();
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      this.actions.tell(error);
    }
  }

  /** Reads the sum and the newest queries of the chosen time. */
  async load() {
    this.turn += 1;
    const { turn } = this;
    this.since = new Date(Date.now() - PERIODS_MS[this.period]).toISOString();
    const [stats, page] = await Promise.all([api.queryStats(this.catalog, { start_time: this.since }), this.page("")]);
    if (turn !== this.turn) return;
    const hasAny = Number(stats.query_count) > 0;
    const drawn = hasAny
      ? [sum(stats), texts(this.catalog, "top", stats.top_texts), texts(this.catalog, "missing", stats.top_zero_result_texts)]
      : [empty(t("queries.none.title"), t("queries.none"))];
    morph(this.figures, element("div", { className: "queries-sum" }, drawn));
    this.recent.hidden = !hasAny && !page.queries.length;
    this.queries = [];
    this.add(page);
  }

  page(token) {
    return api.listQueries(this.catalog, {
      page_size: PAGE_SIZE, page_token: token, start_time: this.since, zero_results_only: this.zeroOnly,
    });
  }

  async older() {
    const { turn } = this;
    const hadFocus = document.activeElement === this.more;
    this.more.disabled = true;
    try {
      const page = await this.page(this.token);
      if (turn === this.turn) this.add(page);
    } finally {
      this.more.disabled = false;
      // A button that cannot be pressed loses the focus.
      if (hadFocus && document.activeElement === document.body) this.more.focus();
    }
  }

  add({ queries, next_page_token: token }) {
    this.queries.push(...queries);
    this.token = token;
    const before = this.queries.length - queries.length;
    const table = this.queries.length ? recent(this.catalog, this.queries) : empty(t("queries.none.zero.title"), t("queries.none.zero"));
    morph(this.list, element("div", { "aria-live": "off" }, table));
    this.shown.textContent = this.queries.length ? t("queries.shown", { count: this.queries.length }) : "";
    this.more.hidden = !token;
    // The button goes with the last page: the focus goes on to what it brought.
    if (before && !token) (this.list.querySelectorAll("tbody tr")[before]?.querySelector("a") ?? byId("recent")).focus();
  }
}

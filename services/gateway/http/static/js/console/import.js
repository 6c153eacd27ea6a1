// The import: files are chosen, looked through and written, one step after the other.

import * as api from "/js/api.js";
import { catalogIds, visibleCatalogs } from "/js/catalogue.js";
import { Checking } from "/js/console/import/checking.js";
import { choosing } from "/js/console/import/choosing.js";
import { knownColumns } from "/js/console/import/columns.js";
import { opened } from "/js/console/import/files.js";
import { outcome } from "/js/console/import/outcome.js";
import { NoTable } from "/js/console/import/problems.js";
import { ENDED, Run } from "/js/console/import/run.js";
import { Running } from "/js/console/import/running.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

const CONFLICT = 409;

// An import goes on while the visitor looks at another view, and is found again on the way back.
let run = null;

const warn = (event) => event.preventDefault();

function begun(catalog, source) {
  run = new Run(catalog, source);
  addEventListener("beforeunload", warn);
  run.start().finally(() => removeEventListener("beforeunload", warn));
}

export class Import {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
    this.whenEnded = () => (run.state === ENDED ? this.#showOutcome() : undefined);
  }

  async show(catalog) {
    this.catalog = catalog;
    this.isLeft = false;
    if (run) this.#showRun();
    else this.#choose();
  }

  hide() {
    this.isLeft = true;
    this.#leaveStep();
  }

  /** Puts a step on the screen, and the focus on its title unless the view was only just opened. */
  #put(step, { end = () => {}, isFirst = false } = {}) {
    const isWithin = this.place.contains(document.activeElement) || document.activeElement === document.body;
    this.#leaveStep();
    this.endStep = end;
    this.place.replaceChildren(step);
    if (!isFirst && isWithin) this.place.querySelector("h2").focus();
  }

  #leaveStep() {
    run?.removeEventListener("change", this.whenEnded);
    this.endStep?.();
    this.endStep = null;
  }

  #choose({ isFirst = true, refusal = "" } = {}) {
    const left = new AbortController();
    const step = choosing((entries) => this.#open(entries), left.signal);
    if (refusal) step.querySelector("h2").after(element("p", { className: "problem", role: "alert" }, refusal));
    this.#put(step, { isFirst, end: () => left.abort() });
  }

  async #open(entries) {
    this.actions.tell(null);
    try {
      const [known, catalogs] = await Promise.all([knownColumns(), visibleCatalogs(this.catalog)]);
      const found = await opened(entries, known);
      if (!this.isLeft) this.#check(found, catalogIds(catalogs));
    } catch (error) {
      if (error instanceof NoTable) this.#choose({ isFirst: false, refusal: t(error.key, error.values) });
      else if (error instanceof api.Problem) this.actions.tell(error);
      else throw error;
    }
  }

  #check(found, catalogs) {
    const checking = new Checking({
      opened: found,
      catalogs,
      // Whoever has not said which catalogue is meant shall not write into the largest one unawares.
      current: new URLSearchParams(location.search).get("catalog"),
      begin: (into) => this.#begin(into),
      leave: () => this.#choose({ isFirst: false }),
    });
    this.#put(checking.place, { end: () => checking.end() });
    checking.look();
  }

  /** Starts the import; what is wrong with the catalogue's id, if anything. */
  async #begin({ id, isNew, source }) {
    this.actions.tell(null);
    try {
      if (isNew) await api.createCatalog(id);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      if (error.status === CONFLICT) return t("import.into.known");
      this.actions.tell(error);
      return "";
    }
    begun(id, source);
    if (this.isLeft) return "";
    this.#showRun();
    // The console knows the new catalogue from now on; it draws this view anew.
    if (isNew) await this.actions.reload(id);
    return "";
  }

  #showRun() {
    if (run.state === ENDED) {
      this.#showOutcome();
      return;
    }
    const running = new Running(run);
    this.#put(running.place, { end: () => running.end() });
    run.addEventListener("change", this.whenEnded);
  }

  #showOutcome() {
    this.#put(
      outcome(run, () => {
        run = null;
        this.#choose({ isFirst: false });
      }),
    );
  }
}

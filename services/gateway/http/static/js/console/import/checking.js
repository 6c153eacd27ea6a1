// The second step: what the files hold, before anything is written.

import { chosen as rolesAfter, rolesOf } from "/js/console/import/columns.js";
import { destination } from "/js/console/import/destination.js";
import { findings } from "/js/console/import/findings.js";
import { examplesOf, mapping } from "/js/console/import/mapping.js";
import { preview } from "/js/console/import/preview.js";
import { sample } from "/js/console/import/sample.js";
import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

/** The step on the screen; `begin({id, isNew, source})` imports and may raise what `refuse` is to say, `leave` goes back. */
export class Checking {
  constructor({ opened, catalogs, current, begin, leave }) {
    Object.assign(this, { opened, begin });
    this.count = 0;
    this.into = destination(catalogs, current, () => this.#nameGo());
    this.urls = [];
    this.roles = opened.table ? rolesOf(opened.table.headers, opened.source(null).columns) : null;
    this.examples = opened.table ? examplesOf(opened.table) : [];
    this.summary = element("p", { className: "import-intro", role: "status" });
    this.columns = element("div", {});
    this.found = element("div", {});
    this.products = element("div", { className: "import-products" });
    this.go = element("button", { type: "submit", className: "primary" }, t("import.check.go.none"));
    const back = element("button", { type: "button", className: "plain short" }, t("import.check.back"));
    back.addEventListener("click", leave);
    this.place = element(
      "form",
      { className: "import-step", noValidate: true, "aria-labelledby": "import-title" },
      element("h2", { id: "import-title", tabIndex: -1 }, opened.name ? t("import.check.title", { name: opened.name }) : t("import.check.photos_title")),
      this.summary,
      this.into.fields,
      opened.table ? [element("h3", {}, t("import.columns.title")), element("p", { className: "quiet" }, t("import.columns.intro")), this.columns] : null,
      element("h3", {}, t("import.found.title")),
      this.found,
      element("h3", {}, t("import.sample.title")),
      this.products,
      element("div", { className: "import-actions row" }, this.go, back),
    );
    this.place.addEventListener("submit", (event) => {
      event.preventDefault();
      const into = this.into.chosen();
      if (into && !this.go.disabled) this.#begin(into);
    });
  }

  /** Looks through the files, anew after each choice. */
  async look() {
    this.looking?.abort();
    const looking = new AbortController();
    this.looking = looking;
    this.source = this.opened.source(this.roles);
    this.#drawColumns();
    this.go.disabled = true;
    this.place.setAttribute("aria-busy", "true");
    this.summary.textContent = t("import.check.looking");
    try {
      const seen = await preview(this.source, looking.signal);
      this.place.removeAttribute("aria-busy");
      this.#draw(seen);
    } catch (error) {
      if (error !== looking.signal.reason) throw error;
    }
  }

  /** Gives up what is being looked through, and the photos that are shown. */
  end() {
    this.looking?.abort();
    this.#forgetPhotos();
  }

  async #begin(into) {
    this.go.disabled = true;
    const refusal = await this.begin({ ...into, source: this.source });
    this.go.disabled = false;
    if (refusal) this.into.refuse(refusal);
  }

  #drawColumns() {
    if (!this.roles) return;
    const { headers } = this.opened.table;
    const focused = document.activeElement?.id ?? "";
    this.columns.replaceChildren(
      mapping({
        headers,
        examples: this.examples,
        roles: this.roles,
        columns: this.source.columns,
        change: (index, role) => {
          this.roles = rolesAfter(this.roles, index, role);
          this.look();
        },
      }),
    );
    // The choices are drawn anew: who made one stays at it.
    if (focused.startsWith("import-role-")) document.getElementById(focused).focus();
  }

  #draw({ drafts, problems, products, photos, lost }) {
    const undecided = Boolean(this.roles) && !["id", "image"].some((role) => this.roles.includes(role));
    this.summary.textContent = [
      t("import.check.products", { count: products }),
      this.opened.table ? t("import.check.rows", { count: this.source.rowCount }) : null,
      t("import.check.photos", { count: photos }),
      lost ? t("import.check.lost", { count: lost }) : null,
    ].filter(Boolean).join(" · ");
    this.found.replaceChildren(findings({ problems: undecided ? [] : problems, furtherRows: this.source.furtherRows, undecided }));
    this.#forgetPhotos();
    this.products.replaceChildren(drafts.length ? sample(drafts, this.urls) : element("p", { className: "quiet" }, t("import.sample.none")));
    this.count = products;
    this.go.disabled = !products;
    this.#nameGo();
  }

  /** Says on the button what it writes, and where to. */
  #nameGo() {
    const { id: catalog } = this.into.aim();
    const key = catalog ? "import.check.go" : "import.check.go.new";
    this.go.textContent = this.count ? t(key, { count: this.count, catalog }) : t("import.check.go.none");
  }

  #forgetPhotos() {
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
  }
}

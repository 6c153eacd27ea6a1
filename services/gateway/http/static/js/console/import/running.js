// The third step: how far the import is.

import { ENDED, PAUSED, RUNNING, STOPPING } from "/js/console/import/run.js";
import { problemWords } from "/js/console/problems.js";
import { element } from "/js/dom.js";
import { number, percent, t } from "/js/messages.js";

// What is told aloud: not every batch, of which there may be hundreds.
const TOLD_PARTS = 10;

/** The progress of a run, drawn anew as it changes until `end` is called. */
export class Running {
  constructor(run) {
    this.run = run;
    this.bar = element("progress", { "aria-labelledby": "import-title", max: Math.max(run.total, 1) });
    this.share = element("p", { className: "import-share" });
    this.figures = element("p", { className: "import-figures" });
    this.outcomes = element("p", { className: "quiet import-figures" });
    this.trouble = element("p", { className: "note", role: "alert" });
    this.told = element("p", { className: "visually-hidden", role: "status" });
    this.pause = element("button", { type: "button", className: "plain short" });
    this.stop = element("button", { type: "button", className: "plain short" }, t("import.run.stop"));
    this.pause.addEventListener("click", () => (run.state === PAUSED ? run.resume() : run.pause()));
    this.stop.addEventListener("click", () => run.stop());
    this.place = element(
      "section",
      { className: "import-step import-run", "aria-labelledby": "import-title" },
      element("h2", { id: "import-title", tabIndex: -1 }, t("import.run.title", { catalog: run.catalog })),
      this.share,
      this.bar,
      this.figures,
      this.outcomes,
      element("div", { className: "import-trouble" }, this.trouble),
      element("div", { className: "row" }, this.pause, this.stop),
      element("p", { className: "quiet" }, t("import.run.stay")),
      this.told,
    );
    this.draw = this.draw.bind(this);
    run.addEventListener("change", this.draw);
    this.draw();
  }

  end() {
    this.run.removeEventListener("change", this.draw);
  }

  draw() {
    const { run } = this;
    const { state, done, total, trouble } = run;
    if (state === ENDED) return;
    this.bar.value = done;
    this.share.textContent = percent(total ? Math.floor((done / total) * 100) / 100 : 1);
    this.figures.textContent = [t("import.run.done", { count: done, total }), ...this.#pace()].join(" · ");
    this.outcomes.textContent = outcomesOf(run);
    this.pause.textContent = t(state === PAUSED ? "import.run.resume" : "import.run.pause");
    this.pause.disabled = state === STOPPING;
    this.stop.disabled = state === STOPPING;
    const words = trouble && (state === PAUSED ? t("import.run.paused_by", { said: problemWords(trouble).sentence }) : t("import.run.waiting"));
    if (this.trouble.textContent !== (words ?? "")) this.trouble.textContent = words ?? "";
    this.trouble.hidden = !words;
    this.#say(state === RUNNING ? percent(Math.floor((done / Math.max(total, 1)) * TOLD_PARTS) / TOLD_PARTS) : t(`import.run.${state}`));
  }

  #say(text) {
    if (this.told.textContent !== text) this.told.textContent = text;
  }

  /** How fast it goes, and how long it will take. */
  #pace() {
    const { state, speed, total, done } = this.run;
    if (state === PAUSED || state === STOPPING) return [t(`import.run.${state}`)];
    const { perSecond } = speed;
    if (!perSecond) return [];
    return [t("import.run.speed", { speed: number(perSecond, perSecond < 10 ? 1 : 0) }), leftWords((total - done) / perSecond)];
  }
}

/** What became of the products so far. */
export const outcomesOf = ({ written, unchanged, failed }) =>
  [t("import.run.written", { count: written }), t("import.run.unchanged", { count: unchanged }), t("import.run.failed", { count: failed })].join(" · ");

/** A time to wait, as roughly as it is known. */
function leftWords(seconds) {
  if (seconds < 60) return t("import.left.seconds", { count: Math.max(5, Math.ceil(seconds / 5) * 5) });
  if (seconds < 5400) return t("import.left.minutes", { count: Math.ceil(seconds / 60) });
  return t("import.left.hours", { count: Math.ceil(seconds / 3600) });
}

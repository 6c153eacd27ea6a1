// How much the words count beside a photo or products: a slider.

import { element } from "/js/dom.js";
import { percent, t } from "/js/messages.js";

const STEP = 5;
const PAUSE_MS = 250;
// Up to which share of the words each sentence holds, in percent.
const SAID = [[0, "none"], [40, "less"], [60, "even"], [95, "more"], [100, "all"]];

/** The slider; `actions.refine` has what it is moved to. */
export class Mix {
  constructor(actions) {
    this.actions = actions;
    this.timer = 0;
    this.hasEntry = false;
    this.from = element("span", { "aria-hidden": "true" });
    this.range = element("input", { type: "range", id: "mix", min: 0, max: 100, step: STEP, "aria-label": t("mix.label") });
    this.value = element("span", { className: "value", "aria-hidden": "true" });
    this.node = element(
      "div",
      { className: "mix", title: t("mix.label") },
      this.from,
      element("span", { className: "rail" }, this.range),
      element("span", { "aria-hidden": "true" }, t("mix.words")),
      this.value,
    );
    // Whoever takes hold of it anew makes a step of its own in the history, however far it is moved then.
    for (const hold of ["pointerdown", "focus"]) {
      this.range.addEventListener(hold, () => {
        this.hasEntry = false;
      });
    }
    this.range.addEventListener("input", () => {
      this.say();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.send(), PAUSE_MS);
    });
  }

  show({ words, photo, like, mix }) {
    this.node.hidden = !(words && (photo || like.length));
    this.from.textContent = t(photo ? "mix.photo" : "mix.products");
    clearTimeout(this.timer);
    // After a step back in the history, the next move is a step of its own as well.
    if (mix !== Number(this.range.value)) this.hasEntry = false;
    this.range.value = mix;
    this.say();
  }

  send() {
    const replace = this.hasEntry;
    this.hasEntry = true;
    this.actions.refine({ mix: Number(this.range.value) }, { replace });
  }

  /** Tells the value: in numbers, and to screen readers in words. */
  say() {
    const share = Number(this.range.value);
    const [, word] = SAID.find(([most]) => share <= most);
    this.range.setAttribute("aria-valuetext", t(`mix.${word}`, { share: percent(share / 100) }));
    this.value.textContent = t("mix.value", { pictures: 100 - share, words: share });
  }
}

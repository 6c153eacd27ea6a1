// The way to the next page of hits: it comes by itself for a while, and a button is always there.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";

// Pages that come without being asked for; then the visitor decides, and can reach the end of the page.
const PAGES_BY_THEMSELVES = 5;
// How far below the screen what is not there yet may be when it is fetched; whoever jumps to the end is past it.
const NEAR = "1000000px 0px 600px";

export class Paging {
  constructor(next) {
    this.next = next;
    this.left = 0;
    this.button = element("button", { type: "button", id: "more", hidden: true });
    this.end = element("p", { className: "quiet", hidden: true });
    this.place = element("div", { className: "more" }, this.button, this.end);
    this.observer = new IntersectionObserver((entries) => this.approached(entries.at(-1)), { rootMargin: NEAR });
    this.button.addEventListener("click", () => {
      this.left = PAGES_BY_THEMSELVES;
      next({ isAsked: true });
    });
  }

  approached({ isIntersecting }) {
    if (!isIntersecting) return;
    this.left -= 1;
    this.next({ isAsked: false });
  }

  /** After a page of hits: offers the next one, or says that there is none after several. */
  offer({ hasMore, isFirst }) {
    if (isFirst) this.left = PAGES_BY_THEMSELVES;
    this.button.hidden = !hasMore;
    this.button.textContent = t("results.more");
    this.end.hidden = hasMore || isFirst;
    this.end.textContent = t("results.end");
  }

  /** Whether the next page will come by itself. */
  get isGoing() {
    return this.left > 0 && !this.button.hidden;
  }

  /** Fetches the next page when a node comes near; when it is near already at once, so that a high screen fills. */
  watch(node) {
    this.observer.disconnect();
    this.observer.observe(node);
  }

  /** While hits are on their way no others are asked for. */
  wait() {
    this.observer.disconnect();
    this.button.textContent = t("results.loadingMore");
  }

  hide() {
    this.observer.disconnect();
    this.button.hidden = true;
    this.end.hidden = true;
  }
}

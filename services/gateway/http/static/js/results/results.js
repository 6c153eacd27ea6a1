// The hits: those that are there, those on their way, and why there are none.

import { element } from "/js/dom.js";
import { t } from "/js/messages.js";
import { hitCard, skeleton } from "/js/results/card.js";
import { chosenChips } from "/js/results/chosen.js";
import { nothing } from "/js/results/nothing.js";
import { Paging } from "/js/results/paging.js";
import { counted, lacking, timing } from "/js/results/summary.js";
import { trouble } from "/js/results/trouble.js";
import { filterCount } from "/js/state.js";

const SKELETONS = 12;
// At least the first row on a wide screen.
const EAGER = 6;

export class Results {
  constructor(place, actions) {
    Object.assign(this, { place, actions, isWaiting: false, isFurther: false, isAsked: false, lacks: new Set() });
    this.status = element("p", { id: "status", role: "status" });
    this.timing = element("div");
    this.chosen = element("ul", { className: "chosen", hidden: true });
    this.degraded = element("p", { id: "degraded", className: "note", hidden: true });
    this.grid = element("ul", { className: "grid", id: "grid" });
    this.trouble = element("div");
    this.paging = new Paging(({ isAsked }) => this.nextPage(isAsked));
    place.append(
      element("div", { className: "status" }, this.status, this.timing),
      this.chosen, this.degraded, this.grid, this.trouble, this.paging.place,
    );
  }

  /** Shows that an answer is on its way; hits of the query before stay, faded, so that the page does not jump. */
  loading(options) {
    this.guardFocus(() => this.drawLoading(options));
  }

  drawLoading({ append }) {
    this.isWaiting = true;
    this.isFurther = append;
    // Who tries once more for further hits wants them as much as who presses the button.
    this.isAsked ||= append && this.trouble.contains(document.activeElement);
    this.trouble.replaceChildren();
    this.paging.wait();
    if (append) return this.reserve();
    this.unreserve();
    const hits = this.hits();
    if (!hits.length) this.reserve();
    this.grid.classList.toggle("stale", hits.length > 0);
    this.status.textContent = t("results.searching");
    this.paging.hide();
    // At once, since the hits would jump if it came with the answer.
    this.showChosen(this.actions.state());
  }

  /** Shows the first page of an answer, or adds a further one. */
  show(response, state, options) {
    this.guardFocus(() => this.drawHits(response, state, options));
  }

  drawHits(response, state, { append }) {
    const { isAsked } = this;
    this.settle();
    const before = append ? this.hits().length : 0;
    const cards = response.hits.map((hit, index) =>
      hitCard(hit, { response, state, actions: this.actions, place: before + index + 1, isEager: before + index < EAGER }),
    );
    if (append) this.grid.append(...cards);
    else this.grid.replaceChildren(...cards);
    const hasMore = Boolean(response.next_page_token);
    this.paging.offer({ hasMore, isFirst: !append });
    // What comes by itself has its room before, so that the end of the page does not run away.
    if (this.paging.isGoing) this.paging.watch(this.reserve(cards.length));
    this.summarise(response, state, { append, hasMore });
    if (!append && this.place.getBoundingClientRect().top < 0) this.place.scrollIntoView();
    if (isAsked && append) cards[0]?.querySelector("a").focus();
  }

  summarise(response, state, { append, hasMore }) {
    const count = this.hits().length;
    if (!append) this.showChosen(state);
    if (count) this.status.textContent = counted(count, { hasMore, isFurther: append });
    else this.showNothing(state);
    if (!append) this.timing.replaceChildren(timing(response));
    this.lacks = new Set([...(append ? this.lacks : []), ...lacking(response)]);
    this.degraded.textContent = [...this.lacks].join(" ");
    this.degraded.hidden = !this.lacks.size;
  }

  showChosen(state) {
    const chips = chosenChips(state, (one) => this.remove(one));
    this.chosen.replaceChildren(...chips);
    this.chosen.hidden = !chips.length;
    this.chosen.setAttribute("aria-label", t("filters.active"));
  }

  showNothing(state) {
    this.status.textContent = t(filterCount(state) ? "empty.filtered" : "empty.title");
    const ask = (words) => this.actions.ask({ words });
    this.trouble.replaceChildren(nothing(state, { remove: (one) => this.remove(one), ask }));
    // The filters are offered to be taken away already.
    this.chosen.hidden = true;
  }

  /** Searches without a filter. */
  remove(one) {
    return this.actions.refine(one.without(this.actions.state()));
  }

  /** Says what went wrong; after a further page the hits before it stay. */
  fail(problem, remedies) {
    this.guardFocus(() => {
      if (this.isFurther) this.settle();
      else this.empty();
      this.paging.hide();
      this.trouble.replaceChildren(trouble(problem, remedies));
    });
  }

  clear() {
    this.guardFocus(() => this.empty());
  }

  empty() {
    this.settle();
    this.grid.replaceChildren();
    this.timing.replaceChildren();
    this.status.textContent = "";
    this.chosen.hidden = true;
    this.degraded.hidden = true;
    this.paging.hide();
  }

  hits() {
    return this.grid.querySelectorAll(".hit");
  }

  /** Keeps room for hits that are not there yet; the first of their places. */
  reserve(count = SKELETONS) {
    const places = this.grid.getElementsByClassName("skeleton");
    if (!places.length) this.grid.append(...Array.from({ length: count }, skeleton));
    return places[0];
  }

  unreserve() {
    this.grid.querySelectorAll(".skeleton").forEach((place) => place.remove());
  }

  settle() {
    this.isWaiting = false;
    this.isFurther = false;
    this.isAsked = false;
    this.grid.classList.remove("stale");
    this.unreserve();
    this.trouble.replaceChildren();
  }

  /** The next page; after a wish for it the focus goes to its first hit, also when it is on its way already. */
  nextPage(isAsked) {
    this.isAsked ||= isAsked;
    if (!this.isWaiting) this.actions.nextPage();
  }

  /** Changes what is shown; when that takes away what has the focus, all of the hits have it instead. */
  guardFocus(change) {
    const hadFocus = this.place.contains(document.activeElement);
    change();
    const focused = document.activeElement;
    if (hadFocus && !(this.place.contains(focused) && focused.checkVisibility())) this.place.focus({ preventScroll: true });
  }
}
